//! `trunkline-bench-directory`: the directory beside NSD, Knot and PowerDNS on the same numbers.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use trunkline_bench::directory::numbers::{Numbers, WILDCARD_CASE, mixed, write_queries};
use trunkline_bench::directory::results::{Row, table};
use trunkline_bench::directory::server::{Kind, Load, Server, ServerError};

/// Puts the directory and general name servers under the same queries by turns, over the loopback
/// and with one thread for UDP each, and writes what a query costs each of them as a table.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Numbers that are served. A general server takes about 1 kB for each.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10..=10_000_000))]
    numbers: u64,
    /// Rounds, of which the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Seconds of a run.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// For a try: 10,000 numbers, three rounds of two seconds.
    #[arg(long)]
    short: bool,
    /// Where to write directory.md.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if arguments.short {
        (arguments.numbers, arguments.rounds, arguments.seconds) = (10_000, 3, 2);
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let programs = std::env::current_exe()?;
    let programs = programs.parent().unwrap_or(Path::new("."));
    let folder =
        std::env::temp_dir().join(format!("trunkline-bench-directory-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = measure(arguments, programs, &folder);
    std::fs::remove_dir_all(&folder)?;
    let text = outcome?;
    print!("{text}");
    match &arguments.out {
        Some(out) => std::fs::write(out.join("directory.md"), text),
        None => Ok(()),
    }
}

fn measure(arguments: &Arguments, programs: &Path, folder: &Path) -> io::Result<String> {
    let numbers = Numbers::new(arguments.numbers);
    let queries = 100_000;
    let written = |name: &str, write: &dyn Fn(&mut BufWriter<File>) -> io::Result<()>| {
        let mut out = BufWriter::new(File::create(folder.join(name))?);
        write(&mut out)?;
        out.flush()
    };
    written("zone", &|out| numbers.write_zone(out))?;
    written("table.yaml", &|out| numbers.write_table(out))?;
    written("hits", &|out| write_queries(out, (0..queries).map(|draw| numbers.hit(mixed(draw)))))?;
    written("misses", &|out| write_queries(out, (0..queries).map(|draw| numbers.miss(draw))))?;
    let mut rows: Vec<Row> = Vec::new();
    let mut servers: Vec<Option<Server>> = Vec::new();
    for kind in Kind::ALL {
        eprintln!("{} reads {} numbers", kind.name(), numbers.count());
        let mut row = Row { kind, loaded: None, right: None, runs: Vec::new(), failure: None };
        let started = Server::start(kind, programs, folder, &numbers.hit(0), LOADING_MAX);
        let server = keep(&mut row, started);
        if let Some(server) = &server {
            row.loaded = Some((server.loaded, server.memory_octets()));
            if kind != Kind::Echo {
                let is_right = |(digits, gateway): &&(&str, u64)| {
                    server.dig(digits).contains(&format!("@10.1.0.{gateway}:5060"))
                };
                row.right = Some(WILDCARD_CASE.iter().filter(is_right).count());
            }
        }
        rows.push(row);
        servers.push(server);
    }
    for round in 0..arguments.rounds {
        for (load, file) in [(Load::Hits, "hits"), (Load::Misses, "misses")] {
            for nth in 0..servers.len() {
                // Each round begins with another, so that none always follows the same.
                let nth = (nth + round as usize) % servers.len();
                let Some(server) = &servers[nth] else { continue };
                let outcome = server.run(load, &folder.join(file), arguments.seconds);
                if let Some(run) = keep(&mut rows[nth], outcome) {
                    eprintln!("round {}: {} {load:?} {run:?}", round + 1, server.kind.name());
                    rows[nth].runs.push((load, run));
                }
            }
        }
    }
    let other_load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(format!(
        "# The directory beside general name servers\n\n{} numbers drawn from nine digits below +81, \
         NAPTR, UDP over the loopback, dnsperf as fast as it goes\n(8 sockets, 200 queries under way), \
         one thread for UDP each; {} rounds of {} s by turns, median. {} cores, load\naverage {} at \
         the end, dnsperf with it. CPU is user and system time of all processes of the server; that of \
         the echo is\nwhat the kernel takes for packets, below which no server with such sockets gets.\n\n\
         {}\nThe wildcard case is one ported number inside an area: RFC 4592 has its name hide the \
         area's `*` from its\nneighbours. Again: `make bench-directory`, or `trunkline-bench-directory \
         --numbers {} --rounds {} --seconds {}`.\n",
        numbers.count(),
        arguments.rounds,
        arguments.seconds,
        std::thread::available_parallelism()?,
        other_load.split(' ').next().unwrap_or("unknown"),
        table(&rows, numbers.count(), WILDCARD_CASE.len()),
        arguments.numbers,
        arguments.rounds,
        arguments.seconds
    ))
}

/// What went well; what did not is told in the row.
fn keep<T>(row: &mut Row, outcome: Result<T, ServerError>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) => {
            eprintln!("{}: {error}", row.kind.name());
            row.failure = Some(error.to_string());
            None
        }
    }
}

const LOADING_MAX: Duration = Duration::from_secs(300);
