//! Next tokens and shard iterators: texts that a client makes up, and payloads that some broker has sealed. The
//! first byte says which operation takes it, and its top bit whether it is sealed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millrace_core::token::{Purpose, seal};
use millrace_fuzz::{Api, JSON, NOW_MS, check_answer};
use minicbor::encode::{Encode, Encoder, Error, Write};
use serde_json::json;

/// Bytes in place of a payload.
struct Raw<'a>(&'a [u8]);

impl Encode<()> for Raw<'_> {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut ()) -> Result<(), Error<W::Error>> {
        encoder.writer_mut().write_all(self.0).map_err(Error::write)
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let api = Api::start();
    let (operation, purpose, member) = match first & 3 {
        0 => ("GetRecords", Purpose::ShardIterator, "ShardIterator"),
        1 => ("ListShards", Purpose::ListShards, "NextToken"),
        2 => ("ListStreams", Purpose::ListStreams, "NextToken"),
        _ => ("ListStreamConsumers", Purpose::ListConsumers, "NextToken"),
    };
    let sealed = first & 0x80 != 0;
    let token = match sealed {
        true => seal(api.broker().token_key(), purpose, NOW_MS + 300_000, &Raw(rest)),
        false => String::from_utf8_lossy(rest).into_owned(),
    };
    let mut input = json!({ member: token });
    if operation == "ListStreamConsumers" {
        input["StreamARN"] = json!(api.stream_arn());
    }
    let answer = api.call(JSON, operation, input.to_string());
    assert!(sealed || answer.0 != 200, "a token that nobody has sealed was taken");
    check_answer(JSON, operation, answer);
});
