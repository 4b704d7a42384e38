use super::*;

fn read(text: &str) -> Result<Dialled, NumberError> {
    Dialled::parse(text, &CountryProfile::japan())
}

fn digits(text: &str) -> String {
    read(text).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

#[test]
fn one_number_written_in_many_ways_is_one_number() {
    for text in [
        "03-3333-1234",
        "0333331234",
        "(03) 3333-1234",
        "03(3333)1234",
        "03.3333.1234",
        "０３－３３３３－１２３４",
        "０３（３３３３）１２３４",
        "03ー3333ー1234",
        "03‐3333–1234",
        "03−3333―1234",
        "０３　３３３３　１２３４",
        "03\u{a0}3333\u{a0}1234",
        "+81333331234",
        "+81 3 3333 1234",
        "+81-3-3333-1234",
        "＋８１－３－３３３３－１２３４",
        "+81 (0)3-3333-1234",
        "+81-03-3333-1234",
        "(+81) 3 3333 1234",
        "010-81-3-3333-1234",
        "010 81 (0)3 3333 1234",
        "0081 3 3333 1234",
        "0033-03-3333-1234",
        "0033-010-81-3-3333-1234",
        "001-010-81-3-3333-1234",
        "0091-30-03-3333-1234",
        "184-03-3333-1234",
        "18603 3333 1234",
        "184 0033 03 3333 1234",
    ] {
        assert_eq!(digits(text), "+81333331234", "{text}");
    }
}

#[test]
fn other_kinds_of_number_in_japan() {
    assert_eq!(digits("0469-59-5678"), "+81469595678");
    assert_eq!(digits("090-1234-5678"), "+819012345678");
    assert_eq!(digits("050-1234-5678"), "+815012345678");
    assert_eq!(digits("0120-123-456"), "+81120123456");
    assert_eq!(digits("0800-123-4567"), "+818001234567");
    assert_eq!(digits("0570-012-345"), "+81570012345");
    assert_eq!(digits("0990-123-456"), "+81990123456");
}

#[test]
fn numbers_abroad() {
    assert_eq!(digits("+1 650 253 0000"), "+16502530000");
    assert_eq!(digits("010-1-650-253-0000"), "+16502530000");
    assert_eq!(digits("+44 (0)20 7946 0000"), "+442079460000");
    assert_eq!(digits("00 44 20 7946 0000"), "+442079460000");
    // Without a trunk prefix behind it, 0033 is "00" and France.
    assert_eq!(digits("0033 1 42 34 56 78"), "+33142345678");
    // Italy keeps the 0 of its area codes.
    assert_eq!(digits("+39 06 6982 1234"), "+390669821234");
}

#[test]
fn short_codes_stay_as_they_are() {
    for (text, code) in [
        ("110", "110"),
        ("１１９", "119"),
        ("1-1-8", "118"),
        ("112", "112"),
        ("911", "911"),
        ("184", "184"),
        ("184-110", "110"),
        ("186119", "119"),
        ("+81110", "110"),
        ("+81 (0) 110", "110"),
        ("0110", "110"),
        ("01081119", "119"),
        ("#7119", "#7119"),
        ("＃７１１９", "#7119"),
        ("*21*0333331234#", "*21*0333331234#"),
    ] {
        match read(text) {
            Ok(Dialled::Short(found)) => assert_eq!(found, code, "{text}"),
            Err(NumberError::TooLong { .. }) if text.starts_with('*') => {}
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn the_wrong_character_is_named_with_its_place() {
    assert_eq!(read("03-3333-12a4"), Err(NumberError::Character { found: 'a', place: 11 }));
    assert_eq!(read("０３－３３３３；１"), Err(NumberError::Character { found: '；', place: 8 }));
    assert_eq!(read("03+33331234"), Err(NumberError::Character { found: '+', place: 3 }));
    assert_eq!(read("++81333331234"), Err(NumberError::Character { found: '+', place: 2 }));
    assert_eq!(read("03-3333-1234#"), Err(NumberError::Character { found: '#', place: 13 }));
    assert_eq!(read("03\n33331234"), Err(NumberError::Character { found: '\n', place: 3 }));
    assert_eq!(
        read("03-3333-1234\n").unwrap_err().to_string(),
        "the character U+000A at place 13 does not belong in a telephone number"
    );
    assert_eq!(
        read("03;3333").unwrap_err().to_string(),
        "the character ';' (U+003B) at place 3 does not belong in a telephone number"
    );
}

#[test]
fn incomplete_and_over_long_numbers_are_refused() {
    assert_eq!(read(""), Err(NumberError::Empty));
    assert_eq!(read(" - () "), Err(NumberError::Empty));
    assert_eq!(read("+"), Err(NumberError::Empty));
    assert!(matches!(read("0"), Err(NumberError::TooShort { .. })));
    assert!(matches!(read("+81"), Err(NumberError::TooShort { .. })));
    assert!(matches!(read("3333-1234"), Err(NumberError::NoAreaCode { .. })));
    assert!(matches!(read("+0333331234"), Err(NumberError::CountryCode { .. })));
    assert!(matches!(read("010-03-3333-1234"), Err(NumberError::CountryCode { .. })));
    assert!(matches!(read("+81003333"), Err(NumberError::NoAreaCode { .. })));
    assert!(matches!(
        read("0333333333333333"),
        Err(NumberError::TooLong { found: 17, limit: 15, unit: "digits" })
    ));
    assert!(matches!(
        read(&"0".repeat(5000)),
        Err(NumberError::TooLong { found: 5000, limit: 64, unit: "characters" })
    ));
}

#[test]
fn another_country_has_its_own_rules() {
    let north_america: CountryProfile = serde_json::from_str(
        r#"{"country_code":"1","trunk_prefix":"1","international_prefixes":["011"],
            "carrier_codes":[],"caller_id_prefixes":[],"short_codes":["X11"]}"#,
    )
    .unwrap();
    let read = |text| Dialled::parse(text, &north_america).unwrap().to_string();
    assert_eq!(read("1 (650) 253-0000"), "+16502530000");
    assert_eq!(read("011 81 3 3333 1234"), "+81333331234");
    assert_eq!(read("911"), "911");
}
