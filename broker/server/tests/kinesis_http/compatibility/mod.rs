//! The whole of the service model, held against the broker: each operation, each parameter with its constraints, each
//! error; and the table of it all, `docs/kinesis-compatibility.md`.

mod errors;
mod model;
mod parameters;
mod sample;
mod table;
