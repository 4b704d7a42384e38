//! `trunkline-bare-relay`: the floor of the load test.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use clap::Parser;
use trunkline_bench::load::bare_relay::BareRelay;
use trunkline_bench::load::call_list::Parties;

/// Relays UDP between two ports a call, without a look at it. Writes its call list to standard
/// output and runs until it is killed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where its ports are.
    #[arg(long, default_value = "127.0.0.1")]
    address: Ipv4Addr,
    #[command(flatten)]
    parties: Parties,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("trunkline-bare-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let relay = BareRelay::open(arguments.address, &arguments.parties.all()?)?;
    println!("{}", serde_json::to_string(relay.calls())?);
    Ok(relay.run()?)
}
