//! An interface whose other end says anything at all. Shared by the fuzz target and the test that
//! replays its corpus.

use std::time::{Duration, Instant};

use trunkline_isdn::q921::{DataLink, LinkConfiguration, LinkOutput};
use trunkline_isdn::{
    CallId, Configuration, Indication, Output, PrimaryRate, Request, ServiceState, Setup, Side,
    Variant,
};

/// Makes steps of the octets: what the other end sends, what the owner asks, time. In the end,
/// with the line gone, no call is left.
pub fn drive(bytes: &[u8]) {
    let [first, steps @ ..] = bytes else { return };
    let mut rest = steps;
    let side = if first & 1 == 0 { Side::User } else { Side::Network };
    let variant = Variant::ALL[usize::from(first >> 1) % Variant::ALL.len()];
    let mut ends = Ends {
        now: Instant::now(),
        ours: PrimaryRate::new(Configuration::new(side, variant)),
        peer: DataLink::new(LinkConfiguration::new(side.other())),
        calls: Vec::new(),
        released: 0,
        begun: 0,
        line_is_up: true,
    };
    ends.ours.line_up(ends.now);
    ends.peer.establish(ends.now);
    ends.carry();
    while let [step, more @ ..] = rest {
        rest = more;
        let size = usize::from(*step) & 0x3f;
        match step >> 6 {
            // A message of so many octets, with the discriminator that Q.931 has.
            0 | 1 => {
                let (message, more) = rest.split_at(size.min(rest.len()));
                rest = more;
                let mut octets = vec![8];
                octets.extend_from_slice(message);
                ends.peer.data(ends.now, octets);
            }
            2 => ends.ask(size),
            _ => ends.pass(Duration::from_millis(500 * size as u64)),
        }
        ends.carry();
    }
    ends.set_line(false);
    ends.carry();
    // T309, and T305 and T308 of what it lets go.
    for _ in 0..8 {
        ends.pass(Duration::from_secs(100));
    }
    assert_eq!(ends.ours.calls(), 0);
    assert_eq!(ends.begun, ends.released, "every call ends once");
}

struct Ends {
    now: Instant,
    ours: PrimaryRate,
    peer: DataLink,
    calls: Vec<CallId>,
    begun: usize,
    released: usize,
    line_is_up: bool,
}

impl Ends {
    /// Carries frames until nothing is left to do.
    fn carry(&mut self) {
        for _ in 0..10_000 {
            let mut quiet = true;
            while let Some(output) = self.ours.poll_output() {
                quiet = false;
                match output {
                    Output::Frame(octets) if self.line_is_up => self.peer.frame(self.now, &octets),
                    Output::Call { call, indication: Indication::Setup(_) } => {
                        self.calls.push(call);
                        self.begun += 1;
                    }
                    Output::Call { indication: Indication::Released { .. }, .. } => {
                        self.released += 1;
                    }
                    _ => {}
                }
            }
            while let Some(output) = self.peer.poll_output() {
                quiet = false;
                if let LinkOutput::Frame(octets) = output
                    && self.line_is_up
                {
                    self.ours.frame(self.now, &octets);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the ends never come to rest");
    }

    fn ask(&mut self, what: usize) {
        let request = match what & 0x0f {
            0 => Request::Proceeding,
            1 => Request::Progress,
            2 => Request::Alerting { in_band: true },
            3 => Request::Connect,
            4 => Request::MoreDigits { dial_tone: true },
            5 => Request::Digits { digits: "12".into(), complete: false },
            6 => Request::Enquire,
            7 => Request::Notify { description: 0 },
            8 => Request::Disconnect { cause: 16, in_band: false },
            9 => Request::Disconnect { cause: 17, in_band: true },
            10 => {
                self.ours.restart(self.now, None);
                return;
            }
            11 => {
                // Calls wait for a line that comes back.
                self.set_line(!self.line_is_up);
                return;
            }
            12 => {
                // Not every variant has it.
                let _ = self.ours.announce_service(self.now, 1, ServiceState::OutOfService);
                return;
            }
            channel => {
                let exclusive = channel & 1 == 0;
                let setup = Setup { channel: channel as u8 - 12, exclusive, ..Setup::default() };
                if let Ok(call) = self.ours.setup(self.now, &setup) {
                    self.calls.push(call);
                    self.begun += 1;
                }
                return;
            }
        };
        let Some(call) = self.calls.iter().rev().nth(what >> 4) else { return };
        // It may not fit the call's state.
        let _ = self.ours.request(self.now, *call, request);
    }

    fn set_line(&mut self, is_up: bool) {
        self.line_is_up = is_up;
        if is_up {
            self.ours.line_up(self.now);
        } else {
            self.ours.line_down(self.now);
        }
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        for _ in 0..10_000 {
            let next = self.ours.next_deadline().into_iter().chain(self.peer.next_deadline()).min();
            let Some(at) = next.filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = at.max(self.now);
            self.ours.timeout(self.now);
            self.peer.timeout(self.now);
            self.carry();
        }
        panic!("time stands still");
    }
}
