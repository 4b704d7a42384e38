//! `trunkline-exchange`: the simulated telephone exchange.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trunkline_bench::exchange::{configuration::Configuration, switching};
use trunkline_program::LogFormat;

/// A simulated telephone exchange: the network side of E1 lines, with telephones that answer,
/// speak and record.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How log lines are written.
    #[arg(long, value_enum, default_value = "text", global = true)]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the exchange until SIGTERM or SIGINT.
    Run {
        /// The configuration.
        file: PathBuf,
    },
}

/// Exit status for a configuration that cannot be used.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Command::Run { file } = arguments.command;
    trunkline_program::log::start(arguments.log);
    let configuration = match Configuration::read(&file) {
        Ok(configuration) => configuration,
        Err(error) => {
            tracing::error!("{error}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(switching::ExchangeError::from)
        .and_then(|runtime| runtime.block_on(switching::run(configuration)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
