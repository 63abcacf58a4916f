//! Keeping up with files that the kubelet replaces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::identity::{Files, paths};
use crate::{Identity, IdentityError, Tls};

/// How often the files are looked at. The kubelet itself takes a minute or more to bring a change.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Tls {
    /// Replaces the identity whenever the directory's files have changed; never ends: see [`follow`].
    pub async fn follow(self, dir: PathBuf) {
        let place = dir.display().to_string();
        follow(&place, || {
            let identity = self.look(&dir)?;
            Ok(identity.map(|identity| self.replace(identity)).is_some())
        })
        .await;
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

/// Calls `look` again and again, which takes what is new at `place` and says whether anything was. Content is compared
/// rather than watched for: a mounted Secret is replaced by renaming a link, which some file systems do not report.
/// While the files can't be used all stays as it is, and a warning is logged once.
pub(crate) async fn follow(place: &str, look: impl Fn() -> Result<bool, IdentityError>) {
    let mut complaint = None;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match look() {
            Ok(false) => complaint = None,
            Ok(true) => {
                complaint = None;
                tracing::info!(place, "took new certificates");
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
