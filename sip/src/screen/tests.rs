use super::*;
use proptest::prelude::*;

const GOOD: &str = "INVITE sip:+81333331234@127.0.0.1 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5070;rport;branch=z9hG4bKa\r\n\
    Max-Forwards: 70\r\n\
    From: \"A\" <sip:a@127.0.0.1>;tag=1\r\n\
    To: <sip:+81333331234@127.0.0.1>\r\n\
    Call-ID: x@y\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:a@127.0.0.1:5070>\r\n\
    Content-Length: 4\r\n\
    \r\n\
    v=0\n";

fn fault(text: &str) -> (Fault, Option<String>) {
    match screen(text.as_bytes()) {
        Verdict::Refuse { fault, reply } => {
            (fault, reply.map(|reply| String::from_utf8(reply).unwrap()))
        }
        other => panic!("{other:?} for {text}"),
    }
}

#[test]
fn good_message_passes() {
    assert_eq!(screen(GOOD.as_bytes()), Verdict::Pass);
    // RFC 3261 §18.3: octets beyond the body of a datagram are no fault.
    assert_eq!(screen(format!("{GOOD}beyond").as_bytes()), Verdict::Pass);
    let response = GOOD.replace("INVITE sip:+81333331234@127.0.0.1 SIP/2.0", "SIP/2.0 180 Ringing");
    assert_eq!(screen(response.as_bytes()), Verdict::Pass);
}

#[test]
fn compact_and_folded_headers_pass() {
    let compact = GOOD
        .replace("Via:", "v :")
        .replace("From:", "f:")
        .replace("To:", "t:")
        .replace("Call-ID:", "i:")
        .replace("Contact:", "m:")
        .replace("Content-Length:", "l:")
        .replace("Max-Forwards: 70\r\n", "Subject: a\r\n b\r\n");
    assert_eq!(screen(compact.as_bytes()), Verdict::Pass);
}

#[test]
fn body_without_length_gets_its_length() {
    let text = GOOD.replace("Content-Length: 4\r\n", "");
    let Verdict::PassWithLength { at, line } = screen(text.as_bytes()) else { panic!("must pass") };
    let mut whole = text;
    whole.insert_str(at, &line);
    assert!(
        whole.ends_with("Contact: <sip:a@127.0.0.1:5070>\r\nContent-Length: 4\r\n\r\nv=0\n"),
        "{whole}"
    );
}

#[test]
fn each_fault_is_named_and_answered() {
    let cases = [
        ("Content-Length: 4", "Content-Length: 400", Fault::ContentLength, "400 "),
        ("Content-Length: 4", "Content-Length: -4", Fault::ContentLength, "400 "),
        ("Content-Length: 4", "Content-Length: 4\r\nl: 4", Fault::ContentLength, "400 "),
        ("Max-Forwards: 70", "Max-Forwards 70", Fault::HeaderLine, "400 "),
        ("Max-Forwards: 70", "Max Forwards: 70", Fault::HeaderLine, "400 "),
        ("Max-Forwards: 70", "Max-Forwards: 256", Fault::MaxForwards, "483 "),
        ("Max-Forwards: 70", "Max-Forwards: many", Fault::MaxForwards, "483 "),
        ("Max-Forwards: 70\r\n", "To: <sip:b@c>\r\n", Fault::Mandatory, "400 "),
        ("CSeq: 1 INVITE", "CSeq: 1 OPTIONS", Fault::CSeq, "400 "),
        ("CSeq: 1 INVITE", "CSeq: 1 invite", Fault::CSeq, "400 "),
        ("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE", Fault::CSeq, "400 "),
        ("CSeq: 1 INVITE", "CSeq: +1 INVITE", Fault::CSeq, "400 "),
        ("INVITE sip:", "FROBNICATE sip:", Fault::Method, "501 "),
        ("@127.0.0.1 SIP/2.0", "@127.0.0.1 SIP/7.0", Fault::Version, "505 "),
        ("@127.0.0.1 SIP/2.0", "@127.0.0.1", Fault::StartLine, "400 "),
        ("sip:+81333331234@127.0.0.1 SIP", "<sip:a@b> SIP", Fault::StartLine, "400 "),
        ("\"A\" <sip:a@127.0.0.1>;tag=1", "\"A\" <sip:a@127.0.0.1>", Fault::Value, "400 "),
        (
            "Contact: <sip:a@127.0.0.1:5070>",
            "Contact: <sip:a@127.0.0.1:99999>",
            Fault::Value,
            "400 ",
        ),
        ("Max-Forwards: 70\r\n", "Subject: a\nInjected: b\r\n", Fault::Framing, "400 "),
        ("Max-Forwards: 70\r\n", "Subject: a\u{7}\r\n", Fault::Text, "400 "),
    ];
    for (good, bad, expected, status) in cases {
        assert!(GOOD.contains(good), "{good}");
        let (found, reply) = fault(&GOOD.replace(good, bad));
        assert_eq!(found, expected, "{bad}");
        let reply = reply.unwrap_or_else(|| panic!("{bad} must be answered"));
        assert!(reply.starts_with(&format!("SIP/2.0 {status}")), "{bad}: {reply}");
        assert!(reply.contains("Via: SIP/2.0/UDP 127.0.0.1:5070"), "{reply}");
        assert!(reply.contains("Call-ID: x@y"), "{reply}");
    }
}

#[test]
fn missing_mandatory_header_is_a_fault_and_unanswerable_without_it() {
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let text: String = GOOD
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with(&format!("{name}:")))
            .collect();
        let (found, reply) = fault(&text);
        assert_eq!(found, Fault::Mandatory, "{name}");
        // All but To are needed to answer (RFC 3261 §8.2.6).
        assert_eq!(reply.is_some(), name == "To", "{name}");
    }
}

#[test]
fn ack_and_responses_are_never_answered() {
    for start in ["SIP/2.0 200 OK", "ACK sip:a@b SIP/2.0", "SIP/2.0 99 Odd", "SIP/7.0 200 OK"] {
        let text = GOOD
            .replace("INVITE sip:+81333331234@127.0.0.1 SIP/2.0", start)
            .replace("CSeq: 1 INVITE", "CSeq: x INVITE");
        assert_eq!(fault(&text).1, None, "{start}");
    }
}

#[test]
fn noise_is_dropped_without_an_answer() {
    assert_eq!(fault("hello"), (Fault::Framing, None));
    assert_eq!(fault("\r\n\r\n\r\n\r\nx"), (Fault::StartLine, None));
    let Verdict::Refuse { fault, reply } = screen(b"INVITE \xff\xfe SIP/2.0\r\nVia: x\r\n\r\n")
    else {
        panic!("must be refused")
    };
    assert_eq!((fault, reply), (Fault::Text, None));
    let many = GOOD.replace("Max-Forwards: 70\r\n", &"X-Pad: y\r\n".repeat(200));
    assert_eq!(self::fault(&many).0, Fault::Oversized);
}

#[test]
fn answer_to_a_retransmission_carries_the_same_tag() {
    let bad = GOOD.replace("CSeq: 1 INVITE", "CSeq: 1 BYE");
    assert_eq!(fault(&bad), fault(&bad));
    assert!(fault(&bad).1.unwrap().contains(";tag="));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_octets_are_judged(octets in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = screen(&octets);
    }

    #[test]
    fn any_damage_to_a_good_message_is_judged(
        at in 0..GOOD.len(),
        cut in 0usize..40,
        put in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut message = GOOD.as_bytes().to_vec();
        message.splice(at..(at + cut).min(GOOD.len()), put);
        if let Verdict::Refuse { reply: Some(reply), .. } = screen(&message) {
            // What we send back is well framed, whatever values it has to echo.
            let framed = match screen(&reply) {
                Verdict::Refuse { fault, .. } => {
                    matches!(fault, Fault::Value | Fault::Mandatory | Fault::CSeq)
                }
                _ => true,
            };
            prop_assert!(framed, "{}", String::from_utf8_lossy(&reply));
        }
    }

    #[test]
    fn any_header_value_is_judged(value in "[ -~\u{e0}-\u{ff}]{0,60}", line in 0usize..8) {
        let names = ["Via", "From", "To", "Call-ID", "CSeq", "Contact", "Max-Forwards", "Content-Length"];
        let text: String = GOOD
            .split_inclusive("\r\n")
            .map(|whole| match whole.split_once(':') {
                Some((name, _)) if name == names[line] => format!("{name}: {value}\r\n"),
                _ => whole.to_owned(),
            })
            .collect();
        let _ = screen(text.as_bytes());
    }
}
