//! What the system says of a process: proc(5).

use std::path::Path;

use anyhow::Context;

/// What a process has read from files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BytesRead {
    /// By system calls; sockets count too.
    pub(crate) asked: u64,
    /// From the disk: what the page cache did not have.
    pub(crate) fetched: u64,
}

impl BytesRead {
    /// What was read since an earlier look.
    pub(crate) fn since(self, before: BytesRead) -> BytesRead {
        BytesRead {
            asked: self.asked.saturating_sub(before.asked),
            fetched: self.fetched.saturating_sub(before.fetched),
        }
    }
}

/// What the process has read so far.
pub(crate) fn bytes_read(pid: u32) -> anyhow::Result<BytesRead> {
    let text = read(pid, "io")?;
    Ok(BytesRead { asked: number(&text, "rchar:")?, fetched: number(&text, "read_bytes:")? })
}

/// The process' resident memory, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    Ok(number(&read(pid, "status")?, "VmRSS:")? * 1024)
}

/// The first child of a process whose program is called so.
pub(crate) fn child_named(parent: u32, name: &str) -> anyhow::Result<u32> {
    let entries = std::fs::read_dir("/proc").context("can't look at /proc")?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.find(|pid| {
        let status = read(*pid, "status").unwrap_or_default();
        number(&status, "PPid:").ok() == Some(parent.into())
            && status.lines().next().and_then(|line| line.strip_prefix("Name:")).map(str::trim) == Some(name)
    });
    found.with_context(|| format!("process {parent} has no child called {name}"))
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = Path::new("/proc").join(pid.to_string()).join(file);
    std::fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
}

fn number(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).with_context(|| format!("there is no number after {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_read() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 0);
        let before = bytes_read(pid).unwrap();
        let length = std::fs::read("/proc/self/mounts").unwrap().len() as u64;
        assert!(bytes_read(pid).unwrap().since(before).asked >= length);
    }

    #[test]
    fn a_child_is_found_by_its_name() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let parent = std::process::id();
        // Until it has become another program it has our name.
        let found = loop {
            match child_named(parent, "sleep") {
                Ok(pid) => break pid,
                Err(_) => std::thread::yield_now(),
            }
        };
        assert_eq!(found, child.id());
        assert!(child_named(parent, "no-such-program").is_err());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
