//! The Kinesis Data Streams API.
