//! Numbers that a page may not ring, and linked data that is not to be believed: the phone and the
//! web server refuse them, and nothing reaches a gateway.

use std::process::{Command, Output};

use crate::common::{exchange_calls, status, system};
use trunkline_demo::network::{Layout, get};

/// Runs the phone to its end.
fn phone(layout: &Layout, arguments: &[&str]) -> Output {
    Command::new(layout.program("trunkline-phone"))
        .arg("--config")
        .arg(layout.file("phone.yaml"))
        .args(arguments)
        .output()
        .expect("the phone runs")
}

/// The phone does not call, says so in words, and does not panic.
fn assert_refuses(layout: &Layout, arguments: &[&str]) {
    let output = phone(layout, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?}: {said}");
    assert!(!said.trim().is_empty(), "{arguments:?} is refused without a word");
    assert!(!said.contains("panicked"), "{arguments:?}: {said}");
}

#[test]
fn emergency_premium_and_hostile_numbers_are_not_called() {
    let (network, _folder) = system(100, |layout| layout.speech_s = 1);
    let layout = &network.layout;
    for number in ["110", "119", "118", "0990-123456", "+81990123456", "1１0", "", "x"] {
        assert_refuses(layout, &["call", "--yes", "--silent", "--", number]);
    }
    let at_limit = "1".repeat(5_000);
    for argument in [
        "tel:110",
        "tel:+81990123456",
        "tel:03-3333-1234 --yes",
        "tel:$(reboot)",
        "tel:`reboot`",
        "tel:%00",
        "tel:",
        "--yes",
        "-x",
        "/dev/zero",
        "/proc/self/mem",
        "/",
        "http://example.com/x.vlf",
        at_limit.as_str(),
    ] {
        assert_refuses(layout, &["open", "--yes", "--silent", "--", argument]);
    }
    // The web server offers none of them either, with and without the gateway's address.
    for (number, status) in [
        ("110", "403"),
        ("0990-123456", "403"),
        ("03-3333-9999", "404"),
        ("..%2f..%2fetc%2fpasswd", "400"),
        ("%00", "400"),
        ("x", "400"),
    ] {
        for kind in ["call", "direct"] {
            let url = format!("{}/{kind}/{number}.vlf", layout.web());
            let error = get(&url).expect_err("refused").to_string();
            assert!(error.contains(status), "{error}");
        }
    }
    assert_eq!(exchange_calls(&network).len(), 0);
    assert_eq!(status(layout.gateway_a())["sip"]["messages_received"], 0);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn linked_data_that_is_broken_changed_or_too_old_is_not_believed() {
    let (network, _folder) = system(101, |layout| layout.speech_s = 1);
    let layout = &network.layout;
    let direct = get(&format!("{}/direct/03-3333-1234.vlf", layout.web())).expect("linked data");
    let direct = direct.to_string();
    let gateway = layout.gateway_a().to_string();
    assert!(direct.contains(&gateway), "{direct}");
    let another = layout.gateway_b().to_string();
    for (name, content) in [
        ("empty", Vec::new()),
        ("no-json", b"number=0333331234".to_vec()),
        ("binary", vec![0xff; 300]),
        ("too-long", format!("{direct}{}", " ".repeat(5_000)).into_bytes()),
        ("cut", direct.as_bytes()[..direct.len() / 2].to_vec()),
        ("other-gateway", direct.replace(&gateway, &another).into_bytes()),
        ("other-number", direct.replace("03-3333-1234", "03-3333-1235").into_bytes()),
        ("emergency", br#"{"application":"x","number":"110"}"#.to_vec()),
        ("deep", b"[".repeat(4_000)),
    ] {
        let path = layout.file(&format!("{name}.vlf"));
        std::fs::write(&path, content).expect("written");
        assert_refuses(layout, &["open", "--yes", "--silent", "--", &path.to_string_lossy()]);
    }
    assert_eq!(exchange_calls(&network).len(), 0);
    // What was not changed is believed.
    let path = layout.file("right.vlf");
    std::fs::write(&path, direct).expect("written");
    let path = path.to_string_lossy();
    let arguments = ["open", "--yes", "--silent", "--hang-up-after-s", "1", "--", &path];
    let output = phone(layout, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(exchange_calls(&network).len(), 1);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
