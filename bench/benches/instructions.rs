//! How many instructions the hot functions take, against a baseline: `make bench-instructions`.
//!
//! Time on a shared machine says little, and virtual machines seldom have the processor's own
//! counters. Valgrind counts the same instructions on every run, so that a function that has grown
//! by a few percent is seen. Each function runs in a process of its own under callgrind, which counts
//! only what happens inside of [`measured`].

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use serde::Deserialize;
use trunkline_program::configuration::Source;

mod hot;

use hot::{Hot, Work};

/// Runs before the count begins: delays, levels and buffers have settled by then.
const WARM_UP: u64 = 100;
/// Runs that are counted.
const RUNS: u64 = 200;
/// What a new function may grow by, in percent.
const GROWTH_MAX_PERCENT: f64 = 2.0;

/// Counts the instructions of the media plane's hot functions and fails if one has grown.
#[derive(Parser)]
struct Arguments {
    /// Writes the baseline anew.
    #[arg(long)]
    accept: bool,
    /// The baseline.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.yaml"))]
    baseline: PathBuf,
    /// Runs one function, to be counted from outside.
    #[arg(long, hide = true, value_name = "FUNCTION")]
    run: Option<String>,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The committed file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Baseline {
    /// By which compiler the functions were built, and who counted.
    made_with: String,
    functions: BTreeMap<String, Allowance>,
}

/// What one call of a function may take.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allowance {
    instructions: u64,
    growth_max_percent: f64,
}

/// One function counted.
struct Row {
    name: &'static str,
    instructions: u64,
    before: Option<Allowance>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.run {
        Some(name) => run(name).map(|()| true),
        None => compare(&arguments),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The function of that name, as it is counted.
fn run(name: &str) -> Result<(), Box<dyn Error>> {
    let function = hot::ALL.iter().find(|function| function.name == name);
    let mut work = (function.ok_or("no such function")?.make)();
    for _ in 0..WARM_UP {
        work.prepare();
        work.run();
    }
    for _ in 0..RUNS {
        work.prepare();
        measured(&mut *work);
    }
    Ok(())
}

/// Callgrind knows by this function's name when to count.
#[inline(never)]
fn measured(work: &mut dyn Work) {
    work.run();
    // No tail call: the count ends when this function returns.
    std::hint::black_box(());
}

fn compare(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let made_with = format!("{}, {}", version("rustc")?, version("valgrind")?);
    let before = match arguments.baseline.exists() {
        true => Some(Source::read::<Baseline>(&arguments.baseline)?.0),
        false => None,
    };
    let known = |name: &str| before.as_ref().and_then(|before| before.functions.get(name).copied());
    let mut rows = Vec::new();
    for function in hot::ALL {
        let instructions = count(function)?;
        rows.push(Row { name: function.name, instructions, before: known(function.name) });
    }
    println!("{}", table(&rows));
    if arguments.accept {
        std::fs::write(&arguments.baseline, written(&made_with, &rows))?;
        println!("{} is written anew.", arguments.baseline.display());
        return Ok(true);
    }
    if let Some(before) = before.as_ref().filter(|before| before.made_with != made_with) {
        println!(
            "The baseline was made with {}, this is {made_with}: if most functions differ, that is why.",
            before.made_with
        );
    }
    let mut faults: Vec<String> = rows.iter().filter_map(Row::fault).collect();
    let gone = before.iter().flat_map(|before| before.functions.keys());
    let gone = gone.filter(|name| hot::ALL.iter().all(|function| function.name != *name));
    faults
        .extend(gone.map(|name| format!("{name}: in the baseline, but there is no such function")));
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        eprintln!("If this is meant: make bench-instructions ACCEPT=1");
    }
    Ok(faults.is_empty())
}

/// Instructions of one call.
fn count(function: &Hot) -> Result<u64, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("callgrind");
    let done = Command::new("valgrind")
        .args(["-q", "--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=*instructions::measured*")
        .arg(format!("--callgrind-out-file={}", report.display()))
        .arg(std::env::current_exe()?)
        .args(["--run", function.name])
        .output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{} under valgrind: {}\n{said}", function.name, done.status).into());
    }
    let total = total(&report)?;
    if total == 0 {
        return Err(format!("{}: valgrind has not seen the function", function.name).into());
    }
    Ok(total.div_ceil(RUNS))
}

/// The sum at the end of callgrind's report.
fn total(report: &Path) -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string(report)?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(line.ok_or("callgrind's report has no totals")?.trim().parse()?)
}

fn version(program: &str) -> Result<String, Box<dyn Error>> {
    let said = Command::new(program)
        .arg("--version")
        .output()
        .map_err(|error| format!("{program} cannot be started: {error}"))?;
    let said = String::from_utf8_lossy(&said.stdout);
    // "rustc 1.95.0 (…)", "valgrind-3.19.0".
    Ok(said.split(" (").next().unwrap_or(program).trim().to_owned())
}

impl Row {
    fn growth_percent(&self) -> Option<f64> {
        let before = self.before?.instructions as f64;
        Some((self.instructions as f64 / before - 1.0) * 100.0)
    }

    /// Why the function does not pass.
    fn fault(&self) -> Option<String> {
        let Some((before, growth)) = self.before.zip(self.growth_percent()) else {
            return Some(format!("{}: not in the baseline", self.name));
        };
        (growth > before.growth_max_percent).then(|| {
            format!(
                "{}: {} instructions, {growth:.1} % more than the {} of the baseline ({} % may be)",
                self.name, self.instructions, before.instructions, before.growth_max_percent
            )
        })
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<28}{:>14}{:>10}{:>10}\n",
        "instructions of a call", "baseline", "now", "change"
    );
    for row in rows {
        let before = row.before.map_or("-".to_owned(), |before| before.instructions.to_string());
        let change =
            row.growth_percent().map_or("new".to_owned(), |growth| format!("{growth:+.1} %"));
        // Writing to a String does not fail.
        let _ = writeln!(text, "{:<28}{before:>14}{:>10}{change:>10}", row.name, row.instructions);
    }
    text
}

/// The baseline's text.
fn written(made_with: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "# Instructions of one call of each hot function of the media plane, and by how many percent it may\n\
         # grow. Counted by `make bench-instructions`, written by `make bench-instructions ACCEPT=1`.\n\
         made_with: {made_with}\n\
         functions:\n"
    );
    for row in rows {
        let growth = row.before.map_or(GROWTH_MAX_PERCENT, |before| before.growth_max_percent);
        let _ = writeln!(
            text,
            "  {}: {{ instructions: {}, growth_max_percent: {growth} }}",
            row.name, row.instructions
        );
    }
    text
}
