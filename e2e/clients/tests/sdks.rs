//! Every SDK tells the same story, `README.md` says which, against a `millrace dev` of its own.

use std::process::Command;

use anyhow::Result;
use millrace_e2e_clients::{Dev, STORY, aggregated, go, java, javascript, rust};

fn tells_the_story(client: Command) -> Result<()> {
    assert_eq!(Dev::start()?.run(client)?, STORY);
    Ok(())
}

#[test]
fn the_sdk_for_go_tells_the_story() -> Result<()> {
    tells_the_story(go("orders"))
}

#[test]
fn the_sdk_for_java_tells_the_story_in_cbor_and_over_both_of_its_http_clients() -> Result<()> {
    tells_the_story(java("orders"))
}

#[test]
fn the_sdk_for_javascript_tells_the_story() -> Result<()> {
    tells_the_story(javascript("orders"))
}

#[test]
fn the_sdk_for_rust_tells_the_story() -> Result<()> {
    tells_the_story(rust("orders"))
}

#[test]
fn aggregated_records_of_python_come_back_byte_for_byte_and_are_taken_apart() -> Result<()> {
    let told = Dev::start()?.run(aggregated("orders"))?;
    assert_eq!(told, "read: 11 aggregated records, byte for byte\ndeaggregated: 1000 records\n");
    Ok(())
}
