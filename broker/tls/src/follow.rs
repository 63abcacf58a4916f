//! Keeping up with a directory that the kubelet replaces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::identity::{Files, paths};
use crate::{Identity, IdentityError, Tls};

/// How often the directory is looked at. The kubelet itself takes a minute or more to bring a change.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Tls {
    /// Replaces the identity whenever the directory's files have changed; never ends. Content is compared
    /// rather than watched for: a mounted Secret is replaced by renaming a link, which some file systems do
    /// not report. While the files can't be used the identity stays, and a warning is logged once.
    pub async fn follow(self, dir: PathBuf) {
        let mut complaint = None;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.look(&dir) {
                Ok(None) => complaint = None,
                Ok(Some(identity)) => {
                    complaint = None;
                    self.replace(identity);
                    tracing::info!(dir = %dir.display(), "took new certificates");
                }
                // Nothing is lost: the next look finds it whole.
                Err(IdentityError::Changing { .. }) => {}
                Err(error) => {
                    let error = error.to_string();
                    if complaint.as_ref() != Some(&error) {
                        tracing::warn!(%error, "new certificates can't be used: the old ones stay");
                    }
                    complaint = Some(error);
                }
            }
        }
    }

    /// The identity in the directory, if it is another than the present one.
    fn look(&self, dir: &Path) -> Result<Option<Identity>, IdentityError> {
        let files = Files::read(dir)?;
        if self.current.0.load().files == files {
            return Ok(None);
        }
        files.identity(paths(dir)).map(Some)
    }
}
