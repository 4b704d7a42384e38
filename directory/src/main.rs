//! `trunkline-directory`: runs, checks and asks a directory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{Parser, Subcommand};
use trunkline_directory::http::{Scope, new_token};
use trunkline_directory::{Directory, DirectoryError, Edition, read_edition, why};
use trunkline_number::Dialled;
use trunkline_program::signal::{Request, Signals};
use trunkline_program::{LogFormat, log};

/// The gateway address server: says by ENUM which gateway serves a number.
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
    /// Answers until SIGTERM; SIGHUP reads the table again.
    Run {
        /// The configuration, YAML.
        file: PathBuf,
    },
    /// Reads the configuration and its table and says whether they can be used.
    Check {
        /// The configuration, YAML.
        file: PathBuf,
    },
    /// Makes a token for the HTTP interface and prints it with its line of the configuration.
    Token {
        /// Its name, in the log of changes.
        name: String,
        /// What it permits: read, register, operate, provision, admin.
        #[arg(required = true)]
        scopes: Vec<Scope>,
        /// The only gateway that may register by it.
        #[arg(long)]
        gateway: Option<String>,
    },
    /// Says which entry of the table matches a number and which gateways serve it.
    Lookup {
        /// The configuration, YAML.
        file: PathBuf,
        /// The number, as it is dialled or with +.
        number: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log::start(arguments.log);
    let result = match arguments.command {
        Command::Run { file } => run(file),
        Command::Check { file } => read_edition(&file).map(|edition| {
            println!(
                "{}: usable, {} prefixes to {} gateways",
                file.display(),
                edition.table.entries(),
                edition.gateways.len()
            );
            ExitCode::SUCCESS
        }),
        Command::Token { name, scopes, gateway } => {
            make_token(&name, &scopes, gateway.as_deref());
            Ok(ExitCode::SUCCESS)
        }
        Command::Lookup { file, number } => {
            read_edition(&file).map(|edition| lookup(&edition, &number))
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("{error}");
        match error {
            DirectoryError::Configuration(_) | DirectoryError::Gateways(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    })
}

fn run(file: PathBuf) -> Result<ExitCode, DirectoryError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(DirectoryError::Worker)?;
    runtime.block_on(async {
        let mut signals = Signals::catch().map_err(DirectoryError::Worker)?;
        let directory = Directory::start(&file).await?;
        while signals.next().await == Request::Reload {
            // A refused reload is logged where it is refused; the old table goes on.
            let _ = directory.reload().await;
        }
        directory.stop().await;
        tracing::info!("directory ends");
        Ok(ExitCode::SUCCESS)
    })
}

fn make_token(name: &str, scopes: &[Scope], gateway: Option<&str>) {
    let (token, sha256) = new_token();
    let scopes: Vec<&str> = scopes.iter().map(|scope| scope.word()).collect();
    let gateway = gateway.map_or(String::new(), |gateway| format!(", gateway: {gateway}"));
    println!("{token}");
    println!("# below tokens: in the configuration of the directory:");
    println!("- {{ name: {name}, sha256: {sha256}, scopes: [{}]{gateway} }}", scopes.join(", "));
}

fn lookup(edition: &Edition, number: &str) -> ExitCode {
    match Dialled::parse(number, &edition.country) {
        Ok(Dialled::E164(number)) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let why = why::why(edition, number, now.map_or(0, |since| since.as_secs()));
            println!("{why}");
            ExitCode::from(u8::from(why.prefix.is_none()))
        }
        Ok(Dialled::Short(code)) => {
            eprintln!("{code} is a short code, which the caller's own network serves");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
