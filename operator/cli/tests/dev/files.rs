//! Resource files: read again when they change, and refused with their line when they are wrong.

use anyhow::Result;

use crate::process::{Dev, refused, stream};

#[test]
fn a_file_that_is_wrong_is_refused_with_its_name_and_line_before_anything_starts() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("orders.yaml");
    std::fs::write(&file, stream("orders", "mode: Provisioned\nshards: 2\nshard: 3"))?;
    let data = dir.path().join("data");
    let said = refused(&["--data", data.to_str().unwrap(), "-f", file.to_str().unwrap()])?;
    assert!(said.contains("orders.yaml:") && said.contains("shard"), "{said}");
    assert!(!data.exists(), "nothing was made");
    let said = refused(&["--ephemeral", "-f", "/no/such/file.yaml"])?;
    assert!(said.contains("/no/such/file.yaml"), "{said}");
    Ok(())
}

#[test]
fn a_change_is_applied_when_it_is_saved_and_a_wrong_one_changes_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("orders.yaml");
    std::fs::write(&file, stream("orders", "mode: Provisioned\nshards: 1"))?;
    let dev = Dev::start(&["--ephemeral", "-f", dir.path().to_str().unwrap()])?;
    std::fs::write(&file, "apiVersion: millrace.dev/v1alpha1\nkind: Strm\n")?;
    std::fs::write(dir.path().join("more.yaml"), stream("more", "mode: Provisioned\nshards: 1"))?;
    // Both files are read as one: the wrong one holds the other back until it is right again.
    std::fs::write(&file, stream("orders", "mode: Provisioned\nshards: 3"))?;
    dev.await_line("stream more created with 1 shard")?;
    dev.await_line("stream orders configured")?;
    crate::process::await_that("three shards", || {
        let tree = dev.run(&["shards", "orders"]).ok()?;
        (tree.matches("open").count() >= 3).then_some(())
    })
}
