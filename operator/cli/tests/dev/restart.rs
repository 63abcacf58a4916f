//! Ends, and starts after them.

use std::process::Command;

use anyhow::Result;

use crate::process::{Dev, await_that, stream};

#[test]
fn after_a_kill_9_and_a_start_everything_acknowledged_is_there() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let file = dir.path().join("orders.yaml");
    std::fs::write(&file, stream("orders", "mode: Provisioned\nshards: 2"))?;
    let arguments = ["--data", data.to_str().unwrap(), "-f", file.to_str().unwrap()];
    let mut expected = Vec::new();
    for run in 0..3 {
        let dev = Dev::start(&arguments)?;
        for n in 0..5 {
            let text = format!("record {run}.{n}");
            dev.run(&["put", "orders", "--key", &format!("k{n}"), &text])?;
            expected.push(text);
        }
        let read = dev.run(&["tail", "orders", "--from", "horizon", "--until-idle"])?;
        for text in &expected {
            assert!(read.contains(text.as_str()), "{text} is missing in run {run}:\n{read}");
        }
        dev.end("-KILL")?;
    }
    Ok(())
}

#[test]
fn on_sigterm_it_ends_with_success_and_takes_its_nats_server_with_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let dev = Dev::start(&["--data", dir.path().to_str().unwrap()])?;
    let config = dir.path().join("nats/nats-server.conf");
    let running = || {
        let found = Command::new("pgrep").arg("-f").arg(&config).output();
        found.is_ok_and(|found| found.status.success())
    };
    assert!(running());
    assert!(dev.end("-TERM")?.success());
    await_that("the end of nats-server", || (!running()).then_some(()))
}

#[test]
fn a_split_and_a_merge_by_hand_are_drawn_as_a_tree() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("orders.yaml");
    std::fs::write(&file, stream("orders", "mode: Provisioned\nshards: 1"))?;
    let dev = Dev::start(&["--ephemeral", "-f", file.to_str().unwrap()])?;
    dev.run(&["split", "orders", "shardId-000000000000", "--into", "2"])?;
    let shards = |count: usize| {
        await_that("the reshard's end", || {
            let tree = dev.run(&["shards", "orders"]).ok()?;
            (tree.matches("shardId-").count() >= count).then_some(tree)
        })
    };
    shards(3)?;
    dev.run(&["merge", "orders", "shardId-000000000001", "shardId-000000000002"])?;
    let tree = shards(4)?;
    assert!(tree.contains("shardId-000000000003"), "{tree}");
    Ok(())
}
