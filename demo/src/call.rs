//! The calls of the demonstration: a click with and without the directory, and a telephone that
//! calls a telephone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::comparison::{Comparison, compare};
use crate::ladder::Ladder;
use crate::network::{Network, NetworkError, TELEPHONE_A, TELEPHONE_B, get, post};
use crate::speech;

/// Longest time for a call of the demonstration.
const CALL_MAX: Duration = Duration::from_secs(90);

/// One direction of a call: what was said and what was heard.
#[derive(Clone, Debug)]
pub struct Direction {
    /// Who spoke to whom.
    pub name: &'static str,
    /// What was said.
    pub said: PathBuf,
    /// What was heard.
    pub heard: PathBuf,
    /// How well they agree.
    pub comparison: Comparison,
}

impl Direction {
    fn measure(name: &'static str, said: PathBuf, heard: PathBuf) -> Result<Self, NetworkError> {
        let comparison = compare(&speech::read(&said)?, &speech::read(&heard)?);
        Ok(Self { name, said, heard, comparison })
    }

    /// The result in words.
    pub fn report(&self) -> String {
        let Comparison { blocks_sent, blocks_exact, delay_ms, adjustments } = self.comparison;
        let here = std::env::current_dir().unwrap_or_default();
        let heard = self.heard.strip_prefix(here).unwrap_or(&self.heard);
        format!(
            "  {:<24} {blocks_exact} of {blocks_sent} blocks of 20 ms bit-exact, {adjustments} \
             playout adjustments, begins at {delay_ms:.0} ms in {}",
            self.name,
            heard.display(),
        )
    }
}

/// The patent's two ways to find the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embodiment {
    /// The phone asks the directory.
    First,
    /// The linked data carries the gateway's address.
    Second,
}

/// Clicks `number` on the page and talks for as long as both have something to say.
///
/// Every log line that comes meanwhile goes through `ladder`, and the steps are printed.
pub fn click(
    network: &mut Network,
    ladder: &mut Ladder,
    number: &str,
    embodiment: Embodiment,
) -> Result<[Direction; 2], NetworkError> {
    let web = network.layout.web();
    get(&format!("{web}/en"))?;
    let link = match embodiment {
        Embodiment::First => format!("{web}/call/{number}.vlf"),
        Embodiment::Second => format!("{web}/direct/{number}.vlf"),
    };
    let linked_data = network.layout.file("clicked.vlf");
    let write = |text: String| {
        std::fs::write(&linked_data, text).map_err(|error| NetworkError::System {
            what: linked_data.display().to_string(),
            error,
        })
    };
    write(get(&link)?.to_string())?;
    let said = network.layout.file("caller.wav");
    let heard = network.layout.file("caller-heard.wav");
    let talk_s = network.layout.speech_s + 2;
    let before = last_call(network)?;
    let mut phone = network.phone(
        "phone",
        &[
            "open",
            "--yes",
            "--speak",
            &said.to_string_lossy(),
            "--record",
            &heard.to_string_lossy(),
            "--hang-up-after-s",
            &talk_s.to_string(),
            "--",
            &linked_data.to_string_lossy(),
        ],
    )?;
    let deadline = Instant::now() + CALL_MAX;
    let status = loop {
        show(network, ladder, Duration::from_millis(50));
        network.check()?;
        let ended = phone.ended().map_err(|error| system("phone", error))?;
        if let Some(status) = ended {
            break status;
        }
        if Instant::now() >= deadline {
            return Err(NetworkError::NotReady {
                name: "phone".into(),
                last_lines: phone.last_lines(),
            });
        }
    };
    if !status.success() {
        return Err(NetworkError::Ended {
            name: "phone".into(),
            status: status.to_string(),
            last_lines: phone.last_lines(),
        });
    }
    let call = wait_ended(network, ladder, before + 1)?;
    let said_by_telephone = match number {
        TELEPHONE_A => "telephone-a.wav",
        _ => "telephone-b.wav",
    };
    let said_by_telephone = network.layout.file(said_by_telephone);
    Ok([
        Direction::measure("page to telephone", said, call)?,
        Direction::measure("telephone to page", said_by_telephone, heard)?,
    ])
}

/// Telephone A calls telephone B (Fig. 9): exchange, gateway A, gateway B, exchange.
pub fn telephone_to_telephone(
    network: &mut Network,
    ladder: &mut Ladder,
) -> Result<[Direction; 2], NetworkError> {
    let exchange = network.layout.exchange_http();
    let before = last_call(network)?;
    post(&format!("{exchange}/telephones/81333331234/call"), &json!({ "to": TELEPHONE_B }))?;
    // The exchange counts the calling leg first, then the called one.
    let (calling, called) = (before + 1, before + 2);
    let deadline = Instant::now() + CALL_MAX;
    while call_state(network, called)?.as_deref() != Some("talking") {
        show(network, ladder, Duration::from_millis(50));
        network.check()?;
        let failed = call_state(network, calling)?.as_deref() == Some("ended");
        if failed || Instant::now() >= deadline {
            return Err(NetworkError::Http {
                url: format!("{exchange}/calls"),
                problem: format!(
                    "the call did not come up: {}",
                    get(&format!("{exchange}/calls"))?
                ),
            });
        }
    }
    let talk = Duration::from_secs(network.layout.speech_s as u64 + 2);
    let until = Instant::now() + talk;
    while Instant::now() < until {
        show(network, ladder, Duration::from_millis(50));
    }
    post(&format!("{exchange}/calls/{calling}/hang-up"), &json!({}))?;
    let heard_by_a = wait_ended(network, ladder, calling)?;
    let heard_by_b = wait_ended(network, ladder, called)?;
    Ok([
        Direction::measure("telephone A to B", network.layout.file("telephone-a.wav"), heard_by_b)?,
        Direction::measure("telephone B to A", network.layout.file("telephone-b.wav"), heard_by_a)?,
    ])
}

/// Prints the steps among the log lines that come within `limit`.
pub fn show(network: &Network, ladder: &mut Ladder, limit: Duration) {
    let until = Instant::now() + limit;
    while let Some(event) = network.next_event(until.saturating_duration_since(Instant::now())) {
        if let Some(line) = ladder.line(&event) {
            println!("{line}");
        }
    }
}

fn system(what: &str, error: std::io::Error) -> NetworkError {
    NetworkError::System { what: what.to_owned(), error }
}

fn calls(network: &Network) -> Result<Vec<serde_json::Value>, NetworkError> {
    let calls = get(&format!("{}/calls", network.layout.exchange_http()))?;
    Ok(calls.as_array().cloned().unwrap_or_default())
}

/// Number of the exchange's last call, 0 before the first.
fn last_call(network: &Network) -> Result<u64, NetworkError> {
    Ok(calls(network)?.iter().filter_map(|call| call["call"].as_u64()).max().unwrap_or(0))
}

fn call_state(network: &Network, call: u64) -> Result<Option<String>, NetworkError> {
    Ok(calls(network)?
        .iter()
        .find(|known| known["call"] == call)
        .and_then(|call| call["state"].as_str().map(str::to_owned)))
}

/// Waits until a call of the exchange is over; the recording of what its telephone heard.
fn wait_ended(
    network: &mut Network,
    ladder: &mut Ladder,
    call: u64,
) -> Result<PathBuf, NetworkError> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while call_state(network, call)?.as_deref() != Some("ended") {
        show(network, ladder, Duration::from_millis(50));
        network.check()?;
        if Instant::now() >= deadline {
            return Err(NetworkError::Http {
                url: format!("{}/calls", network.layout.exchange_http()),
                problem: format!("call {call} does not end: {:?}", calls(network)?),
            });
        }
    }
    let recording = calls(network)?
        .iter()
        .find(|known| known["call"] == call)
        .and_then(|call| call["recording"].as_str().map(PathBuf::from));
    recording.filter(|path: &PathBuf| Path::exists(path)).ok_or_else(|| NetworkError::Http {
        url: format!("{}/calls", network.layout.exchange_http()),
        problem: format!("call {call} has no recording"),
    })
}
