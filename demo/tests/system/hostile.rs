//! Strangers send what nobody should, to every listener, while a call is up: the call does not
//! suffer, what was sent is counted, and nothing is left over.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::common::stranger::{Injector, Noise, damaged, pour, send_all};
use crate::common::{ended_call, exchange_calls, status, system_alone, wait_for, wait_idle};
use serde_json::Value;
use trunkline_demo::comparison::compare;
use trunkline_demo::network::{Layout, Network, TELEPHONE_A, get};
use trunkline_demo::program::Program;
use trunkline_demo::speech;

/// Seconds of speech in these tests.
const SPEECH_S: usize = 6;

fn stranger(layout: &Layout) -> Ipv4Addr {
    let [a, b, c] = layout.network;
    Ipv4Addr::new(a, b, c, 66)
}

/// Starts a call of the phone in which both say their speech, and waits until it is up.
fn talking(network: &Network) -> Program {
    let layout = &network.layout;
    let (said, heard) = (layout.file("caller.wav"), layout.file("caller-heard.wav"));
    let hang_up = (SPEECH_S + 2).to_string();
    let phone = network.phone(
        "phone",
        &[
            "call",
            TELEPHONE_A,
            "--yes",
            "--speak",
            &said.to_string_lossy(),
            "--record",
            &heard.to_string_lossy(),
            "--hang-up-after-s",
            &hang_up,
        ],
    );
    let phone = phone.expect("the phone starts");
    wait_for("the call is up", Duration::from_secs(10), || {
        exchange_calls(network).into_iter().find(|call| call["state"] == "talking")
    });
    phone
}

/// Waits for the end of the call and checks that both heard the other one unharmed.
fn assert_unharmed(network: &Network, mut phone: Program) {
    let layout = &network.layout;
    let call = ended_call(network, 1);
    let ended = phone.wait(Duration::from_secs(10)).expect("a child").expect("it ends");
    assert!(ended.success(), "{}", phone.last_lines());
    assert_eq!(call["cause"], 16, "{call}");
    let read = |path: PathBuf| speech::read(&path).expect("a recording");
    let recording = PathBuf::from(call["recording"].as_str().expect("a recording"));
    for (what, said, heard) in [
        ("to telephone", layout.file("caller.wav"), recording),
        ("to phone", layout.file("telephone-a.wav"), layout.file("caller-heard.wav")),
    ] {
        let comparison = compare(&read(said), &read(heard));
        assert!(comparison.is_intact(), "{what}: {comparison:?}");
    }
}

/// Open files of a program of the system.
fn open_files(network: &mut Network, name: &str) -> usize {
    let process = network.program(name).expect("a program").process_id();
    std::fs::read_dir(format!("/proc/{process}/fd")).expect("its files").count()
}

/// Resident memory of a program of the system, in MiB.
fn memory_mib(network: &mut Network, name: &str) -> usize {
    let process = network.program(name).expect("a program").process_id();
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
}

fn sum(counters: &Value) -> u64 {
    counters.as_object().expect("counters").values().filter_map(Value::as_u64).sum()
}

/// An INVITE as it should be.
fn invite(gateway: Ipv4Addr, from: Ipv4Addr) -> Vec<u8> {
    let session = format!(
        "v=0\r\no=x 1 1 IN IP4 {from}\r\ns=-\r\nc=IN IP4 {from}\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\n"
    );
    format!(
        "INVITE sip:0333331234@{gateway} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from}:5060;branch=z9hG4bKstranger\r\n\
         From: <sip:stranger@{from}>;tag=s\r\nTo: <sip:0333331234@{gateway}>\r\n\
         Call-ID: stranger@{from}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
         Contact: <sip:stranger@{from}:5060>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n{session}",
        session.len()
    )
    .into_bytes()
}

/// Sends broken SIP over UDP, none of it a call that could ring.
fn broken_sip(layout: &Layout, noise: &mut Noise) {
    let gateway = layout.gateway_a();
    let whole = invite(gateway, stranger(layout));
    // Only what can be no call: no number, or a session description that fits nothing.
    let text = String::from_utf8(whole).expect("text").replace("0333331234", "");
    let mut messages = damaged(text.as_bytes(), noise);
    for (from, to) in [
        ("m=audio 40000 RTP/AVP 8 101", "m=audio 99999999 RTP/AVP 8 999"),
        ("m=audio", "m=video"),
        ("c=IN IP4", "c=IN IP9"),
        ("Content-Length: ", "Content-Length: -"),
        ("Content-Length: ", "Content-Length: 9999999999999999999999"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ("CSeq: 1 INVITE", "CSeq: 99999999999 INVITE"),
        ("SIP/2.0\r\nVia", "SIP/9.9\r\nVia"),
        ("Via: ", "Vai: "),
    ] {
        messages.push(text.replace(from, to).into_bytes());
    }
    let many_headers = "X-Filler: 0123456789\r\n".repeat(2_500);
    messages.push(text.replace("Max-Forwards", &format!("{many_headers}Max-Forwards")).into());
    send_all(stranger(layout), (gateway, 5060).into(), &messages);
}

/// Sends a broken query in each way over UDP.
fn broken_dns(layout: &Layout, noise: &mut Noise) {
    let to: SocketAddr = layout.directory().parse().expect("an address");
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in "4.3.2.1.3.3.3.3.3.1.8.e164.arpa".split('.') {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 0, 35, 0, 1]);
    let mut messages = damaged(&query, noise);
    // RFC 1035 §4.1.4: a name that points at itself.
    messages.push(vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 35, 0, 1]);
    send_all(stranger(layout), to, &messages);
}

/// Connections that open and then talk endlessly, or say nothing: to every TCP listener.
fn half_open(layout: &Layout) -> Vec<TcpStream> {
    let gateway = layout.gateway_a();
    let directory: SocketAddr = layout.directory().parse().expect("an address");
    let address = |url: String| -> SocketAddr {
        url.trim_start_matches("http://").parse().expect("an address")
    };
    let header = "X-Filler: 0123456789012345678901234567890123456789\r\n".repeat(100);
    let mut streams = Vec::new();
    for to in [
        SocketAddr::from((gateway, 5060)),
        SocketAddr::from((gateway, 9100)),
        directory,
        address(layout.directory_http()),
        address(layout.web()),
    ] {
        let opening = match to.port() {
            5060 => format!("INVITE sip:x@{gateway} SIP/2.0\r\n"),
            5300 => "\u{0}\u{c}".to_owned(),
            _ => "GET / HTTP/1.1\r\nHost: x\r\n".to_owned(),
        };
        for endless in [header.as_bytes(), &[0_u8; 4_096], b""] {
            streams.extend(pour(to, opening.as_bytes(), endless));
        }
        streams.extend((0..20).filter_map(|_| pour(to, b"", b"")));
    }
    streams
}

#[test]
fn strangers_at_every_listener_do_not_harm_a_call() {
    let (mut network, _folder) = system_alone(80, |layout| layout.speech_s = SPEECH_S);
    let layout = network.layout.clone();
    let gateway = layout.gateway_a();
    let names = ["gateway-a", "directory", "web"];
    let files_before = names.map(|name| open_files(&mut network, name));
    let phone = talking(&network);

    let mut noise = Noise::new(1);
    broken_sip(&layout, &mut noise);
    broken_dns(&layout, &mut noise);
    // The line: frames that are none, from somebody who is not the exchange.
    let frames = damaged(&noise.octets(40 + 32 * 8), &mut noise);
    send_all(stranger(&layout), (gateway, 40_010).into(), &frames);
    // RTP and RTCP of the call and of ports beside it.
    let packets = damaged(&[0x80; 172], &mut noise);
    for port in 20_000..20_004 {
        send_all(stranger(&layout), (gateway, port).into(), &packets);
    }
    let connections = half_open(&layout);
    assert!(connections.len() >= 5, "every listener could be reached");
    for name in names {
        let memory = memory_mib(&mut network, name);
        assert!(memory < 200, "{name} holds {memory} MiB while strangers hold on");
    }
    assert_unharmed(&network, phone);
    network.check().unwrap_or_else(|error| panic!("{error}"));

    let seen = status(gateway);
    assert!(sum(&seen["sip"]["refused"]) > 50, "{}", seen["sip"]);
    assert!(sum(&seen["media"]["drops"]) > 50, "{}", seen["media"]["drops"]);
    let line = &seen["spans"][0]["counters"];
    let refused = [&line["malformed"], &line["wrong_address"]].map(|count| count.as_u64());
    assert!(refused.iter().flatten().sum::<u64>() > 50, "{line}");
    assert_eq!(line["slips"], 0, "{line}");
    let directory = get(&format!("{}/metrics", layout.directory_http())).expect("metrics");
    let directory = directory.as_str().expect("text");
    let malformed = directory.lines().any(|line| {
        line.starts_with("trunkline_directory_answers_total{kind=\"malformed\",transport=\"udp\"}")
            && !line.ends_with(" 0")
    });
    assert!(malformed, "{directory}");

    drop(connections);
    wait_idle(gateway);
    for (name, before) in names.into_iter().zip(files_before) {
        wait_for(&format!("{name} closes what strangers left"), Duration::from_secs(10), || {
            (open_files(&mut network, name) <= before + 4).then_some(())
        });
    }
    let calls = exchange_calls(&network);
    assert_eq!(calls.len(), 1, "nothing of it rang: {calls:?}");
    network.end().unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_stranger_cannot_speak_into_a_call() {
    let (network, _folder) = system_alone(81, |layout| layout.speech_s = SPEECH_S);
    let layout = &network.layout;
    // From before the call on: the stranger's packet may be the first on the call's port.
    let injector = Injector::start(stranger(layout), layout.gateway_a(), 20_000..=20_100);
    let phone = talking(&network);
    assert_unharmed(&network, phone);
    assert!(injector.stop() > 1_000);
    let drops = status(layout.gateway_a())["media"]["drops"].clone();
    assert!(drops["source"].as_u64().is_some_and(|count| count > 20), "{drops}");
    wait_idle(layout.gateway_a());
    network.end().unwrap_or_else(|error| panic!("{error}"));
}
