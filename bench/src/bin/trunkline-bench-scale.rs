//! `trunkline-bench-scale`: every B channel of many E1 in calls, for minutes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;
use trunkline_bench::load::cpu::load_average;
use trunkline_bench::scale::{Load, report, run};

/// Fills the channels of a gateway with calls from SIPp to the simulated exchange, and checks that no
/// frame, channel or record is lost. Writes a table with processor time and memory.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// E1 spans.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=64))]
    spans: u8,
    /// Call attempts a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    calls_per_s: u32,
    /// How long calls are begun, in s.
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// How long an answered call lasts, in ms.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(..30_000))]
    hold_ms: u32,
    /// Folder for configurations, logs and call records.
    #[arg(long, default_value = "target/scale")]
    folder: PathBuf,
    /// Where to write the table too.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            faults.iter().for_each(|fault| eprintln!("does not hold: {fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("trunkline-bench-scale: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let Arguments { spans, calls_per_s, seconds, hold_ms, .. } = *arguments;
    let load = Load { spans, calls_per_s, seconds, hold_ms };
    std::fs::create_dir_all(&arguments.folder)?;
    let folder = arguments.folder.canonicalize()?;
    let programs = std::env::current_exe()?;
    let programs = programs.parent().ok_or("a program has a folder")?;
    let (began, before) = (SystemTime::now(), load_average());
    let figures = run::run(&load, programs, &folder)?;
    let page = report::page(&load, &figures, began, [&before, &load_average()]);
    print!("{page}");
    if let Some(path) = &arguments.out {
        std::fs::write(path, &page)?;
    }
    Ok(report::faults(&load, &figures))
}
