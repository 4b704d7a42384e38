//! The program itself: commands, exit status, signals.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use support::{Files, TABLE};

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline-directory"));
    command.env_remove("TRUNKLINE_LOG");
    command
}

fn output(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// Ends with the test, whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

#[test]
fn check_accepts_a_good_file_and_names_the_line_of_a_bad_one() {
    let files = Files::new(TABLE);
    let path = files.configuration();
    let path = path.to_str().unwrap();
    let good = output(&["check", path]);
    assert!(good.status.success());
    assert!(text(&good.stdout).contains("usable, 2 prefixes to 2 gateways"));

    files.write_table(&TABLE.replace("'0469'", "'03'"));
    let bad = output(&["check", path]);
    assert_eq!(bad.status.code(), Some(2));
    let reason = text(&bad.stderr);
    assert!(reason.contains("table.yaml:7: prefixes.1.prefix:"), "{reason}");
    assert!(reason.contains("in line 5") && reason.contains("remedy: "), "{reason}");
    assert_eq!(output(&["run", path]).status.code(), Some(2));
    assert_eq!(output(&["check", "/nowhere.yaml"]).status.code(), Some(2));
}

#[test]
fn lookup_says_which_entry_matched() {
    let files = Files::new(TABLE);
    let path = files.configuration();
    let path = path.to_str().unwrap();
    let known = output(&["lookup", path, "03-3333-1234"]);
    assert!(known.status.success());
    assert_eq!(
        text(&known.stdout),
        "+81333331234: matches +813\n  gateway a, order 10, preference 10: \
         sip:+81333331234@127.0.0.10:5060\n"
    );
    let unknown = output(&["lookup", path, "+4930123456"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stdout).contains("unknown"));
    assert_eq!(output(&["lookup", path, "110"]).status.code(), Some(2));
}

#[test]
fn signals_reload_and_end() {
    let files = Files::new(TABLE);
    let mut child = Running(
        command()
            .args(["--log", "json", "run", files.configuration().to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut next = |wanted: &str| loop {
        let line = lines.next().expect("the log ends").unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let message = event["message"].as_str().unwrap().to_owned();
        if message.contains(wanted) {
            break message;
        }
    };
    next("directory answers");
    files.write_table(&TABLE.replace("name: b", "name: c"));
    child.signal("-HUP");
    let refused = next("reload refused");
    assert!(refused.contains("table.yaml:8") && refused.contains("\"c\""), "{refused}");
    files.write_table(TABLE);
    child.signal("-HUP");
    next("table reloaded");
    child.signal("-TERM");
    next("directory ends");
    assert!(child.0.wait().unwrap().success());
}
