//! `trunkline-phone`: Internet telephone software.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use trunkline_phone::callee::{self, Callee, CalleeError};
use trunkline_phone::configuration::{Configuration, Sound};
use trunkline_phone::face::Face;
use trunkline_phone::{desktop, engine, log_file};
use trunkline_program::{ConfigurationError, LogFormat, Source};

/// Internet telephone software: calls a telephone number through the nearest gateway.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file; without it $XDG_CONFIG_HOME/trunkline/phone.yaml, if there is one.
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// How log lines are written.
    #[arg(long, value_enum, default_value = "text", global = true)]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Calls a number.
    Call {
        /// The number, as people write it.
        number: String,
        #[command(flatten)]
        options: CallOptions,
    },
    /// Calls what a browser or desktop opened: a .vlf file or a tel: URI.
    Open {
        /// The file or URI.
        target: String,
        #[command(flatten)]
        options: CallOptions,
    },
    /// Makes this program the helper application for .vlf files and tel: links of this user.
    Register,
}

#[derive(Args)]
struct CallOptions {
    /// Dial without asking.
    #[arg(long)]
    yes: bool,
    /// Say what is in this WAV file (8 kHz, 16 bit, one channel) instead of using a microphone.
    #[arg(long)]
    speak: Option<PathBuf>,
    /// Write what is heard to this WAV file instead of using a loudspeaker.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Use neither microphone nor loudspeaker.
    #[arg(long, conflicts_with_all = ["speak", "record"])]
    silent: bool,
    /// Hang up so many seconds after the answer.
    #[arg(long)]
    hang_up_after_s: Option<u64>,
    /// Send these digits once the call is answered.
    #[arg(long)]
    digits: Option<String>,
}

/// Exit status for a configuration that cannot be used.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let configuration = match read_configuration(arguments.config.as_deref()) {
        Ok(configuration) => configuration,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    match &configuration.log {
        None => trunkline_program::log::start(arguments.log),
        Some(path) => {
            if let Err(error) = log_file::start(arguments.log, path) {
                eprintln!("log: {}: {error}; name a file that can be written", path.display());
                return ExitCode::from(BAD_CONFIGURATION);
            }
        }
    }
    match arguments.command {
        Command::Call { number, options } => {
            let callee = callee::typed(&number, &configuration);
            call(callee, options, configuration)
        }
        Command::Open { target, options } => {
            let now_unix_s =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let callee = callee::clicked(&target, &configuration, now_unix_s);
            call(callee, options, configuration)
        }
        Command::Register => register(arguments.config.as_deref()),
    }
}

fn read_configuration(path: Option<&Path>) -> Result<Configuration, ConfigurationError> {
    let default = || {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        set("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".config")))
            .map(|folder| folder.join("trunkline/phone.yaml"))
            .filter(|path| path.exists())
    };
    match path.map(Path::to_owned).or_else(default) {
        Some(path) => Source::read(&path).map(|(configuration, _)| configuration),
        None => Ok(Configuration::default()),
    }
}

fn call(
    callee: Result<Callee, CalleeError>,
    options: CallOptions,
    mut configuration: Configuration,
) -> ExitCode {
    let face = Face::new(configuration.ask && !options.yes);
    let callee = match callee {
        Ok(callee) => callee,
        Err(error) => {
            face.refuse(&format!("Not called: {error}"));
            return ExitCode::FAILURE;
        }
    };
    if options.silent {
        configuration.sound = Sound::Nothing;
    } else if options.speak.is_some() || options.record.is_some() {
        configuration.sound = Sound::Files { speak: options.speak, record: options.record };
    }
    if let Some(warning) = &callee.warning {
        face.show(&format!("Note: {warning}"));
    }
    if configuration.ask && !options.yes {
        let question = format!("Call {}?", callee.written);
        match face.ask(&question) {
            Ok(true) => {}
            Ok(false) => {
                face.show("Not called.");
                return ExitCode::FAILURE;
            }
            Err(error) => {
                eprintln!("Not called: nobody could be asked: {error}");
                tracing::error!(%error, "nobody could be asked before dialling");
                return ExitCode::FAILURE;
            }
        }
    }
    let wishes = engine::Wishes {
        hang_up_after: options.hang_up_after_s.map(std::time::Duration::from_secs),
        digits: options.digits,
    };
    match engine::run(configuration, callee, wishes, &face) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            face.show_failure(&format!("Call failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn register(config: Option<&Path>) -> ExitCode {
    let executable = match std::env::current_exe() {
        Ok(executable) => executable,
        Err(error) => {
            eprintln!("this program does not know where it is: {error}");
            return ExitCode::FAILURE;
        }
    };
    // The helper is started with the configuration that it was registered with.
    let mut arguments = Vec::new();
    if let Some(config) = config {
        let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        arguments.extend(["--config".to_owned(), config.to_string_lossy().into_owned()]);
    }
    match desktop::register(&executable, &arguments) {
        Ok(files) => {
            for file in files {
                println!("wrote {}", file.display());
            }
            println!("{} opens .vlf files and tel: links now", executable.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
