//! A Kubernetes API server in memory, which fails where a test says.
