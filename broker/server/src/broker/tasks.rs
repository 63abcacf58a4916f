//! The tasks that a broker runs, so that they end with it.

use std::future::Future;

use parking_lot::Mutex;
use tokio::task::JoinSet;

/// Tasks that are aborted together, at the latest when this is dropped.
#[derive(Default)]
pub(crate) struct Tasks {
    set: Mutex<Option<JoinSet<()>>>,
}

impl Tasks {
    pub(crate) fn new() -> Tasks {
        Tasks { set: Mutex::new(Some(JoinSet::new())) }
    }

    /// Runs `task`, unless the tasks were aborted already.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(set) = self.set.lock().as_mut() {
            while set.try_join_next().is_some() {}
            set.spawn(task);
        }
    }

    /// Ends all tasks where they are.
    pub(crate) fn abort(&self) {
        self.set.lock().take();
    }
}
