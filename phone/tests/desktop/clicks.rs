//! A click on the example page in a real browser starts the registered phone, which asks in its
//! window, and the call comes up with sound both ways.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use trunkline_sip::Event;

use crate::browsers::{Browser, Chromium, Firefox, free_port};
use crate::common::{self, Gateway, Voice};
use crate::desk::{Desk, Program, bursts, share, wait_for};
use crate::{octets, samples};

/// A program of the workspace, beside the phone.
fn program(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_trunkline-phone")).with_file_name(name);
    assert!(path.exists(), "build {name} first, as make test-desktop does");
    path
}

/// The web server with one number, whose linked data names the gateway.
fn web(desk: &Desk, gateway: &Gateway) -> (Program, String) {
    let port = free_port();
    let file = desk.file("web.yaml");
    let text = format!(
        "listen: 127.0.0.1:{port}\nsite:\n  name: {{ ja: 会社, en: Company }}\nnumbers:\n  \
         - number: 03-3333-1234\n    label: {{ ja: 本社, en: Head office }}\n    gateway: '{}'\n",
        gateway.address
    );
    std::fs::write(&file, text).expect("written");
    let child = desk
        .command(program("trunkline-web"))
        .arg("run")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let server = Program(child.expect("the web server"));
    wait_for("the web server", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    (server, format!("http://localhost:{port}"))
}

/// Makes the phone the desktop's application for linked data and links.
fn register(desk: &Desk, gateway: &Gateway) {
    let file = desk.file("phone.yaml");
    let text = format!("directory: []\ntrusted_gateways: ['{}']\n", gateway.address);
    std::fs::write(&file, text).expect("written");
    let output = desk
        .command(env!("CARGO_BIN_EXE_trunkline-phone"))
        .arg("--config")
        .arg(&file)
        .arg("register")
        .output()
        .expect("the phone");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The call that a click makes, from the click to its end.
async fn call_by_click(desk: &Desk, gateway: &mut Gateway, browser: &mut dyn Browser, page: &str) {
    browser.go(page);
    browser.click("a.direct");
    desk.sees("03-3333-1234 – Call this number?", "");
    desk.answer("y");
    let invite = gateway.incoming().await;
    let sound = octets(&bursts(500.0, 2.0));
    let voice = Voice::answering(&invite.sdp.unwrap(), gateway.address.ip(), sound);
    gateway.endpoint.answer(invite.leg, voice.answer.clone()).unwrap();
    assert!(matches!(gateway.next().await, Event::Acked { .. }));
    let wav = desk.file("said.wav");
    common::write_wav(&wav, &octets(&bursts(1_100.0, 30.0)));
    let said = desk.say(&wav);
    desk.sees("Talking", "");
    wait_for("the far end's tone on the loudspeaker", || {
        Some(share(&desk.listen("loudspeaker", 1_200), 500.0)).filter(|share| *share > 0.5)
    });
    wait_for("the person's tone in the microphone", || {
        Some(share(&desk.listen("microphone", 1_200), 1_100.0)).filter(|share| *share > 0.5)
    });
    desk.press(&["Escape"]);
    assert!(matches!(gateway.next().await, Event::Bye { .. }));
    drop(said);
    let heard = samples(&voice.stop());
    let loudest = heard.chunks(4_000).map(|part| share(part, 1_100.0)).fold(0.0, f64::max);
    assert!(loudest > 0.5, "{loudest:.2} of half a second at the telephone is the person's tone");
    desk.sees("Call ended", "");
    desk.press(&["Escape"]);
    wait_for("the window to close", || desk.titles().is_empty().then_some(()));
    let left = std::fs::read_dir(desk.file("Downloads")).expect("a folder").count();
    assert_eq!(left, 0, "the phone deletes what the browser downloads");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-desktop"]
async fn a_click_in_chromium_opens_the_phone_by_the_file_name() {
    let desk = Desk::new();
    let mut gateway = Gateway::start().await;
    register(&desk, &gateway);
    let (_server, origin) = web(&desk, &gateway);
    let mut browser = Chromium::open(&desk, &origin);
    call_by_click(&desk, &mut gateway, &mut browser, &format!("{origin}/en")).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a desktop: make test-desktop"]
async fn a_click_in_firefox_opens_the_phone_by_the_mime_type() {
    let desk = Desk::new();
    let mut gateway = Gateway::start().await;
    register(&desk, &gateway);
    let (_server, origin) = web(&desk, &gateway);
    let mut browser = Firefox::open(&desk);
    call_by_click(&desk, &mut gateway, &mut browser, &format!("{origin}/en")).await;
    gateway.stop().await;
}
