//! A gateway whose media workers have no time left refuses new calls on both sides, at once, and
//! says so: to the caller, to the line, in the records, the metrics and the log.

use std::time::Duration;

use crate::common::sipp::{self, Scenario, Sipp};
use crate::common::{ended_call, has, records, status, system, wait_for, wait_idle};
use serde_json::{Value, json};
use trunkline_demo::network::{get, post};

#[test]
fn a_gateway_over_its_load_refuses_calls_of_both_sides_before_it_does_anything_for_them() {
    if !has("sipp") {
        return;
    }
    // What a worker without a call takes is more than this: measured load over the limit.
    let (network, _folder) = system(90, |layout| {
        layout.speech_s = 1;
        layout.more_of_gateway_a = "limits: { media_load: 0.00001 }\n".to_owned();
    });
    let layout = network.layout.clone();
    let gateway = layout.gateway_a();
    wait_for("the gateway is congested", Duration::from_secs(5), || {
        (status(gateway)["state"] == "congested").then_some(())
    });
    assert_eq!(status(gateway)["congestion"], "media_load");
    assert_eq!(status(gateway)["media"]["workers"][0]["refuses"], true);

    let refused = Scenario::default()
        .invite("[media_port]")
        .maybe(&[100])
        .expect_with(503, "Retry-After", "[0-9]+")
        .ack_refusal();
    let three = Sipp { calls: 3, calls_per_s: 3, ..Sipp::at(&layout, 3) };
    let mut callers = three.call(&layout, "callers", gateway, "0333331234", &refused);
    assert!(callers.succeeds(Duration::from_secs(10)), "{}", sipp::complaints(&layout, "callers"));
    let telephone = format!("{}/telephones/81333331234/call", layout.exchange_http());
    post(&telephone, &json!({ "to": "03-1111-0001" })).expect("the telephone dials");
    // Q.850 42: switching equipment congestion.
    assert_eq!(ended_call(&network, 1)["cause"], 42);
    wait_idle(gateway);

    let records = wait_for("the call records", Duration::from_secs(5), || {
        Some(records(&network, 'a')).filter(|records| records.len() == 4)
    });
    for record in &records {
        assert_eq!((&record["cause"], &record["refused"]), (&json!(42), &json!("media_load")));
        assert_eq!(record["legs"].as_array().map(Vec::len), Some(1), "nobody was called: {record}");
        assert_eq!(record["legs"][0]["media"], Value::Null, "no port was opened: {record}");
    }
    assert_eq!(status(gateway)["media"]["counters"]["legs_opened"], 0);
    assert_eq!(status(gateway)["spans"][0]["channels"]["idle"], 30);
    let page = get(&format!("http://{gateway}:9100/metrics")).expect("metrics");
    let page = page.as_str().expect("text");
    for line in [
        "trunkline_calls_refused_total{reason=\"media_load\"} 4",
        "trunkline_calls_refused_total{reason=\"calls\"} 0",
        "trunkline_gateway_congested{reason=\"media_load\"} 1",
    ] {
        assert!(page.lines().any(|there| there == line), "{line}\n{page}");
    }
    for name in ["trunkline_media_tick_lateness_seconds", "trunkline_media_tick_work_seconds"] {
        assert!(page.contains(&format!("{name}_bucket{{worker=\"0\",le=\"0.005\"}}")), "{page}");
    }
    let log = std::fs::read_to_string(layout.file("gateway-a.log")).expect("its log");
    assert_eq!(log.matches("congestion: new calls are refused").count(), 1, "{log}");
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
