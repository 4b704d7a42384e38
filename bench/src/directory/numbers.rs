//! The numbers that all servers serve, as a zone and as a table, and the queries for them.

use std::io::{self, Write};

/// Where the zone and the table begin.
pub const APEX: &str = "e164.arpa";

/// One ported number inside an area, for who answers right.
pub const PORTED: &str = "82333331234";
/// The areas of that case, with the gateway that serves each.
pub const AREAS: [(&str, u64); 2] = [("823", 1), ("82469", 2)];
/// The gateway of [`PORTED`].
pub const PORTED_GATEWAY: u64 = 3;
/// What is asked of that case, and the gateway whose answer is right.
pub const WILDCARD_CASE: [(&str, u64); 5] = [
    ("82355551234", 1),
    ("82469221234", 2),
    (PORTED, PORTED_GATEWAY),
    ("82333339999", 1),
    ("82333331235", 1),
];

const GATEWAYS: u64 = 200;

/// All of nine digits that begin with no 0, which is not dialled after the country code.
const VALUES: u64 = 900_000_000;

/// Numbers of nine digits below +81, drawn so that each is known without a list of them.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    count: u64,
    part: u64,
}

impl Numbers {
    /// `count` numbers, from 1 to a hundred million; of more it is that many.
    pub fn new(count: u64) -> Self {
        let count = count.clamp(1, 100_000_000);
        Self { count, part: VALUES / count }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The digits of one of them, with the country code.
    pub fn hit(&self, place: u64) -> String {
        written(self.value(place % self.count))
    }

    /// Digits below +81 that are none of them.
    pub fn miss(&self, draw: u64) -> String {
        let mut value = mixed(draw) % VALUES;
        while self.has(value) {
            value = (value + 1) % VALUES;
        }
        written(value)
    }

    /// The zone, in the master file format.
    ///
    /// # Errors
    /// The file's.
    pub fn write_zone(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "$ORIGIN {APEX}.\n$TTL 60")?;
        writeln!(out, "@ SOA ns1.example.net. hostmaster.example.net. 1 60 60 3600 5")?;
        writeln!(out, "@ NS ns1.example.net.")?;
        for (area, gateway) in AREAS {
            writeln!(out, "*.{} {}", reversed(area), naptr("!^(.*)$!sip:\\\\1", gateway))?;
        }
        let exact = |digits: &str| format!("!^.*$!sip:+{digits}");
        writeln!(out, "{} {}", reversed(PORTED), naptr(&exact(PORTED), PORTED_GATEWAY))?;
        for place in 0..self.count {
            let digits = self.hit(place);
            writeln!(out, "{} {}", reversed(&digits), naptr(&exact(&digits), place % GATEWAYS))?;
        }
        Ok(())
    }

    /// The same as the directory's table.
    ///
    /// # Errors
    /// The file's.
    pub fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "gateways:")?;
        for gateway in 0..GATEWAYS {
            writeln!(out, "  g{gateway}: {{ sip: \"10.1.0.{gateway}:5060\" }}")?;
        }
        writeln!(out, "prefixes:")?;
        let mut row = |digits: &str, gateway: u64| {
            writeln!(out, "- {{ prefix: \"+{digits}\", gateways: [{{ name: g{gateway} }}] }}")
        };
        for (area, gateway) in AREAS {
            row(area, gateway)?;
        }
        row(PORTED, PORTED_GATEWAY)?;
        (0..self.count).try_for_each(|place| row(&self.hit(place), place % GATEWAYS))
    }

    fn value(&self, place: u64) -> u64 {
        place * self.part + mixed(place) % self.part
    }

    fn has(&self, value: u64) -> bool {
        let place = value / self.part;
        place < self.count && self.value(place) == value
    }
}

/// Queries as dnsperf reads them.
///
/// # Errors
/// The file's.
pub fn write_queries(out: &mut impl Write, digits: impl Iterator<Item = String>) -> io::Result<()> {
    for digits in digits {
        writeln!(out, "{}.{APEX} NAPTR", reversed(&digits))?;
    }
    Ok(())
}

/// The digits from the last to the first with dots between (RFC 6116 §3.2).
pub fn reversed(digits: &str) -> String {
    let digits: Vec<String> = digits.chars().rev().map(String::from).collect();
    digits.join(".")
}

/// One step of splitmix64: the same for the same place, and as good as drawn.
pub fn mixed(place: u64) -> u64 {
    let mut mixed = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn written(value: u64) -> String {
    format!("81{:09}", 100_000_000 + value)
}

fn naptr(rule: &str, gateway: u64) -> String {
    format!("NAPTR 10 10 \"u\" \"E2U+sip\" \"{rule}@10.1.0.{gateway}:5060!\" .")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_miss_is_none_of_the_numbers() {
        let numbers = Numbers::new(10_000);
        let hits: HashSet<String> = (0..10_000).map(|place| numbers.hit(place)).collect();
        assert_eq!(hits.len(), 10_000);
        // "+810" is refused by the directory.
        assert!(hits.iter().all(|digits| digits.len() == 11 && !digits.starts_with("810")));
        assert!((0..100_000).all(|draw| !hits.contains(&numbers.miss(draw))));
    }

    #[test]
    fn zone_and_table_have_the_same_numbers() {
        let numbers = Numbers::new(100);
        let (mut zone, mut table) = (Vec::new(), Vec::new());
        numbers.write_zone(&mut zone).unwrap();
        numbers.write_table(&mut table).unwrap();
        let (zone, table) = (String::from_utf8(zone).unwrap(), String::from_utf8(table).unwrap());
        for place in 0..100 {
            let digits = numbers.hit(place);
            assert!(zone.contains(&format!("\n{} NAPTR", reversed(&digits))));
            assert!(table.contains(&format!("\"+{digits}\"")));
        }
    }
}
