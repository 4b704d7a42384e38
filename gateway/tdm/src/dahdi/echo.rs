//! The driver's echo cancellers: on while a call with speech is on a timeslot, off for machines.
//!
//! The driver listens for answer tones too, but with a software canceller it only mutes what is
//! left of the echo. Here 2100 Hz with phase reversals switches the canceller off (G.168 §7, V.25
//! §3) until the call is over; without reversals, or when a fax begins to talk (T.30 §5.3.1), its
//! non-linear part goes off, which a half-duplex fax is well off with.

use trunkline_dsp::fax::{Event, FaxBank, Sound};
use trunkline_dsp::g711::Law;
use trunkline_dsp::lanes::{LANES, Row};

use crate::line::{BLOCK_SAMPLES_MAX, Block, Load, TIMESLOT_MAX};

/// Banks that have a lane for each timeslot.
const BANKS: usize = (TIMESLOT_MAX as usize + LANES) / LANES;

/// What the driver is to do on a timeslot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Switch {
    /// No canceller.
    #[default]
    Off,
    /// A canceller that knows nothing yet.
    On,
    /// The one that is on, for a fax.
    Fax,
}

/// Which way a block goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    FromLine,
    ToLine,
}

/// The cancellers of a span.
#[derive(Debug)]
pub(super) struct EchoCancellers {
    law: Law,
    switches: [Switch; TIMESLOT_MAX as usize + 1],
    /// Detectors by way and sixteen timeslots.
    banks: [[Bank; BANKS]; 2],
}

#[derive(Debug)]
struct Bank {
    fax: FaxBank,
    rows: Box<[Row; BLOCK_SAMPLES_MAX]>,
}

impl EchoCancellers {
    /// All off, on a span of this law.
    pub(super) fn new(law: Law) -> Self {
        let bank = || Bank { fax: FaxBank::new(), rows: Box::new([Row::ZERO; _]) };
        let banks = || std::array::from_fn(|_| bank());
        Self { law, switches: [Switch::Off; _], banks: [banks(), banks()] }
    }

    /// A call begins on a timeslot, or is over. Gives what is to be switched, if anything is.
    pub(super) fn carries(&mut self, timeslot: u8, load: Option<Load>) -> Option<Switch> {
        let (bank, lane) = place(timeslot);
        for way in &mut self.banks {
            way[bank].fax.reset(lane);
        }
        let switch = if load == Some(Load::Speech) { Switch::On } else { Switch::Off };
        let before = std::mem::replace(&mut self.switches[usize::from(timeslot)], switch);
        // A call behind another is one with an echo of its own.
        (switch == Switch::On || before != Switch::Off).then_some(switch)
    }

    /// Listens to a block for machines and reports what is to be switched.
    pub(super) fn listen(&mut self, way: Way, block: &Block, mut switch: impl FnMut(u8, Switch)) {
        let Self { law, switches, banks } = self;
        for (number, bank) in banks[way as usize].iter_mut().enumerate() {
            let timeslots = || (0..LANES).map(move |lane| (lane, (number * LANES + lane) as u8));
            let listened_to = |timeslot: u8| {
                switches.get(usize::from(timeslot)).is_some_and(|switch| *switch != Switch::Off)
            };
            if !timeslots().any(|(_, timeslot)| listened_to(timeslot)) {
                continue;
            }
            let rows = &mut bank.rows[..block.samples()];
            for (lane, timeslot) in timeslots() {
                if listened_to(timeslot) {
                    for (row, octet) in rows.iter_mut().zip(block.timeslot(timeslot)) {
                        row.0[lane] = law.decode(*octet).into();
                    }
                } else {
                    rows.iter_mut().for_each(|row| row.0[lane] = 0.0);
                }
            }
            bank.fax.process(rows, |lane, event| {
                let timeslot = number * LANES + lane;
                let Some(now) = switches.get_mut(timeslot) else { return };
                if let Some(wanted) = wanted(*now, event) {
                    *now = wanted;
                    switch(timeslot as u8, wanted);
                }
            });
        }
    }
}

fn place(timeslot: u8) -> (usize, usize) {
    (usize::from(timeslot) / LANES, usize::from(timeslot) % LANES)
}

/// What a sound switches a canceller to that is on.
fn wanted(now: Switch, event: Event) -> Option<Switch> {
    let wanted = match event {
        Event::Heard(Sound::Answer { reversals: true, .. }) => Switch::Off,
        Event::Heard(Sound::Answer { .. } | Sound::Preamble) if now == Switch::On => Switch::Fax,
        // A fax that calls may be answered by a person.
        _ => return None,
    };
    (now != Switch::Off).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2100 Hz, with its phase turned over each 450 ms or not.
    fn answer_tone(reversals: bool) -> impl Iterator<Item = i16> {
        let turn = std::f32::consts::TAU * 2_100.0 / 8_000.0;
        (0..).map(move |at: u32| {
            let sign = if reversals && at / 3_600 % 2 == 1 { -1.0 } else { 1.0 };
            (sign * 6_000.0 * (at as f32 * turn).sin()) as i16
        })
    }

    fn switched(
        cancellers: &mut EchoCancellers,
        way: Way,
        timeslot: u8,
        mut sound: impl Iterator<Item = i16>,
    ) -> Vec<(u8, Switch)> {
        let mut switched = Vec::new();
        for _ in 0..150 {
            let mut block = Block::new(80);
            for octet in block.timeslot_mut(timeslot) {
                *octet = Law::A.encode(sound.next().unwrap_or(0));
            }
            cancellers.listen(way, &block, |timeslot, switch| switched.push((timeslot, switch)));
        }
        switched
    }

    #[test]
    fn a_modem_switches_the_canceller_off_and_the_next_call_has_it_again() {
        for way in [Way::FromLine, Way::ToLine] {
            let mut cancellers = EchoCancellers::new(Law::A);
            for timeslot in [1, 15, 17, 31] {
                assert_eq!(cancellers.carries(timeslot, Some(Load::Speech)), Some(Switch::On));
            }
            let heard = switched(&mut cancellers, way, 17, answer_tone(true));
            assert_eq!(heard.last(), Some(&(17, Switch::Off)), "{heard:?}");
            assert!(heard.iter().all(|(timeslot, _)| *timeslot == 17), "{heard:?}");
            assert_eq!(cancellers.carries(17, None), None, "it is off");
            assert_eq!(cancellers.carries(17, Some(Load::Speech)), Some(Switch::On));
        }
    }

    #[test]
    fn a_fax_keeps_the_canceller_without_its_non_linear_part() {
        let mut cancellers = EchoCancellers::new(Law::A);
        cancellers.carries(4, Some(Load::Speech));
        let heard = switched(&mut cancellers, Way::FromLine, 4, answer_tone(false));
        assert_eq!(heard, [(4, Switch::Fax)]);
        assert_eq!(cancellers.carries(4, None), Some(Switch::Off));
    }

    #[test]
    fn data_has_no_canceller_and_speech_does_not_lose_it() {
        let mut cancellers = EchoCancellers::new(Law::A);
        assert_eq!(cancellers.carries(3, Some(Load::Data)), None);
        assert_eq!(switched(&mut cancellers, Way::FromLine, 3, answer_tone(true)), []);
        cancellers.carries(3, Some(Load::Speech));
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 19) as i16 - 4_096
        });
        assert_eq!(switched(&mut cancellers, Way::FromLine, 3, noise), []);
    }
}
