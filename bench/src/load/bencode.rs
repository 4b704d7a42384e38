//! Bencode, the notation of rtpengine's control protocol: octet strings, integers, lists and
//! dictionaries (BEP 3).

use std::collections::BTreeMap;

/// How deep lists and dictionaries may lie in each other.
const DEPTH_MAX: usize = 16;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Octets, mostly text.
    Octets(Vec<u8>),
    /// A whole number.
    Integer(i64),
    /// Values in order.
    List(Vec<Value>),
    /// Values by key, in the order of the keys.
    Dictionary(BTreeMap<Vec<u8>, Value>),
}

/// What is wrong with a notation, and at which octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// It ends within a value.
    #[error("ends at octet {0} within a value")]
    Short(usize),
    /// No value begins so.
    #[error("no value begins at octet {0}")]
    NoValue(usize),
    /// Not a number, or too large.
    #[error("no number at octet {0}")]
    Number(usize),
    /// Values lie too deep in each other.
    #[error("nested too deep at octet {0}")]
    Deep(usize),
    /// Something follows the value.
    #[error("more follows at octet {0}")]
    More(usize),
}

impl Value {
    /// Text as octets.
    pub fn text(text: &str) -> Self {
        Self::Octets(text.as_bytes().to_vec())
    }

    /// A dictionary of texts.
    pub fn dictionary(entries: &[(&str, &str)]) -> Self {
        let entry = |&(key, value): &(&str, &str)| (key.as_bytes().to_vec(), Self::text(value));
        Self::Dictionary(entries.iter().map(entry).collect())
    }

    /// The text under a key of a dictionary; none if there is no such text.
    pub fn entry(&self, key: &str) -> Option<&str> {
        let Self::Dictionary(entries) = self else { return None };
        let Self::Octets(octets) = entries.get(key.as_bytes())? else { return None };
        std::str::from_utf8(octets).ok()
    }

    /// Appends the notation to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Octets(octets) => write_octets(octets, out),
            Self::Integer(number) => out.extend(format!("i{number}e").bytes()),
            Self::List(values) => {
                out.push(b'l');
                values.iter().for_each(|value| value.write(out));
                out.push(b'e');
            }
            Self::Dictionary(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    write_octets(key, out);
                    value.write(out);
                }
                out.push(b'e');
            }
        }
    }

    /// Reads one value that fills `octets`.
    ///
    /// # Errors
    /// What is wrong and where.
    pub fn read(octets: &[u8]) -> Result<Self, BencodeError> {
        let mut reader = Reader { octets, at: 0 };
        let value = reader.value(0)?;
        if reader.at == octets.len() { Ok(value) } else { Err(BencodeError::More(reader.at)) }
    }
}

fn write_octets(octets: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("{}:", octets.len()).bytes());
    out.extend(octets);
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, BencodeError> {
        if depth > DEPTH_MAX {
            return Err(BencodeError::Deep(self.at));
        }
        match self.peek()? {
            b'0'..=b'9' => Ok(Value::Octets(self.string()?)),
            b'i' => {
                self.at += 1;
                Ok(Value::Integer(self.number(b'e')?))
            }
            b'l' => {
                self.at += 1;
                let mut values = Vec::new();
                while !self.ended()? {
                    values.push(self.value(depth + 1)?);
                }
                Ok(Value::List(values))
            }
            b'd' => {
                self.at += 1;
                let mut entries = BTreeMap::new();
                while !self.ended()? {
                    let key = self.string()?;
                    entries.insert(key, self.value(depth + 1)?);
                }
                Ok(Value::Dictionary(entries))
            }
            _ => Err(BencodeError::NoValue(self.at)),
        }
    }

    fn peek(&self) -> Result<u8, BencodeError> {
        self.octets.get(self.at).copied().ok_or(BencodeError::Short(self.at))
    }

    /// Whether the list or dictionary ends here.
    fn ended(&mut self) -> Result<bool, BencodeError> {
        let ended = self.peek()? == b'e';
        self.at += usize::from(ended);
        Ok(ended)
    }

    fn string(&mut self) -> Result<Vec<u8>, BencodeError> {
        let begin = self.at;
        let length = self.number(b':')?;
        let length = usize::try_from(length).map_err(|_| BencodeError::Number(begin))?;
        let end = self.at.checked_add(length).ok_or(BencodeError::Number(begin))?;
        let octets = self.octets.get(self.at..end).ok_or(BencodeError::Short(self.octets.len()))?;
        self.at = end;
        Ok(octets.to_vec())
    }

    fn number(&mut self, terminator: u8) -> Result<i64, BencodeError> {
        let rest = &self.octets[self.at..];
        let length = rest
            .iter()
            .position(|&octet| octet == terminator)
            .ok_or(BencodeError::Short(self.octets.len()))?;
        let text = std::str::from_utf8(&rest[..length]).ok();
        let number = text.and_then(|text| text.parse().ok());
        let number = number.ok_or(BencodeError::Number(self.at))?;
        self.at += length + 1;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dictionary_is_written_in_the_order_of_its_keys() {
        let mut out = Vec::new();
        Value::dictionary(&[("sdp", "v=0"), ("command", "offer")]).write(&mut out);
        assert_eq!(out, b"d7:command5:offer3:sdp3:v=0e");
    }

    #[test]
    fn an_answer_reads_back_with_its_entries() {
        let answer = Value::read(b"d6:result2:ok4:tagsl1:ai-7eee").unwrap();
        assert_eq!(answer.entry("result"), Some("ok"));
        assert_eq!(answer.entry("tags"), None);
        assert_eq!(answer.entry("sdp"), None);
    }

    #[test]
    fn malformed_values_are_refused_with_their_place() {
        for (octets, error) in [
            (&b""[..], BencodeError::Short(0)),
            (b"5:abc", BencodeError::Short(5)),
            (b"d1:a", BencodeError::Short(4)),
            (b"x", BencodeError::NoValue(0)),
            (b"i1x2e", BencodeError::Number(1)),
            (b"99999999999999999999:a", BencodeError::Number(0)),
            (b"d-1:ae", BencodeError::Number(1)),
            (b"i1ei2e", BencodeError::More(3)),
        ] {
            let read = Value::read(octets);
            assert_eq!(read, Err(error), "{}", String::from_utf8_lossy(octets));
        }
        assert_eq!(Value::read(&[b'l'; 100]), Err(BencodeError::Deep(17)));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<Vec<u8>>().prop_map(Value::Octets),
            any::<i64>().prop_map(Value::Integer)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
                proptest::collection::btree_map(any::<Vec<u8>>(), inner, 0..4)
                    .prop_map(Value::Dictionary)
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(value in values()) {
            let mut out = Vec::new();
            value.write(&mut out);
            prop_assert_eq!(Value::read(&out), Ok(value));
        }

        #[test]
        fn arbitrary_octets_never_panic(octets in any::<Vec<u8>>()) {
            let _ = Value::read(&octets);
        }
    }
}
