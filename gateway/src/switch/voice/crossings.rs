//! The voice of calls from line to line: two B channels joined to one another, without RTP.

use serde_json::{Value, json};
use trunkline_call::LegId;
use trunkline_call::trunk::BChannel;
use trunkline_media::{CrossBoard, CrossEnd, CrossFigures, cross};

use super::{End, OnTimeslot, Voice};

/// A joint of two B channels.
#[derive(Debug)]
pub(super) struct Crossing {
    /// The called side's end, while it sits on no channel.
    far: Option<Box<CrossEnd>>,
    /// What goes through is data, in which no octet may change.
    is_data: bool,
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
    /// Joins the B channels of a caller and of whoever is called for it, octet for octet if it is
    /// data and in each line's law if it is speech. Gives what to attach and
    /// where; the called side's end may still sit on the channel that was tried before, and comes by
    /// [`Voice::came_back`].
    pub fn cross(
        &mut self,
        caller: LegId,
        own: BChannel,
        called: BChannel,
        is_data: bool,
    ) -> Vec<(BChannel, OnTimeslot)> {
        if let Some(crossing) = self.crossings.get_mut(&caller) {
            return match crossing.far.take() {
                Some(far) => {
                    vec![(called, self.on(called, caller, End::Called(far), is_data))]
                }
                None => {
                    self.waiting.insert(caller, called);
                    Vec::new()
                }
            };
        }
        let own_law = self.settings.law_of(own);
        let called_law = if is_data { own_law } else { self.settings.law_of(called) };
        let (near, far, board) = cross(own_law, called_law);
        self.crossings.insert(caller, Crossing { far: None, is_data, board });
        let (near, far) = (End::Calling(Box::new(near)), End::Called(Box::new(far)));
        vec![
            (own, self.on(own, caller, near, is_data)),
            (called, self.on(called, caller, far, is_data)),
        ]
    }

    /// What this caller's call carries from line to line is data.
    pub(super) fn is_data(&self, caller: LegId) -> bool {
        self.crossings.get(&caller).is_some_and(|crossing| crossing.is_data)
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
