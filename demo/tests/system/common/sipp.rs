//! SIPp as a caller and as a called phone: scenarios of our own, and how it is started.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use trunkline_demo::network::Layout;
use trunkline_demo::speech;
use trunkline_dsp::g711::Law;

use super::Peer;

/// Longest time that SIPp works on a scenario, in s.
const WORK_MAX_S: u32 = 40;

/// A message with its lines as the file has them: without indentation, which would make them
/// continuation lines.
const REQUEST_LINES: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=BRANCH\n\
    From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]c[call_number]\n\
    To: <sip:[service]@[remote_ip]:[remote_port]>PEER_TAG\n\
    Call-ID: [call_id]\n\
    CSeq: SEQUENCE METHOD\n\
    Max-Forwards: 70\n\
    Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>\n";

/// Payload type of PCMA (RFC 3551 §6) and the one that is used here for telephone events.
const SESSION_LINES: &str = "v=0\n\
    o=sipp 1 1 IN IP4 [local_ip]\n\
    s=-\n\
    c=IN IP4 [media_ip]\n\
    t=0 0\n\
    m=audio MEDIA_PORT RTP/AVP 8 101\n\
    a=rtpmap:8 PCMA/8000\n\
    a=rtpmap:101 telephone-event/8000\n\
    a=fmtp:101 0-15\n\
    a=ptime:20\n";

/// A scenario that is written step by step.
#[derive(Debug, Default)]
pub struct Scenario {
    steps: String,
    count: usize,
    /// Place of the INVITE: its branch is that of its CANCEL and of its ACK (RFC 3261 §9.1,
    /// §17.1.1.3).
    invite: usize,
}

impl Scenario {
    fn step(mut self, text: &str) -> Self {
        self.steps.push_str(text);
        self.steps.push('\n');
        self.count += 1;
        self
    }

    fn send(self, method: &str, sequence: u32, branch: &str, in_dialog: bool, body: &str) -> Self {
        // A request in the dialog goes to the contact that the gateway named, [next_url].
        let target =
            if in_dialog { "[next_url]" } else { "sip:[service]@[remote_ip]:[remote_port]" };
        let lines = REQUEST_LINES
            .replace("BRANCH", branch)
            .replace(
                "PEER_TAG",
                if method == "INVITE" && !in_dialog { "" } else { "[peer_tag_param]" },
            )
            .replace("SEQUENCE", &sequence.to_string())
            .replace("METHOD", method);
        let content = if body.is_empty() {
            "Content-Length: 0\n\n".to_owned()
        } else {
            format!("Content-Type: application/sdp\nContent-Length: [len]\n\n{body}")
        };
        let retransmission = if method == "ACK" { "" } else { " retrans=\"500\"" };
        self.step(&format!(
            "<send{retransmission}><![CDATA[\n{method} {target} SIP/2.0\n{lines}{content}\n]]></send>"
        ))
    }

    /// INVITE with an offer of PCMA and telephone events at this media port keyword.
    pub fn invite(mut self, media_port: &str) -> Self {
        self.invite = self.count;
        self.send("INVITE", 1, "[branch]", false, &SESSION_LINES.replace("MEDIA_PORT", media_port))
    }

    /// Provisional responses that may or may not come.
    pub fn maybe(mut self, statuses: &[u16]) -> Self {
        for status in statuses {
            self = self.step(&format!("<recv response=\"{status}\" optional=\"true\"/>"));
        }
        self
    }

    /// A response that must come.
    pub fn expect(self, status: u16) -> Self {
        self.step(&format!("<recv response=\"{status}\" timeout=\"15000\"/>"))
    }

    /// The 200 to the INVITE; what follows in the dialog goes where it says.
    pub fn answered(self) -> Self {
        self.step("<recv response=\"200\" rrs=\"true\" timeout=\"15000\"/>")
    }

    /// A response that must come with a header whose value fits a regular expression.
    pub fn expect_with(mut self, status: u16, header: &str, value: &str) -> Self {
        self = self.step(&format!(
            "<recv response=\"{status}\" timeout=\"15000\"><action><ereg regexp=\"{value}\" \
             search_in=\"hdr\" header=\"{header}:\" check_it=\"true\" assign_to=\"1\"/>\
             </action></recv>"
        ));
        // SIPp takes a variable that nobody reads for a mistake.
        self.steps.push_str("<Reference variables=\"1\"/>\n");
        self
    }

    /// With further header lines in the message that was sent last.
    pub fn and(mut self, lines: &str) -> Self {
        let at = ["Max-Forwards: 70\n", "[last_CSeq:]\n"]
            .iter()
            .filter_map(|line| self.steps.rfind(line).map(|at| at + line.len()))
            .max()
            .expect("a message was sent");
        self.steps.insert_str(at, &format!("{lines}\n"));
        self
    }

    /// A request that must come, with headers whose values fit regular expressions.
    pub fn expect_request_with(mut self, method: &str, headers: &[(&str, &str)]) -> Self {
        let mut actions = String::new();
        let mut variables = Vec::new();
        for (header, value) in headers {
            let variable = format!("{}{}", self.count, header.replace('-', ""));
            let _ = write!(
                actions,
                "<ereg regexp=\"{value}\" search_in=\"hdr\" header=\"{header}:\" \
                 check_it=\"true\" assign_to=\"{variable}\"/>"
            );
            variables.push(variable);
        }
        self = self.step(&format!(
            "<recv request=\"{method}\" timeout=\"30000\"><action>{actions}</action></recv>"
        ));
        let _ = writeln!(self.steps, "<Reference variables=\"{}\"/>", variables.join(","));
        self
    }

    /// A request that must come.
    pub fn expect_request(self, method: &str) -> Self {
        self.step(&format!("<recv request=\"{method}\" timeout=\"30000\"/>"))
    }

    /// ACK of a 2xx.
    pub fn ack(self) -> Self {
        self.send("ACK", 1, "[branch]", true, "")
    }

    /// ACK of a final response that refuses.
    pub fn ack_refusal(self) -> Self {
        let branch = format!("[branch-{}]", self.count - self.invite);
        self.send("ACK", 1, &branch, false, "")
    }

    /// CANCEL of the INVITE.
    pub fn cancel(self) -> Self {
        let branch = format!("[branch-{}]", self.count - self.invite);
        // RFC 3261 §9.1: the CANCEL's To is that of the INVITE, without a tag.
        let mut scenario = self.send("CANCEL", 1, &branch, false, "");
        let at = scenario.steps.rfind("[peer_tag_param]").expect("just written");
        scenario.steps.replace_range(at..at + "[peer_tag_param]".len(), "");
        scenario
    }

    /// Offers another direction within the call (`sendonly` holds it), and waits for the answer's.
    pub fn offer_again(self, sequence: u32, direction: &str, answered: &str) -> Self {
        let session = SESSION_LINES.replace("MEDIA_PORT", "[rtpstream_audio_port]");
        let session = format!("{session}a={direction}\n");
        let mut scenario =
            self.send("INVITE", sequence, "[branch]", true, &session).step(&format!(
                "<recv response=\"200\" timeout=\"15000\"><action><ereg regexp=\"a={answered}\" \
             search_in=\"body\" check_it=\"true\" assign_to=\"{sequence}\"/></action></recv>"
            ));
        scenario.steps.push_str(&format!("<Reference variables=\"{sequence}\"/>\n"));
        scenario.send("ACK", sequence, "[branch]", true, "")
    }

    /// An offer within the call that must want this direction; it is answered with `answered`.
    pub fn expect_offer(self, number: u32, direction: &str, answered: &str) -> Self {
        let mut scenario = self.step(&format!(
            "<recv request=\"INVITE\" timeout=\"30000\"><action><ereg regexp=\"a={direction}\" \
             search_in=\"body\" check_it=\"true\" assign_to=\"{number}\"/></action></recv>"
        ));
        scenario.steps.push_str(&format!("<Reference variables=\"{number}\"/>\n"));
        let session = SESSION_LINES.replace("MEDIA_PORT", "[media_port]");
        scenario
            .step(&format!(
                "<send><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n\
                 [last_Call-ID:]\n[last_CSeq:]\n\
                 Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>\n\
                 Content-Type: application/sdp\nContent-Length: [len]\n\n{session}a={answered}\n\n\
                 ]]></send>"
            ))
            .expect_request("ACK")
    }

    /// A call that comes in, whose caller can be sent requests.
    pub fn expect_call(self) -> Self {
        self.step(
            "<recv request=\"INVITE\" rrs=\"true\" timeout=\"30000\"><action><ereg regexp=\".*\" \
             search_in=\"hdr\" header=\"From:\" assign_to=\"7\"/></action></recv>",
        )
    }

    /// Offers another direction to the caller of [`Scenario::expect_call`], and waits for the
    /// answer's.
    pub fn offer_to_caller(self, number: u32, direction: &str, answered: &str) -> Self {
        let session = SESSION_LINES.replace("MEDIA_PORT", "[media_port]");
        let request = |method: &str, content: &str| {
            format!(
                "{method} [next_url] SIP/2.0\n\
                 Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n\
                 From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]s[call_number]\n\
                 To:[$7]\nCall-ID: [call_id]\nCSeq: {number} {method}\nMax-Forwards: 70\n\
                 Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>\n{content}"
            )
        };
        let offer = format!(
            "Content-Type: application/sdp\nContent-Length: [len]\n\n{session}a={direction}\n"
        );
        let mut scenario = self
            .step(&format!(
                "<send retrans=\"500\"><![CDATA[\n{}\n]]></send>",
                request("INVITE", &offer)
            ))
            .step(&format!(
                "<recv response=\"200\" timeout=\"15000\"><action><ereg \
                 regexp=\"a={answered}\" search_in=\"body\" check_it=\"true\" \
                 assign_to=\"{number}\"/></action></recv>"
            ));
        scenario.steps.push_str(&format!("<Reference variables=\"{number}\"/>\n"));
        let ack = request("ACK", "Content-Length: 0\n\n");
        scenario.step(&format!("<send><![CDATA[\n{ack}\n]]></send>"))
    }

    /// The same with G.711 mu-law in all descriptions.
    pub fn in_mu_law(mut self) -> Self {
        self.steps = self
            .steps
            .replace("RTP/AVP 8 101", "RTP/AVP 0 101")
            .replace("a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000");
        self
    }

    /// BYE.
    pub fn bye(self) -> Self {
        self.send("BYE", 9, "[branch]", true, "")
    }

    /// Plays a file of raw A-law octets once.
    pub fn play(self, file: &Path) -> Self {
        self.step(&format!(
            "<nop><action><exec rtp_stream=\"{},1,8\"/></action></nop>",
            file.display()
        ))
    }

    /// Waits.
    pub fn pause(self, ms: u64) -> Self {
        self.step(&format!("<pause milliseconds=\"{ms}\"/>"))
    }

    /// A response to the last request.
    pub fn respond(self, status: u16, reason: &str, with_answer: bool) -> Self {
        let contact = "Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>\n";
        let content = if with_answer {
            let session = SESSION_LINES.replace("MEDIA_PORT", "[media_port]");
            format!("Content-Type: application/sdp\nContent-Length: [len]\n\n{session}")
        } else {
            "Content-Length: 0\n\n".to_owned()
        };
        self.step(&format!(
            "<send><![CDATA[\nSIP/2.0 {status} {reason}\n[last_Via:]\n[last_From:]\n\
             [last_To:];tag=[pid]s[call_number]\n[last_Call-ID:]\n[last_CSeq:]\n\
             {contact}{content}\n]]></send>"
        ))
    }

    /// 200 to a request within the dialog.
    pub fn respond_within(self) -> Self {
        self.step(
            "<send><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n\
             [last_Call-ID:]\n[last_CSeq:]\nContent-Length: 0\n\n]]></send>",
        )
    }

    /// Writes it for SIPp.
    pub fn write(&self, path: &Path) {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        write!(text, "<scenario name=\"test\">\n{}</scenario>\n", self.steps).expect("a string");
        std::fs::write(path, text).expect("the scenario is written");
    }
}

/// A call that is answered, listens while `speech` (raw A-law) plays, and is ended by us
/// `after_ms` after the answer.
pub fn talk(speech: &Path, after_ms: u64) -> Scenario {
    Scenario::default()
        .invite("[rtpstream_audio_port]")
        .maybe(&[100, 183, 180])
        .answered()
        .ack()
        .play(speech)
        .pause(after_ms)
        .bye()
        .expect(200)
}

/// A short call without speech.
pub fn short_call(ms: u64) -> Scenario {
    Scenario::default()
        .invite("[media_port]")
        .maybe(&[100, 183, 180])
        .answered()
        .ack()
        .pause(ms)
        .bye()
        .expect(200)
}

/// A call without speech that lasts until its caller is told that it is over.
pub fn call_until_told() -> Scenario {
    Scenario::default()
        .invite("[media_port]")
        .maybe(&[100, 183, 180])
        .answered()
        .ack()
        .expect_request("BYE")
        .respond_within()
}

/// A call that must be refused with `status`.
pub fn refused(status: u16) -> Scenario {
    Scenario::default().invite("[media_port]").maybe(&[100, 183, 180]).expect(status).ack_refusal()
}

/// A call that rings for `ms` and is then given up.
pub fn given_up(ms: u64) -> Scenario {
    Scenario::default()
        .invite("[media_port]")
        .maybe(&[100, 183])
        .expect(180)
        .pause(ms)
        .cancel()
        .expect(200)
        .expect(487)
        .ack_refusal()
}

/// A phone that is answered at once and waits for the BYE.
pub fn answering() -> Scenario {
    Scenario::default()
        .expect_request("INVITE")
        .respond(180, "Ringing", false)
        .respond(200, "OK", true)
        .expect_request("ACK")
        .expect_request("BYE")
        .respond_within()
}

/// How SIPp is run.
#[derive(Clone, Debug)]
pub struct Sipp {
    /// Our address.
    pub address: Ipv4Addr,
    /// `u1`, `t1` or `tn` as SIPp names its transports.
    pub transport: &'static str,
    /// Calls in all, and calls begun in a second.
    pub calls: u32,
    /// Calls begun in a second.
    pub calls_per_s: u32,
    /// First port for RTP.
    pub media_port: u16,
    /// Further options.
    pub options: Vec<String>,
}

impl Sipp {
    /// One call over UDP from (or to) `127.x.y.last`.
    pub fn at(layout: &Layout, last: u8) -> Self {
        let [a, b, c] = layout.network;
        Self {
            address: Ipv4Addr::new(a, b, c, last),
            transport: "u1",
            calls: 1,
            calls_per_s: 10,
            media_port: 30_000,
            options: Vec::new(),
        }
    }

    /// Calls `number` at `gateway`. `name` names the files.
    pub fn call(
        &self,
        layout: &Layout,
        name: &str,
        gateway: Ipv4Addr,
        number: &str,
        scenario: &Scenario,
    ) -> Peer {
        let mut command = self.command(layout, name, scenario);
        command.arg(format!("{gateway}:5060")).args(["-s", number]);
        command.args(["-r", &self.calls_per_s.to_string()]);
        Peer::start(&mut command, &layout.file(&format!("{name}.log")))
    }

    /// Waits for calls.
    pub fn answer(&self, layout: &Layout, name: &str, scenario: &Scenario) -> Peer {
        let mut command = self.command(layout, name, scenario);
        let peer = Peer::start(&mut command, &layout.file(&format!("{name}.log")));
        let at = (self.address, self.port());
        super::wait_for("SIPp listens", std::time::Duration::from_secs(5), || {
            let udp_is_free = std::net::UdpSocket::bind(at).is_ok();
            let tcp_is_free = std::net::TcpListener::bind(at).is_ok();
            (!udp_is_free || !tcp_is_free).then_some(())
        });
        peer
    }

    /// Its SIP port.
    pub fn port(&self) -> u16 {
        5_060
    }

    fn command(&self, layout: &Layout, name: &str, scenario: &Scenario) -> Command {
        let file = layout.file(&format!("{name}.xml"));
        scenario.write(&file);
        let address = self.address.to_string();
        let media_port = self.media_port.to_string();
        let mut command = Command::new("sipp");
        command
            .current_dir(&layout.folder)
            .arg("-sf")
            .arg(&file)
            .args(["-i", &address, "-p", &self.port().to_string()])
            .args(["-mi", &address, "-mp", &media_port])
            .args(["-t", self.transport, "-m", &self.calls.to_string()])
            .args(["-nostdin", "-timeout_error", "-timeout", &format!("{WORK_MAX_S}s")])
            // What it would open at most must be below the limit of open files.
            .args(["-max_socket", "500"])
            .args(["-trace_err", "-error_file"])
            .arg(layout.file(&format!("{name}.errors")))
            .args(&self.options);
        command
    }
}

/// What SIPp complained of and saw, for the message of a failed test.
pub fn complaints(layout: &Layout, name: &str) -> String {
    std::fs::read_to_string(layout.file(&format!("{name}.errors"))).unwrap_or_default()
}

/// The samples of a WAV file as raw A-law, the form that SIPp plays.
pub fn a_law_file(wav: &Path) -> PathBuf {
    let samples = speech::read(wav).expect("speech");
    let octets: Vec<u8> = samples.iter().map(|&sample| Law::A.encode(sample)).collect();
    let path = wav.with_extension("alaw");
    std::fs::write(&path, octets).expect("the speech is written");
    path
}
