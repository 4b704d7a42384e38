//! What an operator relies on: metrics that move with a call, logs in which a call's id finds all
//! of it, an end that waits for calls, and a table that can be changed without a break.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::sipp::{self, Sipp};
use crate::common::{ended_call, has, records, status, system, wait_for, wait_idle};
use serde_json::Value;
use trunkline_demo::network::{Network, get};

/// The samples of a metrics page: name with labels, and value.
fn samples(url: &str) -> BTreeMap<String, f64> {
    let page = get(url).expect("metrics");
    let page = page.as_str().expect("text");
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

fn gateway_metrics(network: &Network) -> BTreeMap<String, f64> {
    samples(&format!("http://{}:9100/metrics", network.layout.gateway_a()))
}

#[test]
fn metrics_move_with_a_call() {
    let (network, _folder) = system(110, |layout| layout.speech_s = 1);
    let layout = &network.layout;
    let directory = format!("{}/metrics", layout.directory_http());
    let before = gateway_metrics(&network);
    let asked_before = samples(&directory);
    // Every family that an operator needs is there before the first call, with help and type.
    for name in [
        "trunkline_calls{phase=\"answered\"}",
        "trunkline_b_channels{span=\"e1-a\",state=\"idle\"}",
        "trunkline_span_alarm{alarm=\"red\",span=\"e1-a\"}",
        "trunkline_data_link_up{span=\"e1-a\"}",
        "trunkline_rtp_dropped_total{reason=\"late\"}",
        "trunkline_rtp_dropped_total{reason=\"source\"}",
        "trunkline_rtp_total{what=\"packets_received\"}",
        "trunkline_rtp_total{what=\"concealed_samples\"}",
        "trunkline_call_records_total{outcome=\"lost\"}",
        "trunkline_sip_messages_total{outcome=\"received\"}",
    ] {
        assert!(before.contains_key(name), "{name} is missing: {before:#?}");
    }
    let arguments = ["call", "03-3333-1234", "--yes", "--silent", "--hang-up-after-s", "2"];
    let mut phone = network.phone("phone", &arguments).expect("the phone starts");
    let during = wait_for("the call is in the metrics", Duration::from_secs(10), || {
        let samples = gateway_metrics(&network);
        (samples["trunkline_calls{phase=\"answered\"}"] == 1.0).then_some(samples)
    });
    assert_eq!(during["trunkline_b_channels{span=\"e1-a\",state=\"busy\"}"], 1.0);
    assert_eq!(during["trunkline_b_channels{span=\"e1-a\",state=\"idle\"}"], 29.0);
    assert_eq!(during["trunkline_rtp_legs"], 1.0);
    assert_eq!(during["trunkline_sip_held{what=\"legs\"}"], 1.0);
    let ended = phone.wait(Duration::from_secs(10)).expect("a child").expect("it ends");
    assert!(ended.success(), "{}", phone.last_lines());
    wait_idle(layout.gateway_a());
    let after = gateway_metrics(&network);
    assert_eq!(after["trunkline_calls{phase=\"answered\"}"], 0.0);
    assert_eq!(after["trunkline_calls_offered_total{from=\"packet\"}"], 1.0);
    assert_eq!(after["trunkline_calls_ended_total{cause=\"16\"}"], 1.0);
    assert_eq!(after["trunkline_call_records_total{outcome=\"written\"}"], 1.0);
    let packets =
        |samples: &BTreeMap<String, f64>| samples["trunkline_rtp_total{what=\"packets_received\"}"];
    assert!(packets(&after) - packets(&before) > 80.0, "2 s of 20 ms each");
    // The phone's inquiry.
    let asked = samples(&directory);
    let hits = |samples: &BTreeMap<String, f64>| samples["trunkline_directory_answers_total{kind=\"hit\",transport=\"udp\"}"];
    assert_eq!(hits(&asked) - hits(&asked_before), 1.0);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

/// A program's log lines.
fn log(network: &Network, program: &str) -> Vec<Value> {
    std::fs::read_to_string(network.layout.file(&format!("{program}.log")))
        .expect("its log")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

#[test]
fn the_id_of_a_call_finds_all_of_it() {
    let (network, _folder) = system(111, |layout| layout.speech_s = 1);
    for _ in 0..2 {
        let arguments = ["call", "03-3333-1234", "--yes", "--silent", "--hang-up-after-s", "1"];
        let mut phone = network.phone("phone", &arguments).expect("the phone starts");
        let ended = phone.wait(Duration::from_secs(10)).expect("a child").expect("it ends");
        assert!(ended.success(), "{}", phone.last_lines());
    }
    wait_idle(network.layout.gateway_a());
    let records = wait_for("the call records", Duration::from_secs(5), || {
        Some(records(&network, 'a')).filter(|records| records.len() == 2)
    });
    let lines = log(&network, "gateway-a");
    let mut found = 0;
    for record in &records {
        let of_call: Vec<&Value> =
            lines.iter().filter(|line| line["call"] == record["call"]).collect();
        found += of_call.len();
        let texts: Vec<&str> = of_call.iter().filter_map(|line| line["message"].as_str()).collect();
        let steps: Vec<u64> = of_call.iter().filter_map(|line| line["step"].as_u64()).collect();
        assert_eq!(steps, [410, 411, 412], "{texts:?}");
        assert!(texts.contains(&"call from SIP"), "{texts:?}");
        assert!(texts.iter().any(|text| text.contains("over")), "the end is there: {texts:?}");
        // The SIP peer's own name of the call is there too, to look further on its side.
        assert!(of_call.iter().any(|line| line["sip_call_id"].is_string()), "{of_call:?}");
        for line in of_call {
            assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
        }
    }
    // No line of a call goes without its id.
    let ladder = lines.iter().filter(|line| line["target"] == "ladder").count();
    assert_eq!(ladder, 6);
    let with_id = lines.iter().filter(|line| line["call"].is_string()).count();
    assert_eq!(with_id, found);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn sigterm_lets_a_call_end_and_takes_no_new_one() {
    if !has("sipp") {
        return;
    }
    let (mut network, _folder) = system(112, |layout| {
        layout.speech_s = 1;
        layout.hang_up_after_ms = Some(4_000);
    });
    let layout = network.layout.clone();
    let gateway = layout.gateway_a();
    let told = sipp::call_until_told();
    let mut caller = Sipp::at(&layout, 3).call(&layout, "caller", gateway, "0333331234", &told);
    wait_for("the call is up", Duration::from_secs(10), || {
        (status(gateway)["calls"]["answered"] == 1).then_some(())
    });
    let answered = Instant::now();
    network.program("gateway-a").expect("the gateway").signal(libc::SIGTERM);
    wait_for("the gateway drains", Duration::from_secs(2), || {
        (status(gateway)["draining"] == true).then_some(())
    });
    let refused = sipp::refused(503);
    let mut late = Sipp::at(&layout, 4).call(&layout, "late", gateway, "0333331234", &refused);
    assert!(late.succeeds(Duration::from_secs(5)), "{}", sipp::complaints(&layout, "late"));
    assert_eq!(status(gateway)["calls"]["answered"], 1, "the call goes on");
    assert!(caller.succeeds(Duration::from_secs(10)), "{}", sipp::complaints(&layout, "caller"));
    assert!(answered.elapsed() > Duration::from_millis(3_500), "{:?}", answered.elapsed());
    let program = network.program("gateway-a").expect("the gateway");
    let ended = program.wait(Duration::from_secs(5)).expect("a child").expect("it ends");
    assert!(ended.success(), "{ended}: {}", program.last_lines());
    // The telephone ended the call; the gateway did not cut it off. Both calls are on record.
    assert_eq!(ended_call(&network, 1)["cause"], 16);
    let records = records(&network, 'a');
    assert_eq!(records.len(), 2, "{records:?}");
    let answered = records.iter().find(|record| !record["answered_at"].is_null());
    assert_eq!(answered.expect("the answered one")["cause"], 16);
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_wrong_table_is_refused_and_a_right_one_taken_while_queries_go_on() {
    if !has("dig") {
        return;
    }
    let (mut network, _folder) = system(113, |layout| layout.speech_s = 1);
    let layout = network.layout.clone();
    let server = layout.directory();
    let (address, port) = server.split_once(':').expect("address and port");
    let ask = |name: &str| {
        let output = Command::new("dig")
            .args([&format!("@{address}"), "-p", port, "NAPTR", name, "+short", "+tries=1"])
            .output()
            .expect("dig runs");
        assert!(output.status.success(), "no query is lost");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let (tokyo, osaka) = ("4.3.2.1.3.3.3.3.3.1.8.e164.arpa", "8.7.6.5.4.3.2.1.6.1.8.e164.arpa");
    let at_a = format!("@{}:5060", layout.gateway_a());
    assert!(ask(tokyo).contains(&at_a));
    assert_eq!(ask(osaka), "");

    let reloads = |result: &str| {
        let samples = samples(&format!("{}/metrics", layout.directory_http()));
        let name = format!("trunkline_directory_reloads_total{{result=\"{result}\"}}");
        *samples.get(&name).unwrap_or_else(|| panic!("{name} is missing: {samples:#?}"))
    };
    let table = layout.file("table.yaml");
    let right = std::fs::read_to_string(&table).expect("the table");
    std::fs::write(&table, right.replace("name: gateway-a", "name: gateway-q")).expect("written");
    network.program("directory").expect("the directory").signal(libc::SIGHUP);
    wait_for("the table is refused", Duration::from_secs(5), || {
        (reloads("refused") == 1.0).then_some(())
    });
    assert!(ask(tokyo).contains(&at_a), "the old table stays");
    let complaint = log(&network, "directory")
        .into_iter()
        .find(|line| line["level"] == "ERROR")
        .expect("an error line");
    let text = complaint["message"].as_str().expect("text");
    assert!(text.contains("table.yaml:") && text.contains("gateway-q"), "{text}");

    let more = format!("{right}  - prefix: \"06\"\n    gateways: [{{ name: gateway-b }}]\n");
    std::fs::write(&table, more).expect("written");
    network.program("directory").expect("the directory").signal(libc::SIGHUP);
    wait_for("the table is taken", Duration::from_secs(5), || {
        assert!(ask(tokyo).contains(&at_a));
        (reloads("ok") == 1.0).then_some(())
    });
    assert!(ask(osaka).contains(&format!("@{}:5060", layout.gateway_b())));
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_gateway_that_registers_is_named_while_it_is_alive_and_no_longer_when_it_leaves() {
    if !has("dig") {
        return;
    }
    let (mut network, _folder) = system(114, |layout| {
        layout.speech_s = 1;
        layout.gateway_a_registers = true;
    });
    let layout = network.layout.clone();
    let server = layout.directory();
    let (address, port) = server.split_once(':').expect("address and port");
    let ask = || {
        let name = "8.7.6.5.4.3.2.1.6.1.8.e164.arpa";
        let output = Command::new("dig")
            .args([&format!("@{address}"), "-p", port, "NAPTR", name, "+tries=1"])
            .output()
            .expect("dig runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let at_a = format!("@{}:5060", layout.gateway_a());
    let answers = |what: &str, wanted: &str| {
        wait_for(what, Duration::from_secs(3), || ask().contains(wanted).then_some(()));
    };
    answers("the gateway is named", &at_a);
    network.program("gateway-a").expect("the gateway").signal(libc::SIGSTOP);
    answers("a frozen gateway is not named", "+816: gateway-a dead");
    network.program("gateway-a").expect("the gateway").signal(libc::SIGCONT);
    answers("it comes back by itself", &at_a);
    network.program("gateway-a").expect("the gateway").signal(libc::SIGTERM);
    answers("it has left", "NXDOMAIN");
    let program = network.program("gateway-a").expect("the gateway");
    let ended = program.wait(Duration::from_secs(5)).expect("a child").expect("it ends");
    assert!(ended.success(), "{ended}: {}", program.last_lines());
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
