#![no_main]

use trunkline_isdn::q931::element::Element;

// The first octet names the element, the rest is its contents. What is read is written and read
// back the same.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [identifier, contents @ ..] = bytes else { return };
    let element = Element::decode(identifier & 0x7f, &contents[..contents.len().min(255)]);
    let mut written = Vec::new();
    element.encode(&mut written);
    if let [identifier, _, contents @ ..] = &written[..] {
        assert_eq!(Element::decode(*identifier, contents), element);
    }
});
