//! Rounds of runs, interleaved.

use std::io::Write;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;

use super::network::{FIRST_A, FIRST_B, FLOOD_DEVICE, Network, RELAY_ADDRESS, RELAY_DEVICE};
use super::peer::Peer;
use crate::load::LoadError;
use crate::load::call_list::{Call, CallList, Leg, Parties};
use crate::load::codecs::Codecs;
use crate::load::report::Report;

/// Why a comparison, or a row of it, cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A command failed.
    #[error("{command}: {reason}")]
    Command {
        /// What was run.
        command: String,
        /// What it or the system said.
        reason: String,
    },
    /// A relay did not open its calls.
    #[error("{0}")]
    Refused(String),
    /// A program of ours is not there.
    #[error("{0} is not built")]
    NotBuilt(&'static str),
    /// A program of others is not there.
    #[error("{0} is not installed (scripts/set-up bench)")]
    NotInstalled(&'static str),
    /// A part of the load test failed.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// A load that all relays are put under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Calls at the same time.
    pub calls: usize,
    /// Packets a second of each party.
    pub rate: f64,
}

impl Point {
    /// The loads of the full comparison. The first is the main one.
    pub const ALL: [Self; 3] = [
        Self { calls: 500, rate: 50.0 },
        Self { calls: 100, rate: 50.0 },
        // The state of 2,000 calls at the packets of 500.
        Self { calls: 2000, rate: 12.5 },
    ];

    /// Packets a second that a relay has to relay.
    pub fn packets_per_second(&self) -> f64 {
        self.calls as f64 * 2.0 * self.rate
    }

    /// Microseconds of a slot: 1 ms where the packets of a party are far apart, as such a load is
    /// there for the number of calls and not for how evenly they come.
    fn slot_us(&self) -> u64 {
        if self.rate < 50.0 { 1000 } else { 200 }
    }
}

impl FromStr for Point {
    type Err = String;

    /// Reads `CALLSxRATE`.
    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("{text:?} is not CALLSxRATE, as in 500x50");
        let (calls, rate) = text.split_once('x').ok_or_else(usage)?;
        let calls = calls.parse().map_err(|_| usage())?;
        let rate = rate.parse().map_err(|_| usage())?;
        if calls == 0 || !(0.1..=10_000.0).contains(&rate) {
            return Err(usage());
        }
        Ok(Self { calls, rate })
    }
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The loads.
    pub points: Vec<Point>,
    /// The relays.
    pub peers: Vec<Peer>,
    /// How often each.
    pub rounds: usize,
    /// Measured seconds of a run.
    pub seconds: f64,
    /// What the parties speak.
    pub codecs: Codecs,
    /// Where the programs of the load test are.
    pub programs: PathBuf,
}

/// All runs of one relay under one load.
#[derive(Debug)]
pub struct Cell {
    /// Which load.
    pub point: Point,
    /// Which relay.
    pub peer: Peer,
    /// One report a round.
    pub reports: Vec<Report>,
    /// Resident memory of the relay with one call and no traffic, KiB.
    pub idle_kib: Option<u64>,
    /// Why rounds are missing.
    pub failure: Option<String>,
}

/// All runs of a comparison.
#[derive(Debug)]
pub struct Measured {
    /// By load, then by relay.
    pub cells: Vec<Cell>,
    /// For each load the runs in which packets were dropped on arrival.
    pub dropped: Vec<(Point, Vec<Report>)>,
}

/// Runs a comparison; `tell` hears what is going on.
///
/// # Errors
/// If the network or the flooder does not work. A relay that does not work is a cell without
/// reports.
pub fn run(plan: &Plan, network: &Network, tell: &dyn Fn(&str)) -> Result<Measured, CompareError> {
    let idle: Vec<_> = plan
        .peers
        .iter()
        .map(|peer| {
            let running = peer.start(network, &plan.programs, 1, plan.codecs);
            running.map(|running| running.resident_kib()).ok()
        })
        .collect();
    let mut measured = Measured { cells: Vec::new(), dropped: Vec::new() };
    for &point in &plan.points {
        measured.dropped.push((point, Vec::new()));
        for (&peer, &idle_kib) in plan.peers.iter().zip(&idle) {
            let reports = Vec::new();
            measured.cells.push(Cell { point, peer, reports, idle_kib, failure: None });
        }
    }
    for round in 0..plan.rounds {
        for (nth, cells) in measured.cells.chunks_mut(plan.peers.len()).enumerate() {
            let (point, dropped) = &mut measured.dropped[nth];
            let heading = format!("round {}, {} calls at {}/s", round + 1, point.calls, point.rate);
            tell(&format!("{heading}: dropped on arrival"));
            network.drop_at_relay(true)?;
            let report = flood(plan, network, point, &nobody(point)?, None);
            network.drop_at_relay(false)?;
            dropped.push(report?);
            // Each round begins with another relay, so that none always follows the same.
            cells.rotate_left(round % cells.len().max(1));
            for cell in cells.iter_mut().filter(|cell| cell.failure.is_none()) {
                tell(&format!("{heading}: {}", cell.peer.name()));
                match relay(plan, network, point, cell.peer) {
                    Ok(report) => {
                        tell(&report.to_string());
                        cell.reports.push(report);
                    }
                    Err(error) => {
                        tell(&format!("  {error}"));
                        cell.failure = Some(error.to_string());
                    }
                }
            }
            cells.rotate_right(round % cells.len().max(1));
        }
    }
    Ok(measured)
}

/// One run through one relay.
pub(super) fn relay(
    plan: &Plan,
    network: &Network,
    point: &Point,
    peer: Peer,
) -> Result<Report, CompareError> {
    let running = peer.start(network, &plan.programs, point.calls, plan.codecs)?;
    flood(plan, network, point, &running.list, Some((peer, running.pid())))
}

fn flood(
    plan: &Plan,
    network: &Network,
    point: &Point,
    list: &CallList,
    relay: Option<(Peer, u32)>,
) -> Result<Report, CompareError> {
    let program = plan.programs.join("trunkline-flood");
    let mut command = network.at_flooder(&program.display().to_string());
    command
        .arg("-")
        .args(["--wire", "packets", "--device", FLOOD_DEVICE.0])
        .args(["--device-address", FLOOD_DEVICE.1, "--relay-address", RELAY_DEVICE.1])
        .args(["--rate", &point.rate.to_string(), "--seconds", &plan.seconds.to_string()])
        .args(["--slot-us", &point.slot_us().to_string()])
        .args(plan.codecs.arguments());
    if let Some((peer, pid)) = relay {
        command.args(["--watch", &pid.to_string()]);
        if peer.sends_in_kernel() {
            command.arg("--kernel-frames");
        }
    }
    let failed = |error: std::io::Error| CompareError::Command {
        command: "trunkline-flood".to_owned(),
        reason: error.to_string(),
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut flooder = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = flooder.stdin.take() {
        // A flooder that ends before it has read says why on standard error.
        let _ = stdin.write_all(serde_json::json!(list).to_string().as_bytes());
    }
    let outcome = flooder.wait_with_output().map_err(failed)?;
    if !outcome.status.success() {
        let reason = String::from_utf8_lossy(&outcome.stderr).trim().to_owned();
        return Err(CompareError::Refused(reason));
    }
    let report = serde_json::from_slice(&outcome.stdout)
        .map_err(|error| LoadError::Json { what: "the flooder's report".to_owned(), error })?;
    Ok(report)
}

/// A call list as if a relay had been asked, for packets that no relay is to see.
fn nobody(point: &Point) -> Result<CallList, CompareError> {
    let parties = Parties {
        calls: point.calls,
        first_a: FIRST_A,
        first_b: FIRST_B,
        addresses: 64,
        first_port: 20_000,
    };
    let relay = |n: usize| SocketAddrV4::new(RELAY_ADDRESS, (30_000 + 2 * n % 30_000) as u16);
    let call =
        |(n, (a, b))| Call { a: Leg::plain(a, relay(2 * n)), b: Leg::plain(b, relay(2 * n + 1)) };
    Ok(CallList { calls: parties.all()?.into_iter().enumerate().map(call).collect() })
}

/// What the system says about a file.
pub fn file_error(path: &Path, error: std::io::Error) -> CompareError {
    LoadError::File { path: path.to_owned(), error }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_calls_and_rate() {
        assert_eq!("2000x12.5".parse(), Ok(Point { calls: 2000, rate: 12.5 }));
        for wrong in ["500", "x50", "500x", "0x50", "500xNaN", "-1x50"] {
            let error = wrong.parse::<Point>().unwrap_err();
            assert!(error.contains("CALLSxRATE"), "{error}");
        }
    }

    #[test]
    fn the_main_points_relay_fifty_ten_and_fifty_thousand_packets() {
        assert_eq!(Point::ALL.map(|point| point.packets_per_second()), [50e3, 10e3, 50e3]);
    }

    #[test]
    fn packets_for_nobody_go_to_distinct_ports() {
        let list = nobody(&Point { calls: 2000, rate: 12.5 }).unwrap();
        let ports: std::collections::HashSet<_> =
            (0..list.parties()).map(|index| list.leg(index).relay).collect();
        assert_eq!(ports.len(), 4000);
    }
}
