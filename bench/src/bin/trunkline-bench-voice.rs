//! `trunkline-bench-voice`: how speech comes out of a bad network, beside SpeexDSP and NetEQ.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use trunkline_bench::voice::comparison::{self, Plan};
use trunkline_bench::voice::{VoiceError, picture, report};

/// Plays speech over twenty bad networks through our playout and others, and scores what is heard.
/// Fails if ours is not as good as it shall be.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Networks: each seed gives others of the same kinds.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Recordings: each seed gives others.
    #[arg(long, default_value_t = 1)]
    speech: u64,
    /// Segments of 8 s that are spoken.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    segments: u16,
    /// Without the fixed delays, which take two thirds of the time.
    #[arg(long)]
    short: bool,
    /// The Python that has PESQ; else that of the variable PESQ_PYTHON.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Where scripts/voice-peers has put the drivers of the others.
    #[arg(long, default_value = "target/voice")]
    peers: PathBuf,
    /// Where to write voice.md and voice.svg; not at all without it.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("trunkline-bench-voice: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether ours is as good as it shall be.
fn run(arguments: Arguments) -> Result<bool, VoiceError> {
    let Arguments { seeds, speech, segments, short, python, peers, out } = arguments;
    let python = python.or_else(|| std::env::var_os("PESQ_PYTHON").map(PathBuf::from));
    let mut command = String::from("trunkline-bench-voice");
    if speech != 1 {
        command += &format!(" --speech {speech}");
    }
    let plan = Plan {
        segments: segments.into(),
        speech_seed: speech,
        seeds,
        python: python.unwrap_or_else(|| "python3".into()),
        peers,
        with_fixed: !short,
    };
    let comparison = comparison::run(&plan)?;
    let report = report::write(&plan, &command, &comparison);
    println!("{report}");
    if let Some(folder) = out {
        for (name, text) in [("voice.md", report), ("voice.svg", picture::draw(&comparison))] {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .map_err(|source| VoiceError::File { path: path.clone(), source })?;
        }
    }
    let faults = comparison.faults();
    for fault in &faults {
        eprintln!("not as good as it shall be: {fault}");
    }
    Ok(faults.is_empty())
}
