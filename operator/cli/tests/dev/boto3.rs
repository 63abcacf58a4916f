//! An unmodified boto3.

use anyhow::Result;

use crate::process::{Dev, python, stream};

#[test]
fn boto3_makes_a_stream_writes_splits_merges_and_reads_everything_in_order() -> Result<()> {
    let dev = Dev::start(&["--ephemeral"])?;
    let said = python("roundtrip.py", &dev.endpoint, &[])?;
    assert!(said.contains("all is well"), "{said}");
    Ok(())
}

#[test]
fn boto3_subscribes_to_a_shard_and_gets_everything_to_its_end() -> Result<()> {
    let dev = Dev::start(&["--ephemeral"])?;
    let said = python("subscribe.py", &dev.endpoint, &[])?;
    assert!(said.contains("all is well"), "{said}");
    Ok(())
}

#[test]
fn boto3_is_throttled_at_a_shards_limit_and_the_stream_splits_for_it() -> Result<()> {
    let files = tempfile::tempdir()?;
    let file = files.path().join("orders.yaml");
    let capacity = "mode: OnDemand\nshards: 1\nminShards: 1\nmaxShards: 16\ntargetPerShard:\n  \
                    bytesPerSecond: 64Ki\n  recordsPerSecond: 100\nmergeAfterSeconds: 5";
    std::fs::write(&file, stream("orders", capacity))?;
    let dev = Dev::start(&["--ephemeral", "-f", file.to_str().unwrap()])?;
    let said = python("overload.py", &dev.endpoint, &[])?;
    assert!(said.contains("all is well"), "{said}");
    let told = dev.await_line("split in")?;
    assert!(told.contains("of its target of 100 records/s"), "{told}");
    Ok(())
}
