//! TLS towards clients, as an unmodified boto3 sees it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use millrace_certificates::{Authority, Epoch, Names, Role, Seed};

use crate::process::{Dev, python, refused};

/// Writes a certificate for this host, its key and its authority's certificate; where they are.
fn write_certificate(dir: &Path) -> Result<[PathBuf; 3]> {
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let names = Names { dns: vec!["localhost".into()], ips: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)] };
    let authority = Authority::of(&Seed::new([9; 32]), "default", "dev");
    let pem = authority.issue(Role::Broker, &names, Epoch::at(now_s, Duration::from_secs(86_400)))?;
    let files = ["tls.crt", "tls.key", "ca.crt"].map(|name| dir.join(name));
    for (file, text) in files.iter().zip([pem.cert, pem.key, pem.ca]) {
        std::fs::write(file, text)?;
    }
    Ok(files)
}

#[test]
fn boto3_speaks_tls_to_an_authority_that_it_trusts_and_to_no_other() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let [certificate, key, ca] = write_certificate(dir.path())?.map(|file| file.display().to_string());
    let dev = Dev::start(&["--ephemeral", "--tls-cert", &certificate, "--tls-key", &key])?;
    assert!(dev.endpoint.starts_with("https://127.0.0.1:"), "{}", dev.endpoint);
    let said = python("tls.py", &dev.endpoint, &[&ca])?;
    assert!(said.contains("all is well"), "{said}");
    Ok(())
}

#[test]
fn files_without_a_certificate_are_told_before_anything_is_started() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let [certificate, key, _] = write_certificate(dir.path())?.map(|file| file.display().to_string());
    let said = refused(&["--ephemeral", "--tls-cert", &certificate])?;
    assert!(said.contains("--tls-key"), "{said}");
    std::fs::write(&key, "nothing")?;
    let said = refused(&["--ephemeral", "--tls-cert", &certificate, "--tls-key", &key])?;
    assert!(said.contains("tls.key holds no private key in PEM"), "{said}");
    Ok(())
}
