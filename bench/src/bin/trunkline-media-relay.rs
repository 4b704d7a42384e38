//! `trunkline-media-relay`: Trunkline's media plane as a relay, for the load test.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use trunkline_bench::load::call_list::Parties;
use trunkline_bench::load::codecs::Codecs;
use trunkline_bench::load::descriptors;
use trunkline_bench::load::media_relay::{MediaRelay, Settings};
use trunkline_bench::load::protection;
use trunkline_media::packet_io::Backend;
use trunkline_rtp::srtp::Suite;

/// Relays RTP between two legs a call, which the media plane has joined as a pair, and transcodes
/// where they do not speak the same codec. Writes its call list to standard output, runs until it is
/// killed, and then tells in a line what it did.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What carries the packets.
    #[arg(long, value_enum, default_value = "mio")]
    backend: Carrier,
    /// Where its ports are.
    #[arg(long, default_value = "127.0.0.1")]
    address: Ipv4Addr,
    /// The network device of that address, for back ends that pass the kernel's sockets by.
    #[arg(long)]
    device: Option<String>,
    /// How many workers; they stay on the cores from 0 on.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// How often a worker serves its calls.
    #[arg(long, default_value = "5ms", value_parser = humantime::parse_duration)]
    tick: Duration,
    /// SCHED_FIFO priority of the workers; 0 for ordinary threads.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u8).range(0..=99))]
    priority: u8,
    #[command(flatten)]
    codecs: Codecs,
    /// The parties speak SRTP in this suite (RFC 4568, RFC 7714), under keys of which the call list
    /// tells.
    #[arg(long, value_parser = protection::suite, value_name = "SUITE")]
    srtp: Option<Suite>,
    #[command(flatten)]
    parties: Parties,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Carrier {
    /// Sockets behind epoll.
    Mio,
    /// Sockets behind io_uring.
    #[value(name = "io_uring")]
    IoUring,
    /// A queue of the network device, past the kernel's sockets.
    #[value(name = "af_xdp")]
    AfXdp,
    /// The kernel itself, on its device.
    Kernel,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline-media-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings {
        backend: match arguments.backend {
            Carrier::Mio => Backend::Mio,
            Carrier::IoUring => Backend::IoUring,
            Carrier::AfXdp | Carrier::Kernel => Backend::AfXdp,
        },
        in_kernel: arguments.backend == Carrier::Kernel,
        device: arguments.device.clone(),
        address: arguments.address,
        codecs: arguments.codecs,
        srtp: arguments.srtp,
        workers: usize::from(arguments.workers),
        tick: arguments.tick,
        realtime_priority: Some(arguments.priority).filter(|priority| *priority > 0),
    };
    let (tell, end) = mpsc::channel();
    ctrlc::set_handler(move || {
        // The receiver is gone only when the program ends anyway.
        let _ = tell.send(());
    })?;
    descriptors::allow_all()?;
    let relay = MediaRelay::open(&settings, &arguments.parties.all()?)?;
    println!("{}", serde_json::to_string(relay.calls())?);
    end.recv()?;
    eprintln!("trunkline-media-relay: {}", relay.sum());
    Ok(())
}
