//! A table as CSV: a line for each gateway of a prefix, lines of one prefix together.
//!
//! ```csv
//! prefix,gateway,order,preference,weight,capacity,hours,rn,npdi
//! +813,a,10,10,1,,,,
//! +81469,b,10,10,1,20,mo-fr 08:00-18:00,,
//! +81469,a,20,10,1,,,,
//! +81333331234,b,10,10,1,,,+81399990000,true
//! ```
//!
//! Columns may stand in any order; all but `prefix` and `gateway` may be left out, as may their
//! content. A column `note` and lines that begin with # are for people: they are read over.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use csv::{ByteRecord, ReaderBuilder};
use serde::Serialize;
use trunkline_number::CountryProfile;

use crate::table::{
    BadEntries, CHOICES_MAX, Choice, Digits, Hours, Portability, Route, Snapshot, SnapshotBuilder,
};
use crate::written::{clashes, default_order, default_weight, prefix_digits};

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Line, from 1; none for the whole file.
    pub line: Option<u64>,
    /// What is wrong.
    pub problem: String,
}

/// Mistakes that are told at once.
const MISTAKES_MAX: usize = 20;

/// Reads a table; `place` gives the gateways' places, `rows` counts.
///
/// # Errors
/// The first mistakes.
pub fn read(
    from: impl Read,
    country: &CountryProfile,
    place: &HashMap<String, u32>,
    rows: &AtomicU64,
) -> Result<Snapshot, Vec<Mistake>> {
    let whole = |problem: String| vec![Mistake { line: None, problem }];
    let mut reader =
        ReaderBuilder::new().buffer_capacity(1 << 18).comment(Some(b'#')).from_reader(from);
    let headers = reader.byte_headers().map_err(|error| whole(error.to_string()))?;
    let columns = Columns::read(headers).map_err(whole)?;
    let mut lines = Lines {
        columns,
        country,
        place,
        builder: SnapshotBuilder::default(),
        open: None,
        last_route: None,
        mistakes: Vec::new(),
    };
    let mut record = ByteRecord::new();
    let mut count = 0;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let line = error.position().map(csv::Position::line);
                lines.mistakes.push(Mistake { line, problem: error.to_string() });
                // What cannot be read does not become readable.
                return Err(lines.mistakes);
            }
        }
        let line = record.position().map_or(0, csv::Position::line);
        if let Err(problem) = lines.take(&record, line) {
            lines.mistakes.push(Mistake { line: Some(line), problem });
            if lines.mistakes.len() == MISTAKES_MAX {
                return Err(lines.mistakes);
            }
        }
        count += 1;
        if count % 1_024 == 0 {
            rows.store(count, Ordering::Relaxed);
        }
    }
    rows.store(count, Ordering::Relaxed);
    lines.close();
    if !lines.mistakes.is_empty() {
        return Err(lines.mistakes);
    }
    lines.builder.build().map_err(|error| match error {
        BadEntries::Twice(prefix) => {
            whole(format!("+{prefix} is there twice, and not line after line"))
        }
        error @ BadEntries::TooMany(_) => whole(error.to_string()),
    })
}

/// Where each column stands.
struct Columns {
    prefix: usize,
    gateway: usize,
    order: Option<usize>,
    preference: Option<usize>,
    weight: Option<usize>,
    capacity: Option<usize>,
    hours: Option<usize>,
    rn: Option<usize>,
    npdi: Option<usize>,
}

const COLUMNS: [&str; 9] =
    ["prefix", "gateway", "order", "preference", "weight", "capacity", "hours", "rn", "npdi"];

/// A column that is read over.
const NOTE: &str = "note";

impl Columns {
    fn read(headers: &ByteRecord) -> Result<Self, String> {
        let mut places = [None; COLUMNS.len()];
        for (place, header) in headers.iter().enumerate() {
            let name = String::from_utf8_lossy(header);
            // Spreadsheets begin a file with a byte order mark.
            let name = name.trim_start_matches('\u{feff}').trim();
            if name == NOTE {
                continue;
            }
            let Some(column) = COLUMNS.iter().position(|column| *column == name) else {
                let known = COLUMNS.join(", ");
                return Err(format!("column {name:?} is none of: {known}, {NOTE}"));
            };
            if places[column].replace(place).is_some() {
                return Err(format!("column {name} is there twice"));
            }
        }
        let [prefix, gateway, order, preference, weight, capacity, hours, rn, npdi] = places;
        let (Some(prefix), Some(gateway)) = (prefix, gateway) else {
            return Err("the first line must name at least the columns prefix and gateway".into());
        };
        Ok(Self { prefix, gateway, order, preference, weight, capacity, hours, rn, npdi })
    }
}

struct Lines<'a> {
    columns: Columns,
    country: &'a CountryProfile,
    place: &'a HashMap<String, u32>,
    builder: SnapshotBuilder,
    /// The prefix whose lines are being read.
    open: Option<Open>,
    /// What most lines have in common with the one before.
    last_route: Option<(Vec<Choice>, Option<Portability>, u32)>,
    mistakes: Vec<Mistake>,
}

struct Open {
    prefix: Digits,
    choices: Vec<Choice>,
    portability: Option<Portability>,
}

impl Lines<'_> {
    fn take(&mut self, record: &ByteRecord, line: u64) -> Result<(), String> {
        let columns = &self.columns;
        let prefix = read_prefix(field(record, Some(columns.prefix))?, self.country)?;
        let portability = self.portability(record)?;
        let choice = self.choice(record)?;
        if choice.is_none() && portability.is_none() {
            return Err("there is no gateway".to_owned());
        }
        if self.open.as_ref().is_none_or(|open| open.prefix != prefix) {
            self.close();
            self.open = Some(Open { prefix, choices: Vec::new(), portability });
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.portability != portability {
            let at = format!("+{prefix} has another rn or npdi than in the line before");
            return Err(format!("{at} {line}"));
        }
        if let Some(choice) = choice {
            if open.choices.iter().any(|other| clashes(&choice, other)) {
                return Err(format!("+{prefix} has this gateway twice"));
            }
            if open.choices.len() == CHOICES_MAX {
                return Err(format!("+{prefix} has more than {CHOICES_MAX} gateways"));
            }
            open.choices.push(choice);
        }
        Ok(())
    }

    fn choice(&self, record: &ByteRecord) -> Result<Option<Choice>, String> {
        let columns = &self.columns;
        let name = field(record, Some(columns.gateway))?;
        if name.is_empty() {
            return Ok(None);
        }
        let Some(&gateway) = self.place.get(name) else {
            return Err(format!("there is no gateway {name:?}"));
        };
        let hours = field(record, columns.hours)?;
        Ok(Some(Choice {
            gateway,
            trunk_group: None,
            order: number(record, columns.order, "order", default_order())?,
            preference: number(record, columns.preference, "preference", default_order())?,
            weight: number(record, columns.weight, "weight", default_weight())?,
            capacity: match field(record, columns.capacity)? {
                "" => None,
                text => {
                    Some(text.parse().map_err(|_| {
                        format!("capacity {text:?} is no number of circuits above 0")
                    })?)
                }
            },
            hours: match hours {
                "" => None,
                text => Some(text.parse::<Hours>().map_err(|error| error.to_string())?),
            },
        }))
    }

    fn portability(&self, record: &ByteRecord) -> Result<Option<Portability>, String> {
        let columns = &self.columns;
        let npdi = match field(record, columns.npdi)? {
            "" | "false" => false,
            "true" => true,
            other => return Err(format!("npdi {other:?} is neither true nor false")),
        };
        match field(record, columns.rn)? {
            "" => Ok(npdi.then_some(Portability::NotPorted)),
            rn => Ok(Some(Portability::Ported(read_prefix(rn, self.country)?))),
        }
    }

    /// The lines of a prefix are complete.
    fn close(&mut self) {
        let Some(Open { prefix, choices, portability }) = self.open.take() else {
            return;
        };
        let route = match &self.last_route {
            Some((same, known, route)) if *same == choices && *known == portability => *route,
            _ => {
                let new = Route::new(choices.clone()).with_portability(portability);
                let route = self.builder.route(new);
                self.last_route = Some((choices, portability, route));
                route
            }
        };
        self.builder.add(prefix, route);
    }
}

fn field(record: &ByteRecord, column: Option<usize>) -> Result<&str, String> {
    let octets = column.and_then(|column| record.get(column)).unwrap_or_default();
    str::from_utf8(octets).map(str::trim).map_err(|_| "is no UTF-8 text".to_owned())
}

fn number(
    record: &ByteRecord,
    column: Option<usize>,
    name: &str,
    default: u16,
) -> Result<u16, String> {
    match field(record, column)? {
        "" => Ok(default),
        text => text.parse().map_err(|_| format!("{name} {text:?} is not 0 to 65535")),
    }
}

fn read_prefix(text: &str, country: &CountryProfile) -> Result<Digits, String> {
    // What an export writes takes the short way.
    let plain = text.strip_prefix('+').filter(|digits| !digits.starts_with('0'));
    let plain = plain.and_then(Digits::read).filter(|digits| digits.length() > 0);
    match plain {
        Some(digits) if country.trunk_prefix != "0" || !is_double_trunk(text, country) => {
            Ok(digits)
        }
        _ => {
            prefix_digits(text, country).map_err(|(problem, remedy)| format!("{problem}: {remedy}"))
        }
    }
}

/// `+8103…`.
fn is_double_trunk(text: &str, country: &CountryProfile) -> bool {
    let behind = text[1..].strip_prefix(country.country_code.as_str());
    behind.is_some_and(|rest| rest.starts_with('0'))
}

/// The first line of an export.
pub fn write_header(out: &mut impl Write) -> Result<(), csv::Error> {
    let mut out = csv::Writer::from_writer(out);
    out.write_record(COLUMNS)?;
    out.flush().map_err(csv::Error::from)
}

/// Lines of an export.
pub fn write<'a>(
    entries: impl Iterator<Item = (Digits, &'a Route)>,
    name: impl Fn(u32) -> Option<&'a str>,
    out: &mut impl Write,
) -> Result<(), csv::Error> {
    let mut out = csv::Writer::from_writer(out);
    for (prefix, route) in entries {
        let prefix = format!("+{prefix}");
        let rn = match route.portability() {
            Some(Portability::Ported(rn)) => format!("+{rn}"),
            _ => String::new(),
        };
        let npdi = if route.portability().is_some() { "true" } else { "" };
        for choice in route.choices() {
            out.write_record([
                prefix.as_str(),
                name(choice.gateway).unwrap_or_default(),
                &choice.order.to_string(),
                &choice.preference.to_string(),
                &choice.weight.to_string(),
                &choice.capacity.map_or(String::new(), |capacity| capacity.to_string()),
                &choice.hours.map_or(String::new(), |hours| hours.to_string()),
                &rn,
                npdi,
            ])?;
        }
        if route.choices().is_empty() {
            out.write_record([prefix.as_str(), "", "", "", "", "", "", &rn, npdi])?;
        }
    }
    out.flush().map_err(csv::Error::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn places() -> HashMap<String, u32> {
        [("a".to_owned(), 0), ("b".to_owned(), 1)].into()
    }

    fn read_text(text: &str) -> Result<Snapshot, Vec<Mistake>> {
        read(text.as_bytes(), &CountryProfile::japan(), &places(), &AtomicU64::new(0))
    }

    const TABLE: &str = "\
prefix,gateway,order,preference,weight,capacity,hours,rn,npdi
+813,a,10,10,1,,,,
+81469,b,10,10,1,20,mo-fr 08:00-18:00,,
+81469,a,20,10,3,,,,
+8152123,,,,,,,,true
+81333331234,b,10,10,1,,,+81399990000,true
";

    #[test]
    fn export_is_what_was_imported() {
        let snapshot = read_text(TABLE).unwrap();
        assert_eq!(snapshot.entries(), 4);
        let mut out = Vec::new();
        write_header(&mut out).unwrap();
        let name = |place: u32| ["a", "b"].get(place as usize).copied();
        write(snapshot.iter(), name, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), TABLE);
    }

    #[test]
    fn columns_may_be_few_and_in_any_order() {
        let snapshot = read_text("\u{feff}gateway,prefix\r\nb,03\r\na,\"+81-469\"\r\n").unwrap();
        let prefixes: Vec<String> = snapshot.iter().map(|(prefix, _)| prefix.to_string()).collect();
        assert_eq!(prefixes, ["813", "81469"]);
    }

    #[test]
    fn what_is_for_people_is_read_over() {
        let text = "# a, b\nprefix,note,gateway\n# of Tokyo:\n+813,\"東京, Tokyo\",a\n+81469,,c\n";
        let mistakes = read_text(text).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert_eq!(mistakes[0].line, Some(5));
        assert_eq!(read_text(&text.replace(",c\n", ",b\n")).unwrap().entries(), 2);
    }

    #[test]
    fn each_mistake_is_told_with_its_line() {
        for (rows, line, problem) in [
            ("+813,c\n", Some(2), "no gateway \"c\""),
            ("+813,a\nx,a\n", Some(3), "neither + nor"),
            ("+813,a\n+81469,b\n+813,b\n", None, "+813 is there twice"),
            ("+813,a\n+813,a\n", Some(3), "twice"),
            ("+813,\n", Some(2), "no gateway"),
            ("+8103,a\n", Some(2), "not dialled"),
            ("+03,a\n", Some(2), "no country code"),
            ("+813,a,b\n", Some(2), "fields"),
        ] {
            let mistakes = read_text(&format!("prefix,gateway\n{rows}")).unwrap_err();
            assert_eq!(mistakes[0].line, line, "{rows}{mistakes:?}");
            assert!(mistakes[0].problem.contains(problem), "{rows}{mistakes:?}");
        }
        for (header, problem) in [
            ("prefix", "gateway"),
            ("prefix,gatway", "gatway"),
            ("prefix,prefix", "twice"),
            ("", ""),
        ] {
            let mistakes = read_text(header).unwrap_err();
            assert!(mistakes[0].problem.contains(problem), "{mistakes:?}");
        }
        let many = format!("prefix,gateway\n{}", "x,y\n".repeat(100));
        assert_eq!(read_text(&many).unwrap_err().len(), MISTAKES_MAX);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(\\PC|\n|,|\"){0,200}") {
            let _ = read_text(&text);
            let _ = read_text(&format!("prefix,gateway,hours,rn\n{text}"));
        }
    }
}
