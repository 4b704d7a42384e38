//! `trunkline-flood`: RTP calls through a relay, counted and timed at both ends.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use trunkline_bench::load::LoadError;
use trunkline_bench::load::call_list::CallList;
use trunkline_bench::load::flood::{self, Load};
use trunkline_bench::load::report::Report;
use trunkline_bench::load::wire::{Gateway, PacketSocket, UdpSockets, Wire};

/// Floods a relay with RTP: every call of a list has two parties, each sends to the relay's port
/// for it and checks what comes from there. Figures go to standard output as JSON, and in short to
/// standard error.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The call list (JSON), `-` for standard input.
    calls: PathBuf,
    #[command(flatten)]
    load: Load,
    /// How packets are carried.
    #[arg(long, value_enum, default_value = "sockets")]
    wire: WireKind,
    /// The flooder's device, for packets.
    #[arg(long, required_if_eq("wire", "packets"))]
    device: Option<String>,
    /// Whether the relay sends from within the kernel (XDP_TX), which the end of a veth pair takes
    /// only with a program on it.
    #[arg(long)]
    kernel_frames: bool,
    /// The Ethernet address of that device.
    #[arg(long, value_parser = ethernet_address, required_if_eq("wire", "packets"))]
    device_address: Option<[u8; 6]>,
    /// The Ethernet address at its far end.
    #[arg(long, value_parser = ethernet_address, required_if_eq("wire", "packets"))]
    relay_address: Option<[u8; 6]>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum WireKind {
    /// A UDP socket a party.
    Sockets,
    /// A packet socket for all parties (needs CAP_NET_RAW and a device of its own).
    Packets,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(report) => {
            eprintln!("{report}");
            match serde_json::to_string(&report) {
                Ok(json) => println!("{json}"),
                Err(error) => {
                    eprintln!("trunkline-flood: {error}");
                    return ExitCode::FAILURE;
                }
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("trunkline-flood: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report, LoadError> {
    let list = CallList::read(&arguments.calls)?;
    arguments.load.check()?;
    let octets = arguments.load.octets() + list.overhead_octets();
    let mut wire: Box<dyn Wire> = match arguments.wire {
        WireKind::Sockets => Box::new(UdpSockets::open(&list, octets)?),
        WireKind::Packets => {
            let gateway = Gateway {
                from: arguments.device_address.unwrap_or_default(),
                to: arguments.relay_address.unwrap_or_default(),
            };
            let device = arguments.device.as_deref().unwrap_or_default();
            Box::new(PacketSocket::open(device, gateway, &list, octets, arguments.kernel_frames)?)
        }
    };
    flood::run(&list, &arguments.load, &mut *wire)
}

fn ethernet_address(text: &str) -> Result<[u8; 6], String> {
    let octets: Vec<u8> = text
        .split(':')
        .map(|word| u8::from_str_radix(word, 16).map_err(|error| format!("{word:?}: {error}")))
        .collect::<Result<_, _>>()?;
    octets.try_into().map_err(|_| "an Ethernet address has six octets".to_owned())
}
