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

/// A desktop on which the person presses the button with this exit status; every window's command
/// line is in the file `windows`, and what was written to it behind.
fn phone_on_a_desktop(button: i32) -> (String, std::process::Output) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let windows = folder.path().join("windows");
    let zenity = folder.path().join("zenity");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >>{0}\n[ \"$1\" = --progress ] && cat >>{0}\nexit {button}\n",
        windows.display()
    );
    std::fs::write(&zenity, script).unwrap();
    std::fs::set_permissions(&zenity, std::fs::Permissions::from_mode(0o755)).unwrap();
    let configuration = folder.path().join("phone.yaml");
    std::fs::write(&configuration, "directory: []\nsound: { use: nothing }\n").unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline-phone"))
        .arg("--config")
        .arg(&configuration)
        .args(["open", "--", "tel:+81333331234"])
        .env("DISPLAY", ":99")
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    (std::fs::read_to_string(windows).unwrap_or_default(), output)
}

#[test]
fn a_browser_that_starts_the_phone_makes_it_ask_in_a_window() {
    let (windows, output) = phone_on_a_desktop(1);
    assert!(windows.contains("--question") && windows.contains("Call +81333331234?"), "{windows}");
    assert!(!windows.contains("--progress"), "not dialled: {windows}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Not called."));

    let (windows, output) = phone_on_a_desktop(0);
    assert!(windows.contains("--progress"), "{windows}");
    assert!(windows.contains("--error") && windows.contains("no gateway"), "{windows}");
    assert_eq!(output.status.code(), Some(1));
}
