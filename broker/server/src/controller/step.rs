//! Why a step was not taken. The next round takes it again.

use millrace_core::Lane;
use millrace_core::map::StoredFormatError;
use millrace_log::{KvError, LogError};

use super::intents::IntentError;

#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    Kv(#[from] KvError),
    #[error(transparent)]
    Intent(#[from] IntentError),
    #[error("a stored value can't be read: {0}")]
    Unreadable(#[from] StoredFormatError),
    #[error(
        "DataLost: its shard map names lane {} but JetStream has no stream {stream}, and the records in it are gone. \
         Nothing is made in its place and the stream is left alone: restore that JetStream stream from a backup, or \
         delete the stream and create it again",
        lane.0
    )]
    DataLost { lane: Lane, stream: String },
    #[error(
        "DataLost: it is active but has no shard map in the key-value store. Nothing is made in its place and the \
         stream is left alone: restore the bucket from a backup, or delete the stream and create it again"
    )]
    MapLost,
}
