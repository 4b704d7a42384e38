//! State tables as text files beside the tests: what a machine does with each event in each state.
//! A cell that changes is a line in a review.

use std::path::Path;

/// Compares a table with the file of that name in `tests/tables`, or writes the file when the
/// environment has `ACCEPT`. Fails with the lines that differ.
pub(crate) fn compare(name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(name);
    if std::env::var_os("ACCEPT").is_some() {
        std::fs::write(&path, table).expect("the table is written");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differences = differences(&expected, table);
    assert!(
        differences.is_empty(),
        "{} differs (ACCEPT=1 writes it anew):\n{}",
        path.display(),
        differences.join("\n")
    );
}

/// Lines that one text has and the other has not, each with the heading it stands under.
fn differences(expected: &str, found: &str) -> Vec<String> {
    let headed = |text: &str| {
        let mut heading = "";
        let mut lines = Vec::new();
        for line in text.lines() {
            if !line.starts_with(' ') {
                heading = line;
            }
            lines.push(format!("{heading}: {}", line.trim()));
        }
        lines
    };
    let (expected, found) = (headed(expected), headed(found));
    let missing =
        expected.iter().filter(|line| !found.contains(line)).map(|line| format!("- {line}"));
    let new = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}"));
    missing.chain(new).collect()
}

#[test]
fn a_changed_cell_is_shown_with_its_state() {
    let expected = "state 7\n  SABME   7\n  DISC    4\nstate 8\n  DISC    4\n";
    let found = "state 7\n  SABME   7\n  DISC    4\nstate 8\n  DISC    8\n";
    assert_eq!(differences(expected, found), ["- state 8: DISC    4", "+ state 8: DISC    8"]);
}
