//! The resources that users declare: types, validation rules, conditions. No I/O.
//!
//! `crds/generated/` holds what [`definitions`] says, as YAML; a test fails when the two differ, and
//! `make crds` writes them anew.

// KubeSchema derives each schema through a private copy of the type that keeps the type's `pub`.
#![allow(unreachable_pub)]

pub mod admission;
pub mod broker;
pub mod condition;
pub mod definition;
pub mod quantity;
pub mod retention;
pub mod stream;

pub use broker::{Broker, BrokerSpec, BrokerStatus};
pub use definition::{definitions, definitions_yaml};
pub use quantity::ByteQuantity;
pub use retention::Retention;
pub use stream::{Stream, StreamSpec, StreamStatus};

/// The API group of every kind.
pub const GROUP: &str = "millrace.dev";
/// The version of every kind.
pub const VERSION: &str = "v1alpha1";
/// What resource files write as `apiVersion`.
pub const API_VERSION: &str = "millrace.dev/v1alpha1";
