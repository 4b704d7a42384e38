use proptest::prelude::*;

use super::*;
use crate::gateways::Transport;
use crate::table::{Found, Table};

fn digits(text: &str) -> Digits {
    Digits::read(text).unwrap()
}

pub(super) fn registration(name: &str, prefixes: &[&str]) -> Registration {
    Registration {
        gateway: Gateway {
            name: name.into(),
            authority: format!("{name}.example.net:5060"),
            transport: Transport::Udp,
        },
        lease: Duration::from_secs(6),
        trunk_groups: vec![
            TrunkGroup { name: "tokyo".into(), circuits: 30 },
            TrunkGroup { name: "osaka".into(), circuits: 30 },
        ],
        prefixes: prefixes
            .iter()
            .map(|prefix| Announced {
                prefix: digits(prefix),
                trunk_group: None,
                order: 10,
                preference: 10,
                weight: 1,
            })
            .collect(),
    }
}

fn report(free: [u32; 2], alarmed: [bool; 2]) -> Report {
    let group = |place: usize| GroupReport { free: free[place], alarmed: alarmed[place] };
    Report { groups: vec![group(0), group(1)], ..Report::default() }
}

fn standing(fleet: &Fleet, name: &str) -> Standing {
    fleet.gateways().state(fleet.places[name]).standing
}

fn drain(fleet: &mut Fleet) -> Vec<Output> {
    std::iter::from_fn(|| fleet.poll_output()).collect()
}

fn at(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

#[test]
fn gateway_that_falls_silent_is_dead_at_the_end_of_its_lease_and_alive_when_it_registers_again() {
    let mut fleet = Fleet::new(FleetSettings::default());
    let start = Instant::now();
    let granted = fleet.register(start, registration("a", &["813"]), LeaseId(1)).unwrap();
    assert_eq!(granted, Duration::from_secs(6));
    assert_eq!(standing(&fleet, "a"), Standing::InService);
    fleet.report(at(start, 4_000), "a", LeaseId(1), report([30, 30], [false; 2])).unwrap();
    assert_eq!(fleet.next_deadline(), Some(at(start, 10_000)));
    fleet.timeout(at(start, 9_999));
    assert_eq!(standing(&fleet, "a"), Standing::InService);
    drain(&mut fleet);
    fleet.timeout(at(start, 10_000));
    assert_eq!(standing(&fleet, "a"), Standing::Dead);
    assert_eq!(
        drain(&mut fleet),
        [Output::Standing { gateway: "a".into(), was: Standing::InService, is: Standing::Dead }]
    );
    // Its numbers are known all the same.
    assert_eq!(fleet.registered_prefixes().entries(), 1);
    let late = fleet.report(at(start, 10_001), "a", LeaseId(1), report([30, 30], [false; 2]));
    assert_eq!(late, Err(FleetError::NoLease { gateway: "a".into() }));
    fleet.register(at(start, 10_500), registration("a", &["813"]), LeaseId(2)).unwrap();
    assert_eq!(standing(&fleet, "a"), Standing::InService);
}

#[test]
fn dead_gateway_is_forgotten_after_a_day_and_its_prefixes_with_it() {
    let mut fleet = Fleet::new(FleetSettings::default());
    let start = Instant::now();
    fleet.register(start, registration("a", &["813"]), LeaseId(1)).unwrap();
    fleet.timeout(at(start, 86_400_000));
    assert_eq!(fleet.registered_prefixes().entries(), 1);
    fleet.timeout(at(start, 86_406_000));
    assert_eq!(fleet.registered_prefixes().entries(), 0);
    assert!(drain(&mut fleet).contains(&Output::Forgotten { gateway: "a".into() }));
    assert_eq!(fleet.next_deadline(), None);
    assert!(fleet.view(start).is_empty());
}

#[test]
fn full_alarmed_and_draining_gateways_stand_so() {
    let mut fleet = Fleet::new(FleetSettings::default());
    let start = Instant::now();
    fleet.register(start, registration("a", &["813"]), LeaseId(1)).unwrap();
    for (told, expected) in [
        (report([0, 0], [false; 2]), Standing::Full),
        (report([0, 1], [false; 2]), Standing::InService),
        // What is free in a group in alarm is no use.
        (report([30, 0], [true, false]), Standing::Full),
        (report([30, 30], [true, true]), Standing::Alarmed),
        (report([3, 3], [false; 2]), Standing::InService),
        (Report { draining: true, ..report([3, 3], [false; 2]) }, Standing::Draining),
    ] {
        fleet.report(start, "a", LeaseId(1), told).unwrap();
        assert_eq!(standing(&fleet, "a"), expected);
    }
    fleet.report(start, "a", LeaseId(1), report([3, 3], [false; 2])).unwrap();
    fleet.drain("a", true).unwrap();
    assert_eq!(standing(&fleet, "a"), Standing::Draining);
    fleet.drain("A", false).unwrap();
    assert_eq!(standing(&fleet, "a"), Standing::InService);
    // A report like the last one changes nothing.
    drain(&mut fleet);
    fleet.report(start, "a", LeaseId(1), report([3, 3], [false; 2])).unwrap();
    assert_eq!(drain(&mut fleet), []);
}

#[test]
fn gateway_that_leaves_takes_its_prefixes_along() {
    let mut fleet = Fleet::new(FleetSettings::default());
    let start = Instant::now();
    fleet.register(start, registration("a", &["813", "8144"]), LeaseId(1)).unwrap();
    fleet.register(start, registration("b", &["813"]), LeaseId(2)).unwrap();
    assert_eq!(fleet.leave("a", LeaseId(9)), Err(FleetError::NoLease { gateway: "a".into() }));
    fleet.leave("a", LeaseId(1)).unwrap();
    let table = Table { registered: Arc::new(fleet.registered_prefixes()), ..Table::default() };
    assert_eq!(table.find(digits("81445")), Found::Nothing);
    let Found::Routes(matched) = table.find(digits("8131")) else { panic!("b is gone too") };
    let places: Vec<u32> = matched.choices().map(|choice| choice.gateway).collect();
    assert_eq!(places, [fleet.place("b").unwrap()]);
    assert_eq!(fleet.place("a"), None);
    assert!(matches!(fleet.drain("a", true), Err(FleetError::Unknown { .. })));
}

#[test]
fn second_gateway_of_a_name_is_refused_while_the_first_lives() {
    let mut fleet = Fleet::new(FleetSettings::default());
    let start = Instant::now();
    fleet.register(start, registration("a", &[]), LeaseId(1)).unwrap();
    let mut other = registration("A", &[]);
    other.gateway.authority = "elsewhere.example.net".into();
    assert!(matches!(
        fleet.register(start, other.clone(), LeaseId(2)),
        Err(FleetError::NameTaken { .. })
    ));
    // The same one after a crash takes its name over; the old lease is worth nothing.
    fleet.register(start, registration("a", &[]), LeaseId(3)).unwrap();
    assert!(fleet.report(start, "a", LeaseId(1), report([1, 1], [false; 2])).is_err());
    fleet.timeout(at(start, 7_000));
    fleet.register(at(start, 7_000), other, LeaseId(4)).unwrap();
    assert_eq!(fleet.members.len(), 1);
}

#[test]
fn operators_gateway_needs_no_lease_and_keeps_its_address() {
    let mut fleet = Fleet::new(FleetSettings::default());
    let start = Instant::now();
    let own = registration("a", &["813"]);
    assert_eq!(fleet.provision(vec![own.gateway.clone()]), Ok(vec![0]));
    assert_eq!(standing(&fleet, "a"), Standing::InService);
    let mut elsewhere = own.clone();
    elsewhere.gateway.authority = "elsewhere.example.net".into();
    assert!(matches!(
        fleet.register(start, elsewhere, LeaseId(1)),
        Err(FleetError::Provisioned { .. })
    ));
    // Registered as well, it is dead when its lease is over.
    fleet.register(start, own, LeaseId(2)).unwrap();
    fleet.timeout(at(start, 6_000));
    assert_eq!(standing(&fleet, "a"), Standing::Dead);
    assert_eq!(fleet.provision(Vec::new()), Ok(Vec::new()));
    fleet.expel("a").unwrap();
    assert!(fleet.view(start).is_empty());
}

#[test]
fn what_is_too_much_or_makes_no_sense_is_refused() {
    let settings = FleetSettings { gateways_max: 40, ..FleetSettings::default() };
    let mut fleet = Fleet::new(settings);
    let now = Instant::now();
    let mut refused = |change: fn(&mut Registration)| {
        let mut registration = registration("a", &["813"]);
        change(&mut registration);
        fleet.register(now, registration, LeaseId(1)).unwrap_err().to_string()
    };
    assert!(refused(|own| own.gateway.name = "a.b".into()).contains("no name"));
    assert!(refused(|own| own.gateway.authority = "a b".into()).contains("no host"));
    assert!(refused(|own| own.prefixes.push(own.prefixes[0])).contains("+813"));
    assert!(refused(|own| own.prefixes[0].trunk_group = Some(2)).contains("trunk group"));
    assert!(refused(|own| own.trunk_groups[1].name = "tokyo".into()).contains("tokyo"));
    assert!(refused(|own| own.trunk_groups[0].circuits = 0).contains("circuits"));
    for place in 0..CHOICES_MAX as u64 {
        fleet.register(now, registration(&format!("g{place}"), &["813"]), LeaseId(place)).unwrap();
    }
    let full = fleet.register(now, registration("more", &["813"]), LeaseId(77));
    assert!(matches!(full, Err(FleetError::PrefixFull { .. })));
    // One that is there already may come again.
    fleet.register(now, registration("g3", &["813"]), LeaseId(78)).unwrap();
    for place in 0..8 {
        fleet.register(now, registration(&format!("h{place}"), &[]), LeaseId(place)).unwrap();
    }
    assert_eq!(
        fleet.register(now, registration("i", &[]), LeaseId(80)),
        Err(FleetError::TooMany { limit: 40 })
    );
    let report = fleet.report(now, "g3", LeaseId(78), Report::default());
    assert!(matches!(report, Err(FleetError::Bad(BadRegistration::Report { .. }))));
}

proptest! {
    /// Whatever happens, deadlines belong to registrations and prefixes to gateways that are there.
    #[test]
    fn nothing_is_left_over(steps in proptest::collection::vec((0_u8..6, 0_u8..4, 0_u64..9_000), 1..120)) {
        let mut fleet = Fleet::new(FleetSettings {
            forget_after: Duration::from_secs(20),
            ..FleetSettings::default()
        });
        let mut now = Instant::now();
        let mut leases = [LeaseId(0); 4];
        for (number, (step, who, passed)) in steps.into_iter().enumerate() {
            now += Duration::from_millis(passed);
            fleet.timeout(now);
            let name = ["a", "b", "c", "d"][usize::from(who)];
            let lease = leases[usize::from(who)];
            match step {
                0 | 1 => {
                    let lease = LeaseId(number as u64);
                    let prefixes: &[&str] = if step == 0 { &["813"] } else { &["813", "8144"] };
                    if fleet.register(now, registration(name, prefixes), lease).is_ok() {
                        leases[usize::from(who)] = lease;
                    }
                }
                2 => drop(fleet.report(now, name, lease, report([1, 0], [false; 2]))),
                3 => drop(fleet.leave(name, lease)),
                4 => drop(fleet.expel(name)),
                _ => drop(fleet.drain(name, who % 2 == 0)),
            }
            drain(&mut fleet);
            let registered: Vec<&Registered> =
                fleet.members.iter().filter_map(|member| member.registered.as_ref()).collect();
            prop_assert_eq!(fleet.deadlines.len(), registered.len());
            let announced: usize = fleet.announced.values().sum();
            let prefixes: usize =
                registered.iter().map(|own| own.registration.prefixes.len()).sum();
            prop_assert_eq!(announced, prefixes);
            prop_assert!(fleet.next_deadline().is_none_or(|at| at > now));
        }
        now += Duration::from_secs(60);
        fleet.timeout(now);
        prop_assert_eq!(fleet.next_deadline(), None);
        prop_assert_eq!(fleet.registered_prefixes().entries(), 0);
    }
}
