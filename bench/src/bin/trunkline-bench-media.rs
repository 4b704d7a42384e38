//! `trunkline-bench-media`: relays compared under the same load.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;
use trunkline_bench::compare::measure::{self, CompareError, Plan, Point};
use trunkline_bench::compare::network::{self, Network};
use trunkline_bench::compare::peer::Peer;
use trunkline_bench::compare::results::{self, Circumstances};
use trunkline_bench::compare::{capacity, figures, picture};
use trunkline_bench::load::codecs::Codecs;

/// Compares media relays under the same load, in network namespaces of its own, and writes a table
/// (RESULTS.md) and a picture (media.svg). It takes root, iproute2 and rtpengine-daemon
/// (scripts/set-up bench) and a machine that does nothing else.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Few calls and seconds, one round: to see that it works.
    #[arg(long)]
    short: bool,
    /// A load, instead of the three of the full comparison; may be given again.
    #[arg(long = "point", value_name = "CALLSxRATE")]
    points: Vec<Point>,
    /// A relay, instead of all; may be given again.
    #[arg(long = "relay", value_enum, value_name = "RELAY")]
    peers: Vec<Peer>,
    /// How often each.
    #[arg(long)]
    rounds: Option<usize>,
    /// Measured seconds of a run.
    #[arg(long)]
    seconds: Option<f64>,
    #[command(flatten)]
    codecs: Codecs,
    /// Also searches how many calls each relay carries.
    #[arg(long)]
    capacity: bool,
    /// Where the table and the picture go.
    #[arg(long, default_value = "target/bench-media")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline-bench-media: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let (points, rounds, seconds) = if arguments.short {
        (vec![Point { calls: 50, rate: 50.0 }], 1, 2.0)
    } else {
        (Point::ALL.to_vec(), 3, 8.0)
    };
    let chosen = |given: Vec<Point>| if given.is_empty() { points } else { given };
    let programs = std::env::current_exe()?;
    let plan = Plan {
        points: chosen(arguments.points),
        peers: match arguments.codecs.differ() {
            _ if !arguments.peers.is_empty() => arguments.peers,
            true => Peer::TRANSCODING.to_vec(),
            false => Peer::ALL.to_vec(),
        },
        codecs: arguments.codecs,
        rounds: arguments.rounds.unwrap_or(rounds).max(1),
        seconds: arguments.seconds.unwrap_or(seconds),
        programs: programs.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let circumstances =
        Circumstances { command: command(), began: SystemTime::now(), plan: plan.clone() };

    let network = Network::make()?;
    let namespaces = network.namespaces();
    // Relays and flooder hear the same signal; what is left is the network.
    ctrlc::set_handler(move || {
        network::remove(&namespaces);
        std::process::exit(130);
    })?;
    let tell = |text: &str| eprintln!("{text}");
    let measured = measure::run(&plan, &network, &tell)?;
    let rows = figures::rows(&measured);
    let capacities =
        if arguments.capacity { capacity::search(&plan, &network, &tell) } else { Vec::new() };
    let table = results::write(&circumstances, &rows, &capacities);
    write(&arguments.out, "RESULTS.md", &table)?;
    write(&arguments.out, "media.svg", &picture::draw(&rows))?;
    println!("{table}");
    Ok(())
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), CompareError> {
    let path = directory.join(name);
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| measure::file_error(&path, error))
}

/// This command as one would type it.
fn command() -> String {
    let arguments = std::env::args().skip(1);
    let program = "trunkline-bench-media".to_owned();
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
