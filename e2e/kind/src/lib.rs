//! Millrace on real kind clusters, driven by real clients.
//!
//! A test is a closure that [`in_namespace`] gives a namespace of its own. It applies YAML, awaits conditions, and runs
//! programs; whatever way it fails, logs, events and objects are kept in a directory that the failure names.

mod cluster;
mod evidence;
mod millrace;
mod namespace;
mod pods;
mod program;

pub use cluster::{Cluster, IMAGE, SHELL_IMAGE};
pub use millrace::{Endpoint, OPERATOR_NAMESPACE, SMALL_BROKER};
pub use namespace::{Namespace, in_namespace};
pub use pods::{is_ready, why_not_started};
pub use program::{Program, output};
