use super::*;

#[track_caller]
fn failure(outcome: Outcome) -> (Cause, String, Value) {
    let error = outcome.unwrap_err();
    (error.cause, error.error_type.clone(), serde_json::from_slice(&error.payload).unwrap())
}

#[tokio::test]
async fn an_error_of_the_function_comes_as_it_was_told() {
    let served = serve(Settings::default()).await;
    let outcome = served.invoke(invocation("a"));
    served.next().await;
    let body = r#"{"errorMessage":"no","errorType":"ValueError","stackTrace":["x"]}"#;
    let headers = [("Lambda-Runtime-Function-Error-Type", "Runtime.Oops")];
    let path = "/2018-06-01/runtime/invocation/a/error";
    served.send(Method::POST, path, &headers, body).await.is_accepted();
    let told = serde_json::from_str(body).unwrap();
    assert_eq!(failure(outcome.await.unwrap()), (Cause::Function, "Runtime.Oops".into(), told));
    // Without the header the body says it.
    let outcome = served.invoke(invocation("b"));
    served.next().await;
    served.answer("b", "error", body).await.is_accepted();
    assert_eq!(failure(outcome.await.unwrap()).1, "ValueError");
}

#[tokio::test]
async fn a_late_answer_is_refused_by_its_id_and_the_next_invocation_goes_on() {
    let served = serve(Settings::default()).await;
    let outcome = served.invoke(Invocation { timeout: Duration::from_millis(20), ..invocation("a") });
    served.next().await;
    let (cause, error_type, payload) = failure(outcome.await.unwrap());
    assert_eq!((cause, &error_type[..]), (Cause::TimedOut, "Sandbox.Timedout"));
    assert_eq!(payload["errorMessage"], "RequestId: a Error: Task timed out after 0.02 seconds");
    for what in ["response", "error"] {
        served.answer("a", what, "{}").await.is_refused(StatusCode::BAD_REQUEST, "InvalidRequestID");
    }
    let outcome = served.invoke(invocation("b"));
    assert_eq!(served.next().await, "b");
    served.answer("b", "response", "2").await.is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), "2");
    let lines = served.lines.lock().clone();
    assert!(lines.contains(&"a Task timed out after 0.02 seconds".to_owned()));
    assert!(
        lines.iter().any(|line| line.starts_with("REPORT RequestId: a") && line.ends_with("Status: timeout"))
    );
}

#[tokio::test]
async fn a_late_answer_is_refused_though_the_same_request_is_tried_again() {
    let served = serve(Settings::default()).await;
    let path = "/2018-06-01/runtime/invocation/next";
    let outcome = served.invoke(Invocation { timeout: Duration::from_millis(20), ..invocation("a") });
    let first = served.send(Method::GET, path, &[], "").await;
    assert_eq!(failure(outcome.await.unwrap()).0, Cause::TimedOut);
    let outcome = served.invoke(invocation("a"));
    let second = served.send(Method::GET, path, &[], "").await;
    let respond = async |reply: &Reply, body: &'static str| {
        let headers = [("lambda-runtime-invocation-id", reply.header("lambda-runtime-invocation-id"))];
        served.send(Method::POST, "/2018-06-01/runtime/invocation/a/response", &headers, body).await
    };
    respond(&first, "late").await.is_refused(StatusCode::BAD_REQUEST, "InvalidRequestID");
    respond(&second, "good").await.is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), "good");
}

#[tokio::test]
async fn an_invocation_is_answered_once() {
    let served = serve(Settings::default()).await;
    let outcome = served.invoke(invocation("a"));
    served.next().await;
    served.answer("a", "response", "1").await.is_accepted();
    served.answer("a", "response", "2").await.is_refused(StatusCode::BAD_REQUEST, "InvalidRequestID");
    served.answer("other", "error", "{}").await.is_refused(StatusCode::BAD_REQUEST, "InvalidRequestID");
    assert_eq!(outcome.await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn an_answer_that_is_too_large_fails_the_invocation_and_not_the_function() {
    let served = serve(Settings::default()).await;
    let outcome = served.invoke(invocation("a"));
    served.next().await;
    let largest = vec![b'x'; MAX_RESPONSE_BYTES];
    served.answer("a", "response", largest.clone()).await.is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), largest);
    let outcome = served.invoke(invocation("b"));
    served.next().await;
    let reply = served.answer("b", "response", [&largest[..], b"y"].concat()).await;
    reply.is_refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge");
    let (cause, error_type, _) = failure(outcome.await.unwrap());
    assert_eq!((cause, &error_type[..]), (Cause::TooLarge, "Function.ResponseSizeTooLarge"));
    let outcome = served.invoke(invocation("c"));
    assert_eq!(served.next().await, "c");
    served.answer("c", "response", "3").await.is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), "3");
}

#[tokio::test]
async fn a_function_that_asks_anew_has_lost_what_it_had() {
    let served = serve(Settings::default()).await;
    let lost = served.invoke(invocation("a"));
    served.next().await;
    let outcome = served.invoke(invocation("b"));
    assert_eq!(served.next().await, "b");
    let (cause, error_type, _) = failure(lost.await.unwrap());
    assert_eq!((cause, &error_type[..]), (Cause::Exited, "Runtime.ExitError"));
    served.answer("a", "response", "1").await.is_refused(StatusCode::BAD_REQUEST, "InvalidRequestID");
    served.answer("b", "response", "2").await.is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn what_runs_is_lost_when_the_function_ends_and_what_waits_is_not() {
    let served = serve(Settings::default()).await;
    let running = served.invoke(invocation("a"));
    served.next().await;
    let waiting = served.invoke(invocation("b"));
    served.api.function_exited("Runtime exited with error: exit status 1");
    let (cause, _, payload) = failure(running.await.unwrap());
    assert_eq!(cause, Cause::Exited);
    assert_eq!(payload["errorMessage"], "RequestId: a Error: Runtime exited with error: exit status 1");
    assert_eq!(served.next().await, "b");
    served.answer("b", "response", "2").await.is_accepted();
    assert_eq!(waiting.await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn a_function_that_can_not_start_fails_what_waits_for_it_and_that_is_no_attempt() {
    let served = serve(Settings::default()).await;
    let outcome = served.invoke(invocation("a"));
    tokio::task::yield_now().await;
    let body = r#"{"errorMessage":"No module named 'x'","errorType":"Runtime.ImportModuleError"}"#;
    served.send(Method::POST, "/2018-06-01/runtime/init/error", &[], body).await.is_accepted();
    let error = outcome.await.unwrap().unwrap_err();
    assert_eq!((error.cause, &error.error_type[..]), (Cause::Init, "Runtime.ImportModuleError"));
    assert!(!error.is_attempt());
    assert_eq!(served.api.init_error(), Some(error));
    // It starts after all.
    let outcome = served.invoke(invocation("b"));
    assert_eq!(served.next().await, "b");
    assert_eq!(served.api.init_error(), None);
    served.answer("b", "response", "2").await.is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn an_invocation_that_no_function_takes_is_no_attempt_and_says_so() {
    let served = serve(Settings { taken_within: Duration::from_millis(20), ..Settings::default() }).await;
    let error = served.invoke(invocation("a")).await.unwrap().unwrap_err();
    assert_eq!((error.cause, error.is_attempt()), (Cause::NotTaken, false));
    assert!(error.to_string().contains("the function did not take the invocation"), "{error}");
}
