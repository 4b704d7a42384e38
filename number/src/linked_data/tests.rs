use super::*;

fn key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap()
}

fn data() -> LinkedData {
    LinkedData::new("trunkline-phone", "03-3333-1234", Some("127.0.0.10:5060"), Some(2_000))
        .unwrap()
}

fn refused(json: &str) -> String {
    match LinkedData::from_bytes(json.as_bytes()) {
        Ok(data) => panic!("{json} was read as {data:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_written_is_read_back() {
    let plain = LinkedData::new("trunkline-phone", "０３－３３３３－１２３４", None, None).unwrap();
    for data in [data(), data().sign(&key()), plain] {
        assert_eq!(LinkedData::from_bytes(data.to_json().as_bytes()).unwrap(), data);
    }
}

#[test]
fn the_smallest_data_has_application_and_number() {
    let data =
        LinkedData::from_bytes(br#"{"application":"vphone","number":"0333331234"}"#).unwrap();
    assert_eq!((data.application(), data.number()), ("vphone", "0333331234"));
    assert_eq!((data.gateway(), data.expires_unix_s()), (None, None));
    assert_eq!(data.verify(&[key().public_key()], 0), Trust::Unsigned);
}

#[test]
fn a_signature_by_a_trusted_key_is_trusted_until_it_expires() {
    let (site, other) = (key(), key());
    let signed = data().sign(&site);
    let trusted = [other.public_key(), site.public_key()];
    assert_eq!(signed.verify(&trusted, 1_999), Trust::Trusted);
    assert_eq!(signed.verify(&trusted, 2_000), Trust::Refused(DistrustReason::Expired));
    assert_eq!(signed.verify(&trusted[..1], 0), Trust::Refused(DistrustReason::BadSignature));
    assert_eq!(signed.verify(&[], 0), Trust::Refused(DistrustReason::NoTrustedKeys));
    assert_eq!(data().verify(&trusted, 2_000), Trust::Refused(DistrustReason::Expired));
}

#[test]
fn any_changed_value_breaks_the_signature() {
    let site = key();
    let json = data().sign(&site).to_json();
    for (from, to) in [
        ("trunkline-phone", "trunkline-phony"),
        ("03-3333-1234", "03-3333-1235"),
        ("127.0.0.10", "127.0.0.11"),
        ("2000", "3000"),
        ("  \"gateway\": \"127.0.0.10:5060\",\n", ""),
        ("  \"expires\": 2000,\n", ""),
    ] {
        let changed = json.replace(from, to);
        assert_ne!(changed, json);
        let changed = LinkedData::from_bytes(changed.as_bytes()).unwrap();
        assert_eq!(
            changed.verify(&[site.public_key()], 0),
            Trust::Refused(DistrustReason::BadSignature),
            "{from} -> {to}"
        );
    }
}

#[test]
fn a_value_cannot_move_from_one_key_to_the_next_under_one_signature() {
    let a = LinkedData::new("ab", "12", None, None).unwrap().signed_octets();
    let b = LinkedData::new("a", "12", Some("b"), None).unwrap().signed_octets();
    assert_ne!(a, b);
}

#[test]
fn layout_of_the_json_does_not_matter_to_the_signature() {
    let site = key();
    let signed = data().sign(&site);
    let value: serde_json::Value = serde_json::from_str(&signed.to_json()).unwrap();
    let compact = LinkedData::from_bytes(value.to_string().as_bytes()).unwrap();
    assert_eq!(compact.verify(&[site.public_key()], 0), Trust::Trusted);
}

#[test]
fn data_that_was_not_agreed_is_refused() {
    assert!(refused("").contains("not a JSON object"));
    assert!(refused("[\"a\",\"1\",null,null,null]").contains("not a JSON object"));
    assert!(refused("number=0333331234").contains("not a JSON object"));
    assert!(refused(r#"{"application":"a","number":"1""#).contains("line 1"));
    assert!(refused(r#"{"application":"a"}"#).contains("number"));
    assert!(refused(r#"{"application":"a","number":"1","number":"2"}"#).contains("duplicate"));
    assert!(refused(r#"{"application":"a","number":"1","exec":"sh"}"#).contains("exec"));
    assert!(refused(r#"{"application":"a","number":"1"}{}"#).contains("trailing"));
    assert!(refused(r#"{"application":"a","number":1}"#).contains("string"));
    assert!(refused(r#"{"application":"a","number":"1","expires":-1}"#).contains("-1"));
    assert!(refused(r#"{"application":"--help","number":"1"}"#).contains("application"));
    assert!(refused(r#"{"application":"../sh","number":"1"}"#).contains("application"));
    assert!(refused(r#"{"application":"a","number":"1;reboot"}"#).contains("';'"));
    assert!(refused(r#"{"application":"a","number":"1\u0000"}"#).contains("U+0000"));
    assert!(
        refused(r#"{"application":"a","number":"1","signature":"AAAA"}"#).contains("signature")
    );
    assert!(matches!(
        LinkedData::from_bytes(b"{\"application\":\"\xff\",\"number\":\"1\"}"),
        Err(NumberError::LinkedDataSyntax { reason }) if reason.contains("octet 17")
    ));
    assert!(matches!(
        LinkedData::from_bytes(&[b' '; MAX_LINKED_DATA_OCTETS + 1]),
        Err(NumberError::LinkedDataTooLarge { found: 4097, .. })
    ));
}

#[test]
fn gateways_are_hosts_and_nothing_else() {
    let gateway = |text| LinkedData::new("a", "0333331234", Some(text), None);
    for text in [
        "127.0.0.10",
        "127.0.0.10:5060",
        "::1",
        "[::1]",
        "[::1]:5060",
        "gw-a.example.jp",
        "gw:5061",
        "localhost",
    ] {
        assert!(gateway(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "-x",
        "a b",
        "gw:0",
        "gw:99999",
        "gw:+5",
        "gw:5060:1",
        "user@gw",
        "gw;lr",
        "gw/path",
        "300.1.1.1",
        "gw..jp",
        "[::1",
        "fe80::1%eth0",
        "gw\n",
        "ゲート",
    ] {
        assert!(gateway(text).is_err(), "{text}");
    }
}

#[test]
fn keys_are_read_back_from_their_text_and_their_file() {
    let key = key();
    assert_eq!(key.public_key().to_string().parse(), Ok(key.public_key()));
    assert!("AAAA".parse::<PublicKey>().is_err());
    assert!(SigningKey::from_pkcs8(b"not a key").is_err());
    assert!(!format!("{key:?}").contains("private"));
}
