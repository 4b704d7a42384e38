//! Sends every datagram back with the sockets of the ENUM server and nothing else: what its kernel's
//! part of a query costs. `make bench-directory` measures it beside the servers.
//!
//! ```text
//! cargo run --release -p trunkline-directory --example udp_echo -- 127.0.0.1:5300
//! ```

use std::io;
use std::process::ExitCode;

use trunkline_directory::datagrams::{self, Datagrams};

fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1).and_then(|text| text.parse().ok()) else {
        eprintln!("usage: udp_echo ADDRESS:PORT");
        return ExitCode::from(2);
    };
    match datagrams::bind(address).and_then(|socket| echo(Datagrams::new(socket))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn echo(mut datagrams: Datagrams) -> io::Result<()> {
    loop {
        datagrams.receive()?;
        for datagram in datagrams.taken() {
            let (query, reply) = datagram.split();
            reply.extend_from_slice(query);
            // The bit QR, so that dnsperf takes it for an answer.
            if let Some(flags) = reply.get_mut(2) {
                *flags |= 0x80;
            }
        }
        datagrams.reply();
    }
}
