//! The lines that Lambda writes around an invocation's own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Settings;

/// Takes log lines, without their ends.
#[derive(Clone)]
pub struct LogLines(Arc<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for LogLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogLines")
    }
}

impl LogLines {
    /// Gives each line to `take`.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> LogLines {
        LogLines(Arc::new(take))
    }

    /// Writes a line.
    pub fn line(&self, line: &str) {
        (self.0)(line);
    }

    pub(super) fn start(&self, request_id: &str, settings: &Settings) {
        self.line(&format!("START RequestId: {request_id} Version: {}", settings.version));
    }

    /// `status`: what went wrong, if anything did.
    pub(super) fn end(&self, request_id: &str, took: Duration, settings: &Settings, status: Option<&str>) {
        let ms = took.as_secs_f64() * 1_000.0;
        let status = status.map(|status| format!("\tStatus: {status}")).unwrap_or_default();
        self.line(&format!("END RequestId: {request_id}"));
        self.line(&format!(
            "REPORT RequestId: {request_id}\tDuration: {ms:.2} ms\tBilled Duration: {} ms\tMemory Size: {} MB{status}",
            ms.ceil() as u64,
            settings.memory_mib
        ));
    }
}
