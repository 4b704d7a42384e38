//! A stream that the XDP program relays: it never comes to a worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use trunkline_xdp::network::Path;
use trunkline_xdp::{Relay, Relayed};

use super::super::Stream;
use super::{FastPath, Port};

/// A stream that is relayed below us until this is recalled or dropped.
#[derive(Debug)]
pub struct RelayBelow {
    fast_path: Arc<FastPath>,
    stream: Stream,
    /// The number of the port it comes by.
    number: u16,
    from: SocketAddr,
    path: Path,
    /// The state of the paths in which the way was found good.
    state: AtomicU64,
    recalled: AtomicBool,
}

impl RelayBelow {
    /// Gives a stream to the program, if both sides are IPv4 and the way out is known.
    pub(super) fn new(
        fast_path: &Arc<FastPath>,
        receiver: &Port,
        out: &Port,
        stream: &Stream,
    ) -> Option<Self> {
        let (SocketAddr::V4(source), SocketAddr::V4(destination)) = (out.local, stream.to) else {
            return None;
        };
        let SocketAddr::V4(peer) = stream.peer else { return None };
        let state = fast_path.paths.state();
        let path = fast_path.paths.find(out.local.ip(), stream.to.ip())?;
        let number = receiver.local.port();
        fast_path.bypass.ports.relay(
            number,
            &Relay {
                peer,
                payload_type: stream.payload_type,
                ssrc: stream.ssrc,
                sequence_offset: stream.sequence_offset,
                timestamp_offset: stream.timestamp_offset,
                newest: stream.newest,
                whole_checksums: receiver.whole_checksums,
                source,
                destination,
                ethernet: [path.ethernet.destination, path.ethernet.source],
                traffic_class: fast_path.traffic_class,
            },
        );
        Some(Self {
            fast_path: Arc::clone(fast_path),
            stream: *stream,
            number,
            from: out.local,
            path,
            state: AtomicU64::new(state),
            recalled: AtomicBool::new(false),
        })
    }

    /// What is relayed, and how.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What has been relayed so far; final once recalled.
    pub fn relayed(&self) -> Relayed {
        self.fast_path.bypass.ports.relayed(self.number)
    }

    /// Whether frames still get where they go.
    pub fn is_right(&self) -> bool {
        let paths = &self.fast_path.paths;
        let state = paths.state();
        if state == self.state.load(Ordering::Relaxed) {
            return true;
        }
        self.state.store(state, Ordering::Relaxed);
        let now = paths.find(self.from.ip(), self.stream.to.ip());
        now.is_some_and(|now| now.ethernet == self.path.ethernet)
    }

    /// Ends it: packets come to us again.
    pub fn recall(&self) {
        if !self.recalled.swap(true, Ordering::AcqRel) {
            self.fast_path.bypass.ports.recall(self.number);
        }
    }

    /// Whether it has ended.
    pub fn is_recalled(&self) -> bool {
        self.recalled.load(Ordering::Acquire)
    }
}

impl Drop for RelayBelow {
    fn drop(&mut self) {
        self.recall();
    }
}
