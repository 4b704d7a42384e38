//! Two network namespaces and a veth pair between them.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::measure::CompareError;

/// The flooder's device and its Ethernet address.
pub const FLOOD_DEVICE: (&str, &str) = ("flood", "02:00:00:00:98:01");
/// The relay's device and its Ethernet address.
pub const RELAY_DEVICE: (&str, &str) = ("relay", "02:00:00:00:98:02");
/// Where the relay's ports are.
pub const RELAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// The first A party; the relay reaches all of 10.98.0.0/16 by the flooder's device.
pub const FIRST_A: Ipv4Addr = Ipv4Addr::new(10, 98, 1, 1);
/// The first B party.
pub const FIRST_B: Ipv4Addr = Ipv4Addr::new(10, 98, 2, 1);

const FLOOD_ADDRESS: &str = "10.99.0.1";

/// A classic BPF program of one instruction: return `TC_ACT_SHOT`.
const DROP_ALL: &str = "1,6 0 0 2";

/// The network of a comparison; removed when dropped.
#[derive(Debug)]
pub struct Network {
    flood: String,
    relay: String,
}

impl Network {
    /// Makes it.
    ///
    /// # Errors
    /// If the system does not allow it: it takes root and iproute2.
    pub fn make() -> Result<Self, CompareError> {
        let name = |end: &str| format!("trunkline-bench-{}-{end}", std::process::id());
        let network = Self { flood: name("flood"), relay: name("relay") };
        let (flood, relay) = (network.flood.as_str(), network.relay.as_str());
        run("ip", &["netns", "add", flood])?;
        run("ip", &["netns", "add", relay])?;
        let [(near, near_address), (far, far_address)] = [FLOOD_DEVICE, RELAY_DEVICE];
        run(
            "ip",
            &[
                "link", "add", near, "netns", flood, "type", "veth", "peer", "name", far, "netns",
                relay,
            ],
        )?;
        for (namespace, device, address, ip) in [
            (flood, near, near_address, FLOOD_ADDRESS.to_owned()),
            (relay, far, far_address, RELAY_ADDRESS.to_string()),
        ] {
            run("ip", &["-n", namespace, "link", "set", device, "address", address])?;
            run("ip", &["-n", namespace, "addr", "add", &format!("{ip}/24"), "dev", device])?;
            run("ip", &["-n", namespace, "link", "set", "lo", "up"])?;
            run("ip", &["-n", namespace, "link", "set", device, "up"])?;
            run("tc", &["-n", namespace, "qdisc", "add", "dev", device, "clsact"])?;
        }
        // The parties are not addresses of the kernel at the flooder's end: its packet socket takes
        // their packets, and nobody else is to answer them.
        run(
            "tc",
            &[
                "-n", flood, "filter", "add", "dev", near, "ingress", "protocol", "ip", "bpf",
                "da", "bytecode", DROP_ALL,
            ],
        )?;
        run("ip", &["-n", relay, "route", "add", "10.98.0.0/16", "via", FLOOD_ADDRESS])?;
        run(
            "ip",
            &[
                "-n",
                relay,
                "neigh",
                "replace",
                FLOOD_ADDRESS,
                "lladdr",
                near_address,
                "dev",
                far,
                "nud",
                "permanent",
            ],
        )?;
        Ok(network)
    }

    /// A command in the flooder's namespace.
    pub fn at_flooder(&self, program: &str) -> Command {
        command_in(&self.flood, program)
    }

    /// A command in the relay's namespace.
    pub fn at_relay(&self, program: &str) -> Command {
        command_in(&self.relay, program)
    }

    /// Whether what comes to the relay is dropped as soon as it is off its device.
    ///
    /// # Errors
    /// If the kernel does not take the filter.
    pub fn drop_at_relay(&self, on: bool) -> Result<(), CompareError> {
        let device = RELAY_DEVICE.0;
        let place = |verb| ["-n", &self.relay, "filter", verb, "dev", device, "ingress"];
        if on {
            let filter = ["protocol", "ip", "bpf", "da", "bytecode", DROP_ALL];
            run("tc", &[&place("add")[..], &filter].concat())
        } else {
            run("tc", &place("del"))
        }
    }

    /// The names of its namespaces, for whoever must remove them.
    pub fn namespaces(&self) -> [String; 2] {
        [self.flood.clone(), self.relay.clone()]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.namespaces());
    }
}

/// Removes namespaces, as far as they are there.
pub fn remove(namespaces: &[String]) {
    for namespace in namespaces {
        let _ = run("ip", &["netns", "del", namespace]);
    }
}

fn command_in(namespace: &str, program: &str) -> Command {
    // `ip` becomes the program, so that the process is the program's.
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

fn run(program: &str, arguments: &[&str]) -> Result<(), CompareError> {
    let command = format!("{program} {}", arguments.join(" "));
    let outcome =
        Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(|error| {
            CompareError::Command { command: command.clone(), reason: error.to_string() }
        })?;
    if outcome.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&outcome.stderr).trim().to_owned();
    Err(CompareError::Command { command, reason })
}
