//! Configurations of gateway and exchange, and SIPp's scenario.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::Load;

/// Address of the gateway.
pub const GATEWAY: &str = "127.77.0.10";
/// Address of the exchange.
pub const EXCHANGE: &str = "127.77.0.30";
/// Address of SIPp.
pub const CALLER: &str = "127.77.0.3";
/// Where every call's RTP goes.
pub const ECHO: &str = "127.77.0.4:30000";

/// First UDP port of the spans.
const SPAN_PORT: u16 = 41_000;

/// What the telephone says after the answer, in s: longer than a call lasts.
const SPEECH_S: u32 = 30;

/// Writes all of them into a folder.
pub fn write(folder: &Path, load: &Load) -> io::Result<()> {
    std::fs::write(folder.join("gateway.yaml"), gateway(load))?;
    std::fs::write(folder.join("exchange.yaml"), exchange(folder, load))?;
    std::fs::write(folder.join("scale.xml"), scenario(load))?;
    let mut writer = hound::WavWriter::create(
        folder.join("speech.wav"),
        hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        },
    )
    .map_err(io::Error::other)?;
    for n in 0..SPEECH_S * 8_000 {
        // Loud and never the same for long, so that nothing is taken for silence.
        let phase = f64::from(n) * (0.05 + f64::from(n / 800 % 16) * 0.02);
        writer.write_sample((phase.sin() * 8_000.0) as i16).map_err(io::Error::other)?;
    }
    writer.finalize().map_err(io::Error::other)
}

fn gateway(load: &Load) -> String {
    let mut spans = String::new();
    let mut names = Vec::new();
    for span in 1..=load.spans {
        let port = SPAN_PORT + u16::from(span);
        let _ = writeln!(
            spans,
            "  - name: e1-{span}\n    line: {{ tdmoe: {{ local: \"{GATEWAY}:{port}\", \
             remote: \"{EXCHANGE}:{port}\", clock: line }} }}"
        );
        names.push(format!("e1-{span}"));
    }
    format!(
        "name: scale\nsip: {{ udp: [\"{GATEWAY}:5060\"] }}\nhttp: \"{GATEWAY}:9100\"\n\
         rtp: {{ address: \"{GATEWAY}\" }}\ncodecs: [pcma]\nspans:\n{spans}\
         trunk_groups:\n  - {{ name: all, spans: [{}], hunting: least_recently_used }}\n\
         routes:\n  - {{ prefix: \"03\", trunk_groups: [all] }}\nrecords: calls.jsonl\n",
        names.join(", ")
    )
}

fn exchange(folder: &Path, load: &Load) -> String {
    let mut spans = String::new();
    for span in 1..=load.spans {
        let port = SPAN_PORT + u16::from(span);
        let _ = writeln!(
            spans,
            "      - {{ name: e1-{span}, local: \"{EXCHANGE}:{port}\", \
             remote: \"{GATEWAY}:{port}\" }}"
        );
    }
    format!(
        "http: \"{EXCHANGE}:9200\"\nrecordings: \"{0}\"\nnetworks:\n  - name: A\n    spans:\n{spans}\
         telephones:\n  - number: \"03-3333-1234\"\n    network: A\n    \
         when_called: {{ answer_after_ms: 20 }}\n    speak: \"{0}/speech.wav\"\n    record: false\n",
        folder.display()
    )
}

/// A call that is answered and lasts, or is refused with 503.
fn scenario(load: &Load) -> String {
    let request = |method: &str, target: &str, to: &str, branch: &str, content: &str| {
        let sequence = if method == "BYE" { 2 } else { 1 };
        format!(
            "{method} {target} SIP/2.0\n\
             Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\n\
             From: <sip:0469595678@[local_ip]:[local_port]>;tag=[pid]c[call_number]\n\
             To: <sip:[service]@[remote_ip]:[remote_port]>{to}\n\
             Call-ID: [call_id]\nCSeq: {sequence} {method}\nMax-Forwards: 70\n\
             Contact: <sip:sipp@[local_ip]:[local_port]>\n{content}\n"
        )
    };
    let nothing = "Content-Length: 0\n";
    let to_number = "sip:[service]@[remote_ip]:[remote_port]";
    let (echo, port) = ECHO.split_once(':').unwrap_or((ECHO, "30000"));
    let offer = format!(
        "Content-Type: application/sdp\nContent-Length: [len]\n\n\
         v=0\no=sipp 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 {echo}\nt=0 0\n\
         m=audio {port} RTP/AVP 8\na=rtpmap:8 PCMA/8000\na=ptime:20\n"
    );
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"scale\">\n\
         <send retrans=\"500\"><![CDATA[\n{}]]></send>\n\
         <recv response=\"100\" optional=\"true\"/>\n\
         <recv response=\"180\" optional=\"true\"/>\n\
         <recv response=\"183\" optional=\"true\"/>\n\
         <recv response=\"503\" optional=\"true\" next=\"1\"/>\n\
         <recv response=\"200\" rrs=\"true\"/>\n\
         <send><![CDATA[\n{}]]></send>\n\
         <pause milliseconds=\"{}\"/>\n\
         <send retrans=\"500\"><![CDATA[\n{}]]></send>\n\
         <recv response=\"200\" next=\"2\"/>\n\
         <label id=\"1\"/>\n\
         <send><![CDATA[\n{}]]></send>\n\
         <label id=\"2\"/>\n<timewait milliseconds=\"1\"/>\n</scenario>\n",
        request("INVITE", to_number, "", "[branch]", &offer),
        request("ACK", "[next_url]", "[peer_tag_param]", "[branch]", nothing),
        load.hold_ms,
        request("BYE", "[next_url]", "[peer_tag_param]", "[branch]", nothing),
        // RFC 3261 §17.1.1.3: the branch of the INVITE, which is the first step.
        request("ACK", to_number, "[peer_tag_param]", "[branch-10]", nothing),
    )
}
