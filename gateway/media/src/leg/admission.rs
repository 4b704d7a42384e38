//! Strangers that the back end keeps out for a leg, before they cost anything.
//!
//! The leg's source rule decides as ever. Once it is settled whom it could believe, the back end is
//! told, and what it drops is counted here as if it had come.

use super::{Leg, Surroundings};
use crate::packet_io::{PacketIo, PortIndex, Sender};

/// What the back end was told of both ports, and what it has kept out.
#[derive(Debug, Default)]
pub(super) struct Admission {
    rtp: Gate,
    rtcp: Gate,
}

/// A port.
#[derive(Debug, Default)]
struct Gate {
    only: Option<[Sender; 2]>,
    /// Packets that are counted already.
    kept_out: u64,
}

impl Gate {
    /// Tells the back end who is let in, if that has changed.
    fn set(&mut self, port: PortIndex, only: Option<[Sender; 2]>, io: &mut dyn PacketIo) {
        if only != self.only {
            io.admit(port, only);
            self.only = only;
        }
    }

    /// Packets that were kept out since this was asked last.
    fn count(&mut self, port: PortIndex, io: &dyn PacketIo) -> u64 {
        let kept_out = io.kept_out(port);
        kept_out - std::mem::replace(&mut self.kept_out, kept_out)
    }
}

impl Leg {
    /// Tells the back end who is let in, if that has changed, and counts whom it has kept out.
    pub(crate) fn admit(&mut self, io: &mut dyn PacketIo, around: &mut Surroundings<'_>) {
        if self.beside.is_some() {
            // A browser's next way begins with a check from an address that nobody knows yet.
            return;
        }
        let (Some(source), Some(remote)) = (&mut self.source, self.remote) else { return };
        let only = source.only(around.now);
        self.admission.rtp.set(self.ports.rtp, only.map(|both| both.map(Sender::from)), io);
        // As `accepts_rtcp` has it.
        let host = source.destination().ip();
        let reporters = only.map(|_| [Sender::from(remote.rtcp), Sender::from(host)]);
        self.admission.rtcp.set(self.ports.rtcp, reporters, io);
        if only.is_some() {
            let news = self.admission.rtp.count(self.ports.rtp, io);
            source.refused_unseen(news);
            around.counters.dropped_source += news;
        }
    }

    /// Counts the reports that were kept out. Nobody waits for that figure.
    pub(super) fn count_reports_kept_out(
        &mut self,
        io: &dyn PacketIo,
        around: &mut Surroundings<'_>,
    ) {
        around.counters.dropped_source += self.admission.rtcp.count(self.ports.rtcp, io);
    }
}
