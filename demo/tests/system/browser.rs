//! A click in a real browser: headless Chromium opens the page, the person clicks a number, the
//! desktop starts the registered phone, and a telephone rings and talks.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::common::chromium::{Browser, Person};
use crate::common::machine::undisturbed;
use crate::common::{exchange_calls, has, system, wait_for, wait_idle};
use serde_json::Value;
use trunkline_demo::comparison::compare;
use trunkline_demo::network::{Layout, Network};
use trunkline_demo::speech;

/// What this test needs of the machine.
fn everything_is_here() -> bool {
    ["chromium", "chromedriver", "xdg-open", "xdg-mime", "gio", "update-mime-database"]
        .into_iter()
        .all(has)
}

/// The system's phone configuration for a phone without a terminal or a sound card: it does not
/// ask, says a file and records.
fn phone_configuration(layout: &Layout) -> PathBuf {
    let mut text = std::fs::read_to_string(layout.file("phone.yaml")).expect("the configuration");
    text.push_str(&format!(
        "ask: false\nlog: {}\nsound: {{ use: files, speak: {}, record: {} }}\n",
        layout.file("clicked-phone.log").display(),
        layout.file("caller.wav").display(),
        layout.file("clicked-phone-heard.wav").display(),
    ));
    let path = layout.file("clicked-phone.yaml");
    std::fs::write(&path, text).expect("written");
    path
}

/// Makes the phone the helper application of a person's desktop, as the README tells.
fn person_with_phone(network: &Network) -> Person {
    let layout = &network.layout;
    let person = Person::new(layout.file("home"));
    let output = person
        .command(layout.program("trunkline-phone"))
        .arg("--config")
        .arg(phone_configuration(layout))
        .arg("register")
        .output()
        .expect("the phone runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    person
}

/// Waits until call `number` of the exchange is over, and compares what was heard on both sides.
fn spoken(network: &Network, number: u64) -> Result<(), String> {
    let layout = &network.layout;
    let log = || std::fs::read_to_string(layout.file("clicked-phone.log")).unwrap_or_default();
    let call: Value = wait_for(&format!("call {number}"), Duration::from_secs(30), || {
        exchange_calls(network)
            .into_iter()
            .find(|call| call["call"] == number && call["state"] == "ended")
    });
    assert_eq!(call["cause"], 16, "{call}\n{}", log());
    assert_eq!(call["telephone"], "+81333331234");
    let read = |path: PathBuf| speech::read(&path).expect("a recording");
    let heard = PathBuf::from(call["recording"].as_str().expect("a recording"));
    let to_telephone = compare(&read(layout.file("caller.wav")), &read(heard));
    wait_idle(layout.gateway_a());
    if !to_telephone.is_intact() {
        return Err(format!("page to telephone: {to_telephone:?}\n{}", log()));
    }
    // The phone finishes its recording when the call is over.
    let (said, heard) =
        (read(layout.file("telephone-a.wav")), layout.file("clicked-phone-heard.wav"));
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let to_page = speech::read(&heard).map(|samples| compare(&said, &samples));
        match to_page {
            Ok(comparison) if comparison.is_intact() => return Ok(()),
            outcome if Instant::now() > deadline => {
                return Err(format!("telephone to page: {outcome:?}\n{}", log()));
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[test]
fn a_click_on_the_page_rings_a_telephone() {
    if !everything_is_here() {
        return;
    }
    let (network, _folder) = system(50, |layout| {
        layout.speech_s = 3;
        layout.hang_up_after_ms = Some(4_000);
    });
    let layout = &network.layout;
    let person = person_with_phone(&network);
    let browser = Browser::open(&person, &layout.web(), &layout.file("chromedriver.log"));
    browser.go(&format!("{}/en", layout.web()));
    assert!(browser.text("h1").contains("Aozora Electric"), "{}", browser.text("h1"));
    let picture = browser.screenshot();
    std::fs::write(layout.file("page.png"), &picture).expect("written");
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"));
    assert!(picture.len() > 10_000, "the page is not empty: {} octets", picture.len());

    let mut calls = 0;
    for link in [
        "a.number[href='/call/03-3333-1234.vlf']",
        "a.tel",
        "a.direct[href='/direct/03-3333-1234.vlf']",
    ] {
        undisturbed(|| {
            calls += 1;
            browser.click(link);
            spoken(&network, calls)
        });
    }
    drop(browser);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
