use aws_lambda_events::event::streams::KinesisEventResponse;

use super::*;

fn read(answer: &str) -> Result<BatchAnswer, AnswerError> {
    read_batch_answer(answer.as_bytes(), |found| (1..=5).any(|pack| sequence(pack) == found))
}

#[test]
fn the_lowest_of_the_records_that_failed_counts() {
    let mut response = KinesisEventResponse::default();
    response.set_failures([sequence(4).to_string(), sequence(2).to_string(), sequence(5).to_string()]);
    let answer = serde_json::to_string(&response).unwrap();
    assert_eq!(read(&answer), Ok(BatchAnswer::FailedFrom(sequence(2))));
    assert_eq!(
        read(&serde_json::to_string(&KinesisEventResponse::default()).unwrap()),
        Ok(BatchAnswer::Done)
    );
}

#[test]
fn what_names_no_record_is_a_failure_that_says_why() {
    let unknown = |raw: &str| Err(AnswerError::UnknownItem(raw.into()));
    let outside = format!("\"{}\"", sequence(6));
    assert_eq!(
        read(&format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{outside}}}]}}"#)),
        unknown(&outside)
    );
    assert_eq!(read(r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#), unknown("\"\""));
    assert_eq!(read(r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#), unknown("null"));
    assert_eq!(read(r#"{"batchItemFailures":[{"itemIdentifier":5}]}"#), unknown("5"));
    assert_eq!(read(r#"{"batchItemFailures":[{"item":"x"}]}"#), unknown("null"));
    assert_eq!(read(r#"{"batchItemFailures":{}}"#), Err(AnswerError::NoList));
    assert!(matches!(read("{"), Err(AnswerError::NotJson(_))));
    let message = read(r#"{"batchItemFailures":[{"itemIdentifier":5}]}"#).unwrap_err().to_string();
    assert_eq!(
        message,
        "itemIdentifier 5 in the function's answer is not the sequence number of a record in the batch"
    );
}

#[test]
fn a_window_wants_a_state_until_its_last_invocation() {
    let read = |answer: &str, is_final: bool, report: bool| {
        read_window_answer(answer.as_bytes(), is_final, report, |found| found == sequence(1))
    };
    let state = Some(r#"{"a": [1, 2.50]}"#.into());
    let named = format!(
        r#"{{"state": {{"a": [1, 2.50]}}, "batchItemFailures": [{{"itemIdentifier": "{}"}}]}}"#,
        sequence(1)
    );
    assert_eq!(
        read(&named, false, true),
        Ok(WindowAnswer { batch: BatchAnswer::FailedFrom(sequence(1)), state: state.clone() })
    );
    assert_eq!(read(&named, false, false), Ok(WindowAnswer { batch: BatchAnswer::Done, state }));
    assert_eq!(read("{}", false, false), Err(AnswerError::NoState));
    assert_eq!(read("", true, false), Ok(WindowAnswer { batch: BatchAnswer::Done, state: None }));
}
