//! `trunkline-web`: serves a site's pages and the data linked to their numbers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use trunkline_program::signal::{Request, Signals};
use trunkline_program::{LogFormat, log};
use trunkline_web::{Site, generate_key, read_key, serve};

/// Serves pages whose telephone numbers ring when they are clicked.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t, global = true)]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or Ctrl-C.
    Run {
        /// The configuration, YAML.
        file: PathBuf,
    },
    /// Check a configuration and show what it offers.
    Check {
        /// The configuration, YAML.
        file: PathBuf,
    },
    /// The key that signs linked data.
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a new key in FILE and print its public half, which telephones are to trust.
    Generate {
        /// A file that does not exist yet.
        file: PathBuf,
    },
    /// Print the public half of the key in FILE.
    Public {
        /// The key file.
        file: PathBuf,
    },
}

/// Exit status of a wrong configuration.
const WRONG_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::start(arguments.log);
    match arguments.command {
        Command::Run { file } => match Site::read(&file) {
            Ok(site) => run(site),
            Err(error) => fail(&error, WRONG_CONFIGURATION),
        },
        Command::Check { file } => match Site::read(&file) {
            Ok(site) => {
                show(&site);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error, WRONG_CONFIGURATION),
        },
        Command::Key(command) => {
            let public = match command {
                KeyCommand::Generate { file } => generate_key(&file),
                KeyCommand::Public { file } => read_key(&file).map(|key| key.public_key()),
            };
            match public {
                Ok(public) => {
                    println!("{public}");
                    ExitCode::SUCCESS
                }
                Err(error) => fail(&error, 1),
            }
        }
    }
}

fn fail(error: &dyn std::error::Error, status: u8) -> ExitCode {
    eprintln!("trunkline-web: {error}");
    ExitCode::from(status)
}

/// The effective values, for a person.
fn show(site: &Site) {
    println!("listen: {}", site.listen);
    println!("application: {}", site.application);
    println!("link_lifetime_s: {}", site.link_lifetime_s);
    match &site.signing_key {
        Some(key) => println!("signed by: {}", key.public_key()),
        None => println!("signed by: nobody (no signing_key)"),
    }
    if let Some(calls) = &site.calls {
        println!("calls from within the page: {calls}");
    }
    for offer in site.catalogue.listed() {
        let gateway = offer.gateway.as_deref().unwrap_or("asked of the directory");
        println!("number: {} ({}), gateway {gateway}", offer.written, offer.number);
    }
}

fn run(site: Site) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    runtime.block_on(async {
        let listen = site.listen;
        if site.signing_key.is_none() {
            tracing::warn!("linked data is not signed: telephones will not trust its gateways");
        }
        let mut signals = match Signals::catch() {
            Ok(signals) => signals,
            Err(error) => return fail(&error, 1),
        };
        let listener = match TcpListener::bind(listen).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%listen, %error, "cannot listen: is the port in use?");
                return ExitCode::from(1);
            }
        };
        tracing::info!(%listen, "serving pages");
        let end = async move {
            while signals.next().await != Request::End {
                tracing::warn!("SIGHUP: the pages do not change while running; restart instead");
            }
        };
        match serve(listener, Arc::new(site), end).await {
            Ok(()) => {
                tracing::info!("ended");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error, 1),
        }
    })
}
