//! Calls from the line that are dialled digit by digit, until their number is whole (overlap
//! receiving, Q.931 §5.2.4). Call control hears of them only then.

use std::collections::HashMap;

use trunkline_call::trunk::{BChannel, SpanIndex};
use trunkline_isdn::{CallId, Setup};

/// The calls whose numbers are not whole yet.
#[derive(Debug, Default)]
pub struct Dialling {
    calls: HashMap<(SpanIndex, CallId), Setup>,
}

impl Dialling {
    /// Whether more digits of this call's number may come, where a number has `whole_at` of them.
    pub fn is_to_wait(setup: &Setup, whole_at: Option<u8>) -> bool {
        let whole_at = whole_at.map_or(0, usize::from);
        !setup.sending_complete && setup.called.digits.len() < whole_at
    }

    /// Keeps a call; its B channel is the caller's to seize.
    pub fn begin(&mut self, span: SpanIndex, call: CallId, setup: Setup) {
        self.calls.insert((span, call), setup);
    }

    /// More digits came, or (`complete`) no more will. Gives the call when its number is whole.
    pub fn digits(
        &mut self,
        span: SpanIndex,
        call: CallId,
        digits: &str,
        complete: bool,
        whole_at: Option<u8>,
    ) -> Option<Setup> {
        let setup = self.calls.get_mut(&(span, call))?;
        // Each message has as many as its length allows; a number has no more than that in all.
        if setup.called.digits.len() + digits.len() <= trunkline_isdn::DIGITS_MAX {
            setup.called.digits.push_str(digits);
        } else {
            setup.sending_complete = true;
        }
        setup.sending_complete |= complete;
        if Self::is_to_wait(setup, whole_at) { None } else { self.calls.remove(&(span, call)) }
    }

    /// This call is one of them.
    pub fn has(&self, span: SpanIndex, call: CallId) -> bool {
        self.calls.contains_key(&(span, call))
    }

    /// One of them has this channel.
    pub fn holds(&self, channel: BChannel) -> bool {
        let mut calls = self.calls.iter();
        calls.any(|((span, _), setup)| (*span, setup.channel) == (channel.span, channel.timeslot))
    }

    /// Forgets a call that is over, and gives its B channel.
    pub fn remove(&mut self, span: SpanIndex, call: CallId) -> Option<BChannel> {
        let setup = self.calls.remove(&(span, call))?;
        Some(BChannel { span, timeslot: setup.channel })
    }
}

#[cfg(test)]
mod tests {
    use trunkline_isdn::{Number, NumberType};

    use super::*;

    fn setup(digits: &str, sending_complete: bool) -> Setup {
        let called = Number::new(NumberType::Unknown, digits);
        Setup { channel: 7, called, sending_complete, ..Setup::default() }
    }

    #[test]
    fn a_number_is_whole_with_its_digits_or_when_the_other_end_says_so() {
        assert!(Dialling::is_to_wait(&setup("03", false), Some(10)));
        assert!(!Dialling::is_to_wait(&setup("0333331234", false), Some(10)));
        assert!(!Dialling::is_to_wait(&setup("110", true), Some(10)));
        assert!(!Dialling::is_to_wait(&setup("", false), None), "overlap receiving is off");
    }

    #[test]
    fn digits_are_put_together_until_the_number_is_whole() {
        let mut dialling = Dialling::default();
        let (span, call) = (1, CallId(4));
        dialling.begin(span, call, setup("03", false));
        assert_eq!(dialling.digits(span, call, "3333", false, Some(10)), None);
        assert_eq!(dialling.digits(0, call, "1234", false, Some(10)), None, "of another span");
        let whole = dialling.digits(span, call, "1234", false, Some(10)).expect("a whole number");
        assert_eq!(whole.called.digits, "0333331234");
        assert!(!dialling.has(span, call));
    }

    #[test]
    fn t302_makes_do_with_what_has_come() {
        let mut dialling = Dialling::default();
        dialling.begin(0, CallId(1), setup("0469", false));
        let short = dialling.digits(0, CallId(1), "", true, Some(10)).expect("no more digits come");
        assert_eq!((short.called.digits.as_str(), short.sending_complete), ("0469", true));
    }

    #[test]
    fn a_caller_who_hangs_up_while_dialling_gives_the_channel_back() {
        let mut dialling = Dialling::default();
        dialling.begin(2, CallId(9), setup("0", false));
        assert_eq!(dialling.remove(2, CallId(9)), Some(BChannel { span: 2, timeslot: 7 }));
        assert_eq!(dialling.remove(2, CallId(9)), None);
    }
}
