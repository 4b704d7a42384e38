//! Strangers that the back end keeps out for a leg, before they cost anything.
//!
//! The leg's source rule decides as ever. Once there is but one source that it could believe, the
//! back end is told, and what it drops is counted here as if it had come.

use std::net::SocketAddr;

use super::{Leg, Surroundings};
use crate::packet_io::PacketIo;

/// What the back end was told, and what it has kept out.
#[derive(Debug, Default)]
pub(super) struct Admission {
    only: Option<SocketAddr>,
    /// Packets that are counted already.
    kept_out: u64,
}

impl Leg {
    /// Tells the back end who is let in, if that has changed, and counts whom it has kept out.
    pub(crate) fn admit(&mut self, io: &mut dyn PacketIo, around: &mut Surroundings<'_>) {
        let Some(source) = &mut self.source else { return };
        let only = source.only(around.now);
        if only != self.admission.only {
            io.admit(self.ports.rtp, only);
            self.admission.only = only;
        }
        if only.is_some() {
            let kept_out = io.kept_out(self.ports.rtp);
            let news = kept_out - self.admission.kept_out;
            self.admission.kept_out = kept_out;
            source.refused_unseen(news);
            around.counters.dropped_source += news;
        }
    }
}
