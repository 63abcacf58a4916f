//! `millrace-bench`: Millrace beside JetStream itself and beside emulators of Kinesis, in one run, on one machine.
//!
//! Only what a client can see is used: `millrace dev` as a process, its API over HTTP, JetStream through its
//! own client. One server runs at a time, each load is a process of its own and bounded in time, and
//! everything is stopped and removed at the end.

mod bench;
mod catch_up;
mod emulators;
mod hostile;
mod http_client;
mod kinesis;
mod load;
mod machine;
mod memory;
mod number;
mod options;
mod overload;
mod proc_fs;
mod put_record;
mod put_records;
mod put_to_get;
mod raw;
mod report;
mod reshard_wait;
mod server;
mod tally;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use bench::Bench;
use options::{Args, Command, Measurement};

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.command {
        Some(Command::Load) => load::run_as_process().map(|()| true),
        None => measure(args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything that was asked for. False if something went wrong, which the report then says.
fn measure(args: Args) -> anyhow::Result<bool> {
    // One thread: a child that shall end with its parent is sent its signal when the thread ends that
    // started it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Whatever runs and lies on disk belongs to this future, and goes when it is dropped.
        tokio::select! {
            measured = measure_all(args) => measured,
            _ = interrupt.recv() => anyhow::bail!("interrupted: everything was stopped and removed"),
            _ = terminate.recv() => anyhow::bail!("terminated: everything was stopped and removed"),
        }
    })
}

async fn measure_all(args: Args) -> anyhow::Result<bool> {
    let json = args.json.clone();
    let wanted = args.measurements();
    let mut bench = Bench::new(args).await?;
    for measurement in wanted {
        let result = match measurement {
            Measurement::Raw => raw::measure(&mut bench).await,
            Measurement::PutRecords => put_records::measure(&mut bench).await,
            Measurement::PutRecord => put_record::measure(&mut bench).await,
            Measurement::PutToGet => put_to_get::measure(&mut bench).await,
            Measurement::ReshardWait => reshard_wait::measure(&mut bench).await,
            Measurement::Overload => overload::measure(&mut bench).await,
            Measurement::CatchUp => catch_up::measure(&mut bench).await,
            Measurement::Hostile => hostile::measure(&mut bench).await,
            Measurement::Memory => memory::measure(&mut bench).await,
            Measurement::Emulators => emulators::measure(&mut bench).await,
        };
        // The others are still worth knowing.
        if let Err(error) = result {
            eprintln!("{measurement}: {error:#}");
            bench.report.failed(measurement, format!("{error:#}"));
        }
    }
    println!("{}", bench.report);
    if let Some(path) = json {
        bench.report.write_json(&path)?;
    }
    Ok(bench.report.is_sound())
}
