//! Frames of an event stream: records that anybody may have put come out of a subscription as they went in, in
//! frames that Amazon's own decoder reads. The first byte says in which form, and how the rest is cut into records.

#![no_main]

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use base64_simd::STANDARD;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use millrace_fuzz::{Api, CBOR, JSON, register_consumer};
use serde_json::json;

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let form = if first & 0x80 == 0 { JSON } else { CBOR };
    let api = Api::start();
    let pieces: Vec<&[u8]> = rest.chunks(usize::from(first & 0x7f) + 1).take(100).collect();
    if pieces.is_empty() {
        return;
    }
    // The data of each is also its key, as far as that is text.
    let records: Vec<_> = pieces
        .iter()
        .map(|data| {
            let key = format!("k{}", String::from_utf8_lossy(data));
            // All into the first shard.
            json!({"Data": STANDARD.encode_to_string(data), "PartitionKey": key, "ExplicitHashKey": "0"})
        })
        .collect();
    let put = api.ok("PutRecords", json!({"StreamName": "orders", "Records": records}));
    assert_eq!(put["FailedRecordCount"], 0, "{put}");
    let input = json!({"ConsumerARN": register_consumer(&api), "ShardId": "shardId-000000000000",
                       "StartingPosition": {"Type": "TRIM_HORIZON"}});
    let body = match form {
        CBOR => minicbor_serde::to_vec(&input).unwrap(),
        _ => input.to_string().into_bytes(),
    };
    let (status, events) = api.call(form, "SubscribeToShard", body);
    assert_eq!(status, 200, "{events:?}");
    let mut events = BytesMut::from(&events[..]);
    let mut decoder = MessageFrameDecoder::new();
    let mut seen = 0;
    while let DecodedFrame::Complete(frame) = decoder.decode_frame(&mut events).expect("a frame") {
        let payload = frame.payload();
        if form == CBOR {
            seen += pieces[seen..].iter().take_while(|piece| contains(payload, piece)).count();
        } else {
            let event: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
            for record in event["Records"].as_array().into_iter().flatten() {
                assert_eq!(record["Data"], records[seen]["Data"]);
                assert_eq!(record["PartitionKey"], records[seen]["PartitionKey"]);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, pieces.len(), "records are missing");
});

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}
