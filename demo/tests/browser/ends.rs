//! What a person does in the page, and all the ways in which a call ends.

use std::time::Duration;

use crate::common::{ended_call, exchange_calls, wait_for, wait_idle};
use crate::page::{Page, everything_is_here, system};
use trunkline_demo::network::Layout;

/// Longer than a call takes to come up, or to end.
const SOON: Duration = Duration::from_secs(10);

/// Telephones that do not answer as one would like.
fn unwilling_telephones(layout: &mut Layout) {
    layout.speech_s = 1;
    layout.more_telephones = "  \
        - { number: \"03-3333-0017\", network: A, when_called: busy }\n  \
        - { number: \"03-3333-0021\", network: A, when_called: { refuse_with_cause: 21 } }\n"
        .to_owned();
}

#[test]
fn keys_and_the_hang_up_button_do_what_they_say() {
    if !everything_is_here() {
        return;
    }
    let (network, _folder) = system(61, |layout| layout.speech_s = 1);
    let layout = &network.layout;
    let page = Page::open(layout);
    page.picture("page-idle");
    page.click_number();
    page.wait_for("ringing", SOON);
    assert_eq!((page.words().as_str(), page.focus().as_str()), ("Ringing", "hangup"));
    page.picture("page-ringing");
    page.wait_for("connected", SOON);
    page.click_in_panel(".pad");
    page.click_in_panel(".keys button:first-child");
    page.browser.press("2#");
    page.picture("page-connected");
    page.click_in_panel(".mute");
    let pressed = "return document.querySelector('call-button').shadowRoot
        .querySelector('.mute').getAttribute('aria-pressed')";
    assert_eq!(page.browser.run(pressed), "true");
    // The digits go out one after the other.
    std::thread::sleep(Duration::from_secs(1));
    page.click_in_panel(".hangup");
    assert_eq!(page.wait_for("ended", SOON), "hung_up");
    assert_eq!((page.words().as_str(), page.focus().as_str()), ("The call has ended", "again"));
    page.picture("page-ended");
    let call = ended_call(&network, 1);
    assert_eq!((&call["cause"], &call["digits"]), (&16.into(), &"12#".into()), "{call}");
    wait_idle(layout.gateway_a());

    // Again, and the page is left without a word: the telephone is not left talking to nobody.
    page.click_in_panel(".again");
    page.wait_for("connected", SOON);
    page.browser.go(&format!("{}/style.css", layout.web()));
    assert_eq!(ended_call(&network, 2)["cause"], 16);
    wait_idle(layout.gateway_a());
    drop(page);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_page_says_why_nobody_answers_in_the_readers_language() {
    if !everything_is_here() {
        return;
    }
    let (network, _folder) = system(62, unwilling_telephones);
    let layout = &network.layout;
    let page = Page::open_with(layout, "ja", &["--use-fake-ui-for-media-stream"]);
    for (number, reason, words) in [
        ("+81333330017", "busy", "お話し中です"),
        ("+81333330021", "declined", "応答を断られました"),
        ("+81333339999", "no_such_number", "この番号は使われていません"),
        // The site does not offer it: no gateway is asked.
        ("+81999999999", "refused", "この番号にはおつなぎできません"),
        ("110", "refused", "この番号にはおつなぎできません"),
    ] {
        page.set_number(number);
        page.click_number();
        assert_eq!(page.wait_for("ended", SOON), reason, "{number}");
        assert_eq!(page.words(), words);
        if reason == "busy" {
            page.picture("page-busy-ja");
        }
        page.click_in_panel(".close");
        page.wait_for("idle", SOON);
        wait_idle(layout.gateway_a());
    }
    drop(page);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn without_a_microphone_the_plain_link_is_offered_and_nobody_is_called() {
    if !everything_is_here() {
        return;
    }
    let (network, _folder) = system(63, |layout| layout.speech_s = 1);
    let page = Page::open_with(&network.layout, "en", &["--deny-permission-prompts"]);
    page.click_number();
    assert_eq!(page.wait_for("ended", SOON), "denied");
    assert_eq!(page.words(), "The microphone is not allowed");
    page.picture("page-denied");
    let link =
        "return document.querySelector('call-button').shadowRoot.querySelector('.plain').href";
    assert_eq!(page.browser.run(link), "tel:+81333331234");
    assert!(exchange_calls(&network).is_empty());
    drop(page);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_gateway_that_dies_is_missed_and_said_so() {
    if !everything_is_here() {
        return;
    }
    let (mut network, _folder) = system(64, |layout| layout.speech_s = 1);
    let page = Page::open(&network.layout);
    page.click_number();
    page.wait_for("connected", SOON);
    network.program("gateway-a").expect("it runs").signal(libc::SIGKILL);
    page.wait_for("reconnecting", Duration::from_secs(30));
    page.picture("page-reconnecting");
    let reason = page.wait_for("ended", Duration::from_secs(40));
    assert!(matches!(reason.as_str(), "gateway" | "lost"), "{reason}");
    // Nor can it be called again.
    wait_for("the panel", SOON, || (page.state().0 == "ended").then_some(()));
    page.click_in_panel(".again");
    assert_eq!(page.wait_for("ended", SOON), "gateway");
}
