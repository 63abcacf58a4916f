//! Millrace on real kind clusters, driven by real clients.
