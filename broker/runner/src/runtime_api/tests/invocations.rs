use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

#[tokio::test]
async fn a_function_takes_an_invocation_with_its_headers_and_answers_it() {
    let served = serve(Settings::default()).await;
    let outcome = served.invoke(invocation("a"));
    let next = served.send(Method::GET, "/2018-06-01/runtime/invocation/next", &[], "").await;
    assert_eq!((next.status, &next.body[..]), (StatusCode::OK, &br#"{"event":"a"}"#[..]));
    assert_eq!(next.header("content-type"), "application/json");
    assert_eq!(next.header("lambda-runtime-aws-request-id"), "a");
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    assert_eq!(next.header("lambda-runtime-invoked-function-arn"), arn);
    assert_eq!(next.header("lambda-runtime-trace-id"), "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0");
    assert_eq!(next.header("lambda-runtime-client-context"), r#"{"client":{}}"#);
    assert!(!next.headers.contains_key("lambda-runtime-cognito-identity"));
    let deadline_ms: u128 = next.header("lambda-runtime-deadline-ms").parse().unwrap();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert!((now_ms..=now_ms + PATIENCE.as_millis()).contains(&deadline_ms));
    served.answer("a", "response", r#"{"done":1}"#).await.is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), r#"{"done":1}"#);
}

#[tokio::test]
async fn log_lines_stand_around_each_invocation() {
    let served = serve(Settings { version: "7".into(), memory_mib: 256, ..Settings::default() }).await;
    for (id, what) in [("a", "response"), ("b", "error")] {
        let outcome = served.invoke(invocation(id));
        served.next().await;
        served.answer(id, what, "{}").await.is_accepted();
        let _ = outcome.await.unwrap();
    }
    let lines = served.lines.lock().clone();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0], "START RequestId: a Version: 7");
    assert_eq!(lines[1], "END RequestId: a");
    let report: Vec<&str> = lines[2].split('\t').collect();
    assert_eq!((report[0], report[3]), ("REPORT RequestId: a", "Memory Size: 256 MB"));
    assert!(report[1].starts_with("Duration: ") && report[2].starts_with("Billed Duration: "));
    assert!(lines[5].ends_with("\tStatus: error"), "{}", lines[5]);
}

#[tokio::test]
async fn as_many_invocations_run_at_once_as_the_function_takes() {
    let served = serve(Settings { max_concurrency: 2, ..Settings::default() }).await;
    let outcomes: Vec<_> = ["a", "b", "c"].map(|id| served.invoke(invocation(id))).into_iter().collect();
    let (one, other) = tokio::join!(served.next(), served.next());
    served.answer(&other, "response", r#""other""#).await.is_accepted();
    let third = served.next().await;
    served.answer(&third, "response", r#""third""#).await.is_accepted();
    served.answer(&one, "response", r#""one""#).await.is_accepted();
    let mut ids = [one, other, third];
    ids.sort();
    assert_eq!(ids, ["a", "b", "c"]);
    for outcome in outcomes {
        outcome.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_function_that_went_away_while_it_waited_costs_no_invocation() {
    let served = serve(Settings::default()).await;
    let path = "/2018-06-01/runtime/invocation/next";
    let request = served.send_body(Method::GET, path, &[], UnsyncBoxBody::default());
    {
        let mut request = std::pin::pin!(request);
        tokio::select! {
            _ = &mut request => unreachable!("nothing was invoked"),
            () = until(|| served.api.is_idle()) => {}
        }
    }
    until(|| !served.api.is_idle()).await;
    let outcome = served.invoke(invocation("a"));
    assert_eq!(served.next().await, "a");
    served.answer("a", "response", "1").await.is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn an_invocation_that_nobody_waits_for_is_not_handed_out() {
    let served = serve(Settings::default()).await;
    let first = served.invoke(invocation("a"));
    tokio::task::yield_now().await;
    first.abort();
    let _ = first.await;
    let second = served.invoke(invocation("b"));
    assert_eq!(served.next().await, "b");
    // And one that the function works on is not waited for any more.
    second.abort();
    let _ = second.await;
    served.answer("b", "response", "1").await.is_refused(StatusCode::BAD_REQUEST, "InvalidRequestID");
}

#[tokio::test]
async fn what_is_not_part_of_the_api_is_not_found() {
    let served = serve(Settings::default()).await;
    for (method, path) in [
        (Method::POST, "/2018-06-01/runtime/invocation/next"),
        (Method::GET, "/2015-01-01/runtime/invocation/next"),
        (Method::GET, "/"),
    ] {
        let reply = served.send(method, path, &[], "").await;
        reply.is_refused(StatusCode::NOT_FOUND, "InvalidRequest");
    }
}

/// Waits for something that other tasks bring about.
async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}
