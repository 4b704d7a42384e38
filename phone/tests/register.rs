//! The phone as the helper application of a desktop.

use std::path::Path;
use std::process::Command;

const TOOLS: [&str; 3] = ["xdg-mime", "update-mime-database", "update-desktop-database"];

fn has_tools() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = TOOLS
        .into_iter()
        .find(|tool| !std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
    if let Some(tool) = missing {
        assert!(std::env::var_os("CI").is_none(), "{tool} is missing");
        eprintln!("SKIPPED: {tool} is missing");
    }
    missing.is_none()
}

/// A program with this folder as the home of its user.
fn at_home(program: impl AsRef<std::ffi::OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        // The plain way of xdg-utils, whatever desktop the tests run on.
        .env_remove("XDG_CURRENT_DESKTOP")
        .env_remove("DESKTOP_SESSION");
    command
}

fn xdg_mime(home: &Path, arguments: &[&str]) -> String {
    let output = at_home("xdg-mime", home).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn links_and_linked_data_open_the_phone_after_register() {
    if !has_tools() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    std::fs::create_dir(home.join("config")).unwrap();
    let phone = env!("CARGO_BIN_EXE_trunkline-phone");
    let output = at_home(phone, home).arg("register").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let entry =
        std::fs::read_to_string(home.join("data/applications/trunkline-phone.desktop")).unwrap();
    assert!(entry.contains(&format!("Exec=\"{phone}\" open -- %u")), "{entry}");
    assert!(home.join("data/mime/packages/trunkline-vlf.xml").is_file());
    assert!(home.join("config/mimeapps.list").is_file());

    for kind in ["application/x-vlf", "x-scheme-handler/tel", "x-scheme-handler/callto"] {
        let program = xdg_mime(home, &["query", "default", kind]);
        assert_eq!(program, "trunkline-phone.desktop", "{kind}");
    }
    let globs = std::fs::read_to_string(home.join("data/mime/globs2")).unwrap();
    assert!(globs.contains("application/x-vlf:*.vlf"), "{globs}");
}

#[test]
fn a_user_without_a_home_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_trunkline-phone"))
        .arg("register")
        .env_remove("HOME")
        .env_remove("XDG_DATA_HOME")
        .env_remove("XDG_CONFIG_HOME")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("HOME"));
}
