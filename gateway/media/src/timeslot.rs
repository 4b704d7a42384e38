//! The line's end of a leg: what a span (or a sound card) exchanges samples with.

mod player;
mod tones;

use trunkline_dsp::g711::Law;
use trunkline_rtp::playout::{PlayoutConfig, PlayoutStatistics};

use crate::bridge::{LineEnd, TimeslotBoard};
use player::Player;
use std::sync::Arc;

/// One timeslot's end of a leg.
///
/// It lives on the clock of the line: whoever owns it calls [`TimeslotEnd::exchange`] (or the
/// linear form) with one block of samples each way, of any length, as the line demands. No call
/// allocates, locks or enters the kernel. When the leg is closed it plays silence.
#[derive(Debug)]
pub struct TimeslotEnd {
    law: Law,
    player: Player,
    octets: rtrb::Producer<u8>,
    linear: rtrb::Producer<i16>,
    board: Arc<TimeslotBoard>,
}

impl TimeslotEnd {
    pub(crate) fn new(law: Law, playout: PlayoutConfig, line: LineEnd) -> Self {
        let LineEnd { taker, octets, linear, messages, board } = line;
        board.set_delay_max(playout.delay_max);
        let player = Player::new(law, playout, taker, messages, Arc::clone(&board));
        Self { law, player, octets, linear, board }
    }

    /// The law of [`TimeslotEnd::exchange`]'s octets.
    pub fn law(&self) -> Law {
        self.law
    }

    /// Takes a block of octets from the line and gives a block to the line, both in its law.
    ///
    /// Octets go through untouched when the RTP codec is the same law.
    pub fn exchange(&mut self, from_line: &[u8], to_line: &mut [u8]) {
        let (_, lost) = self.octets.push_partial_slice(from_line);
        if !lost.is_empty() {
            self.board.add_overflow(lost.len());
        }
        self.player.play_octets(to_line);
    }

    /// The same for linear samples, as of a microphone and a loudspeaker.
    pub fn exchange_linear(&mut self, mic: &[i16], speaker: &mut [i16]) {
        let (_, lost) = self.linear.push_partial_slice(mic);
        if !lost.is_empty() {
            self.board.add_overflow(lost.len());
        }
        self.player.play_linear(speaker);
    }

    /// What the playout has done so far.
    pub fn playout(&self) -> PlayoutStatistics {
        self.player.statistics()
    }
}
