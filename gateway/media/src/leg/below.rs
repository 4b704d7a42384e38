//! A stream of a pair that is relayed below us, by the kernel on its device, and comes back by itself
//! when something must be done to it.
//!
//! The numbering is the pair's: the kernel adds the same two offsets, so that it does not matter
//! which of us a packet meets. Both legs keep books: the one the stream comes to counts what was
//! received, the other what was sent.

use std::sync::Arc;

use trunkline_rtp::packet::{SequenceNumber, Timestamp};

use super::relay::Pair;
use super::{Joint, Leg, Surroundings};
use crate::packet_io::{RelayBelow, Stream};
use crate::spec::Payload;

/// Packets of nothing but speech after which a stream is given away: a digit or a new description
/// seldom comes alone.
const STEADY_PACKETS: i16 = 16;

/// How many more it takes where the source has sent beyond its allowance below, which is noticed only
/// when somebody looks: 20 s of speech.
const MISTRUSTED_PACKETS: i16 = 1_000;

/// A stream below, as one of its legs sees it.
#[derive(Debug)]
pub(super) struct Below {
    relay: Arc<RelayBelow>,
    /// What of it is in the leg's books already.
    packets: u64,
    octets: u64,
}

/// What has been relayed since the last look.
struct News {
    packets: u64,
    octets: u64,
    /// The newest numbers given.
    sequence: SequenceNumber,
    timestamp: Timestamp,
    /// And the speaker's own number of it.
    sequence_in: SequenceNumber,
    ended: bool,
}

impl Below {
    fn look(&mut self) -> News {
        // Before the figures: if it has ended, they are final.
        let ended = self.relay.is_recalled();
        let relayed = self.relay.relayed();
        let offset = self.relay.stream().sequence_offset;
        let news = News {
            packets: relayed.packets - self.packets,
            octets: relayed.octets.saturating_sub(self.octets),
            sequence: SequenceNumber(relayed.sequence),
            timestamp: Timestamp(relayed.timestamp),
            sequence_in: SequenceNumber(relayed.sequence.wrapping_sub(offset)),
            ended,
        };
        (self.packets, self.octets) = (relayed.packets, relayed.octets);
        news
    }
}

impl Leg {
    /// Whether the stream that comes here could be relayed below.
    pub(crate) fn is_steady(&self) -> bool {
        match &self.joint {
            Joint::Pair(pair) => pair.steady >= STEADY_PACKETS && pair.comes_below.is_none(),
            Joint::Timeslot(_) => false,
        }
    }

    /// The stream that comes here, as it leaves by the other leg of the pair; none if something has to
    /// be done to it.
    pub(crate) fn stream_to(&mut self, mate: &Leg) -> Option<Stream> {
        let Joint::Pair(pair) = &mut self.joint else { return None };
        // Whatever the answer is, the next question comes after as many packets again.
        pair.steady = 0;
        let to = mate.destination().filter(|_| self.direction.receive)?;
        if self.srtp.is_active() || mate.srtp.is_active() || self.incoming.has_digit() {
            return None;
        }
        let Joint::Pair(out) = &mate.joint else { return None };
        let numbering = out.numbering().filter(|_| out.is_untouched);
        let (ssrc, sequence_offset, timestamp_offset) = numbering?;
        let codec = mate.outgoing.sending.codec;
        Some(Stream {
            port: self.ports.rtp,
            peer: self.source.as_ref()?.destination(),
            ssrc: (ssrc, mate.outgoing.ssrc()),
            payload_type: (
                self.incoming.payload_type_of(codec, ssrc)?,
                mate.outgoing.sending.payload_type,
            ),
            sequence_offset,
            timestamp_offset,
            newest: (mate.outgoing.sequence.0.wrapping_sub(1), mate.outgoing.timestamp.0),
            out: mate.ports.rtp,
            to,
        })
    }

    /// The stream that comes here is relayed below from now on.
    pub(crate) fn comes_below(&mut self, relay: &Arc<RelayBelow>, around: &mut Surroundings<'_>) {
        if let Joint::Pair(pair) = &mut self.joint {
            pair.comes_below = Some(Below { relay: Arc::clone(relay), packets: 0, octets: 0 });
            around.counters.streams_given_below += 1;
        }
    }

    /// The stream that leaves here is.
    pub(crate) fn goes_below(&mut self, relay: &Arc<RelayBelow>) {
        if let Joint::Pair(pair) = &mut self.joint {
            pair.goes_below = Some(Below { relay: Arc::clone(relay), packets: 0, octets: 0 });
        }
    }

    /// Brings the streams of both directions back, before something is changed.
    pub(crate) fn recall(&mut self, around: &mut Surroundings<'_>) {
        if let Joint::Pair(pair) = &mut self.joint {
            pair.steady = pair.steady.min(0);
            for below in [&pair.comes_below, &pair.goes_below].into_iter().flatten() {
                below.relay.recall();
            }
        }
        self.look_below(around);
    }

    /// Brings the stream back that comes here.
    pub(super) fn recall_what_comes(&mut self, around: &mut Surroundings<'_>) {
        if let Joint::Pair(Pair { comes_below: Some(below), steady, .. }) = &mut self.joint {
            *steady = (*steady).min(0);
            below.relay.recall();
        }
        self.look_what_came(around);
    }

    /// Brings what was relayed below into the books, and ends what cannot go on there.
    pub(super) fn look_below(&mut self, around: &mut Surroundings<'_>) {
        self.look_what_came(around);
        self.look_what_went(around);
    }

    /// A packet has come to us although its stream is below: it is let through if it was on its way
    /// already, else the stream is brought back.
    pub(super) fn met_above(&mut self, payload: Payload, ssrc: u32, around: &mut Surroundings<'_>) {
        let Joint::Pair(Pair { comes_below: Some(below), .. }) = &self.joint else { return };
        let stream = below.relay.stream();
        let is_of_it = matches!(payload, Payload::Audio(_)) && ssrc == stream.ssrc.0;
        if !is_of_it {
            below.relay.recall();
        }
        self.look_what_came(around);
    }

    fn look_what_came(&mut self, around: &mut Surroundings<'_>) {
        let Joint::Pair(pair) = &mut self.joint else { return };
        let Some(below) = &mut pair.comes_below else { return };
        if !below.relay.is_right() {
            below.relay.recall();
        }
        let news = below.look();
        if news.ended {
            pair.comes_below = None;
            around.counters.streams_recalled += 1;
        }
        if news.packets > 0 {
            self.incoming.arrived_below(news.packets, news.octets, news.sequence_in, around.now);
            around.counters.packets_received += news.packets;
            around.counters.octets_received += news.octets;
            around.counters.packets_relayed_below += news.packets;
            // The kernel keeps to no allowance: a source that sends beyond it is looked at by us.
            if self.allowances.spend_unseen(news.packets, around.now) {
                if let Joint::Pair(pair) = &mut self.joint {
                    pair.steady = -MISTRUSTED_PACKETS;
                }
                self.recall_what_comes(around);
            }
        }
    }

    /// Before a packet is numbered the numbers that were given below must be known.
    pub(super) fn look_what_went(&mut self, around: &mut Surroundings<'_>) {
        let Joint::Pair(pair) = &mut self.joint else { return };
        let Some(below) = &mut pair.goes_below else { return };
        let news = below.look();
        if news.ended {
            pair.goes_below = None;
        }
        if news.packets > 0 {
            pair.went_below(&mut self.outgoing, news.sequence, news.timestamp, around.now);
            self.outgoing.packets_sent(news.packets, news.octets);
            around.counters.packets_sent += news.packets;
            around.counters.octets_sent += news.octets;
        }
    }
}
