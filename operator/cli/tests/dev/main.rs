//! `millrace dev` as people use it: as a process, with resource files, through unmodified boto3 and through
//! `millrace`'s own commands.

mod boto3;
mod failures;
mod files;
mod hostile;
mod moto;
mod process;
mod restart;
mod tls;
