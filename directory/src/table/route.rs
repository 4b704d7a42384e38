//! Where calls to a prefix go: gateways with order, weight, capacity and hours.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::Digits;

/// The gateways of a prefix, the first choice first, and what is known of the number's porting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    choices: Box<[Choice]>,
    portability: Option<Portability>,
}

/// Most gateways of a prefix: a question over TCP must be answerable whatever the table says, and
/// callers try no more.
pub const CHOICES_MAX: usize = 32;

impl Route {
    /// Sorts the choices by order, then preference, the lower first (RFC 3403 §4.1).
    pub fn new(mut choices: Vec<Choice>) -> Self {
        choices.sort_by_key(|choice| (choice.order, choice.preference));
        Self { choices: choices.into(), portability: None }
    }

    /// With what a portability database says of the number.
    pub fn with_portability(mut self, portability: Option<Portability>) -> Self {
        self.portability = portability;
        self
    }

    /// The choices, the first first.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// What a portability database says of the number.
    pub fn portability(&self) -> Option<Portability> {
        self.portability
    }

    /// Gives the gateways other places.
    pub(crate) fn map_gateways(&mut self, place: &impl Fn(u32) -> u32) {
        for choice in &mut self.choices {
            choice.gateway = place(choice.gateway);
        }
    }
}

/// A gateway in a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Place among the gateways.
    pub gateway: u32,
    /// Place of the trunk group there that takes the calls; none for any.
    pub trunk_group: Option<u8>,
    /// NAPTR order: lower is tried first.
    pub order: u16,
    /// NAPTR preference among equal orders: lower is tried first.
    pub preference: u16,
    /// Share of the calls among choices of equal order and preference, which are offered in an
    /// order drawn anew for each answer.
    pub weight: u16,
    /// Circuits of the gateway that may be busy before this route leaves it out, so that others
    /// find the rest free; none for all.
    pub capacity: Option<NonZeroU32>,
    /// When it is offered; none for always.
    pub hours: Option<Hours>,
}

impl Choice {
    /// A choice of weight 1 at all hours.
    pub fn new(gateway: u32, order: u16, preference: u16) -> Self {
        Self {
            gateway,
            trunk_group: None,
            order,
            preference,
            weight: 1,
            capacity: None,
            hours: None,
        }
    }
}

/// What a number portability database has found (RFC 4769).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Portability {
    /// Asked, and not ported (`npdi`).
    NotPorted,
    /// Ported to the network of this routing number (`npdi;rn=`).
    Ported(Digits),
}

/// Hours of the week: `mo-fr 08:00-18:00`, `sa,su 00:00-24:00`, `22:00-06:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hours {
    /// Bit 0 is Monday.
    days: u8,
    from_min: u16,
    until_min: u16,
}

impl Hours {
    /// Whether they hold at a moment. Hours over midnight belong to the day on which they begin.
    pub fn contain(&self, at: WeekMinute) -> bool {
        let (day, minute) = (at.0 / DAY_MIN, at.0 % DAY_MIN);
        let on = |day: u16| self.days >> (day % 7) & 1 == 1;
        if self.from_min < self.until_min {
            return on(day) && (self.from_min..self.until_min).contains(&minute);
        }
        on(day) && minute >= self.from_min || on(day + 6) && minute < self.until_min
    }
}

/// Minutes since Monday, 00:00, local time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WeekMinute(u16);

impl WeekMinute {
    /// From seconds since 1970-01-01 00:00 UTC and the local time's distance from UTC.
    pub fn from_unix(unix_s: u64, utc_offset_min: i16) -> Self {
        let local_min = (unix_s / 60) as i64 + i64::from(utc_offset_min);
        // That day was a Thursday.
        let minute = (local_min + 3 * i64::from(DAY_MIN)).rem_euclid(7 * i64::from(DAY_MIN));
        Self(minute as u16)
    }
}

const DAY_MIN: u16 = 24 * 60;

const DAYS: [&str; 7] = ["mo", "tu", "we", "th", "fr", "sa", "su"];

/// Hours of the week that are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} are no hours of the week")]
pub struct BadHours {
    /// What was given.
    pub text: String,
}

impl FromStr for Hours {
    type Err = BadHours;

    fn from_str(text: &str) -> Result<Self, BadHours> {
        let read = || {
            let (days, times) = match text.split_once(' ') {
                Some((days, times)) => (read_days(days)?, times),
                None => (0x7f, text),
            };
            let (from, until) = times.split_once('-')?;
            let (from_min, until_min) = (read_time(from)?, read_time(until)?);
            (from_min != until_min && from_min < DAY_MIN).then_some(Self {
                days,
                from_min,
                until_min,
            })
        };
        read().ok_or_else(|| BadHours { text: text.to_owned() })
    }
}

fn read_days(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let span = (last + 7 - first) % 7;
        (first..=first + span).for_each(|place| days |= 1 << (place % 7));
    }
    Some(days)
}

fn read_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        (text.len() == 2 && text.bytes().all(|octet| octet.is_ascii_digit()))
            .then(|| text.parse::<u16>().ok())
            .flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= DAY_MIN).then_some(hours * 60 + minutes)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != 0x7f {
            let mut comma = "";
            for (place, day) in
                DAYS.iter().enumerate().filter(|(place, _)| self.days >> place & 1 == 1)
            {
                // Two or more days in a row are written as a span.
                let follows = |place: usize| place < 7 && self.days >> place & 1 == 1;
                if place > 0 && follows(place - 1) {
                    if !follows(place + 1) {
                        write!(f, "-{day}")?;
                    }
                    continue;
                }
                write!(f, "{comma}{day}")?;
                comma = ",";
            }
            f.write_str(" ")?;
        }
        let (from, until) = (self.from_min, self.until_min);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, until / 60, until % 60)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(text: &str) -> Hours {
        text.parse().unwrap()
    }

    /// 2026-11-23 was a Monday.
    const MONDAY_S: u64 = 1_795_392_000;

    fn at(day: u64, hour: u64, minute: u64) -> WeekMinute {
        WeekMinute::from_unix(MONDAY_S + day * 86_400 + hour * 3_600 + minute * 60, 0)
    }

    #[test]
    fn choices_stand_in_order_then_preference() {
        let route =
            Route::new(vec![Choice::new(0, 20, 1), Choice::new(1, 10, 9), Choice::new(2, 10, 3)]);
        let gateways: Vec<u32> = route.choices().iter().map(|choice| choice.gateway).collect();
        assert_eq!(gateways, [2, 1, 0]);
    }

    #[test]
    fn office_hours_end_at_six_and_on_friday() {
        let office = hours("mo-fr 08:00-18:00");
        assert!(office.contain(at(0, 8, 0)) && office.contain(at(4, 17, 59)));
        assert!(!office.contain(at(0, 7, 59)) && !office.contain(at(0, 18, 0)));
        assert!(!office.contain(at(5, 12, 0)));
        // 23:30 in London on Sunday is Monday morning in Tokyo.
        assert!(office.contain(WeekMinute::from_unix(MONDAY_S - 1_800, 540)));
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let night = hours("fr,su 22:00-06:00");
        assert!(night.contain(at(4, 23, 0)) && night.contain(at(5, 5, 59)));
        assert!(!night.contain(at(4, 5, 0)) && !night.contain(at(5, 22, 0)));
        // From Sunday into the next week.
        assert!(night.contain(at(7, 1, 0)));
        assert!(hours("00:00-24:00").contain(at(3, 23, 59)));
    }

    #[test]
    fn what_are_no_hours_is_refused() {
        for text in [
            "",
            "mo",
            "mo 8-9",
            "xx 08:00-09:00",
            "08:00-08:00",
            "24:00-08:00",
            "08:00-24:01",
            "08:60-09:00",
            "mo- 08:00-09:00",
            "mo 08:00-09:00 ",
            "+8:00-09:00",
        ] {
            assert!(text.parse::<Hours>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn hours_are_written_as_they_are_read(days in 1_u8..0x80, from in 0_u16..1440, until in 0_u16..=1440) {
            prop_assume!(from != until);
            let hours = Hours { days, from_min: from, until_min: until };
            prop_assert_eq!(hours.to_string().parse::<Hours>().unwrap(), hours);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}|[a-z,0-9: -]{0,20}") {
            let _ = text.parse::<Hours>();
        }
    }
}
