//! A wrong configuration is refused by every program before a socket opens: file, line, key, what
//! is wrong and what to do, and exit status 2.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::programs;
use trunkline_demo::network::{Layout, write_files};

/// Exit status for a configuration that cannot be used.
const BAD_CONFIGURATION: Option<i32> = Some(2);

/// A program, the arguments that make it read a configuration, and the name of its file.
const PROGRAMS: [(&str, &[&str], &str); 5] = [
    ("trunkline-gateway", &["check"], "gateway-a.yaml"),
    ("trunkline-directory", &["check"], "directory.yaml"),
    ("trunkline-web", &["check"], "web.yaml"),
    ("trunkline-exchange", &["run"], "exchange.yaml"),
    ("trunkline-phone", &["call", "03-3333-1234", "--config"], "phone.yaml"),
];

/// The configurations of a whole system, which are right.
fn right_files() -> (Layout, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut layout = Layout::apart(folder.path(), &programs(), 90);
    layout.speech_s = 1;
    write_files(&layout).unwrap_or_else(|error| panic!("{error}"));
    (layout, folder)
}

fn run(program: &str, arguments: &[&str], file: &Path) -> Output {
    Command::new(programs().join(program)).args(arguments).arg(file).output().expect("it runs")
}

/// Changes a right file, and gives what the program says of it.
fn complaint(layout: &Layout, name: &str, change: impl FnOnce(&str) -> String) -> String {
    let (program, arguments, _) =
        PROGRAMS.into_iter().find(|known| known.2 == name).expect("a known file");
    let right = std::fs::read_to_string(layout.file(name)).expect("the file");
    let wrong = change(&right);
    assert_ne!(wrong, right, "{name}: nothing was changed");
    // In the same folder, since paths in a file count from there.
    let path = layout.file(&format!("wrong-{name}"));
    std::fs::write(&path, wrong).expect("written");
    let output = run(program, arguments, &path);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), BAD_CONFIGURATION, "{program}: {said}");
    assert!(said.contains(&format!("wrong-{name}")), "the file is named: {said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Number, from 1, of the first line that contains a text.
fn line_of(layout: &Layout, name: &str, text: &str) -> usize {
    let right = std::fs::read_to_string(layout.file(name)).expect("the file");
    1 + right.lines().position(|line| line.contains(text)).expect("it is there")
}

#[test]
fn the_programs_take_what_the_system_writes() {
    let (layout, _folder) = right_files();
    for (program, arguments, file) in PROGRAMS {
        if arguments == ["check"] {
            let output = run(program, arguments, &layout.file(file));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(!output.stdout.is_empty(), "{program} says what it read");
        }
    }
}

#[test]
fn no_yaml_unknown_keys_and_missing_files_are_refused_by_every_program() {
    let (layout, _folder) = right_files();
    for (program, arguments, file) in PROGRAMS {
        let said = complaint(&layout, file, |right| format!("unheard_of: 1\n{right}"));
        assert!(said.contains("unheard_of") && said.contains(":1"), "{program}: {said}");
        let said = complaint(&layout, file, |right| format!("{right}\n  : : [\n"));
        assert!(said.contains("line") || said.contains(".yaml:"), "{program}: {said}");
        complaint(&layout, file, |_| "\u{0}\u{1}".to_owned());
        complaint(&layout, file, |_| "[]".to_owned());
        // Aliases that multiply a thousand million times.
        let bomb = (1..10).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
            let items = vec![format!("*a{}", n - 1); 10].join(", ");
            format!("{text}a{n}: &a{n} [{items}]\n")
        });
        complaint(&layout, file, |_| bomb);
        let output = run(program, arguments, &layout.file("not-there.yaml"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), BAD_CONFIGURATION, "{program}: {said}");
        assert!(said.contains("not-there.yaml"), "{program}: {said}");
    }
}

#[test]
fn what_does_not_fit_together_is_told_with_line_key_and_remedy() {
    let (layout, _folder) = right_files();
    // File, what is replaced, by what, and the key that the message must name.
    for (file, from, to, key) in [
        ("gateway-a.yaml", "spans: [e1-a]", "spans: [e1-z]", "trunk_groups.0.spans.0"),
        ("gateway-a.yaml", "prefix: \"03\"", "prefix: \"Tokyo\"", "routes.0.prefix"),
        ("gateway-a.yaml", "[network-a]", "[network-x]", "routes.0.trunk_groups.0"),
        ("gateway-a.yaml", "trunk_groups: [network-a]", "peers: [\"tel:03\"]", "routes.0.peers.0"),
        ("exchange.yaml", "network: A", "network: Z", "telephones.0.network"),
        ("exchange.yaml", "\"03-3333-1234\"", "\"110\"", "telephones.0.number"),
    ] {
        let line = line_of(&layout, file, from);
        let said = complaint(&layout, file, |right| right.replacen(from, to, 1));
        assert!(said.contains(&format!("wrong-{file}:{line}: {key}: ")), "{said}");
        assert!(said.contains("remedy: "), "{said}");
    }
    // Emergency numbers cannot be put onto a page.
    let said = complaint(&layout, "web.yaml", |right| right.replacen("03-3333-1234", "110", 1));
    assert!(said.contains("numbers.0"), "{said}");
    // Values of the wrong type or beyond what can be are named with their line.
    for (file, from, to) in [
        ("gateway-a.yaml", "hunting: down", "hunting: sideways"),
        ("gateway-a.yaml", ":9100\"", ":91000\""),
        ("web.yaml", "listen: \"", "listen: \"nowhere "),
        ("phone.yaml", "address: \"", "address: \"x"),
    ] {
        let line = line_of(&layout, file, from);
        let said = complaint(&layout, file, |right| right.replacen(from, to, 1));
        assert!(said.contains(&format!("wrong-{file}:{line}")), "line {line}: {said}");
    }
    // The table is a file of its own.
    let table = layout.file("table.yaml");
    let right = std::fs::read_to_string(&table).expect("the table");
    std::fs::write(&table, right.replace("name: gateway-b", "name: gateway-q")).expect("written");
    let output = run("trunkline-directory", &["check"], &layout.file("directory.yaml"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), BAD_CONFIGURATION, "{said}");
    assert!(said.contains("table.yaml:") && said.contains("gateway-q"), "{said}");
}
