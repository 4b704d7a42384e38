//! `trunkline-phone`: Internet telephone software.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use trunkline_phone::configuration::{Configuration, Sound};
use trunkline_phone::engine::Wishes;
use trunkline_phone::face::Face;
use trunkline_phone::session::Wanted;
use trunkline_phone::state::Key;
use trunkline_phone::window::Window;
use trunkline_phone::words::Language;
use trunkline_phone::{desktop, log_file, running, session};
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
    /// Registers at the gateway of the configuration and waits for calls.
    Wait {
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
        Command::Call { number, options } => call(Wanted::Typed(number), options, configuration),
        Command::Open { target, options } => call(Wanted::Opened(target), options, configuration),
        Command::Wait { options } => call(Wanted::Calls, options, configuration),
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

fn call(wanted: Wanted, options: CallOptions, mut configuration: Configuration) -> ExitCode {
    if options.silent {
        configuration.sound = Sound::Nothing;
    } else if options.speak.is_some() || options.record.is_some() {
        configuration.sound = Sound::Files { speak: options.speak, record: options.record };
    }
    configuration.ask &= !options.yes;
    let wishes = Wishes {
        hang_up_after: options.hang_up_after_s.map(std::time::Duration::from_secs),
        digits: options.digits,
    };
    let language = configuration.language.unwrap_or_else(Language::of_environment);
    // A browser or desktop gives no terminal that could answer; a script that gives --yes wants no
    // window.
    let wants_window = !io::stdin().is_terminal()
        && Window::is_possible()
        && (configuration.ask || !matches!(wanted, Wanted::Typed(_)));
    if !wants_window {
        return session::run(configuration, wanted, &wishes, Face::terminal(language));
    }
    in_window(wanted, configuration, wishes, language)
}

/// Waiting keys and clicks of a window: as many as a person makes.
const KEYS: usize = 64;

fn in_window(
    wanted: Wanted,
    configuration: Configuration,
    wishes: Wishes,
    language: Language,
) -> ExitCode {
    let socket = running::socket();
    if let (Wanted::Opened(target), Some(socket)) = (&wanted, &socket)
        && running::hand_over(socket, &absolute(target))
    {
        tracing::info!("given to the running phone");
        return ExitCode::SUCCESS;
    }
    let window = match Window::new(language, configuration.theme) {
        Ok(window) => window,
        Err(error) => {
            eprintln!("{error}");
            tracing::error!(%error, "no window");
            return session::run(configuration, wanted, &wishes, Face::terminal(language));
        }
    };
    let (sender, keys) = tokio::sync::mpsc::channel(KEYS);
    if let Some(socket) = socket
        && let Err(error) = running::listen(&socket, sender.clone())
    {
        tracing::warn!(%error, "a second click will start a second phone");
    }
    let face = Face::window(window.language(), window.remote(), keys);
    let session = std::thread::spawn(move || session::run(configuration, wanted, &wishes, face));
    if let Err(error) = window.run(sender.clone()) {
        // The session ends as if the person had closed it.
        let _ = sender.try_send(Key::Close);
        eprintln!("{error}");
        tracing::error!(%error, "the window has gone");
    }
    session.join().unwrap_or(ExitCode::FAILURE)
}

/// A file by its absolute path: the running phone has another working folder.
fn absolute(target: &str) -> String {
    let path = Path::new(target);
    match path.exists() {
        true => std::path::absolute(path)
            .map_or_else(|_| target.to_owned(), |path| path.to_string_lossy().into_owned()),
        false => target.to_owned(),
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
