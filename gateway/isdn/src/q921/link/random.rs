//! Two data links and a line that loses, damages and repeats frames, in any order of events.

use std::time::{Duration, Instant};

use super::*;
use crate::Side;

/// Numbers that look random and are the same on every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

/// The timers and variables fit the state, and nothing grows beyond its bound.
fn check(link: &DataLink) {
    let Ok(distance) = u8::try_from(link.outstanding.len()) else { panic!("{link:?}") };
    match link.state {
        LinkState::TeiAssigned4 => {
            assert!(link.t200.is_none() && link.t203.is_none(), "{link:?}");
            assert!(link.outstanding.is_empty() && link.queue.is_empty(), "{link:?}");
            assert!(!link.wanted || link.retry_at.is_some(), "{link:?}");
        }
        LinkState::AwaitingEstablishment5 | LinkState::AwaitingRelease6 => {
            assert!(link.t200.is_some() && link.t203.is_none(), "{link:?}");
            assert!(link.outstanding.is_empty(), "{link:?}");
        }
        LinkState::MultipleFrameEstablished7 => {
            assert!(link.t200.is_some() != link.t203.is_some(), "{link:?}");
            assert_eq!((link.va + distance) % MODULUS, link.vs, "{link:?}");
            let has_window = distance < link.configuration.k && !link.peer_busy;
            assert!(!has_window || link.queue.is_empty(), "a message waits for nothing: {link:?}");
        }
        LinkState::TimerRecovery8 => {
            assert!(link.t200.is_some() && link.t203.is_none(), "{link:?}");
            assert_eq!((link.va + distance) % MODULUS, link.vs, "{link:?}");
        }
    }
    assert!(distance <= link.configuration.k, "{link:?}");
    assert!(link.queue.len() <= QUEUE_MAX + usize::from(link.configuration.k), "{link:?}");
    assert!(link.retransmissions <= link.configuration.n200, "{link:?}");
    assert!(!link.acknowledge_pending, "an acknowledgement was forgotten: {link:?}");
}

struct Ends {
    now: Instant,
    links: [DataLink; 2],
    /// Frames on their way to each end.
    line: [VecDeque<Vec<u8>>; 2],
    dice: Dice,
}

impl Ends {
    fn drain(&mut self, end: usize) {
        while let Some(output) = self.links[end].poll_output() {
            if let LinkOutput::Frame(octets) = output {
                self.line[1 - end].push_back(octets);
            }
        }
        // A line that carries nothing is no reason to hold what was sent for ever.
        while self.line[1 - end].len() > 64 {
            self.line[1 - end].pop_front();
        }
    }

    fn step(&mut self) {
        let end = self.dice.roll(2) as usize;
        let now = self.now;
        match self.dice.roll(100) {
            0 => self.links[end].release(now),
            1 => self.links[end].line_lost(),
            2..=9 => self.links[end].establish(now),
            10..=24 => {
                let size = 1 + self.dice.roll(270) as usize;
                self.links[end].data(now, vec![7; size]);
            }
            25..=39 => self.pass(),
            40..=42 => drop(self.line[end].pop_front()),
            43..=45 => self.damage(end),
            46..=47 => self.repeat(end),
            _ => {
                if let Some(octets) = self.line[end].pop_front() {
                    self.links[end].frame(now, &octets);
                }
            }
        }
        for end in [0, 1] {
            self.drain(end);
            check(&self.links[end]);
        }
    }

    /// To the next deadline, or not quite.
    fn pass(&mut self) {
        let deadline = self.links.iter().filter_map(DataLink::next_deadline).min();
        let step = Duration::from_millis(self.dice.roll(400));
        self.now = deadline.map_or(self.now + step, |at| at.min(self.now + step));
        for link in &mut self.links {
            link.timeout(self.now);
        }
    }

    /// A frame whose FCS happens to be right, or one that somebody makes up.
    fn damage(&mut self, end: usize) {
        let (bit, made_up) = (self.dice.roll(64) as usize, self.dice.roll(2) == 0);
        let octets = if made_up {
            let size = self.dice.roll(12) as usize;
            let mut octets: Vec<u8> = (0..size).map(|_| self.dice.roll(256) as u8).collect();
            // An address that is right, or nothing would get further.
            octets
                .splice(..size.min(2), [(self.dice.roll(2) << 1) as u8, 1].into_iter().take(size));
            Some(octets)
        } else {
            self.line[end].pop_front().map(|mut octets| {
                if let Some(octet) = octets.get_mut(bit / 8) {
                    *octet ^= 1 << (bit % 8);
                }
                octets
            })
        };
        if let Some(octets) = octets {
            self.links[end].frame(self.now, &octets);
        }
    }

    fn repeat(&mut self, end: usize) {
        if let Some(octets) = self.line[end].front().cloned() {
            self.line[end].push_front(octets);
        }
    }
}

/// Runs `events`, then lets the line be good and both ends want the link: it comes up and carries.
fn run(seed: u64, events: u32) {
    let link = |side| DataLink::new(LinkConfiguration::new(side));
    let mut ends = Ends {
        now: Instant::now(),
        links: [link(Side::User), link(Side::Network)],
        line: [VecDeque::new(), VecDeque::new()],
        dice: Dice(seed),
    };
    for _ in 0..events {
        ends.step();
    }
    for end in [0, 1] {
        let now = ends.now;
        ends.links[end].establish(now);
    }
    let until = ends.now + Duration::from_secs(60);
    while ends.now < until {
        for end in [0, 1] {
            ends.drain(end);
            while let Some(octets) = ends.line[end].pop_front() {
                let now = ends.now;
                ends.links[end].frame(now, &octets);
                ends.drain(end);
            }
        }
        ends.now += Duration::from_millis(100);
        for link in &mut ends.links {
            link.timeout(ends.now);
            link.establish(ends.now);
        }
    }
    assert!(ends.links.iter().all(DataLink::is_up), "seed {seed}: {:?}", ends.links);
}

#[test]
fn a_million_random_events_never_reach_an_undefined_state() {
    for seed in 1..=100 {
        run(seed, 10_000);
    }
}
