//! The configuration text of a nats-server.

use std::fmt::Write;
use std::path::Path;

use millrace_tls::{CA_FILE, CERTIFICATE_FILE, KEY_FILE};

use super::NatsServerOptions;

/// What one message may hold, in bytes: a record of 10 MiB, and what surrounds it.
pub const MAX_PAYLOAD_BYTES: u64 = 12 << 20;

/// What the server may hold back for one slow connection, in bytes. Answers to reads arrive in bursts, and a
/// connection that is behind by more is closed.
const MAX_PENDING_BYTES: u64 = 256 << 20;

/// A server's place in a cluster on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's name, the same on all its servers.
    pub name: String,
    /// The port on loopback that the other servers connect to.
    pub port: u16,
    /// Those of the servers, which may include this one.
    pub route_ports: Vec<u16>,
}

/// The text of the configuration file. It listens on loopback only.
pub fn configuration(options: &NatsServerOptions) -> String {
    let data = &options.data_dir;
    // -1 lets the system choose; the ports file tells what it chose.
    let port = options.port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{args}");
    };
    line(format_args!("# Written at each start: changes are lost."));
    line(format_args!("server_name: {}", quote(&options.server_name)));
    line(format_args!("listen: \"127.0.0.1:{port}\""));
    if let Some(port) = options.monitor_port {
        line(format_args!("http: \"127.0.0.1:{port}\""));
    }
    line(format_args!("max_payload: {MAX_PAYLOAD_BYTES}"));
    line(format_args!("max_pending: {MAX_PENDING_BYTES}"));
    line(format_args!("log_file: {}", quote_path(&data.join(super::LOG_FILE))));
    line(format_args!("logfile_size_limit: {}", 16 << 20));
    line(format_args!("logfile_max_num: 3"));
    line(format_args!("pid_file: {}", quote_path(&data.join(super::PID_FILE))));
    line(format_args!("ports_file_dir: {}", quote_path(data)));
    line(format_args!("jetstream {{"));
    line(format_args!("  store_dir: {}", quote_path(&data.join("store"))));
    // An acknowledged message is on disk: DESIGN.md, section 9.
    line(format_args!("  sync_interval: always"));
    line(format_args!("  max_file_store: {}", options.max_file_store_bytes));
    line(format_args!("  max_memory_store: {}", options.max_memory_store_bytes));
    line(format_args!("}}"));
    if let Some(cluster) = &options.cluster {
        let routes: Vec<String> =
            cluster.route_ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        line(format_args!("cluster {{"));
        line(format_args!("  name: {}", quote(&cluster.name)));
        line(format_args!("  listen: \"127.0.0.1:{}\"", cluster.port));
        line(format_args!("  routes: [{}]", routes.join(", ")));
        if let Some(dir) = &options.tls_dir {
            line(format_args!("{}", tls(dir)));
        }
        line(format_args!("}}"));
    }
    if let Some(dir) = &options.tls_dir {
        line(format_args!("{}", tls(dir)));
    }
    text
}

/// Mutual TLS with the files of a directory, which the server reads again on SIGHUP.
fn tls(dir: &Path) -> String {
    let [certificate, key, ca] =
        [CERTIFICATE_FILE, KEY_FILE, CA_FILE].map(|file| quote_path(&dir.join(file)));
    format!("tls {{ cert_file: {certificate}, key_file: {key}, ca_file: {ca}, verify: true }}")
}

/// A string of the configuration language.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn quote_path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_server_listens_on_loopback_and_syncs_each_write() {
        let text = configuration(&NatsServerOptions::new("/data/a \"b\""));
        assert!(text.contains("listen: \"127.0.0.1:-1\""), "{text}");
        assert!(text.contains("sync_interval: always"), "{text}");
        assert!(text.contains(r#"store_dir: "/data/a \"b\"/store""#), "{text}");
        for absent in ["cluster", "http", "tls"] {
            assert!(!text.contains(absent), "{text}");
        }
    }

    #[test]
    fn a_member_of_a_cluster_knows_its_routes() {
        let mut options = NatsServerOptions::new("/data");
        options.port = Some(4222);
        options.cluster = Some(Cluster { name: "c".into(), port: 6222, route_ports: vec![6222, 6223] });
        let text = configuration(&options);
        assert!(text.contains("listen: \"127.0.0.1:4222\""), "{text}");
        assert!(text.contains("listen: \"127.0.0.1:6222\""), "{text}");
        assert!(text.contains(r#"routes: ["nats://127.0.0.1:6222", "nats://127.0.0.1:6223"]"#), "{text}");
    }

    #[test]
    fn with_certificates_it_demands_those_of_clients_and_of_other_servers() {
        let mut options = NatsServerOptions::new("/data");
        options.tls_dir = Some("/tls".into());
        options.cluster = Some(Cluster { name: "c".into(), port: 6222, route_ports: vec![6222] });
        let tls = r#"tls { cert_file: "/tls/tls.crt", key_file: "/tls/tls.key", ca_file: "/tls/ca.crt", verify: true }"#;
        let text = configuration(&options);
        assert_eq!(text.matches(tls).count(), 2, "{text}");
    }
}
