//! The program as an operator meets it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_trunkline-web");
const CONFIGURATION: &str = "\
listen: 127.0.0.1:0
signing_key: site.key
site:
  name: { ja: 会社, en: Company }
numbers:
  - number: 03-3333-1234
    label: { ja: 本社, en: Head office }
    gateway: 127.0.0.10:5060
";

fn trunkline_web(arguments: &[&str], folder: &Path) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).output().unwrap()
}

#[test]
fn a_key_is_made_and_the_configuration_with_it_checks() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web.yaml"), CONFIGURATION).unwrap();
    let without_key = trunkline_web(&["check", "web.yaml"], folder.path());
    assert_eq!(without_key.status.code(), Some(2));
    let words = String::from_utf8(without_key.stderr).unwrap();
    assert!(words.contains("web.yaml:2: signing_key"), "{words}");
    assert!(words.contains("trunkline-web key generate"), "{words}");

    let made = trunkline_web(&["key", "generate", "site.key"], folder.path());
    assert!(made.status.success());
    let public = String::from_utf8(made.stdout).unwrap();
    let shown = trunkline_web(&["key", "public", "site.key"], folder.path());
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), public);
    assert_eq!(
        trunkline_web(&["key", "generate", "site.key"], folder.path()).status.code(),
        Some(1)
    );

    let checked = trunkline_web(&["check", "web.yaml"], folder.path());
    assert!(checked.status.success());
    let words = String::from_utf8(checked.stdout).unwrap();
    assert!(words.contains(public.trim()) && words.contains("+81333331234"), "{words}");
}

#[test]
fn the_example_configuration_is_good() {
    let checked = trunkline_web(&["check", "example.yaml"], Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn an_unknown_key_ends_the_program_with_status_2_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let text = CONFIGURATION.replace("signing_key", "signing_kee");
    std::fs::write(folder.path().join("web.yaml"), text).unwrap();
    let ended = trunkline_web(&["run", "web.yaml"], folder.path());
    assert_eq!(ended.status.code(), Some(2));
    let words = String::from_utf8(ended.stderr).unwrap();
    assert!(words.contains("web.yaml:2") && words.contains("signing_kee"), "{words}");
    assert!(!words.contains("serving"), "{words}");
}

/// A program that is killed when a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sigterm_ends_the_program_cleanly_and_its_log_is_json() {
    let folder = tempfile::tempdir().unwrap();
    let text = CONFIGURATION.replace("signing_key: site.key\n", "");
    std::fs::write(folder.path().join("web.yaml"), text).unwrap();
    let mut running = Running(
        Command::new(PROGRAM)
            .args(["--log", "json", "run", "web.yaml"])
            .current_dir(folder.path())
            .env_remove("TRUNKLINE_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(running.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with('{') && line.contains("serving pages")));
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(lines.any(|line| line.contains("\"ended\"")));
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}
