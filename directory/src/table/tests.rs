use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn digits(text: &str) -> Digits {
    Digits::read(text).unwrap()
}

/// A route that tells by its gateway which entry it is of.
fn marked(mark: u32) -> Route {
    Route::new(vec![Choice::new(mark, 10, 10)])
}

fn snapshot<'a>(entries: impl IntoIterator<Item = (&'a str, u32)>) -> Snapshot {
    let mut builder = SnapshotBuilder::default();
    for (prefix, mark) in entries {
        let route = builder.route(marked(mark));
        builder.add(digits(prefix), route);
    }
    builder.build().unwrap()
}

fn table(prefixes: &[&str]) -> Table {
    Table::new(snapshot(prefixes.iter().copied().zip(0..)))
}

fn prefix_of(table: &Table, number: &str) -> Option<String> {
    match table.find(digits(number)) {
        Found::Routes(matched) => Some(matched.prefix.to_string()),
        Found::Interior | Found::Nothing => None,
    }
}

#[test]
fn area_codes_of_the_patent_lead_to_their_gateways() {
    let table = table(&["813", "81469"]);
    assert_eq!(prefix_of(&table, "81333331234").as_deref(), Some("813"));
    assert_eq!(prefix_of(&table, "81469595678").as_deref(), Some("81469"));
    assert_eq!(prefix_of(&table, "81466595678"), None);
}

#[test]
fn ported_number_leaves_its_neighbours_with_the_area() {
    let table = table(&["813", "81333331234", "81469"]);
    for (number, prefix) in [
        ("81333331234", "81333331234"),
        ("81333331235", "813"),
        ("81333339999", "813"),
        ("81355551234", "813"),
        ("81469221234", "81469"),
    ] {
        assert_eq!(prefix_of(&table, number).as_deref(), Some(prefix), "{number}");
    }
}

#[test]
fn beginning_of_a_prefix_is_not_the_same_as_nothing() {
    let table = table(&["81469"]);
    for number in ["8", "81", "814", "8146"] {
        assert_eq!(table.find(digits(number)), Found::Interior, "{number}");
    }
    for number in ["9", "82", "8147"] {
        assert_eq!(table.find(digits(number)), Found::Nothing, "{number}");
    }
}

#[test]
fn second_entry_for_a_prefix_is_refused_by_name() {
    let mut builder = SnapshotBuilder::default();
    let route = builder.route(marked(0));
    for prefix in ["0813", "813", "0813"] {
        builder.add(digits(prefix), route);
    }
    assert_eq!(builder.build(), Err(BadEntries::Twice(digits("0813"))));
}

#[test]
fn prefix_taken_out_leaves_the_shorter_one_and_no_empty_name() {
    let mut table = table(&["81", "81333", "44207"]);
    let mut changes = Overlay::default();
    changes.set(digits("81333"), None);
    changes.set(digits("44207"), None);
    table.changes = Arc::new(changes);
    assert_eq!(prefix_of(&table, "813331").as_deref(), Some("81"));
    assert_eq!(table.find(digits("4420")), Found::Nothing);
    assert_eq!(table.entries(), 1);
}

#[test]
fn gateway_that_registers_stands_beside_the_operators_and_not_twice() {
    let mut table = Table::new(snapshot([("813", 1)]));
    let mut builder = SnapshotBuilder::default();
    let both = Route::new(vec![Choice::new(1, 5, 5), Choice::new(2, 20, 10)]);
    let route = builder.route(both);
    builder.add(digits("813"), route);
    let route = builder.route(marked(3));
    builder.add(digits("81333"), route);
    table.registered = Arc::new(builder.build().unwrap());
    let choices = |number| match table.find(digits(number)) {
        Found::Routes(matched) => {
            matched.choices().map(|choice| (choice.gateway, choice.order)).collect()
        }
        found => panic!("{found:?}"),
    };
    assert_eq!(choices("8134"), [(1, 10), (2, 20)]);
    let longer: Vec<_> = choices("813331");
    assert_eq!(longer, [(3, 10)]);
}

/// All forms of a page, each with one route, a few and more than an octet tells apart.
#[test]
fn pages_of_all_forms_hold_what_was_put_in() {
    for routes in [1, 7, 300] {
        for step in [1, 3, 13, 400, 9_999] {
            let entries: BTreeMap<u64, u32> = (0..30_000_u64)
                .step_by(step)
                .map(|value| (7_000_000 + value, value as u32 % routes))
                .collect();
            let mut builder = SnapshotBuilder::default();
            for (&value, &mark) in entries.iter().rev() {
                // Places in the order of the marks' first use, which is not theirs.
                let route = builder.route(marked(mark));
                builder.add(Digits::from_value(9, value).unwrap(), route);
            }
            let snapshot = builder.build().unwrap();
            assert_eq!(snapshot.entries(), entries.len());
            for value in (6_999_000..7_031_000).step_by(7).chain(7_000_000..7_000_050) {
                let found = snapshot.entry(Digits::from_value(9, value).unwrap());
                let mark = found.map(|route| route.choices()[0].gateway);
                assert_eq!(mark, entries.get(&value).copied(), "{value} of {routes}, {step}");
            }
            let listed: Vec<(u64, u32)> = snapshot
                .iter()
                .map(|(prefix, route)| (prefix.value(), route.choices()[0].gateway))
                .collect();
            assert_eq!(listed, entries.into_iter().collect::<Vec<_>>());
        }
    }
}

#[test]
fn dense_numbers_take_less_than_two_octets_each() {
    let mut builder = SnapshotBuilder::default();
    for mark in 0..50 {
        builder.route(marked(mark));
    }
    for value in 0..200_000_u64 {
        builder.add(Digits::from_value(11, 81_300_000_000 + value).unwrap(), value as u32 / 7 % 50);
    }
    let snapshot = builder.build().unwrap();
    assert!(snapshot.size_octets() < 2 * 200_000, "{}", snapshot.size_octets());
}

/// Few different digits, so that prefixes nest and queries hit.
fn prefix() -> impl Strategy<Value = String> {
    "[0-2]{1,7}|[0-9]{1,15}|8133333[0-9]{4}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn finds_what_a_plain_scan_finds(
        provisioned in proptest::collection::btree_map(prefix(), 0_u32..400, 0..60),
        changed in proptest::collection::btree_map(prefix(), proptest::option::of(400_u32..500), 0..20),
        taken_out in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
        registered in proptest::collection::btree_map(prefix(), 500_u32..600, 0..20),
        queries in proptest::collection::vec("[0-2]{0,9}|[0-9]{1,15}|8133333[0-9]{0,5}", 1..60),
    ) {
        let mut plain = provisioned.clone();
        let mut changes = Overlay::default();
        let mut change = |prefix: &String, mark: Option<u32>| {
            changes.set(digits(prefix), mark.map(marked));
            match mark {
                Some(mark) => plain.insert(prefix.clone(), mark),
                None => plain.remove(prefix),
            };
        };
        changed.iter().for_each(|(prefix, mark)| change(prefix, *mark));
        if !provisioned.is_empty() {
            let prefixes: Vec<String> = provisioned.keys().cloned().collect();
            taken_out.iter().for_each(|index| change(index.get(&prefixes), None));
        }
        let of = |entries: &BTreeMap<String, u32>| {
            Arc::new(snapshot(entries.iter().map(|(prefix, mark)| (prefix.as_str(), *mark))))
        };
        let table = Table {
            provisioned: of(&provisioned),
            changes: Arc::new(changes),
            registered: of(&registered),
        };
        prop_assert_eq!(table.entries(), plain.len() + registered.len());
        let listed: BTreeMap<String, u32> = table
            .provisioned_below(Digits::default())
            .map(|(prefix, route)| (prefix.to_string(), route.choices()[0].gateway))
            .collect();
        prop_assert_eq!(&listed, &plain);
        for query in queries.iter().chain(plain.keys()).chain(registered.keys()) {
            let longest = plain
                .keys()
                .chain(registered.keys())
                .filter(|prefix| query.starts_with(prefix.as_str()))
                .max_by_key(|prefix| prefix.len());
            match table.find(digits(query)) {
                Found::Routes(matched) => {
                    let prefix = matched.prefix.to_string();
                    prop_assert_eq!(Some(&prefix), longest);
                    let mark = |route: Option<&Route>| route.map(|route| route.choices()[0].gateway);
                    prop_assert_eq!(mark(matched.provisioned), plain.get(&prefix).copied());
                    prop_assert_eq!(mark(matched.registered), registered.get(&prefix).copied());
                }
                found => {
                    prop_assert_eq!(longest, None);
                    let below = !query.is_empty()
                        && plain.keys().chain(registered.keys()).any(|p| p.starts_with(query));
                    prop_assert_eq!(found == Found::Interior, below);
                }
            }
        }
    }
}
