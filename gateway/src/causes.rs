//! The tables by which causes become statuses and back, for the operator to read.

use std::fmt::Write;

use trunkline_call::interworking::tables::{CAUSE_OF_STATUS, STATUS_OF_CAUSE};
use trunkline_call::interworking::{CauseMap, Standard, cause_text};

/// The tables that a gateway goes by; what its configuration has set is marked.
pub fn cause_tables(map: &CauseMap) -> String {
    let set = |is_set| if is_set { "  (set)" } else { "" };
    let standard = map.standard().title();
    let mut text = format!("Q.850 cause -> SIP status ({standard})\n");
    for entry in map.statuses() {
        let (cause, status) = (entry.from, entry.to);
        let _ =
            writeln!(text, "{cause:>5} -> {status}  {}{}", cause_text(cause), set(entry.is_set));
    }
    let _ = writeln!(text, "SIP status -> Q.850 cause ({standard})");
    for entry in map.causes() {
        let (status, cause) = (entry.from, entry.to);
        let _ =
            writeln!(text, "{status:>5} -> {cause:<4} {}{}", cause_text(cause), set(entry.is_set));
    }
    text
}

/// The tables of all standards side by side, as `deploy/causes.md` has them.
pub fn cause_tables_markdown() -> String {
    let maps = Standard::ALL.map(CauseMap::of);
    let titles = Standard::ALL.map(Standard::title).join(" | ");
    let mut text = String::from(
        "# Causes and statuses\n\n\
         Printed by `trunkline-gateway causes --markdown`. `causes.standard` in the configuration \
         picks a column,\n`causes.to_status` and `causes.to_cause` set single entries. A cause in a \
         Reason header is used instead of\nthe table, and every BYE, CANCEL and final response of ours \
         carries one. Cause 21 of the called person\nhimself (location user) is 603 in both RFCs.\n",
    );
    let _ = writeln!(
        text,
        "\n## Q.850 cause -> SIP status\n\n| cause | | {titles} |\n|---|---|---|---|---|"
    );
    for (cause, _) in STATUS_OF_CAUSE {
        let [a, b, c] = maps.each_ref().map(|map| map.status_of_cause(*cause, false));
        let _ = writeln!(text, "| {cause} | {} | {a} | {b} | {c} |", cause_text(*cause));
    }
    let [a, b, c] = maps.each_ref().map(|map| map.status_of_cause(30, false));
    let _ = writeln!(text, "| others of class 0, 1 | | {a} | {b} | {c} |");
    let [a, b, c] = maps.each_ref().map(|map| map.status_of_cause(49, false));
    let _ = writeln!(text, "| others of class 3 to 6 | | {a} | {b} | {c} |");
    let _ = writeln!(
        text,
        "\n## SIP status -> Q.850 cause\n\n| status | {titles} |\n|---|---|---|---|"
    );
    for (status, _) in CAUSE_OF_STATUS {
        let [a, b, c] = maps.each_ref().map(|map| map.cause_of_status(*status));
        let _ = writeln!(text, "| {status} | {a} | {b} | {c} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_marked_in_the_tables() {
        let mut map = CauseMap::of(Standard::Q1912_5);
        map.set_status(34, 486);
        let text = cause_tables(&map);
        let line = |start: &str| text.lines().find(|line| line.starts_with(start));
        let set = line("   34 ->").expect("a line for cause 34");
        assert!(set.contains("486") && set.ends_with("(set)"), "{set}");
        assert!(!line("   17 ->").expect("a line for cause 17").ends_with("(set)"));
        assert!(text.starts_with("Q.850 cause -> SIP status (Q.1912.5)"), "{text}");
    }

    #[test]
    fn the_page_shows_the_tables_as_they_are() {
        let page = include_str!("../../deploy/causes.md");
        assert!(
            page == cause_tables_markdown(),
            "write it anew: trunkline-gateway causes --markdown > deploy/causes.md"
        );
    }
}
