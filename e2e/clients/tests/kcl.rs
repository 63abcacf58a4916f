//! The Kinesis Client Library reads through splits and merges: nothing is lost, and each key's order is kept.

use anyhow::Result;
use millrace_e2e_clients::{Dev, dynamodb_local, kcl};

const READ: &str = "20 keys, each with 50 records in order; 4 shards to their end";

#[test]
fn kcl_reads_everything_in_order_through_splits_and_merges_by_polling() -> Result<()> {
    let (_leases, dynamodb) = dynamodb_local()?;
    let told = Dev::start()?.run(kcl("orders", "polling", &dynamodb))?;
    assert_eq!(told, format!("{READ}\n0 registered consumers\n"));
    Ok(())
}

#[test]
fn kcl_reads_everything_in_order_through_splits_and_merges_by_enhanced_fan_out() -> Result<()> {
    let (_leases, dynamodb) = dynamodb_local()?;
    let told = Dev::start()?.run(kcl("orders", "fan-out", &dynamodb))?;
    assert_eq!(told, format!("{READ}\n1 registered consumers\n"));
    Ok(())
}
