//! Channel identification (Q.931 §4.5.13).

/// Which channels a channel identification means (Q.931 §4.5.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channels {
    /// No channel.
    None,
    /// Any channel.
    Any,
    /// These B channels.
    Listed(Vec<u8>),
}

/// Channel identification on a primary rate interface (Q.931 §4.5.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelIdentification {
    /// Only this channel will do; else it is preferred.
    pub exclusive: bool,
    /// The channels.
    pub channels: Channels,
}

pub(super) fn decode(contents: &[u8]) -> Option<ChannelIdentification> {
    let first = *contents.first()?;
    let exclusive = first & 0x08 != 0;
    let mut rest = &contents[1..];
    if first & 0x40 != 0 {
        // Interface identifier: octets up to the one with the extension bit.
        let last = rest.iter().position(|octet| octet & 0x80 != 0)?;
        rest = &rest[last + 1..];
    }
    if first & 0x20 == 0 {
        return None; // A basic interface.
    }
    let channels = match first & 3 {
        0 => Channels::None,
        3 => Channels::Any,
        1 => {
            let [kind, numbers @ ..] = rest else { return None };
            if kind & 0x10 == 0 {
                let mut listed = Vec::new();
                for octet in numbers {
                    listed.push(octet & 0x7f);
                    if octet & 0x80 != 0 {
                        break;
                    }
                }
                Channels::Listed(listed)
            } else {
                // Slot map: the last octet's lowest bit is timeslot 1 of a T1 and 0 of an E1.
                let bits = numbers.len() * 8;
                let first_slot = u8::from(numbers.len() == 3);
                Channels::Listed(
                    (0..bits.min(32))
                        .filter(|bit| numbers[numbers.len() - 1 - bit / 8] >> (bit % 8) & 1 != 0)
                        .map(|bit| bit as u8 + first_slot)
                        .collect(),
                )
            }
        }
        _ => return None,
    };
    Some(ChannelIdentification { exclusive, channels })
}

pub(super) fn encode(channel: &ChannelIdentification) -> Vec<u8> {
    // Primary rate, interface implicitly identified.
    let first = 0xa0 | u8::from(channel.exclusive) << 3;
    match &channel.channels {
        Channels::None => vec![first],
        Channels::Any => vec![first | 3],
        Channels::Listed(listed) => {
            // Coding by number, B channel units.
            let mut contents = vec![first | 1, 0x83];
            contents.extend(listed);
            if let Some(last) = contents.last_mut() {
                *last |= 0x80;
            }
            contents
        }
    }
}
