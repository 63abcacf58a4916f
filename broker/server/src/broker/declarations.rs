//! Where streams are declared, if that is elsewhere than in KV.

use async_trait::async_trait;
use millrace_core::StreamConfig;

use super::ControlError;

/// The place that says which streams there shall be, and brings KV to that by itself, a little later: on
/// Kubernetes, the Stream resources.
///
/// A control call changes the declaration first, then KV as it would without one, so that its caller finds at once
/// what was answered. A crash between the two is safe: the declaration is the truth, and KV follows it. The caller,
/// who was told nothing, calls again, and finds the change begun or done.
#[async_trait]
pub trait Declarations: Send + Sync + 'static {
    /// Declares a stream.
    ///
    /// # Errors
    /// [`ControlError::Exists`] if one of this name is declared, also one that is being removed.
    async fn create(&self, namespace: &str, name: &str, config: &StreamConfig) -> Result<(), ControlError>;

    /// Takes a declaration back, and its stream's data with it.
    ///
    /// # Errors
    /// [`ControlError::NoStream`] if none of this name is declared.
    async fn delete(&self, namespace: &str, name: &str) -> Result<(), ControlError>;

    /// Changes what is declared of a stream to what `change` makes of its configuration. It may be called more
    /// than once.
    ///
    /// # Errors
    /// [`ControlError::NoStream`] if none of this name is declared.
    async fn configure(
        &self,
        namespace: &str,
        name: &str,
        change: &(dyn for<'c> Fn(&'c mut StreamConfig) + Send + Sync),
    ) -> Result<(), ControlError>;
}
