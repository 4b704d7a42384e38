//! SRTP of a leg: what its keys were made into, kept for as long as the keys are.

use trunkline_rtp::RtpError;
use trunkline_rtp::srtp::{MAXIMUM_OVERHEAD_OCTETS, SrtpKeys, SrtpReceiver, SrtpSender, Suite};

use super::{Channel, Leg, Surroundings};
use crate::counters::WorkerCounters;
use crate::error::MediaError;
use crate::event::SrtpFigures;
use crate::packet_io::{Datagram, TAILROOM_OCTETS};
use crate::spec::Protection;

// What is forwarded gets its tag where it lies.
const _: () = assert!(MAXIMUM_OVERHEAD_OCTETS <= TAILROOM_OCTETS);

/// A change of a leg's protection, made ready where it is asked for: that takes memory.
#[derive(Debug)]
pub(crate) enum Readied {
    Plain,
    Srtp(Box<Contexts>),
}

/// The cryptographic contexts of both directions (RFC 3711 §3.2) and the keys they are made of.
#[derive(Debug)]
pub(crate) struct Contexts {
    keys: SrtpKeys,
    sender: SrtpSender,
    receiver: SrtpReceiver,
}

impl Readied {
    pub(crate) fn new(protection: &Protection) -> Result<Self, MediaError> {
        let unusable = |_| MediaError::Spec("an SRTP key does not fit its suite");
        match protection {
            Protection::Plain => Ok(Self::Plain),
            Protection::Srtp(keys) => Ok(Self::Srtp(Box::new(Contexts {
                sender: SrtpSender::new(&keys.local).map_err(unusable)?,
                receiver: SrtpReceiver::new(&keys.remote).map_err(unusable)?,
                keys: keys.clone(),
            }))),
        }
    }
}

/// What protects a leg's packets, and what was refused.
#[derive(Debug, Default)]
pub(super) struct Srtp {
    /// Stay when the leg turns to plain RTP: the same keys may come back.
    contexts: Option<Box<Contexts>>,
    active: bool,
    figures: SrtpFigures,
}

impl Srtp {
    /// Changes the protection; whether what is sent comes under another key than before.
    ///
    /// A key that stays keeps its context: indices that begin again under the same key would use
    /// its key stream twice, and make packets acceptable that were received already.
    fn change(&mut self, readied: Readied) -> bool {
        let Readied::Srtp(mut new) = readied else {
            self.active = false;
            return false;
        };
        let mut is_other = !self.active;
        if let Some(old) = self.contexts.take() {
            let Contexts { keys, sender, receiver } = *old;
            if keys.remote == new.keys.remote {
                new.receiver = receiver;
            } else {
                new.receiver.follow(&receiver);
            }
            if keys.local == new.keys.local {
                new.sender = sender;
            } else {
                is_other = true;
            }
        }
        self.contexts = Some(new);
        self.active = true;
        is_other
    }

    fn contexts(&mut self) -> Option<&mut Contexts> {
        self.contexts.as_deref_mut().filter(|_| self.active)
    }

    /// The suite in force.
    fn suite(&self) -> Option<Suite> {
        let contexts = self.contexts.as_ref().filter(|_| self.active)?;
        Some(contexts.keys.local.suite())
    }

    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// The figures, if the leg was ever SRTP.
    pub(super) fn figures(&self) -> Option<SrtpFigures> {
        self.contexts.as_ref()?;
        Some(SrtpFigures { suite: self.suite(), ..self.figures })
    }

    /// Protects the packet in the first `octets` of `buffer`, if packets are protected; its octets
    /// then. None, and counted, if it must not go out.
    pub(super) fn protect(
        &mut self,
        channel: Channel,
        buffer: &mut [u8],
        octets: usize,
        counters: &mut WorkerCounters,
    ) -> Option<usize> {
        let Some(contexts) = self.contexts() else { return Some(octets) };
        let protected = match channel {
            Channel::Rtp => contexts.sender.protect_rtp(buffer, octets),
            Channel::Rtcp => contexts.sender.protect_rtcp(buffer, octets),
        };
        if protected.is_err() {
            self.figures.unsent += 1;
            counters.srtp_unsent += 1;
        }
        protected.ok()
    }

    /// Checks and decrypts a packet, if packets are protected; its octets then.
    fn unprotect(&mut self, channel: Channel, packet: &mut [u8]) -> Result<usize, RtpError> {
        let Some(contexts) = self.contexts() else { return Ok(packet.len()) };
        match channel {
            Channel::Rtp => contexts.receiver.unprotect_rtp(packet),
            Channel::Rtcp => contexts.receiver.unprotect_rtcp(packet),
        }
    }
}

impl Leg {
    /// Changes what protects the leg's packets from here on.
    pub(crate) fn protect(&mut self, readied: Readied) {
        let is_other = self.srtp.change(readied);
        if is_other && (self.outgoing.has_sent() || self.reports.sent() > 0) {
            // RFC 3711 §3.3.1 keeps the roll-over counter when the key changes, many receivers
            // begin with zero: a new stream begins with zero for both.
            self.outgoing.begin_anew();
            self.reports.stream_began();
            self.forget_numbering();
        }
    }

    /// Takes the protection off what has come; false, and counted, if it is not to be believed.
    pub(super) fn unprotect(
        &mut self,
        channel: Channel,
        datagram: &mut Datagram<'_>,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let error = match self.srtp.unprotect(channel, datagram) {
            Ok(octets) => {
                datagram.truncate(octets);
                return true;
            }
            Err(error) => error,
        };
        let (figures, counters) = (&mut self.srtp.figures, &mut *around.counters);
        let (of_leg, of_worker) = match error {
            RtpError::SrtpTag { .. } => {
                (&mut figures.authentication_failed, &mut counters.dropped_authentication)
            }
            RtpError::SrtpReplay { .. } => (&mut figures.replayed, &mut counters.dropped_replay),
            RtpError::SrtpStreams { .. } | RtpError::SrtpKeyUsedUp => {
                (&mut figures.exhausted, &mut counters.dropped_exhausted)
            }
            _ => (&mut self.malformed, &mut counters.dropped_malformed),
        };
        *of_leg += 1;
        *of_worker += 1;
        false
    }
}
