//! The line fails and comes back; and it calls itself.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunkline_demo::comparison::compare;
use trunkline_demo::network::{get, post};
use trunkline_demo::speech;
use trunkline_dsp::g711::Law;

use crate::common::machine::undisturbed;
use crate::common::sipp::{self, Sipp};
use crate::common::{
    ended_call, exchange_calls, has, records, status, system, system_alone, wait_for, wait_idle,
};

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
    let told = sipp::call_until_told();
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

#[test]
fn a_call_from_line_to_line_joins_two_channels_without_rtp() {
    let (network, _folder) = system_alone(71, |layout| {
        layout.speech_s = 4;
        layout.more_telephones = format!(
            "  - {{ number: \"03-3333-0002\", network: A, speak: {:?}, \
             when_called: {{ answer_after_ms: 300 }} }}\n",
            layout.file("telephone-b.wav")
        );
        layout.more_routes_of_gateway_a =
            "  - { prefix: \"033333\", calls_from: line, trunk_groups: [network-a] }\n".to_owned();
    });
    let gateway = network.layout.gateway_a();
    let exchange = network.layout.exchange_http();
    let telephone = format!("{exchange}/telephones/81333331234/call");
    let intact = |calling: u64| {
        post(&telephone, &json!({ "to": "03-3333-0002" })).expect("the telephone dials");
        wait_for("the call is up", Duration::from_secs(10), || {
            (status(gateway)["calls"]["answered"] == 1).then_some(())
        });
        assert_eq!(status(gateway)["spans"][0]["channels"]["busy"], 2);
        std::thread::sleep(Duration::from_millis(4_500));
        post(&format!("{exchange}/calls/{calling}/hang-up"), &json!({})).expect("it hangs up");
        for (said, call) in [("telephone-b.wav", calling), ("telephone-a.wav", calling + 1)] {
            let recording = ended_call(&network, call)["recording"].clone();
            let read = |path: &Path| speech::read(path).expect("a recording");
            let said = read(&network.layout.file(said));
            let heard = read(recording.as_str().expect("a recording").as_ref());
            let comparison = compare(&said, &heard);
            if !comparison.is_intact() {
                return Err(format!("{comparison:?}"));
            }
            println!("{comparison:?}");
        }
        Ok(())
    };
    let mut calling = 1;
    undisturbed(|| {
        let result = intact(calling);
        calling += 2;
        result
    });
    wait_idle(gateway);

    let record = wait_for("the record", Duration::from_secs(5), || records(&network, 'a').pop());
    assert_eq!((&record["cause"], &record["number"]), (&json!(16), &json!("+81333330002")));
    assert_eq!(record["calling"], "+81333331234");
    for leg in record["legs"].as_array().expect("legs") {
        assert_eq!(leg["kind"], "line", "{record}");
        let media = &leg["media"];
        assert!(media["octets_to_line"].as_u64() > Some(30_000), "{record}");
        assert!(media["slips"].as_u64() <= Some(1), "both keep the span's time: {record}");
        assert!(media["delay_ms"].as_f64() < Some(20.0), "{record}");
    }
    let answered = &status(gateway)["calls"]["answered_between"];
    assert!(answered["line_to_line"].as_u64() >= Some(1), "{answered}");
    assert_eq!(status(gateway)["media"]["counters"]["legs_opened"], 0, "no RTP is in it");
}

#[test]
fn a_number_dialled_digit_by_digit_is_called_over_a_t1_of_another_law() {
    let (network, _folder) = system_alone(72, |layout| {
        layout.speech_s = 2;
        layout.hang_up_after_ms = Some(2_500);
        // 23B+D, µ-law, no PROGRESS, against an E1 in A-law.
        layout.variant_a = Some("ins_1500");
        layout.more_of_span_b = "    overlap_receiving_digits: 9\n".to_owned();
        // The other way a whole number is taken for the first of its digits.
        layout.asks_for_digits_b = true;
    });
    let (a, b) = (network.layout.gateway_a(), network.layout.gateway_b());
    assert_eq!(status(a)["spans"][0]["channels"]["idle"], 23);
    let exchange = network.layout.exchange_http();
    let mut calling = 1;
    undisturbed(|| {
        let dial = json!({ "to": "03-3333-1234", "digit_by_digit": true });
        post(&format!("{exchange}/telephones/81469595678/call"), &dial).expect("it dials");
        wait_for("the telephone rings", Duration::from_secs(5), || {
            (exchange_calls(&network).len() as u64 > calling).then_some(())
        });
        let begun = Instant::now();
        let to = json!({ "to": "0469-59-5678" });
        post(&format!("{exchange}/telephones/81333331234/call"), &to).expect("it dials");
        let mut result = Ok(());
        for (said, call) in [("telephone-a.wav", calling), ("telephone-b.wav", calling + 1)] {
            let recording = ended_call(&network, call)["recording"].clone();
            let read = |path: &Path| speech::read(path).expect("a recording");
            let said = read(&network.layout.file(said)).into_iter().map(by_mu_law);
            let heard = read(recording.as_str().expect("a recording").as_ref());
            let comparison = compare(&said.collect::<Vec<_>>(), &heard);
            println!("{comparison:?}");
            if !comparison.is_intact() {
                result = Err(format!("{comparison:?}"));
            }
        }
        let asked = ended_call(&network, calling + 3);
        assert_eq!((&asked["telephone"], &asked["cause"]), (&json!("+81469595678"), &json!(16)));
        // That no digits follow is said at once, and not by T302.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        calling += 4;
        result
    });
    wait_idle(a);
    wait_idle(b);

    let dialled = |record: &Value| record["called"] == "333331234" && record["cause"] == 16;
    wait_for("the record", Duration::from_secs(5), || {
        records(&network, 'b').into_iter().find(dialled)
    });
    // SETUP with two digits, seven more, and the messages of every call.
    let messages = status(b)["spans"][0]["counters"]["q931_messages_received"].clone();
    assert!(messages.as_u64() >= Some(10), "{messages}");
}

/// What is left of a sample of an A-law telephone behind a µ-law line.
fn by_mu_law(sample: i16) -> i16 {
    let octet = Law::A.convert(Law::A.encode(sample), Law::Mu);
    Law::A.decode(Law::Mu.convert(octet, Law::A))
}
