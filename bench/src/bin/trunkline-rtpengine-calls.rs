//! `trunkline-rtpengine-calls`: calls through a running rtpengine, for the load test.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use trunkline_bench::load::LoadError;
use trunkline_bench::load::call_list::{CallList, Parties};
use trunkline_bench::load::codecs::Codecs;
use trunkline_bench::load::protection;
use trunkline_bench::load::rtpengine::Rtpengine;
use trunkline_rtp::srtp::Suite;

/// Sets up calls through a running rtpengine by its ng protocol, writes their call list to standard
/// output and ends; the calls stay until rtpengine hears nothing on them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// rtpengine's ng port.
    #[arg(long, default_value = "127.0.0.1:2223")]
    control: SocketAddr,
    #[command(flatten)]
    codecs: Codecs,
    /// Both legs of a call speak SRTP in this suite (RFC 4568, RFC 7714).
    #[arg(long, value_parser = protection::suite, value_name = "SUITE")]
    srtp: Option<Suite>,
    #[command(flatten)]
    parties: Parties,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(list) => {
            println!("{}", serde_json::json!(list));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("trunkline-rtpengine-calls: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<CallList, LoadError> {
    let parties = arguments.parties.all()?;
    Rtpengine::connect(arguments.control)?.open(&parties, arguments.codecs, arguments.srtp)
}
