//! What can't be: told in a sentence that names the remedy.

use std::os::unix::fs::PermissionsExt;

use anyhow::Result;

use crate::process::{Dev, millrace, refused};

#[test]
fn a_data_directory_in_use_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().to_str().unwrap();
    let _first = Dev::start(&["--data", data])?;
    let said = refused(&["--data", data])?;
    assert!(said.contains(data) && said.contains("use"), "{said}");
    Ok(())
}

#[test]
fn a_nats_server_that_is_absent_or_too_old_is_refused_with_the_remedy() -> Result<()> {
    let said = refused(&["--ephemeral", "--nats-server", "/no/such/nats-server"])?;
    assert!(said.contains("/no/such/nats-server") && said.contains("make"), "{said}");
    let dir = tempfile::tempdir()?;
    let old = dir.path().join("nats-server");
    std::fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.10.1'\n")?;
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755))?;
    let said = refused(&["--ephemeral", "--nats-server", old.to_str().unwrap()])?;
    assert!(said.contains("2.10.1") && said.contains("2.15.2"), "{said}");
    Ok(())
}

#[test]
fn an_address_that_is_in_use_or_not_on_loopback_is_refused() -> Result<()> {
    let dev = Dev::start(&["--ephemeral"])?;
    let address = dev.endpoint.trim_start_matches("http://");
    let second = millrace(&["dev", "--ephemeral", "--listen", address]).output()?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains(address), "{said}");
    let open = millrace(&["dev", "--ephemeral", "--listen", "0.0.0.0:0"]).output()?;
    let said = String::from_utf8_lossy(&open.stderr).into_owned();
    assert!(!open.status.success() && said.contains("loopback"), "{said}");
    Ok(())
}

#[test]
fn with_auth_only_the_key_in_the_data_directory_is_taken() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let dev = Dev::start(&["--data", dir.path().to_str().unwrap(), "--auth"])?;
    let credentials = std::fs::read_to_string(dir.path().join("credentials"))?;
    let value = |name: &str| {
        let line = credentials.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_once(" = ").unwrap().1.to_owned()
    };
    let list = |id: &str, secret: &str| {
        millrace(&["shards", "absent"])
            .env("AWS_ENDPOINT_URL", &dev.endpoint)
            .env("AWS_ACCESS_KEY_ID", id)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .output()
            .map(|output| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (id, secret) = (value("aws_access_key_id"), value("aws_secret_access_key"));
    let known = list(&id, &secret)?;
    assert!(known.contains("absent") && !known.contains("ignature"), "{known}");
    let forged = list(&id, "another")?;
    assert!(forged.contains("ignature"), "{forged}");
    let unknown = list("AKIAUNKNOWN", &secret)?;
    assert!(unknown.contains("security token") || unknown.contains("Unrecognized"), "{unknown}");
    Ok(())
}
