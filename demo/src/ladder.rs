//! The ladder of a call: the steps of the patent's figures with the time of each.
//!
//! Every program logs the step it takes (target `ladder`, field `step`) with the called number in
//! E.164; the ladder of a call is what was logged for its number since its first step.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::program::LogEvent;

/// A step after which the next one for the same number belongs to a new call.
const LAST_STEP: u64 = 413;

/// Prints the ladders of all calls as their steps come in.
#[derive(Debug, Default)]
pub struct Ladder {
    begun: BTreeMap<String, Begun>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    at: Instant,
    last_step: u64,
}

impl Ladder {
    /// The line to print for an event, if it is a step.
    pub fn line(&mut self, event: &LogEvent) -> Option<String> {
        if event.text("target") != "ladder" {
            return None;
        }
        let step = event.fields.get("step")?.as_u64()?;
        let number = event.text("number").to_owned();
        let begun =
            self.begun.entry(number.clone()).or_insert(Begun { at: event.at, last_step: step });
        // Steps climb; one that falls back far behind begins the next call. A page has no number
        // yet: its steps are its own.
        let is_new = begun.last_step >= LAST_STEP && step < LAST_STEP
            || step + 3 < begun.last_step
            || number.is_empty() && step <= begun.last_step
            || event.at.duration_since(begun.at).as_secs() > 300;
        if is_new {
            *begun = Begun { at: event.at, last_step: step };
        }
        begun.last_step = begun.last_step.max(step);
        let ms = event.at.duration_since(begun.at).as_secs_f64() * 1000.0;
        Some(format!("  {step}  {ms:>9.1} ms  {:<12} {}", event.program, event.text("message"),))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn event(at: Instant, step: u64) -> LogEvent {
        let fields = json!({
            "target": "ladder", "step": step, "number": "+81333331234", "message": "something"
        });
        LogEvent { program: "gateway-a".into(), at, fields }
    }

    #[test]
    fn times_run_from_the_first_step_of_each_call() {
        let mut ladder = Ladder::default();
        let t0 = Instant::now();
        let at = |ms| t0 + Duration::from_millis(ms);
        assert!(ladder.line(&event(at(0), 405)).unwrap().contains("405        0.0 ms"));
        assert!(ladder.line(&event(at(250), 413)).unwrap().contains("413      250.0 ms"));
        assert!(ladder.line(&event(at(9_000), 405)).unwrap().contains("405        0.0 ms"));
    }

    #[test]
    fn other_log_lines_are_no_steps() {
        let fields = json!({"target": "trunkline_gateway", "message": "call over"});
        let event = LogEvent { program: "gateway-a".into(), at: Instant::now(), fields };
        assert_eq!(Ladder::default().line(&event), None);
    }
}
