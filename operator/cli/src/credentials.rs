//! Access keys in files of the form that AWS' own tools read: `[profile]`, then `aws_access_key_id = …` and
//! `aws_secret_access_key = …`. A profile's name is the namespace that its key acts in.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use millrace_server::sigv4::{ANY_NAMESPACE, AccessKey};

/// The access keys in a file.
///
/// # Errors
/// When it can't be read, or a line is none of these; with file and line.
pub fn read(file: &Path) -> anyhow::Result<HashMap<String, AccessKey>> {
    let text = fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    parse(&text).map_err(|(line, what)| anyhow::anyhow!("{}:{line}: {what}", file.display()))
}

fn parse(text: &str) -> Result<HashMap<String, AccessKey>, (usize, String)> {
    let mut profiles: Vec<(String, Option<String>, Option<String>, usize)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            profiles.push((name.trim().to_owned(), None, None, number));
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err((number, "expected [namespace] or name = value".to_owned()));
        };
        let Some(profile) = profiles.last_mut() else {
            return Err((number, "a [namespace] has to come first".to_owned()));
        };
        match key.trim() {
            "aws_access_key_id" => profile.1 = Some(value.trim().to_owned()),
            "aws_secret_access_key" => profile.2 = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut keys = HashMap::new();
    for (namespace, id, secret, line) in profiles {
        let (Some(id), Some(secret)) = (id, secret) else {
            let what = format!("[{namespace}] needs aws_access_key_id and aws_secret_access_key");
            return Err((line, what));
        };
        let key = AccessKey { secret: secret.into(), namespace: namespace.into() };
        if keys.insert(id.clone(), key).is_some() {
            return Err((line, format!("the access key {id} is there twice")));
        }
    }
    if keys.is_empty() {
        return Err((1, "there is no access key in it".to_owned()));
    }
    Ok(keys)
}

/// Makes a file with one random access key for the namespace `default`, readable by its owner alone, unless
/// there is one already. Written under another name first, so that a crash leaves no half file.
fn ensure(file: &Path) -> anyhow::Result<()> {
    if file.exists() {
        return Ok(());
    }
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let random: [u8; 56] = rand::random();
    let letters = |bytes: &[u8]| bytes.iter().map(|b| char::from(LETTERS[usize::from(b % 32)])).collect();
    let (id, secret): (String, String) = (letters(&random[..16]), letters(&random[16..]));
    let text = format!("[{ANY_NAMESPACE}]\naws_access_key_id = AKIA{id}\naws_secret_access_key = {secret}\n");
    let draft = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut out = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&draft, file)
    };
    write().with_context(|| format!("can't write {}", file.display()))
}

/// The access keys of `millrace dev --auth`: made on the first start.
///
/// # Errors
/// When the file can't be written or read.
pub fn ensure_and_read(file: &Path) -> anyhow::Result<HashMap<String, AccessKey>> {
    ensure(file)?;
    read(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_a_namespace_with_its_key() {
        let text = "# ours\n[team-a]\naws_access_key_id = AKIA1\naws_secret_access_key=s\nregion = x\n";
        let keys = parse(text).unwrap();
        assert_eq!((&*keys["AKIA1"].namespace, &*keys["AKIA1"].secret), ("team-a", "s"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let wrong = |text: &str| parse(text).unwrap_err();
        assert_eq!(wrong("aws_access_key_id = a\n").0, 1);
        assert_eq!(wrong("[a]\nnonsense\n"), (2, "expected [namespace] or name = value".to_owned()));
        assert_eq!(wrong("\n[a]\naws_access_key_id = x\n").0, 2);
        assert_eq!(wrong("").0, 1);
        let twice = "[a]\naws_access_key_id=x\naws_secret_access_key=y\n".repeat(2);
        assert_eq!(wrong(&twice), (4, "the access key x is there twice".to_owned()));
    }

    #[test]
    fn a_file_is_made_once_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials");
        let keys = ensure_and_read(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let again = ensure_and_read(&file).unwrap();
        assert!(keys.keys().eq(again.keys()) && keys.keys().all(|id| id.len() == 20));
    }
}
