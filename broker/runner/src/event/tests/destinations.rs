use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn response() -> ResponseContext {
    let function_error = Some("Unhandled".into());
    ResponseContext { status_code: 200, executed_version: "$LATEST".into(), function_error }
}

fn failure(response: Option<ResponseContext>) -> StreamFailure<'static> {
    StreamFailure {
        request_id: "c9b8fa9f-5a7f-4f0b-af9c-0c604cde93a5",
        function_arn: "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
        condition: StreamCondition::RetryAttemptsExhausted,
        invoke_count: 1,
        response,
        now_ms: 1_573_691_886_021,
    }
}

/// Lambda's own example, with the records as S3 gets them.
#[test]
fn a_failure_record_is_the_documented_one_and_holds_the_event() {
    let records =
        [record(1, "a", 1_573_691_884_835, b"one"), record(2, "b", 1_573_691_885_580, b"two \"quoted\"")];
    let documents = failure(Some(response())).records(&writer(), &records, 1 << 20);
    assert_eq!(documents.len(), 1);
    let event = String::from_utf8(writer().event(&records, None)).unwrap();
    let expected = json!({
        "requestContext": {
            "requestId": "c9b8fa9f-5a7f-4f0b-af9c-0c604cde93a5",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2019-11-14T00:38:06.021Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000006",
            "startSequenceNumber": sequence(1).to_string(),
            "endSequenceNumber": sequence(2).to_string(),
            "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
            "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
            "batchSize": 2,
            "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
        },
        "payload": event
    });
    assert_eq!(serde_json::from_slice::<Value>(&documents[0]).unwrap(), expected);
}

#[test]
fn what_was_never_invoked_has_no_response() {
    let expired =
        StreamFailure { condition: StreamCondition::RecordAgeExceeded, invoke_count: 0, ..failure(None) };
    let documents = expired.records(&writer(), &[record(1, "a", 0, b"")], 1 << 20);
    let document: Value = serde_json::from_slice(&documents[0]).unwrap();
    assert_eq!(document["requestContext"]["condition"], "RecordAgeExceeded");
    assert_eq!(document.get("responseContext"), None);
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![4 => 0_usize..200, 1 => 5_000_usize..20_000], 1..20)
}

proptest! {
    #[test]
    fn no_failure_record_is_too_long_and_together_they_hold_every_record(sizes in sizes(), max_bytes in 3_500_usize..20_000) {
        let records: Vec<EventRecord> =
            (1_u64..).zip(&sizes).map(|(pack, size)| record(pack, "ключ", 0, &vec![pack as u8; *size])).collect();
        let documents = failure(Some(response())).records(&writer(), &records, max_bytes);
        let (mut held, mut partial) = (Vec::new(), String::new());
        for document in &documents {
            prop_assert!(document.len() <= max_bytes, "{} of {max_bytes}", document.len());
            let document: Value = serde_json::from_slice(document).unwrap();
            partial += document["payload"].as_str().unwrap();
            if let Some(part) = document.get("payloadPart")
                && part["index"].as_u64().unwrap() + 1 < part["count"].as_u64().unwrap()
            {
                prop_assert_eq!(&document["KinesisBatchInfo"]["batchSize"], 1);
                continue;
            }
            let event: Value = serde_json::from_str(&std::mem::take(&mut partial)).unwrap();
            let inside = event["Records"].as_array().unwrap();
            prop_assert_eq!(&document["KinesisBatchInfo"]["batchSize"], inside.len());
            let first = &document["KinesisBatchInfo"]["startSequenceNumber"];
            prop_assert_eq!(first, &inside[0]["kinesis"]["sequenceNumber"]);
            held.extend(inside.iter().cloned());
        }
        let all: Value = serde_json::from_slice(&writer().event(&records, None)).unwrap();
        prop_assert_eq!(&Value::Array(held), &all["Records"]);
    }
}

/// Lambda's own example.
#[test]
fn a_record_of_an_asynchronous_invocation_is_the_documented_one() {
    let answer = br#"{"errorMessage": "RequestId: e4b46cbf Process exited before completing request"}"#;
    let record = InvokeRecord {
        request_id: "e4b46cbf-b738-4f0b-8880-a18cdf61200e",
        function_arn: "arn:aws:lambda:us-east-2:123456789012:function:my-function:$LATEST",
        condition: InvokeCondition::RetriesExhausted,
        invoke_count: 3,
        request: br#"{"ORDER_IDS": ["9e07af03", "637de236"]}"#,
        response: Some((response(), answer)),
        now_ms: 1_573_755_365_568,
    };
    let expected = json!({
        "version": "1.0",
        "timestamp": "2019-11-14T18:16:05.568Z",
        "requestContext": {
            "requestId": "e4b46cbf-b738-4f0b-8880-a18cdf61200e",
            "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:my-function:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3
        },
        "requestPayload": {"ORDER_IDS": ["9e07af03", "637de236"]},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "RequestId: e4b46cbf Process exited before completing request"}
    });
    assert_eq!(serde_json::from_slice::<Value>(&record.to_json()).unwrap(), expected);
    let success = ResponseContext { function_error: None, ..response() };
    let plain = InvokeRecord {
        condition: InvokeCondition::Success,
        request: b"",
        response: Some((success, b"not \"json\"")),
        ..record
    };
    let plain: Value = serde_json::from_slice(&plain.to_json()).unwrap();
    assert_eq!((&plain["requestPayload"], &plain["responsePayload"]), (&Value::Null, &json!("not \"json\"")));
    assert_eq!(plain["responseContext"], json!({"statusCode": 200, "executedVersion": "$LATEST"}));
}
