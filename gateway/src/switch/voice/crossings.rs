//! The voice of calls from line to line: two B channels joined to one another, without RTP.

use serde_json::{Value, json};
use trunkline_call::LegId;
use trunkline_call::trunk::BChannel;
use trunkline_dsp::g711::Law;
use trunkline_media::{CrossBoard, CrossEnd, CrossFigures, cross};

use super::{End, OnTimeslot, Voice};

/// A joint of two B channels.
#[derive(Debug)]
pub(super) struct Crossing {
    /// The called side's end, while it sits on no channel.
    far: Option<Box<CrossEnd>>,
    board: CrossBoard,
}

/// What went through a B channel that is joined to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// From the other channel to this one's line.
    pub to_line: CrossFigures,
    /// From this one's line to the other.
    pub from_line: CrossFigures,
}

impl Voice {
    /// Joins the B channels of a caller and of whoever is called for it. Gives what to attach and
    /// where; the called side's end may still sit on the channel that was tried before, and comes by
    /// [`Voice::came_back`].
    pub fn cross(
        &mut self,
        caller: LegId,
        own: BChannel,
        called: BChannel,
    ) -> Vec<(BChannel, OnTimeslot)> {
        let bearer = |end| OnTimeslot { leg: caller, end };
        if let Some(crossing) = self.crossings.get_mut(&caller) {
            return match crossing.far.take() {
                Some(far) => vec![(called, bearer(End::Called(far)))],
                None => {
                    self.waiting.insert(caller, called);
                    Vec::new()
                }
            };
        }
        // Every span of this gateway is A-law.
        let (near, far, board) = cross(Law::A, Law::A);
        self.crossings.insert(caller, Crossing { far: None, board });
        vec![
            (own, bearer(End::Calling(Box::new(near)))),
            (called, bearer(End::Called(Box::new(far)))),
        ]
    }

    /// The call of this caller is over: what went through its own channel, and what through the one
    /// that it was joined to.
    pub fn uncross(&mut self, caller: LegId) -> Option<[Crossed; 2]> {
        self.waiting.remove(&caller);
        let [to_caller, to_called] = self.crossings.remove(&caller)?.board.figures();
        Some([
            Crossed { to_line: to_caller, from_line: to_called },
            Crossed { to_line: to_called, from_line: to_caller },
        ])
    }

    /// The called side's end has left its channel.
    pub(super) fn far_end_came_back(&mut self, caller: LegId, far: Box<CrossEnd>) {
        if let Some(crossing) = self.crossings.get_mut(&caller) {
            crossing.far = Some(far);
        }
    }
}

/// The figures as they go into a call record.
pub fn crossed(figures: &Crossed) -> Value {
    json!({
        "octets_from_line": figures.from_line.octets,
        "octets_to_line": figures.to_line.octets,
        "slips": figures.to_line.slips,
        "octets_inserted": figures.to_line.octets_inserted,
        "octets_dropped": figures.to_line.octets_dropped,
        "delay_ms": figures.to_line.delay_samples as f64 / 8.0,
    })
}
