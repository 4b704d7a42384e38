//! Speech both ways.

use std::path::PathBuf;
use std::time::Duration;

use crate::common::machine::undisturbed;
use crate::common::{ended_call, records, wait_idle};
use crate::page::{Page, everything_is_here, score, system};

/// One A-law hop scores 4.26 at best.
const PESQ_MIN: f64 = 3.9;

#[test]
fn a_click_in_the_page_rings_a_telephone_and_both_hear_each_other() {
    if !everything_is_here() {
        return;
    }
    let (network, _folder) = system(60, |layout| layout.hang_up_after_ms = Some(13_000));
    let layout = &network.layout;
    let mut calls = 0;
    undisturbed(|| {
        calls += 1;
        let page = Page::open(layout);
        page.click_number();
        page.wait_for("connected", Duration::from_secs(10));
        assert_eq!(page.words(), "Connected");
        page.record();
        let reason = page.wait_for("ended", Duration::from_secs(30));
        assert_eq!(reason, "hung_up");
        let page_heard = page.recording();
        let call = ended_call(&network, calls);
        assert_eq!(call["telephone"], "+81333331234");
        wait_idle(layout.gateway_a());
        let telephone_heard = PathBuf::from(call["recording"].as_str().expect("a recording"));
        let to_telephone = score(&layout.file("caller.wav"), &telephone_heard);
        let to_page = score(&layout.file("telephone-a.wav"), &page_heard);
        println!("PESQ page to telephone {to_telephone:?}, telephone to page {to_page:?}");
        match (to_telephone, to_page) {
            (Some(a), Some(b)) if a < PESQ_MIN || b < PESQ_MIN => {
                Err(format!("PESQ {a:.2} to the telephone, {b:.2} to the page"))
            }
            _ => Ok(()),
        }
    });
    let record = &records(&network, 'a')[calls as usize - 1];
    assert_eq!(record["cause"], 16, "{record}");
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
