//! A gateway's side of its registration: when to say what to a directory. No socket, no clock;
//! [`connection`] has both.

pub mod connection;

use std::time::{Duration, Instant};

use crate::fleet::Report;

/// Keeps one directory informed. Ask [`Registrar::poll_request`] after every call, and do one
/// request at a time.
#[derive(Debug)]
pub struct Registrar {
    phase: Phase,
    /// How the gateway is.
    report: Report,
    /// A request is under way.
    is_waiting: bool,
    failures: u32,
}

#[derive(Debug)]
enum Phase {
    /// To be registered at this time.
    Away { at: Instant },
    /// Registered.
    Here {
        lease: String,
        keep_alive: Duration,
        told: Option<Report>,
        told_at: Instant,
        at: Instant,
    },
    /// To be taken leave of.
    Leaving { lease: Option<String> },
    /// Over.
    Gone,
}

/// What to ask of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Register.
    Register,
    /// Tell how the gateway is.
    Report {
        /// The lease.
        lease: String,
        /// How it is.
        report: Report,
    },
    /// Leave.
    Leave {
        /// The lease.
        lease: String,
    },
}

/// What has become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Registered.
    Granted {
        /// To be shown.
        lease: String,
        /// How long the gateway may be silent.
        lasts: Duration,
    },
    /// Taken in.
    Done,
    /// The directory does not know the lease (any more).
    NoLease,
    /// No answer, or one that says no.
    Failed,
}

/// Free circuits are told when they have changed by this share of all, or are the first or last.
const STEP: u32 = 10;

/// Such changes are told no more often.
const STEP_EVERY: Duration = Duration::from_secs(1);

/// A directory that fails is asked again after so long, then twice as long and so on.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

impl Registrar {
    /// A gateway that is so; it registers at once.
    pub fn new(now: Instant, report: Report) -> Self {
        Self { phase: Phase::Away { at: now }, report, is_waiting: false, failures: 0 }
    }

    /// The gateway is so now.
    pub fn tell(&mut self, now: Instant, report: Report) {
        self.report = report;
        let Phase::Here { told, told_at, at, .. } = &mut self.phase else {
            return;
        };
        match told.as_ref().map(|told| Difference::between(told, &self.report)) {
            Some(Difference::None) => {}
            Some(Difference::Small) => *at = (*at).min(*told_at + STEP_EVERY).max(now),
            Some(Difference::Service) => *at = now,
            // It is told all the same, at the time that is set.
            None => {}
        }
    }

    /// The gateway ends.
    pub fn leave(&mut self) {
        let lease = match std::mem::replace(&mut self.phase, Phase::Gone) {
            Phase::Here { lease, .. } => Some(lease),
            Phase::Leaving { lease } => lease,
            // One that is being granted is known soon.
            Phase::Away { .. } if self.is_waiting => None,
            Phase::Away { .. } | Phase::Gone => return,
        };
        self.phase = Phase::Leaving { lease };
    }

    /// Whether the directory has it.
    pub fn is_registered(&self) -> bool {
        matches!(self.phase, Phase::Here { .. })
    }

    /// Whether there is nothing more to be done.
    pub fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// When [`Registrar::poll_request`] has something.
    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Away { at } | Phase::Here { at, .. } if !self.is_waiting => Some(*at),
            _ => None,
        }
    }

    /// What to ask now.
    pub fn poll_request(&mut self, now: Instant) -> Option<Request> {
        if self.is_waiting {
            return None;
        }
        let request = match &mut self.phase {
            Phase::Away { at } if *at <= now => Request::Register,
            Phase::Here { lease, keep_alive, told, told_at, at } if *at <= now => {
                *told = Some(self.report.clone());
                *told_at = now;
                *at = now + *keep_alive;
                Request::Report { lease: lease.clone(), report: self.report.clone() }
            }
            Phase::Leaving { lease: Some(lease) } => Request::Leave { lease: lease.clone() },
            _ => return None,
        };
        self.is_waiting = true;
        Some(request)
    }

    /// The request was answered, or not.
    pub fn answered(&mut self, now: Instant, reply: Reply) {
        self.is_waiting = false;
        let phase = std::mem::replace(&mut self.phase, Phase::Gone);
        if matches!(reply, Reply::Failed) {
            self.failures += 1;
        } else {
            self.failures = 0;
        }
        let retry = RETRY.1.min(RETRY.0 * 2_u32.saturating_pow(self.failures.saturating_sub(1)));
        self.phase = match (phase, reply) {
            (Phase::Away { .. }, Reply::Granted { lease, lasts }) => {
                // Two may be lost. What a registration does not tell follows at once.
                Phase::Here { lease, keep_alive: lasts / 3, told: None, told_at: now, at: now }
            }
            (Phase::Away { .. }, _) => Phase::Away { at: now + retry.max(RETRY.0) },
            (Phase::Here { .. }, Reply::NoLease) => Phase::Away { at: now },
            (Phase::Here { lease, keep_alive, told_at, .. }, Reply::Failed) => {
                let at = now + retry.min(keep_alive);
                Phase::Here { lease, keep_alive, told: None, told_at, at }
            }
            (here @ Phase::Here { .. }, _) => here,
            (Phase::Leaving { lease: None }, Reply::Granted { lease, .. }) => {
                Phase::Leaving { lease: Some(lease) }
            }
            // Whoever cannot be told finds out by itself.
            (Phase::Leaving { .. } | Phase::Gone, _) => Phase::Gone,
        };
        // What came while the request was under way.
        let report = self.report.clone();
        self.tell(now, report);
    }
}

/// How far what was told is from what is.
enum Difference {
    None,
    /// Circuits came free or were taken, fewer than make a step.
    Small,
    /// It changes whether calls can go there, or by a whole step.
    Service,
}

impl Difference {
    fn between(told: &Report, is: &Report) -> Self {
        if told == is {
            return Self::None;
        }
        let same_groups = told.groups.len() == is.groups.len();
        if told.draining != is.draining || told.alarms != is.alarms || !same_groups {
            return Self::Service;
        }
        let service = told
            .groups
            .iter()
            .zip(&is.groups)
            .any(|(told, is)| told.alarmed != is.alarmed || (told.free == 0) != (is.free == 0));
        if service { Self::Service } else { Self::Small }
    }
}

/// Free circuits in steps: what lies between them is not told. None and all are told exactly.
pub fn in_steps(free: u32, circuits: u32) -> u32 {
    let step = (circuits / STEP).max(1);
    if free >= circuits { circuits } else { free.div_ceil(step).saturating_mul(step).min(circuits) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fleet::GroupReport;

    fn free(free: u32) -> Report {
        Report { groups: vec![GroupReport { free, alarmed: false }], ..Report::default() }
    }

    fn granted() -> Reply {
        Reply::Granted { lease: "1".into(), lasts: Duration::from_secs(6) }
    }

    fn ms(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn here(start: Instant) -> Registrar {
        let mut registrar = Registrar::new(start, free(30));
        assert_eq!(registrar.poll_request(start), Some(Request::Register));
        registrar.answered(start, granted());
        assert_eq!(told(&mut registrar, start), Some(30));
        registrar.answered(start, Reply::Done);
        registrar
    }

    fn told(registrar: &mut Registrar, now: Instant) -> Option<u32> {
        match registrar.poll_request(now) {
            Some(Request::Report { report, .. }) => Some(report.groups[0].free),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lease_is_kept_alive_three_times_in_its_length() {
        let start = Instant::now();
        let mut registrar = here(start);
        assert_eq!(registrar.next_deadline(), Some(ms(start, 2_000)));
        assert_eq!(told(&mut registrar, ms(start, 1_999)), None);
        assert_eq!(told(&mut registrar, ms(start, 2_000)), Some(30));
        // One at a time.
        assert_eq!(registrar.next_deadline(), None);
        registrar.answered(ms(start, 2_010), Reply::Done);
        assert_eq!(registrar.next_deadline(), Some(ms(start, 4_000)));
    }

    #[test]
    fn last_circuit_is_told_at_once_and_others_once_a_second() {
        let start = Instant::now();
        let mut registrar = here(start);
        registrar.tell(ms(start, 100), free(27));
        assert_eq!(registrar.next_deadline(), Some(ms(start, 1_000)));
        registrar.tell(ms(start, 200), free(0));
        assert_eq!(told(&mut registrar, ms(start, 200)), Some(0));
        // It changes while the request is under way.
        registrar.tell(ms(start, 210), free(3));
        registrar.answered(ms(start, 220), Reply::Done);
        assert_eq!(told(&mut registrar, ms(start, 220)), Some(3));
    }

    #[test]
    fn directory_that_forgot_the_lease_is_registered_at_again() {
        let start = Instant::now();
        let mut registrar = here(start);
        told(&mut registrar, ms(start, 2_000));
        registrar.answered(ms(start, 2_001), Reply::NoLease);
        assert_eq!(registrar.poll_request(ms(start, 2_001)), Some(Request::Register));
        assert!(!registrar.is_registered());
    }

    #[test]
    fn silent_directory_is_asked_again_ever_more_slowly() {
        let start = Instant::now();
        let mut registrar = Registrar::new(start, free(1));
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert_eq!(registrar.poll_request(now), Some(Request::Register));
            registrar.answered(now, Reply::Failed);
            let next = registrar.next_deadline().unwrap();
            waits.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
    }

    #[test]
    fn report_that_failed_is_tried_again_after_a_while_and_not_at_once() {
        let start = Instant::now();
        let mut registrar = here(start);
        told(&mut registrar, ms(start, 2_000));
        registrar.answered(ms(start, 2_000), Reply::Failed);
        registrar.tell(ms(start, 2_100), free(0));
        assert_eq!(registrar.next_deadline(), Some(ms(start, 2_500)));
        assert_eq!(told(&mut registrar, ms(start, 2_500)), Some(0));
    }

    #[test]
    fn gateway_that_ends_takes_leave_even_if_it_was_only_coming() {
        let start = Instant::now();
        let mut registrar = here(start);
        registrar.leave();
        assert_eq!(registrar.poll_request(start), Some(Request::Leave { lease: "1".into() }));
        registrar.answered(start, Reply::Done);
        assert!(registrar.is_gone());
        let mut coming = Registrar::new(start, free(1));
        coming.poll_request(start);
        coming.leave();
        assert_eq!(coming.poll_request(start), None);
        coming.answered(start, granted());
        assert_eq!(coming.poll_request(start), Some(Request::Leave { lease: "1".into() }));
        let mut never = Registrar::new(start, free(1));
        never.leave();
        assert!(never.is_gone());
    }

    #[test]
    fn free_circuits_are_told_in_tenths_but_none_and_all_exactly() {
        let steps: Vec<u32> = [0, 1, 3, 4, 29, 30, 31].map(|free| in_steps(free, 30)).to_vec();
        assert_eq!(steps, [0, 3, 3, 6, 30, 30, 30]);
        assert_eq!(in_steps(3, 5), 3);
    }

    proptest! {
        /// Whatever comes, a registrar that has not left has a deadline or waits for an answer.
        #[test]
        fn it_never_stands_still(steps in proptest::collection::vec((0_u8..6, 0_u64..5_000), 1..100)) {
            let mut now = Instant::now();
            let mut registrar = Registrar::new(now, free(30));
            for (step, passed) in steps {
                now += Duration::from_millis(passed);
                registrar.poll_request(now);
                match step {
                    0 => registrar.tell(now, free(passed as u32 % 31)),
                    1 if registrar.is_waiting => registrar.answered(now, granted()),
                    2 if registrar.is_waiting => registrar.answered(now, Reply::Done),
                    3 if registrar.is_waiting => registrar.answered(now, Reply::NoLease),
                    4 if registrar.is_waiting => registrar.answered(now, Reply::Failed),
                    _ => {}
                }
                prop_assert!(registrar.is_waiting || registrar.next_deadline().is_some());
            }
        }
    }
}
