//! What the figures were measured on.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use serde::Serialize;

/// A machine, as far as its figures depend on it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// How many the system lets us use.
    pub(crate) cores: usize,
    pub(crate) cpu: String,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) nats_server: String,
    /// Of the directory that data is kept in.
    pub(crate) file_system: String,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) async fn this_one(nats_server: &Path, data: &Path) -> anyhow::Result<Machine> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let version = tokio::process::Command::new(nats_server)
            .arg("--version")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("can't run {}", nats_server.display()))?;
        Ok(Machine {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal")
                .and_then(|text| text.trim_end_matches(" kB").parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            nats_server: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
            file_system: file_system(&read("/proc/self/mounts"), data),
        })
    }
}

/// The value after the first `name` in lines of `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

/// The type of the file system that is mounted deepest above the path (proc(5), `/proc/pid/mounts`).
fn file_system(mounts: &str, path: &Path) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(point, _)| path.starts_with(point));
    // The last of equals: what is mounted over another hides it.
    above.max_by_key(|(point, _)| point.len()).map_or("unknown", |(_, kind)| kind).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        let kind = |path: &str| file_system(mounts, Path::new(path));
        assert_eq!(
            (kind("/tmp/x/y"), kind("/tmp/xy"), kind("/home")),
            ("xfs".into(), "tmpfs".into(), "ext4".into())
        );
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "model\t\t: 207\nmodel name\t: Some CPU\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "flags"), None);
    }
}
