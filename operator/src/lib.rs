//! The operator: Brokers and Streams as Kubernetes resources.
