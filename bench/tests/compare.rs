//! The comparison itself, short, with the bare relay and our own.

use std::process::Command;

/// Whether this machine lets us make network namespaces.
fn may_make_namespaces() -> bool {
    let name = format!("trunkline-test-{}", std::process::id());
    let netns = |verb: &str| Command::new("ip").args(["netns", verb, &name]).output();
    let made = netns("add").is_ok_and(|outcome| outcome.status.success());
    if made {
        netns("del").unwrap();
    }
    made
}

#[test]
fn a_short_comparison_writes_table_and_picture_and_leaves_nothing_behind() {
    if !may_make_namespaces() {
        assert!(std::env::var_os("CI").is_none(), "no network namespaces, and this is CI");
        eprintln!("skipped: it takes root and iproute2 to make network namespaces");
        return;
    }
    let out = tempfile::tempdir().unwrap();
    let process = Command::new(env!("CARGO_BIN_EXE_trunkline-bench-media"))
        .args(["--short", "--seconds", "1", "--point", "5x50", "--relay", "bare", "--relay", "mio"])
        .arg("--out")
        .arg(out.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = process.id();
    let outcome = process.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.success(), "{told}");

    let table = std::fs::read_to_string(out.path().join("RESULTS.md")).unwrap();
    for relay in ["| bare socket relay |", "| Trunkline, mio |"] {
        let row = table.lines().find(|line| line.starts_with(relay));
        let row: Vec<&str> = row.unwrap_or_else(|| panic!("{table}")).split('|').collect();
        // Lost and faults.
        assert_eq!((row[7].trim(), row[8].trim()), ("0", "0"), "{told}");
    }
    let picture = std::fs::read_to_string(out.path().join("media.svg")).unwrap();
    assert!(picture.contains("bare socket relay</text><rect"), "{picture}");

    let left = Command::new("ip").args(["netns", "list"]).output().unwrap();
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(!left.contains(&format!("trunkline-bench-{pid}-")), "{left}");
}
