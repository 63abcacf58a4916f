//! Mutual TLS whose certificates are replaced while it runs.
