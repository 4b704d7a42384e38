//! The line fails and comes back.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::common::sipp::{self, Scenario, Sipp};
use crate::common::{ended_call, has, records, status, system, wait_for, wait_idle};
use trunkline_demo::network::get;

/// The value of a metric as /metrics writes it.
fn metric(gateway: Ipv4Addr, sample: &str) -> Option<f64> {
    let page = get(&format!("http://{gateway}:9100/metrics")).expect("metrics");
    let page = page.as_str().expect("text");
    page.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

#[test]
fn a_call_is_cleared_when_the_line_fails_and_the_line_comes_back_by_itself() {
    if !has("sipp") {
        return;
    }
    let (mut network, _folder) = system(70, |layout| layout.speech_s = 1);
    let layout = network.layout.clone();
    let gateway = layout.gateway_a();
    // The caller waits to be told that the call is over.
    let told = Scenario::default()
        .invite("[media_port]")
        .maybe(&[100, 183, 180])
        .answered()
        .ack()
        .expect_request("BYE")
        .respond_within();
    let caller = Sipp::at(&layout, 3);
    let mut peer = caller.call(&layout, "caller", gateway, "0333331234", &told);
    wait_for("the call is up", Duration::from_secs(10), || {
        (status(gateway)["calls"]["answered"] == 1).then_some(())
    });
    assert_eq!(metric(gateway, "trunkline_span_alarm{alarm=\"red\",span=\"e1-a\"}"), Some(0.0));

    let exchange = network.program("exchange").expect("the exchange");
    exchange.signal(libc::SIGSTOP);
    let stopped = Instant::now();
    wait_for("RED", Duration::from_secs(5), || {
        (status(gateway)["spans"][0]["alarm"] == "red").then_some(())
    });
    assert!(peer.succeeds(Duration::from_secs(5)), "{}", sipp::complaints(&layout, "caller"));
    let cleared_after = stopped.elapsed();
    assert!(cleared_after < Duration::from_secs(5), "cleared after {cleared_after:?}");
    let span = status(gateway)["spans"][0].clone();
    assert_eq!(span["in_service"], false, "{span}");
    assert_eq!(span["channels"]["busy"], 0, "{span}");
    assert_eq!(span["channels"]["out_of_service"], 30, "{span}");
    assert_eq!(metric(gateway, "trunkline_span_alarm{alarm=\"red\",span=\"e1-a\"}"), Some(1.0));

    let asked = Instant::now();
    let refused = sipp::refused(503);
    let mut peer = Sipp::at(&layout, 4).call(&layout, "refused", gateway, "0333331234", &refused);
    assert!(peer.succeeds(Duration::from_secs(5)), "{}", sipp::complaints(&layout, "refused"));
    assert!(asked.elapsed() < Duration::from_secs(2), "refused after {:?}", asked.elapsed());

    network.program("exchange").expect("the exchange").signal(libc::SIGCONT);
    wait_for("the span is back", Duration::from_secs(15), || {
        (status(gateway)["spans"][0]["in_service"] == true).then_some(())
    });
    let short = sipp::short_call(300);
    let mut peer = Sipp::at(&layout, 5).call(&layout, "again", gateway, "0333331234", &short);
    assert!(peer.succeeds(Duration::from_secs(10)), "{}", sipp::complaints(&layout, "again"));
    wait_idle(gateway);

    let records = wait_for("the call records", Duration::from_secs(5), || {
        Some(records(&network, 'a')).filter(|records| records.len() == 3)
    });
    // Q.850 27, destination out of order: the line of a call that was up is gone. 34 and 38 tell
    // that no line is there for a new one.
    assert_eq!(records[0]["cause"], 27, "{}", records[0]);
    assert!([34, 38].map(Some).contains(&records[1]["cause"].as_u64()), "{}", records[1]);
    assert_eq!(records[2]["cause"], 16, "{}", records[2]);
    // The exchange too has given the first call up.
    ended_call(&network, 1);
    assert_eq!(ended_call(&network, 2)["cause"], 16);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
