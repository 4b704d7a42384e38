//! Playout at a fixed delay, with our concealment: the best of these for each trace, known only
//! afterwards, is what a playout that cannot know the future has to be held against.

use trunkline_dsp::concealment::Concealment;
use trunkline_dsp::g711::Law;

use super::ours::PACKET;
use super::trace::{Arrival, PACKET_MS};

/// Plays `alaw`, in packets of 20 ms that come as the arrivals say, `delay_ms` after the last sample of
/// each was spoken.
pub fn play(arrivals: &[Arrival], alaw: &[u8], delay_ms: usize) -> Vec<i16> {
    let mut in_time = vec![false; alaw.len() / PACKET];
    for arrival in arrivals {
        let due_ms = f64::from(arrival.number + 1) * PACKET_MS + delay_ms as f64;
        if let Some(in_time) = in_time.get_mut(arrival.number as usize) {
            *in_time |= arrival.at_ms <= due_ms;
        }
    }
    let packets = alaw.chunks_exact(PACKET).zip(in_time);
    let played = packets.map(|(payload, in_time)| in_time.then_some(payload));
    let mut heard = vec![0; PACKET + delay_ms * 8];
    heard.extend(decoded(played));
    heard
}

/// A packet after the other; what is missing is concealed.
pub(super) fn decoded<'a>(packets: impl Iterator<Item = Option<&'a [u8]>>) -> Vec<i16> {
    let mut concealment = Concealment::new();
    let mut heard = Vec::new();
    for payload in packets {
        let mut block = [0; PACKET];
        match payload {
            Some(payload) => {
                Law::A.decode_block(payload, &mut block);
                concealment.good(&mut block);
            }
            None => concealment.conceal(&mut block),
        }
        heard.extend(block);
    }
    heard
}
