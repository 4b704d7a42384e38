//! The data link alone, frame by frame, under a virtual clock.

use std::time::{Duration, Instant};

use super::*;
use crate::Side;

struct Ends {
    now: Instant,
    user: DataLink,
    network: DataLink,
    heard_by_user: Vec<Vec<u8>>,
    heard_by_network: Vec<Vec<u8>>,
    /// So many frames from now on are lost, in both directions.
    lose: usize,
}

impl Ends {
    fn down() -> Self {
        Self {
            now: Instant::now(),
            user: DataLink::new(LinkConfiguration::new(Side::User)),
            network: DataLink::new(LinkConfiguration::new(Side::Network)),
            heard_by_user: Vec::new(),
            heard_by_network: Vec::new(),
            lose: 0,
        }
    }

    fn up() -> Self {
        let mut ends = Self::down();
        // Both at once, as on every primary rate interface after a line alarm.
        ends.user.establish(ends.now);
        ends.network.establish(ends.now);
        ends.run();
        assert_eq!(ends.states(), (UP, UP));
        ends
    }

    fn states(&self) -> (LinkState, LinkState) {
        (self.user.state(), self.network.state())
    }

    fn run(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(output) = self.user.poll_output() {
                quiet = false;
                let heard = &mut self.heard_by_user;
                carry(output, &mut self.network, heard, self.now, &mut self.lose);
            }
            while let Some(output) = self.network.poll_output() {
                quiet = false;
                let heard = &mut self.heard_by_network;
                carry(output, &mut self.user, heard, self.now, &mut self.lose);
            }
            if quiet {
                return;
            }
        }
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.run();
            let next =
                self.user.next_deadline().into_iter().chain(self.network.next_deadline()).min();
            let Some(at) = next.filter(|at| *at <= until) else { break };
            self.now = at;
            self.user.timeout(at);
            self.network.timeout(at);
        }
        self.now = until;
    }
}

const UP: LinkState = LinkState::MultipleFrameEstablished7;

fn carry(
    output: LinkOutput,
    to: &mut DataLink,
    heard: &mut Vec<Vec<u8>>,
    now: Instant,
    lose: &mut usize,
) {
    match output {
        LinkOutput::Frame(_) if *lose > 0 => *lose -= 1,
        LinkOutput::Frame(octets) => to.frame(now, &octets),
        LinkOutput::Data(message) => heard.push(message),
        LinkOutput::Established | LinkOutput::Released | LinkOutput::NotEstablished { .. } => {}
    }
}

#[test]
fn both_ends_that_establish_at_once_come_up() {
    Ends::up();
}

#[test]
fn one_end_alone_brings_the_link_up() {
    let mut ends = Ends::down();
    ends.network.establish(ends.now);
    ends.run();
    assert_eq!(ends.states(), (UP, UP));
}

#[test]
fn more_messages_than_the_window_arrive_in_order() {
    let mut ends = Ends::up();
    let messages: Vec<Vec<u8>> = (0..300_u16).map(|number| number.to_be_bytes().to_vec()).collect();
    for message in &messages {
        ends.user.data(ends.now, message.clone());
    }
    ends.run();
    assert_eq!(ends.heard_by_network, messages);
}

#[test]
fn no_more_than_k_frames_are_outstanding() {
    let mut ends = Ends::up();
    for number in 0..20_u8 {
        ends.user.data(ends.now, vec![number]);
    }
    let sent = std::iter::from_fn(|| ends.user.poll_output()).count();
    assert_eq!(sent, 7);
}

#[test]
fn lost_frames_are_repeated_after_t200_or_rej() {
    for lose in 1..6 {
        let mut ends = Ends::up();
        ends.lose = lose;
        for number in 0..12_u8 {
            ends.user.data(ends.now, vec![number]);
            ends.run();
        }
        ends.pass(Duration::from_secs(5));
        let expected: Vec<Vec<u8>> = (0..12_u8).map(|number| vec![number]).collect();
        assert_eq!(ends.heard_by_network, expected, "{lose} frames lost");
        assert_eq!(ends.states(), (UP, UP));
    }
}

#[test]
fn t203_asks_a_silent_peer_and_the_link_stays_up() {
    let mut ends = Ends::up();
    ends.pass(Duration::from_secs(25));
    assert!(ends.user.counters().recoveries >= 2);
    assert_eq!(ends.states(), (UP, UP));
    assert_eq!(ends.user.counters().established, 1);
}

#[test]
fn a_peer_that_is_gone_takes_the_link_down_after_n200_and_it_comes_back() {
    let mut ends = Ends::up();
    ends.lose = usize::MAX;
    // T203, 1 + N200 enquiries, then 1 + N200 SABME, each with T200.
    ends.pass(Duration::from_secs(10 + 4 + 4 + 1));
    assert!(!ends.user.is_up() && !ends.network.is_up());
    ends.lose = 0;
    ends.pass(Duration::from_secs(3));
    assert_eq!(ends.states(), (UP, UP));
}

#[test]
fn a_released_link_stays_down() {
    let mut ends = Ends::up();
    ends.network.line_lost();
    ends.user.release(ends.now);
    ends.pass(Duration::from_secs(20));
    assert_eq!(ends.states(), (LinkState::TeiAssigned4, LinkState::TeiAssigned4));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_establishes_anew() {
    let mut ends = Ends::up();
    let control = Control::ReceiveReady { nr: 5 };
    let frame = Frame { is_command: false, poll_final: false, control };
    ends.user.frame(ends.now, &frame.encode(Side::Network));
    assert_eq!(ends.user.state(), LinkState::AwaitingEstablishment5);
    ends.run();
    assert_eq!(ends.states(), (UP, UP));
}

#[test]
fn a_message_over_n201_establishes_anew_and_does_not_block_the_next() {
    let mut ends = Ends::down();
    ends.network = DataLink::new(LinkConfiguration {
        n201_octets: 300,
        ..LinkConfiguration::new(Side::Network)
    });
    ends.user.establish(ends.now);
    ends.network.establish(ends.now);
    ends.run();
    ends.network.data(ends.now, vec![1; 280]);
    ends.run();
    ends.pass(Duration::from_secs(3));
    ends.network.data(ends.now, vec![2; 20]);
    ends.run();
    assert_eq!(ends.heard_by_user, [vec![2; 20]]);
    assert_eq!(ends.states(), (UP, UP));
}

#[test]
fn a_peer_that_is_not_ready_is_sent_nothing_until_it_is() {
    let mut ends = Ends::up();
    let not_ready =
        Frame { is_command: false, poll_final: false, control: Control::ReceiveNotReady { nr: 0 } };
    ends.user.frame(ends.now, &not_ready.encode(Side::Network));
    ends.user.data(ends.now, vec![1]);
    assert_eq!(ends.user.poll_output(), None);
    let ready =
        Frame { is_command: false, poll_final: false, control: Control::ReceiveReady { nr: 0 } };
    ends.user.frame(ends.now, &ready.encode(Side::Network));
    ends.run();
    assert_eq!(ends.heard_by_network, [[1]]);
}

#[test]
fn a_link_keeps_to_the_parameters_that_it_is_set_up_with() {
    let ms = Duration::from_millis;
    let configuration = LinkConfiguration {
        t200: ms(700),
        t203: ms(4_000),
        n200: 5,
        n201_octets: 100,
        k: 2,
        ..LinkConfiguration::new(Side::User)
    };
    let mut now = Instant::now();
    let mut link = DataLink::new(configuration);
    let sent = |link: &mut DataLink| {
        let frame = |output| matches!(output, LinkOutput::Frame(_)).then_some(());
        std::iter::from_fn(|| link.poll_output()).filter_map(frame).count()
    };
    link.establish(now);
    for _ in 0..5 {
        assert_eq!((sent(&mut link), link.next_deadline()), (1, Some(now + ms(700))));
        now += ms(700);
        link.timeout(now);
    }
    // UA answers the last repetition.
    assert_eq!(sent(&mut link), 1);
    link.frame(now, &[0x00, 0x01, 0x73]);
    assert!(link.is_up());
    assert_eq!(link.next_deadline(), Some(now + ms(4_000)));
    link.data(now, vec![0; 101]);
    assert_eq!((sent(&mut link), link.counters().messages_too_long), (0, 1));
    for _ in 0..5 {
        link.data(now, vec![0; 100]);
    }
    assert_eq!(sent(&mut link), 2);
}
