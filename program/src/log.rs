//! Logs: one line an event on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Environment variable with the filter, in tracing-subscriber's syntax.
pub const FILTER_VARIABLE: &str = "TRUNKLINE_LOG";

/// The filter without that variable.
const DEFAULT_FILTER: &str = "info";

/// The SIP stack. It logs whole messages from level info on, with SRTP keys and digests in them:
/// it stays quiet but for a filter that names it.
const SIP_STACK: &str = "rsipstack";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line, for a collector.
    Json,
}

/// Starts logging to standard error. A filter that cannot be read is the default one.
pub fn start(format: LogFormat) {
    let filter = filter(std::env::var(FILTER_VARIABLE).ok().as_deref());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first one's settings.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

fn filter(text: Option<&str>) -> EnvFilter {
    let wanted = text.filter(|text| EnvFilter::try_new(text).is_ok()).unwrap_or(DEFAULT_FILTER);
    if wanted.contains(SIP_STACK) {
        return EnvFilter::new(wanted);
    }
    EnvFilter::new(format!("{wanted},{SIP_STACK}=warn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sip_stack_is_quiet_unless_it_is_named() {
        for (text, expected) in [
            (None, "rsipstack=warn,info"),
            (Some(""), "rsipstack=warn"),
            (Some("debug"), "rsipstack=warn,debug"),
            (Some("trunkline_sip=trace"), "trunkline_sip=trace,rsipstack=warn"),
            (Some("info=nonsense"), "rsipstack=warn,info"),
            (Some("info,rsipstack=debug"), "rsipstack=debug,info"),
        ] {
            assert_eq!(filter(text).to_string(), expected, "{text:?}");
        }
    }
}
