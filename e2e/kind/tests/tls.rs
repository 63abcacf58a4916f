//! TLS towards clients, with a certificate from a Secret.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use millrace_certificates::{Authority, Epoch, Names, Pem, Role, Seed};
use millrace_crds::Broker;
use millrace_crds::condition::{Kind, find};
use millrace_e2e::{Namespace, SMALL_BROKER, in_namespace, output};
use serde_json::json;

/// How long anything may take before a test gives up. Nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(240);
/// For how long certificates are good, from a day before.
const DAY: Duration = Duration::from_secs(86_400);

/// A certificate for this host, where the way to the Broker begins.
fn certificate() -> Result<Pem> {
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let names = Names { dns: Vec::new(), ips: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)] };
    let authority = Authority::of(&Seed::new([7; 32]), "shop", "clients");
    Ok(authority.issue(Role::Broker, &names, Epoch::at(now_s, DAY))?)
}

async fn create_secret(namespace: &Namespace, pem: &Pem) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (cert, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
    std::fs::write(&cert, &pem.cert)?;
    std::fs::write(&key, &pem.key)?;
    let create = [
        "create",
        "secret",
        "tls",
        "shop-tls",
        &format!("--cert={}", cert.display()),
        &format!("--key={}", key.display()),
    ];
    output(namespace.kubectl(&create), "").await.map(drop)
}

#[tokio::test]
async fn a_broker_waits_for_its_certificate_and_serves_those_who_trust_it() -> Result<()> {
    in_namespace("tls", async |namespace| {
        namespace.cluster.install().await?;
        namespace.apply(&format!("{SMALL_BROKER}  service: {{tls: {{secretName: shop-tls}}}}\n")).await?;
        let names_the_secret = |broker: &Broker| {
            let conditions = broker.status.as_ref().map_or(&[][..], |status| &status.conditions);
            find(conditions, Kind::Ready).is_some_and(|ready| {
                ready.reason == "AwaitingCertificate" && ready.message.contains("Secret shop-tls")
            })
        };
        namespace.await_that::<Broker>("default", PATIENCE, names_the_secret).await?;

        let pem = certificate()?;
        create_secret(namespace, &pem).await?;
        namespace.await_ready("broker/default", PATIENCE).await?;
        let directory = tempfile::tempdir()?;
        let authority = directory.path().join("ca.crt");
        std::fs::write(&authority, &pem.ca)?;
        let endpoint = namespace.endpoint("default").await?.over_tls(&authority);
        let made = namespace.client(&endpoint, &["create", "orders", "1"]).await?;
        assert_eq!(made["status"], "ACTIVE");
        assert_eq!(namespace.client(&endpoint, &["put", "orders", "100"]).await?["stored"], 100);
        let read = namespace.client(&endpoint, &["read", "orders"]).await?;
        assert_eq!(read.as_array().map(Vec::len), Some(100));

        let plain = namespace.endpoint("default").await?;
        let refused = namespace.client(&plain, &["describe", "orders"]).await;
        refused.err().context("a client without TLS was served")?;
        let told = output(namespace.kubectl(&["get", "broker", "default", "-o", "json"]), "").await?;
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let endpoint = format!("https://default-api.{}.svc.cluster.local:4566", namespace.name);
        assert_eq!(told["status"]["endpoint"], json!(endpoint));
        Ok(())
    })
    .await
}
