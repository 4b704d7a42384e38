//! The phone on a desktop: window, keys, microphone and loudspeaker, as a person has them, started by
//! hand and by clicks in browsers. Needs Xvfb, xdotool, PulseAudio, Chromium and Firefox
//! (`make test-desktop`).

mod browsers;
mod clicks;
#[path = "../common/mod.rs"]
mod common;
mod desk;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use common::{Gateway, Voice};
use desk::{Desk, Program, bursts, share, wait_for};
use trunkline_dsp::g711::Law;
use trunkline_media::MediaEventKind;
use trunkline_sip::{Event, Rejection};

/// A phone that the desktop starts for a link or file, as its desktop entry tells.
fn open(desk: &Desk, configuration: &str, target: &str) -> Program {
    let file = desk.file("phone.yaml");
    std::fs::write(&file, configuration).expect("written");
    let log = std::fs::File::create(desk.file("phone.out")).expect("a file");
    let child = desk
        .command(env!("CARGO_BIN_EXE_trunkline-phone"))
        .arg("--config")
        .arg(&file)
        .args(["open", "--", target])
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .spawn();
    Program(child.expect("the phone"))
}

/// A phone that trusts one gateway, in a language and colours.
fn configuration(gateway: &Gateway, more: &str) -> String {
    format!("directory: []\ntrusted_gateways: ['{}']\n{more}", gateway.address)
}

/// Linked data that names a gateway, as a browser leaves it in the downloads folder.
fn linked_data(desk: &Desk, name: &str, number: &str, gateway: &str) -> PathBuf {
    let path = desk.file(name);
    let text = format!(
        r#"{{"application": "Trunkline Phone", "number": "{number}", "gateway": "{gateway}"}}"#
    );
    std::fs::write(&path, text).expect("written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

async fn nobody_rings(gateway: &mut Gateway) {
    let rung = tokio::time::timeout(Duration::from_millis(400), gateway.events.next()).await;
    assert!(rung.is_err(), "{rung:?}");
}

fn octets(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|&sample| Law::A.encode(sample)).collect()
}

fn samples(octets: &[u8]) -> Vec<i16> {
    octets.iter().map(|&octet| Law::A.decode(octet)).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-desktop"]
async fn a_click_opens_a_window_that_asks_calls_and_carries_sound() {
    let desk = Desk::new();
    let mut gateway = Gateway::start().await;
    let address = gateway.address.to_string();
    let vlf = linked_data(&desk, "0333331234 (1).vlf", "03-3333-1234", &address);
    let devices = "sound: { use: devices, loudspeaker: loudspeaker }\n";
    let mut phone = open(&desk, &configuration(&gateway, devices), text(&vlf));
    desk.sees("03-3333-1234 – Call this number?", "window-question");
    assert!(!vlf.exists(), "the file is deleted after reading");
    nobody_rings(&mut gateway).await;
    desk.answer("y");

    let invite = gateway.incoming().await;
    gateway.endpoint.provisional(invite.leg, 180, None).unwrap();
    desk.sees("Ringing", "window-ringing");
    let sound = octets(&bursts(500.0, 2.0));
    let voice = Voice::answering(&invite.sdp.unwrap(), gateway.address.ip(), sound);
    let mut events = voice.media.events().unwrap();
    gateway.endpoint.answer(invite.leg, voice.answer.clone()).unwrap();
    assert!(matches!(gateway.next().await, Event::Acked { .. }));
    let wav = desk.file("said.wav");
    common::write_wav(&wav, &octets(&bursts(1_100.0, 30.0)));
    let said = desk.say(&wav);
    desk.sees("Talking", "");
    std::thread::sleep(Duration::from_millis(1_500));
    desk.sees("Talking", "window-talking");

    // What the far telephone says comes out of the loudspeaker, and of the headphones once the
    // person has chosen them (the lower of the two rows of devices, which takes the next one).
    let heard = share(&desk.listen("loudspeaker", 1_500), 500.0);
    let log = || std::fs::read_to_string(desk.file("phone.out")).unwrap_or_default();
    assert!(heard > 0.5, "{heard:.2} of the loudspeaker's sound is the far end's\n{}", log());
    desk.click(180, 464);
    let on_headphones = wait_for("sound on the headphones", || {
        Some(share(&desk.listen("headphones", 1_200), 500.0)).filter(|share| *share > 0.5)
    });
    assert!(
        on_headphones > 0.5,
        "{on_headphones:.2} of the headphones' sound is the far end's\n{}",
        log()
    );
    desk.sees("Talking", "window-headphones");

    // Digits typed and clicked, then mute.
    desk.press(&["1", "2"]);
    desk.click(290, 390);
    let mut digits = String::new();
    while digits.len() < 3 {
        let event = tokio::time::timeout(Duration::from_secs(8), events.recv()).await;
        if let MediaEventKind::DigitFromRtp { digit, .. } =
            event.expect("in time").expect("live").kind
        {
            digits.push(digit.symbol());
        }
    }
    assert_eq!(digits, "12#");

    // A second click goes to this phone and waits for the end of the call.
    let second = linked_data(&desk, "0469595678.vlf", "0469-59-5678", &address);
    let mut other = open(&desk, &configuration(&gateway, ""), text(&second));
    let status = wait_for("the second phone to end", || other.0.try_wait().unwrap());
    assert!(status.success());
    assert_eq!(desk.titles().len(), 1, "one window");
    desk.press(&["m"]);
    std::thread::sleep(Duration::from_millis(500));
    desk.sees("Talking", "window-muted");
    gateway.endpoint.hangup(invite.leg, Some(16)).unwrap();
    desk.sees("0469-59-5678 – Call this number?", "");
    assert!(!second.exists());
    let heard = samples(&voice.stop());
    drop(said);
    // Before the answer and after the muting there is silence; a second of the tone is there.
    let loudest = heard.chunks(8_000).map(|second| share(second, 1_100.0)).fold(0.0, f64::max);
    assert!(loudest > 0.5, "{loudest:.2} of a second at the telephone is the microphone's tone");
    let muted = &heard[heard.len() - 2_400..];
    assert!(muted.iter().all(|sample| sample.abs() < 64), "muted is silent");

    desk.press(&["Escape"]);
    let status = wait_for("the phone to end", || {
        desk.press_if_open("Escape");
        phone.0.try_wait().unwrap()
    });
    assert!(!status.success(), "the last number was not called");
    nobody_rings(&mut gateway).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-desktop"]
async fn keys_meant_for_the_page_call_nobody_and_no_means_no() {
    let desk = Desk::new();
    let mut gateway = Gateway::start().await;
    let vlf = linked_data(&desk, "x.vlf", "03-3333-1234", "gateway.evil.example");
    let mut phone = open(&desk, &configuration(&gateway, ""), text(&vlf));
    desk.sees("Call this number?", "window-untrusted");
    // As a person who was typing when the window came: Return and Space land on "Do not call".
    desk.press(&["Return", "space"]);
    std::thread::sleep(Duration::from_millis(800));
    desk.press_if_open("Return");
    let status = wait_for("the phone to end", || phone.0.try_wait().unwrap());
    assert!(!status.success());
    nobody_rings(&mut gateway).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-desktop"]
async fn the_window_says_why_there_is_no_call_and_calls_again_in_japanese() {
    let desk = Desk::new();
    let mut gateway = Gateway::start().await;
    let address = gateway.address.to_string();
    let vlf = linked_data(&desk, "x.vlf", "03-3333-1234", &address);
    let dark = configuration(&gateway, "language: ja\ntheme: dark\n");
    let mut phone = open(&desk, &dark, text(&vlf));
    desk.sees("電話をかけますか?", "window-question-ja");
    desk.answer("y");
    let invite = gateway.incoming().await;
    let busy = Rejection { status: 486, cause: Some(17), ..Rejection::default() };
    gateway.endpoint.reject(invite.leg, busy).unwrap();
    desk.sees("通話できませんでした", "window-busy-ja");
    // The button "call again" is the person's yes.
    desk.press(&["r"]);
    let invite = gateway.incoming().await;
    gateway.endpoint.provisional(invite.leg, 180, None).unwrap();
    desk.sees("呼び出し中", "window-ringing-ja");
    desk.press(&["Escape"]);
    desk.sees("通話終了", "window-ended-ja");
    desk.press(&["Escape"]);
    wait_for("the phone to end", || phone.0.try_wait().unwrap());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-desktop"]
async fn hostile_files_and_links_are_refused_in_the_window() {
    let desk = Desk::new();
    let gateway = Gateway::start().await;
    let file = |name: &str, content: &[u8]| {
        let path = desk.file(name);
        std::fs::write(&path, content).expect("written");
        text(&path).to_owned()
    };
    let targets = [
        file("large.vlf", &vec![b' '; 1 << 20]),
        file("binary.vlf", &[0x7f, b'E', b'L', b'F', 0, 0xff]),
        "tel:119".to_owned(),
        "tel:0990-123-456".to_owned(),
        "tel:$(touch /tmp/trunkline-was-here)".to_owned(),
    ];
    for (index, target) in targets.iter().enumerate() {
        let mut phone = open(&desk, &configuration(&gateway, ""), target);
        let picture = if index == 2 { "window-refused" } else { "" };
        desk.sees("Not called", picture);
        desk.press(&["Return"]);
        let status = wait_for("the phone to end", || phone.0.try_wait().unwrap());
        assert!(!status.success(), "{target}");
    }
    assert!(!Path::new("/tmp/trunkline-was-here").exists());
    gateway.stop().await;
}

#[test]
#[ignore = "needs a desktop: make test-desktop"]
fn without_a_desktop_the_phone_says_what_to_do() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_trunkline-phone"))
        .args(["open", "--", "tel:03-3333-1234"])
        .env("DISPLAY", ":4711")
        .env_remove("WAYLAND_DISPLAY")
        .stdin(Stdio::null())
        .output()
        .expect("the phone");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("start the phone in a terminal"), "{said}");
}
