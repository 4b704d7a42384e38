//! Why a call failed, in words for the person who made it.

/// The reason in words for a Q.850 cause, or a SIP status where no cause came with it.
pub fn why_it_failed(cause: Option<u8>, status: u16) -> &'static str {
    match cause {
        Some(1 | 2 | 22) => return "unknown number: nobody has this number",
        Some(3) => return "unknown number: the gateway has no way to it",
        Some(17) => return "busy: the other person is on the telephone",
        Some(18 | 19 | 20 | 102) => return "no answer: nobody picked up",
        Some(21) => return "refused: the call was rejected",
        Some(28) => return "unknown number: it is not complete",
        Some(34 | 42 | 44 | 47) => return "gateway full: all lines are busy, try again later",
        Some(27 | 38 | 41) => return "out of order: the line behind the gateway does not work",
        Some(58 | 63 | 65 | 79 | 88) => return "not possible: no common way to carry the voice",
        _ => {}
    }
    match status {
        404 | 410 | 484 | 604 => "unknown number: nobody has this number",
        408 | 480 => "no answer: nobody picked up",
        486 | 600 => "busy: the other person is on the telephone",
        401 | 403 | 407 | 603 => "refused: the call was rejected",
        488 | 606 => "not possible: no common way to carry the voice",
        503 => "gateway full: all lines are busy, try again later",
        _ => "failed: the gateway could not make the call",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_says_more_than_the_status() {
        assert!(why_it_failed(Some(34), 503).starts_with("gateway full"));
        assert!(why_it_failed(Some(38), 503).starts_with("out of order"));
        assert!(why_it_failed(Some(17), 486).starts_with("busy"));
        assert!(why_it_failed(Some(19), 480).starts_with("no answer"));
        assert!(why_it_failed(None, 404).starts_with("unknown number"));
    }
}
