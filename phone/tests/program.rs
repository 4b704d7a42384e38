//! The program: its exit status, and what it leaves for the person who looks for a fault.

use std::process::Command;

fn phone(configuration: &str, arguments: &[&str]) -> (tempfile::TempDir, std::process::Output) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("phone.log");
    let path = folder.path().join("phone.yaml");
    let configuration = configuration.replace("LOG", &log.to_string_lossy());
    std::fs::write(&path, configuration).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline-phone"))
        .arg("--config")
        .arg(&path)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    (folder, output)
}

#[test]
fn a_call_that_fails_is_told_on_the_terminal_and_logged_in_the_file() {
    let arguments = ["call", "03-3333-1234", "--yes", "--silent"];
    let (folder, output) = phone("directory: []\nlog: LOG\n", &arguments);
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("Call failed: no gateway"), "{shown}");
    let log = std::fs::read_to_string(folder.path().join("phone.log")).unwrap();
    assert!(log.contains("step=406") && log.contains("+81333331234"), "{log}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_wrong_configuration_is_told_with_its_line_and_status_2() {
    let (_folder, output) = phone("directory: []\ncodec: pcma\n", &["call", "03-3333-1234"]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("phone.yaml:2") && told.contains("codec"), "{told}");
}

#[test]
fn nobody_is_called_without_being_asked() {
    let arguments = ["call", "03-3333-1234", "--silent"];
    let (_folder, output) = phone("directory: []\n", &arguments);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("Not called: nobody could be asked"), "{told}");
}
