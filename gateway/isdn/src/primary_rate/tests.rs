//! Two sides of an interface talk to each other.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::q931::element::{
    BearerCapability, Cause, ChannelIdentification, Channels, Location, Number, NumberType,
    RestartClass, TransferCapability,
};

mod channels;
mod overlap;
mod recovery;
mod timers;
mod variants;

struct Interface {
    now: Instant,
    user: PrimaryRate,
    network: PrimaryRate,
    user_saw: Vec<(CallId, Indication)>,
    network_saw: Vec<(CallId, Indication)>,
    /// Frames are lost while it is set.
    cut: bool,
}

impl Interface {
    fn new() -> Self {
        let side = |side| PrimaryRate::new(Configuration::new(side, Variant::EURO_ISDN));
        Self {
            now: Instant::now(),
            user: side(Side::User),
            network: side(Side::Network),
            user_saw: Vec::new(),
            network_saw: Vec::new(),
            cut: false,
        }
    }

    fn up() -> Self {
        let mut interface = Self::new();
        interface.user.line_up(interface.now);
        interface.network.line_up(interface.now);
        interface.run();
        assert!(interface.user.is_up() && interface.network.is_up());
        interface
    }

    /// Carries frames until nothing is left to do.
    fn run(&mut self) {
        for _ in 0..1_000 {
            let mut quiet = true;
            while let Some(output) = self.user.poll_output() {
                quiet = false;
                match output {
                    Output::Frame(octets) if !self.cut => self.network.frame(self.now, &octets),
                    Output::Call { call, indication } => self.user_saw.push((call, indication)),
                    _ => {}
                }
            }
            while let Some(output) = self.network.poll_output() {
                quiet = false;
                match output {
                    Output::Frame(octets) if !self.cut => self.user.frame(self.now, &octets),
                    Output::Call { call, indication } => self.network_saw.push((call, indication)),
                    _ => {}
                }
            }
            if quiet {
                return;
            }
        }
        panic!("the sides never come to rest");
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            self.run();
            let next =
                self.user.next_deadline().into_iter().chain(self.network.next_deadline()).min();
            match next {
                Some(at) if at <= until => {
                    self.now = at.max(self.now);
                    self.user.timeout(self.now);
                    self.network.timeout(self.now);
                }
                _ => break,
            }
        }
        self.now = until;
    }

    fn call_from_user(&mut self) -> (CallId, CallId) {
        let call = self.user.setup(self.now, &setup(17)).unwrap();
        self.run();
        let (theirs, indication) = self.network_saw.pop().expect("the SETUP came");
        assert!(
            matches!(indication, Indication::Setup(setup) if setup.called.digits == "0333331234")
        );
        (call, theirs)
    }

    fn seen_by_user(&mut self) -> Vec<Indication> {
        self.user_saw.drain(..).map(|(_, indication)| indication).collect()
    }

    fn seen_by_network(&mut self) -> Vec<Indication> {
        self.network_saw.drain(..).map(|(_, indication)| indication).collect()
    }

    fn ask_network(&mut self, call: CallId, request: Request) {
        self.network.request(self.now, call, request).unwrap();
        self.run();
    }

    fn ask_user(&mut self, call: CallId, request: Request) {
        self.user.request(self.now, call, request).unwrap();
        self.run();
    }
}

fn setup(channel: u8) -> Setup {
    Setup {
        channel,
        exclusive: true,
        bearer: BearerCapability { transfer: TransferCapability::Speech, user_layer_1: Some(3) },
        called: Number::new(NumberType::Unknown, "0333331234"),
        calling: Some(Number::new(NumberType::National, "469595678")),
        sending_complete: true,
        ..Setup::default()
    }
}

fn disconnect(cause: u8) -> Request {
    Request::Disconnect { cause, in_band: false }
}

#[test]
fn a_call_is_set_up_answered_and_cleared_by_either_side() {
    for user_clears in [true, false] {
        let mut interface = Interface::up();
        let (call, theirs) = interface.call_from_user();
        interface.ask_network(theirs, Request::Proceeding);
        interface.ask_network(theirs, Request::Alerting { in_band: true });
        interface.ask_network(theirs, Request::Connect);
        assert_eq!(
            interface.seen_by_user(),
            [
                Indication::Proceeding { in_band: false },
                Indication::Alerting { in_band: true },
                Indication::Connect,
            ]
        );
        if user_clears {
            interface.ask_user(call, disconnect(16));
            assert!(matches!(
                interface.seen_by_network()[..],
                [Indication::Disconnect {
                    cause: Cause { value: 16, location: Location::User },
                    ..
                }]
            ));
            interface.ask_network(theirs, disconnect(16));
        } else {
            interface.ask_network(theirs, disconnect(16));
            interface.ask_user(call, disconnect(16));
        }
        assert!(matches!(interface.seen_by_user().last(), Some(Indication::Released { .. })));
        assert!(matches!(interface.seen_by_network().last(), Some(Indication::Released { .. })));
        assert_eq!((interface.user.calls(), interface.network.calls()), (0, 0));
    }
}

#[test]
fn a_call_to_the_user_waits_for_the_acknowledgement() {
    let mut interface = Interface::up();
    let call = interface.network.setup(interface.now, &setup(1)).unwrap();
    interface.run();
    let (theirs, _) = interface.user_saw.pop().unwrap();
    interface.ask_user(theirs, Request::Alerting { in_band: false });
    interface.ask_user(theirs, Request::Connect);
    assert_eq!(interface.seen_by_user(), [Indication::ConnectAcknowledged]);
    assert_eq!(
        interface.seen_by_network(),
        [Indication::Alerting { in_band: false }, Indication::Connect]
    );
    assert_eq!(interface.network.channel(call), Some(1));
}

#[test]
fn a_busy_user_is_refused_at_once() {
    let mut interface = Interface::up();
    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, disconnect(17));
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Released { cause: Cause { value: 17, .. }, .. }]
    ));
    assert_eq!((interface.user.calls(), interface.network.calls()), (0, 0));
}

#[test]
fn a_cause_that_is_passed_on_keeps_its_location() {
    let mut interface = Interface::up();
    let (call, theirs) = interface.call_from_user();
    let cause = Cause { value: 21, location: Location::PublicRemote };
    interface.ask_network(theirs, Request::Alerting { in_band: false });
    interface.seen_by_user();
    interface.ask_network(theirs, Request::PassOn { cause });
    assert_eq!(
        interface.seen_by_user(),
        [Indication::Disconnect { cause, in_band: false, by_us: false }]
    );
    interface.ask_user(call, disconnect(21));
    interface.seen_by_user();
    // Of its own the network gives another one.
    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, disconnect(21));
    let seen = interface.seen_by_user();
    assert!(
        matches!(seen[..], [Indication::Released { cause: own, .. }] if own != cause),
        "{seen:?}"
    );
}

#[test]
fn both_sides_that_disconnect_at_once_release_the_call() {
    let mut interface = Interface::up();
    let (call, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    interface.user.request(interface.now, call, disconnect(16)).unwrap();
    interface.network.request(interface.now, theirs, disconnect(31)).unwrap();
    interface.run();
    assert_eq!((interface.user.calls(), interface.network.calls()), (0, 0));
}

#[test]
fn t303_repeats_setup_once_and_gives_up() {
    let mut interface = Interface::up();
    interface.user.setup(interface.now, &setup(1)).unwrap();
    interface.run();
    // The network's layer 3 says nothing: its indication is not answered.
    interface.pass(Duration::from_secs(7));
    assert_eq!(interface.seen_by_user(), []);
    interface.pass(Duration::from_secs(2));
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Released { cause: Cause { value: 102, .. }, by_us: true }]
    ));
    assert_eq!(interface.network.calls(), 0, "the other side was told");
}

#[test]
fn t313_ends_a_users_answer_that_the_network_never_acknowledges() {
    let mut interface = Interface::up();
    interface.network.setup(interface.now, &setup(1)).unwrap();
    interface.run();
    let (theirs, _) = interface.user_saw.pop().unwrap();
    interface.cut = true;
    interface.ask_user(theirs, Request::Connect);
    interface.pass(Duration::from_millis(3_900));
    assert_eq!(interface.seen_by_user(), []);
    interface.pass(Duration::from_millis(200));
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Disconnect { cause: Cause { value: 102, .. }, .. }]
    ));
}

#[test]
fn t310_and_t301_end_calls_that_lead_nowhere() {
    let mut interface = Interface::up();
    let (call, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Proceeding);
    interface.seen_by_user();
    interface.pass(Duration::from_secs(41));
    let seen = interface.seen_by_user();
    assert!(matches!(
        seen[0],
        Indication::Disconnect { cause: Cause { value: 102, .. }, by_us: true, .. }
    ));
    interface.ask_network(theirs, disconnect(102));
    assert_eq!(interface.user.channel(call), None);

    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Alerting { in_band: true });
    interface.seen_by_user();
    interface.pass(Duration::from_secs(181));
    assert!(matches!(
        interface.seen_by_user()[0],
        Indication::Disconnect { cause: Cause { value: 19, .. }, .. }
    ));
}

#[test]
fn t305_and_t308_release_a_call_whose_other_side_is_mute() {
    let mut interface = Interface::up();
    let (call, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    interface.seen_by_user();
    interface.ask_user(call, disconnect(16));
    // The network's owner never answers; T305 sends RELEASE, which the network's layer 3 answers.
    interface.pass(Duration::from_secs(31));
    assert!(matches!(interface.seen_by_user()[..], [Indication::Released { .. }]));
    assert_eq!(interface.network.calls(), 0);
}

#[test]
fn a_lost_line_ends_calls_by_t309_and_the_link_comes_back() {
    let mut interface = Interface::up();
    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    interface.user.setup(interface.now, &setup(3)).unwrap();
    interface.run();
    interface.seen_by_user();
    interface.cut = true;
    interface.user.line_down(interface.now);
    interface.run();
    assert_eq!(interface.seen_by_user(), [], "calls wait, those in set-up too");
    // The SETUP that nobody has answered is repeated in vain.
    interface.pass(Duration::from_secs(9));
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Released { cause: Cause { value: 102, .. }, by_us: true }]
    ));
    interface.pass(Duration::from_secs(82));
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Released { cause: Cause { value: 27, .. }, .. }]
    ));
    interface.cut = false;
    interface.user.line_up(interface.now);
    interface.pass(Duration::from_secs(5));
    assert!(interface.user.is_up() && interface.network.is_up());
    assert_eq!(
        interface.network.calls(),
        0,
        "the other side asked and learnt that the call is gone"
    );
}

#[test]
fn a_dead_d_channel_on_a_clean_line_ends_calls_by_t309_once() {
    let mut interface = Interface::up();
    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    interface.seen_by_user();
    // No alarm: the line is clean, but every frame is lost, and each attempt to establish fails.
    interface.cut = true;
    interface.pass(Duration::from_secs(150));
    assert!(matches!(
        interface.seen_by_user()[..],
        [Indication::Released { cause: Cause { value: 27, .. }, .. }]
    ));
    assert_eq!((interface.user.calls(), interface.network.calls()), (0, 0));
}

#[test]
fn restart_clears_the_channel_on_both_sides() {
    let mut interface = Interface::up();
    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    interface.network.restart(interface.now, Some(17));
    interface.run();
    assert_eq!((interface.user.calls(), interface.network.calls()), (0, 0));
    assert!(interface.network.restarting.is_empty(), "it was acknowledged");
}

#[test]
fn a_restart_without_a_readable_scope_clears_nothing() {
    let mut interface = Interface::up();
    let (_, theirs) = interface.call_from_user();
    interface.ask_network(theirs, Request::Connect);
    let reference = CallReference { value: 0, to_origin: false };
    for elements in [vec![], vec![Element::RestartIndicator(RestartClass::Indicated)]] {
        let message = Message { reference, message_type: MessageType::Restart, elements };
        interface.network.put(interface.now, &message);
        interface.run();
    }
    assert_eq!((interface.user.calls(), interface.network.calls()), (1, 1));
}

#[test]
fn an_answer_on_another_channel_than_the_one_asked_for_ends_the_call() {
    let mut interface = Interface::up();
    let (_, theirs) = interface.call_from_user();
    let key = interface.network.references[&theirs];
    let channels = Channels::Listed(vec![18]);
    let elements =
        vec![Element::ChannelIdentification(ChannelIdentification { exclusive: true, channels })];
    interface.network.send(interface.now, key, MessageType::Alerting, elements);
    interface.network.drain_link(interface.now);
    interface.run();
    assert!(matches!(
        interface.seen_by_user()[0],
        Indication::Disconnect { cause: Cause { value: 6, .. }, .. }
    ));
}

#[test]
fn a_setup_of_the_network_without_a_channel_is_refused_with_96() {
    let mut interface = Interface::up();
    let message = Message {
        reference: CallReference { value: 7, to_origin: false },
        message_type: MessageType::Setup,
        elements: vec![Element::BearerCapability(setup(1).bearer)],
    };
    interface.network.put(interface.now, &message);
    interface.network.drain_link(interface.now);
    interface.run();
    assert_eq!((interface.user.calls(), interface.seen_by_user()), (0, vec![]));
    assert_eq!(interface.user.counters().setups_refused, 1);
}

#[test]
fn requests_without_a_link_or_in_the_wrong_state_are_errors() {
    let mut interface = Interface::new();
    assert_eq!(interface.user.setup(interface.now, &setup(1)), Err(IsdnError::LinkDown));
    let mut interface = Interface::up();
    let (call, _) = interface.call_from_user();
    assert_eq!(
        interface.user.request(interface.now, call, Request::Connect),
        Err(IsdnError::WrongState { state: 1 })
    );
    assert_eq!(
        interface.user.request(interface.now, CallId(99), Request::Connect),
        Err(IsdnError::NoSuchCall)
    );
}

fn any_setup(pick: u16) -> Setup {
    Setup {
        exclusive: pick.is_multiple_of(3),
        sending_complete: pick.is_multiple_of(2),
        ..setup(1 + (pick / 8 % 5) as u8)
    }
}

/// The calls of one side.
#[derive(Default)]
struct Ledger {
    begun: Vec<CallId>,
    released: Vec<CallId>,
}

impl Ledger {
    fn pick(&self, pick: u16) -> Option<CallId> {
        self.begun.get(usize::from(pick) % self.begun.len().max(1)).copied()
    }

    fn read(&mut self, saw: &mut Vec<(CallId, Indication)>) {
        for (call, indication) in saw.drain(..) {
            match indication {
                Indication::Setup(_) => self.begun.push(call),
                Indication::Released { .. } => self.released.push(call),
                _ => {}
            }
        }
    }
}

/// How many sequences are tried: few in every test, more when the environment says so.
fn sequences() -> u32 {
    std::env::var("SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(128)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: sequences(), ..ProptestConfig::default() })]

    /// Requests and lost frames in any order; when everybody hangs up and time passes nothing is
    /// left, and every call was released exactly once.
    #[test]
    fn nothing_is_left_over(steps in proptest::collection::vec((0..16_u8, any::<u16>()), 0..120)) {
        let mut interface = Interface::up();
        let mut user = Ledger::default();
        let mut network = Ledger::default();
        for (step, pick) in steps {
            let now = interface.now;
            match step {
                // Few channels, so that both ends often want the same.
                0 => user.begun.extend(interface.user.setup(now, &any_setup(pick)).ok()),
                1 => network.begun.extend(interface.network.setup(now, &any_setup(pick)).ok()),
                2 => interface.cut = pick % 3 == 0,
                3 => interface.pass(Duration::from_millis(u64::from(pick))),
                4 => interface.network.restart(now, None),
                _ => {
                    let request = match step {
                        5 => Request::Proceeding,
                        6 => Request::Alerting { in_band: true },
                        7 => Request::Connect,
                        8 => Request::Progress,
                        9 => Request::MoreDigits { dial_tone: true },
                        10 => Request::Digits { digits: "1".into(), complete: pick % 5 == 0 },
                        11 => Request::Enquire,
                        12 => Request::Notify { description: 0 },
                        _ => disconnect(16),
                    };
                    // A call that is gone, or in another state, refuses.
                    let _ = if pick % 2 == 0 {
                        user.pick(pick).map(|call| interface.user.request(now, call, request))
                    } else {
                        network.pick(pick).map(|call| interface.network.request(now, call, request))
                    };
                }
            }
            // Sometimes both ends act before either hears of the other.
            if pick % 4 != 1 {
                interface.run();
            }
            user.read(&mut interface.user_saw);
            network.read(&mut interface.network_saw);
        }
        interface.cut = false;
        for _ in 0..2 {
            interface.pass(Duration::from_secs(400));
            user.read(&mut interface.user_saw);
            network.read(&mut interface.network_saw);
            let now = interface.now;
            for call in &user.begun {
                let _ = interface.user.request(now, *call, disconnect(16));
            }
            for call in &network.begun {
                let _ = interface.network.request(now, *call, disconnect(16));
            }
        }
        interface.pass(Duration::from_secs(400));
        user.read(&mut interface.user_saw);
        network.read(&mut interface.network_saw);
        for ledger in [&mut user, &mut network] {
            ledger.released.sort_unstable();
            ledger.begun.sort_unstable();
            prop_assert_eq!(&ledger.begun, &ledger.released);
        }
        prop_assert_eq!((interface.user.calls(), interface.network.calls()), (0, 0));
        prop_assert!(interface.user.is_up() && interface.network.is_up());
    }

    #[test]
    fn any_frames_are_survived(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20)) {
        let mut interface = Interface::up();
        for octets in frames {
            interface.user.frame(interface.now, &octets);
            // The same as a message of the peer's layer 3.
            interface.network.link.data(interface.now, octets);
            interface.run();
        }
    }
}
