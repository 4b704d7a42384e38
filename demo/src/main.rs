//! `trunkline-demo`: the whole system on one machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use clap::{Parser, Subcommand};
use trunkline_demo::call::{self, Direction, Embodiment};
use trunkline_demo::ladder::Ladder;
use trunkline_demo::network::{Layout, Network, NetworkError, TELEPHONE_A, TELEPHONE_B};

/// The whole system on one machine: directory, two gateways, exchange, web server, phone.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Folder for configurations, logs and recordings.
    #[arg(long, default_value = "run")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts the system, makes one call by itself and stays up until Ctrl-C.
    Run,
    /// Makes the patent's calls and ends with status 0 only if all speech arrived intact.
    Check,
}

/// Set by Ctrl-C and SIGTERM.
static END: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(false)));

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = ctrlc::set_handler(|| END.store(true, Relaxed)) {
        eprintln!("signals cannot be caught: {error}");
        return ExitCode::FAILURE;
    }
    let outcome = match arguments.command {
        Command::Run => run(arguments.folder),
        Command::Check => check(arguments.folder),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn start(folder: PathBuf) -> Result<Network, NetworkError> {
    let system = |what: &str| {
        let what = what.to_owned();
        move |error| NetworkError::System { what, error }
    };
    std::fs::create_dir_all(&folder).map_err(system("the folder"))?;
    let folder = folder.canonicalize().map_err(system("the folder"))?;
    let program = std::env::current_exe().map_err(system("this program"))?;
    let programs = program.parent().map(PathBuf::from).unwrap_or_default();
    let network = Network::start(Layout::demonstration(&folder, &programs))?;
    // What was logged on the way up is in the logs; the ladders begin with the first call.
    while network.next_event(Duration::ZERO).is_some() {}
    let layout = &network.layout;
    println!("directory  ENUM at {} (dig), {}", layout.directory(), layout.directory_http());
    println!("gateway A  SIP at {}:5060, http://{0}:9100/status", layout.gateway_a());
    println!("gateway B  SIP at {}:5060, http://{0}:9100/status", layout.gateway_b());
    println!("exchange   telephones {TELEPHONE_A} and {TELEPHONE_B}, {}", layout.exchange_http());
    println!("web        {}", layout.web());
    println!("logs and recordings in {}", folder.display());
    println!();
    Ok(network)
}

fn run(folder: PathBuf) -> Result<bool, NetworkError> {
    let mut network = start(folder)?;
    let mut ladder = Ladder::default();
    println!("A person clicks {TELEPHONE_A} (the steps of the patent's Fig. 4):");
    let directions = call::click(&mut network, &mut ladder, TELEPHONE_A, Embodiment::First)?;
    report(&directions);
    println!();
    println!("The page is at {}. Every further call shows its steps here.", network.layout.web());
    println!("To make this desktop's browsers start the phone:");
    println!(
        "  {} --config {} register",
        network.layout.program("trunkline-phone").display(),
        network.layout.file("phone.yaml").display()
    );
    println!("Ctrl-C ends everything.");
    while !END.load(Relaxed) {
        call::show(&network, &mut ladder, Duration::from_millis(100));
        network.check()?;
    }
    println!("Ending.");
    network.end()?;
    Ok(true)
}

fn check(folder: PathBuf) -> Result<bool, NetworkError> {
    let mut network = start(folder)?;
    let mut ladder = Ladder::default();
    println!("Embodiment 1: the phone asks the directory for the gateway of {TELEPHONE_A}");
    let mut intact =
        report(&call::click(&mut network, &mut ladder, TELEPHONE_A, Embodiment::First)?);
    println!("Embodiment 2: the linked data names the gateway of {TELEPHONE_B}");
    intact &= report(&call::click(&mut network, &mut ladder, TELEPHONE_B, Embodiment::Second)?);
    println!("Fig. 9: telephone {TELEPHONE_A} calls telephone {TELEPHONE_B}");
    intact &= report(&call::telephone_to_telephone(&mut network, &mut ladder)?);
    network.end()?;
    println!("{}", if intact { "All speech arrived intact." } else { "Speech was damaged." });
    Ok(intact)
}

fn report(directions: &[Direction; 2]) -> bool {
    let mut intact = true;
    for direction in directions {
        println!("{}", direction.report());
        intact &= direction.comparison.is_intact();
    }
    println!("  speech {}", if intact { "intact in both directions" } else { "DAMAGED" });
    intact
}
