//! `trunkline-gateway`: the media gateway between SIP and E1/T1.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use trunkline_gateway::causes;
use trunkline_gateway::configuration::Configuration;
use trunkline_gateway::control;
use trunkline_gateway::switch::maintenance::Deed;
use trunkline_program::LogFormat;

/// The media gateway between SIP and E1/T1.
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
    /// Runs the gateway until SIGTERM or SIGINT, which drains it.
    Run {
        /// The configuration.
        file: PathBuf,
    },
    /// Prints the effective configuration, or what is wrong with it.
    Check {
        /// The configuration.
        file: PathBuf,
    },
    /// Blocks, unblocks or resets a span or one of its B channels in the gateway that runs with a
    /// configuration on this host.
    Maintain {
        /// The configuration.
        file: PathBuf,
        /// block: no new calls; unblock; reset: calls end, and both ends take the channels as idle.
        deed: Deed,
        /// Name of the span.
        span: String,
        /// Timeslot of the B channel; without it all of the span.
        timeslot: Option<u8>,
    },
    /// Prints how Q.850 causes become SIP statuses and back.
    Causes {
        /// A configuration, whose tables are printed with what it sets.
        file: Option<PathBuf>,
        /// The tables of all standards side by side instead.
        #[arg(long, conflicts_with = "file")]
        markdown: bool,
    },
}

/// Exit status for a configuration that cannot be used.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Run { file } => {
            trunkline_program::log::start(arguments.log);
            let configuration = match Configuration::read(&file) {
                Ok(configuration) => configuration,
                Err(error) => {
                    tracing::error!("{error}");
                    return ExitCode::from(BAD_CONFIGURATION);
                }
            };
            match trunkline_gateway::run(configuration) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    tracing::error!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        Command::Check { file } => match Configuration::read(&file) {
            Ok(configuration) => {
                print!("{}", configuration.to_yaml());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(BAD_CONFIGURATION)
            }
        },
        Command::Maintain { file, deed, span, timeslot } => {
            let outcome = Configuration::read(&file)
                .map_err(|error| error.to_string())
                .and_then(|known| control::send(&known, deed, &span, timeslot));
            match outcome {
                Ok(said) => {
                    println!("{said}");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                }
            }
        }
        Command::Causes { markdown: true, .. } => {
            print!("{}", causes::cause_tables_markdown());
            ExitCode::SUCCESS
        }
        Command::Causes { file, .. } => {
            let map = match file.map(|file| Configuration::read(&file)).transpose() {
                Ok(configuration) => configuration.map(|known| known.causes).unwrap_or_default(),
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::from(BAD_CONFIGURATION);
                }
            };
            print!("{}", causes::cause_tables(&map));
            ExitCode::SUCCESS
        }
    }
}
