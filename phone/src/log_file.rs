//! The log of a helper application: a file, since a browser shows nobody its standard error.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use trunkline_program::LogFormat;
use trunkline_program::log::FILTER_VARIABLE;

/// Starts logging to the end of a file.
///
/// # Errors
/// The file cannot be opened.
pub fn start(format: LogFormat, path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Mutex::new(file));
    // A second start in one process keeps the first one's settings.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
