//! The volume that nats-server writes to.

use std::path::PathBuf;

/// With less room than this the next message may not fit, with what is written beside it.
const FULL_BELOW_BYTES: u64 = 64 << 20;

/// The volume that nats-server writes to.
#[derive(Clone, Debug)]
pub struct Volume {
    directory: PathBuf,
}

impl Volume {
    /// The one that this directory lies on.
    pub fn new(directory: PathBuf) -> Volume {
        Volume { directory }
    }

    /// How much of it is taken, in a sentence, if it is full.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub fn full(&self) -> Result<Option<String>, String> {
        let seen = rustix::fs::statvfs(&self.directory).map_err(|error| {
            format!("the volume at {} can't be looked at: {error}", self.directory.display())
        })?;
        let (room, size) = (seen.f_bavail * seen.f_frsize, seen.f_blocks * seen.f_frsize);
        let mib = |bytes: u64| bytes >> 20;
        Ok((room < FULL_BELOW_BYTES).then(|| format!("{} of {} MiB are left", mib(room), mib(size))))
    }
}
