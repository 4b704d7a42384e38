//! Entries of one length, in pages of ten thousand neighbours.
//!
//! A country's numbers lie close together, so what they have in common is kept once a page: a
//! number costs its last four digits, or one bit of a full page, and the place of its route in the
//! page's own short list. Pages are found by their number in one sorted list with an index on top,
//! which also says whether there is anything in a range: what DNS calls an empty non-terminal.

use std::hint::black_box;
use std::ops::Range;

/// The entries of one length: value of the digits to place of the route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// Numbers of the pages, ascending.
    pub(super) numbers: Vec<u64>,
    /// One for each number.
    pub(super) pages: Vec<Page>,
    /// What is in the pages.
    pub(super) units: Vec<u16>,
    pub(super) entries: usize,
    index: Index,
}

/// Where a page is and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) form: Form,
    /// Entries; the last four digits when there is only one.
    pub(super) count: u16,
    /// First unit; the route when there is only one entry.
    pub(super) at: u32,
}

/// How a page is written. In units of 16 bits: number of distinct routes, the routes (two units
/// each, low first), the entries' places among these (nothing for one route, else an octet each,
/// else a unit each), then the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Form {
    /// One entry, in the page itself.
    Single,
    /// The last four digits of each, ascending.
    Listed,
    /// How many are before each block of 512, then a bit for each possible entry.
    Mapped,
}

/// Entries of a page.
pub(super) const PAGE: u64 = 10_000;

const BLOCK_BITS: usize = 512;
const BLOCKS: usize = (PAGE as usize).div_ceil(BLOCK_BITS);
const BLOCK_UNITS: usize = BLOCK_BITS / 16;
const MAP_UNITS: usize = BLOCKS + BLOCKS * BLOCK_UNITS;

impl Pages {
    /// Route of these digits.
    pub(super) fn find(&self, value: u64) -> Option<u32> {
        let number = value / PAGE;
        let place = self.place_from(number);
        if *self.numbers.get(place)? != number {
            return None;
        }
        self.open(place).find((value % PAGE) as u16)
    }

    /// Waits for what says where a page is, but for the page itself no more than to ask for it.
    pub(super) fn touch_page(&self, value: u64) {
        if let Some(page) = self.pages.get(self.place_from(value / PAGE)) {
            black_box(self.units.get(page.at as usize).copied());
        }
    }

    /// The same for the part of a page where the entry would be, once the page has come.
    pub(super) fn touch_entry(&self, value: u64) {
        let place = self.place_from(value / PAGE);
        if place == self.pages.len() {
            return;
        }
        if let Open::Many { places, entries, .. } = self.open(place) {
            let rest = (value % PAGE) as u16;
            let guess = match entries {
                Entries::Listed(list) => {
                    let guess = expected(rest, list.len());
                    black_box(list.get(guess).copied());
                    guess
                }
                Entries::Mapped { before, bits } => {
                    black_box(bits[usize::from(rest) / 16]);
                    usize::from(before[usize::from(rest) / BLOCK_BITS])
                }
            };
            let unit = match places {
                Places::First => None,
                Places::Octets(units) => units.get(guess / 2),
                Places::Units(units) => units.get(guess),
            };
            black_box(unit.copied());
        }
    }

    /// Entries whose value is in a range, ascending.
    pub(super) fn range(&self, values: Range<u64>) -> impl Iterator<Item = (u64, u32)> + '_ {
        let Range { start, end } = values;
        let first = self.place_from(start / PAGE);
        self.numbers[first..]
            .iter()
            .enumerate()
            .take_while(move |&(_, &number)| number * PAGE < end)
            .flat_map(move |(ahead, &number)| {
                let base = number * PAGE;
                let from = start.saturating_sub(base).min(PAGE) as u16;
                let until = (end - base).min(PAGE) as u16;
                self.open(first + ahead)
                    .entries(from, until)
                    .map(move |(rest, route)| (base + u64::from(rest), route))
            })
    }

    /// Octets in memory.
    pub(super) fn size_octets(&self) -> usize {
        self.numbers.capacity() * size_of::<u64>()
            + self.pages.capacity() * size_of::<Page>()
            + self.units.capacity() * size_of::<u16>()
            + self.index.first.capacity() * size_of::<u32>()
    }

    /// Place of the first page whose number is not less.
    fn place_from(&self, number: u64) -> usize {
        let within = self.index.within(number, self.numbers.len());
        let numbers = &self.numbers[within.clone()];
        // A few are compared without asking how each comparison ends.
        let before = match numbers.len() {
            0..=8 => numbers.iter().filter(|&&other| other < number).count(),
            _ => numbers.partition_point(|&other| other < number),
        };
        within.start + before
    }

    fn open(&self, place: usize) -> Open<'_> {
        let page = self.pages[place];
        match page.form {
            Form::Single => Open::Single { rest: page.count, route: page.at },
            form => Open::read(form, usize::from(page.count), &self.units[page.at as usize..]),
        }
    }

    /// Makes the index; after all pages are there.
    pub(super) fn finish(&mut self) {
        self.numbers.shrink_to_fit();
        self.pages.shrink_to_fit();
        self.units.shrink_to_fit();
        self.index = Index::new(&self.numbers);
    }

    /// Looks at pages that came from outside: whether all is in order and in bounds, for digits of
    /// this length and so many routes. Counts the entries.
    pub(super) fn check(&mut self, length: usize, routes: usize) -> bool {
        let ascending = self.numbers.windows(2).all(|pair| pair[0] < pair[1]);
        let past = 10_u64.pow(length as u32);
        if !ascending || self.numbers.last().is_some_and(|&last| last >= past.div_ceil(PAGE)) {
            return false;
        }
        // Only the one page of the shortest digits is not whole.
        let rests = past.min(PAGE) as usize;
        let mut entries = 0;
        for page in &self.pages {
            let found = match page.form {
                Form::Single => {
                    (usize::from(page.count) < rests && (page.at as usize) < routes).then_some(1)
                }
                _ => self.check_page(*page, rests, routes),
            };
            let Some(found) = found else {
                return false;
            };
            entries += found;
        }
        self.entries = entries;
        true
    }

    /// Entries of a page of several; none if it makes no sense.
    fn check_page(&self, page: Page, rests: usize, routes: usize) -> Option<usize> {
        let units = self.units.get(page.at as usize..)?;
        let count = usize::from(page.count);
        let distinct = usize::from(*units.first()?);
        let places = match distinct {
            1 => 0,
            2..=256 => count.div_ceil(2),
            _ => count,
        };
        let entries = if page.form == Form::Mapped { MAP_UNITS } else { count };
        let in_bounds = (2..=rests).contains(&count)
            && (1..=count).contains(&distinct)
            && units.len() >= 1 + 2 * distinct + places + entries;
        if !in_bounds {
            return None;
        }
        let Open::Many { routes: own, places, entries } = Open::read(page.form, count, units)
        else {
            return None;
        };
        let known = own.chunks_exact(2).all(|pair| {
            let route = u32::from(pair[0]) | u32::from(pair[1]) << 16;
            (route as usize) < routes
        });
        let placed = match places {
            Places::First => true,
            Places::Octets(units) => (0..count)
                .all(|entry| usize::from(units[entry / 2] >> (entry % 2 * 8) & 0xff) < distinct),
            Places::Units(units) => units.iter().all(|&place| usize::from(place) < distinct),
        };
        let ordered = match entries {
            Entries::Listed(list) => {
                list.windows(2).all(|pair| pair[0] < pair[1])
                    && list.last().is_some_and(|&last| usize::from(last) < rests)
            }
            Entries::Mapped { before, bits } => {
                let mut sum = 0;
                let blocks = bits.chunks_exact(BLOCK_UNITS).zip(before).all(|(block, &before)| {
                    let right = usize::from(before) == sum;
                    sum += block.iter().map(|unit| unit.count_ones() as usize).sum::<usize>();
                    right
                });
                let last = bits
                    .iter()
                    .rposition(|&unit| unit != 0)
                    .map(|unit| unit * 16 + 15 - bits[unit].leading_zeros() as usize);
                blocks && sum == count && last.is_some_and(|last| last < rests)
            }
        };
        (known && placed && ordered).then_some(count)
    }

    /// Adds a page behind the others. `entries` are the last four digits and the route of each,
    /// ascending, at least one. False when there is no room: more than 8 GiB of one length.
    pub(super) fn push(&mut self, number: u64, entries: &[(u16, u32)]) -> bool {
        self.numbers.push(number);
        self.entries += entries.len();
        if let [(rest, route)] = *entries {
            self.pages.push(Page { form: Form::Single, count: rest, at: route });
            return true;
        }
        let Ok(at) = u32::try_from(self.units.len()) else {
            return false;
        };
        let mut routes: Vec<u32> = entries.iter().map(|&(_, route)| route).collect();
        routes.sort_unstable();
        routes.dedup();
        self.units.push(routes.len() as u16);
        for &route in &routes {
            self.units.extend([route as u16, (route >> 16) as u16]);
        }
        let place = |route: u32| routes.partition_point(|&other| other < route) as u16;
        match routes.len() {
            1 => {}
            2..=256 => self.units.extend(entries.chunks(2).map(|pair| {
                let low = place(pair[0].1);
                pair.get(1).map_or(low, |&(_, route)| low | place(route) << 8)
            })),
            _ => self.units.extend(entries.iter().map(|&(_, route)| place(route))),
        }
        let form = if entries.len() > MAP_UNITS {
            self.push_map(entries);
            Form::Mapped
        } else {
            self.units.extend(entries.iter().map(|&(rest, _)| rest));
            Form::Listed
        };
        self.pages.push(Page { form, count: entries.len() as u16, at });
        true
    }

    fn push_map(&mut self, entries: &[(u16, u32)]) {
        let ranks = self.units.len();
        self.units.resize(ranks + MAP_UNITS, 0);
        let (before, bits) = self.units[ranks..].split_at_mut(BLOCKS);
        for &(rest, _) in entries {
            let rest = usize::from(rest);
            bits[rest / 16] |= 1 << (rest % 16);
            if let Some(next) = before.get_mut(rest / BLOCK_BITS + 1) {
                *next += 1;
            }
        }
        for block in 1..BLOCKS {
            before[block] += before[block - 1];
        }
    }
}

/// A page, taken apart.
enum Open<'a> {
    Single { rest: u16, route: u32 },
    Many { routes: &'a [u16], places: Places<'a>, entries: Entries<'a> },
}

/// The entries' places among the page's routes.
#[derive(Clone, Copy)]
enum Places<'a> {
    First,
    Octets(&'a [u16]),
    Units(&'a [u16]),
}

#[derive(Clone, Copy)]
enum Entries<'a> {
    Listed(&'a [u16]),
    Mapped { before: &'a [u16], bits: &'a [u16] },
}

impl<'a> Open<'a> {
    fn read(form: Form, count: usize, units: &'a [u16]) -> Self {
        let distinct = usize::from(units[0]);
        let (routes, units) = units[1..].split_at(2 * distinct);
        let (places, units) = match distinct {
            1 => (Places::First, units),
            2..=256 => {
                let (octets, units) = units.split_at(count.div_ceil(2));
                (Places::Octets(octets), units)
            }
            _ => {
                let (places, units) = units.split_at(count);
                (Places::Units(places), units)
            }
        };
        let entries = match form {
            Form::Mapped => {
                let (before, bits) = units[..MAP_UNITS].split_at(BLOCKS);
                Entries::Mapped { before, bits }
            }
            Form::Listed | Form::Single => Entries::Listed(&units[..count]),
        };
        Self::Many { routes, places, entries }
    }

    fn find(&self, wanted: u16) -> Option<u32> {
        match self {
            Self::Single { rest, route } => (*rest == wanted).then_some(*route),
            Self::Many { routes, places, entries } => {
                Some(route(routes, *places, entries.find(wanted)?))
            }
        }
    }

    /// The entries of `from` up to but not with `until`.
    fn entries(self, from: u16, until: u16) -> impl Iterator<Item = (u16, u32)> + 'a {
        let mut next = from;
        let mut at = match &self {
            Self::Single { .. } => 0,
            Self::Many { entries, .. } => entries.before(from),
        };
        std::iter::from_fn(move || {
            let (found, route) = match &self {
                Self::Single { rest, route } => (Some(*rest).filter(|rest| *rest >= next), *route),
                Self::Many { routes, places, entries } => {
                    let found = entries.next(next, at)?;
                    (Some(found), route(routes, *places, at))
                }
            };
            let found = found.filter(|rest| *rest < until)?;
            next = found + 1;
            at += 1;
            Some((found, route))
        })
    }
}

fn route(routes: &[u16], places: Places<'_>, entry: usize) -> u32 {
    let place = match places {
        Places::First => 0,
        Places::Octets(units) => usize::from(units[entry / 2] >> (entry % 2 * 8) & 0xff),
        Places::Units(units) => usize::from(units[entry]),
    };
    u32::from(routes[2 * place]) | u32::from(routes[2 * place + 1]) << 16
}

impl Entries<'_> {
    /// Place of an entry among the page's.
    fn find(&self, wanted: u16) -> Option<usize> {
        match self {
            Self::Listed(rests) => {
                let place = place_in(rests, wanted);
                (rests.get(place) == Some(&wanted)).then_some(place)
            }
            Self::Mapped { bits, .. } => {
                let rest = usize::from(wanted);
                (bits[rest / 16] >> (rest % 16) & 1 == 1).then(|| self.before(wanted))
            }
        }
    }

    /// How many entries are less.
    fn before(&self, rest: u16) -> usize {
        match self {
            Self::Listed(rests) => place_in(rests, rest),
            Self::Mapped { before, bits } => {
                let rest = usize::from(rest);
                let block = rest / BLOCK_BITS;
                let Some(&known) = before.get(block) else {
                    return bits.iter().map(|unit| unit.count_ones() as usize).sum();
                };
                let unit = rest / 16;
                let ones: u32 =
                    bits[block * BLOCK_UNITS..unit].iter().map(|unit| unit.count_ones()).sum();
                let part = bits.get(unit).map_or(0, |unit| unit & ((1 << (rest % 16)) - 1));
                usize::from(known) + (ones + part.count_ones()) as usize
            }
        }
    }

    /// The first entry that is not less than `from`, which is the page's `at`th.
    fn next(&self, from: u16, at: usize) -> Option<u16> {
        match self {
            Self::Listed(rests) => rests.get(at).copied(),
            Self::Mapped { bits, .. } => {
                let from = usize::from(from);
                let first = bits.get(from / 16)? & (u16::MAX << (from % 16));
                if first != 0 {
                    return Some((from / 16 * 16) as u16 + first.trailing_zeros() as u16);
                }
                let unit = (from / 16 + 1..bits.len()).find(|&unit| bits[unit] != 0)?;
                Some((unit * 16) as u16 + bits[unit].trailing_zeros() as u16)
            }
        }
    }
}

/// Where an entry is in a list if they are spread evenly.
fn expected(wanted: u16, count: usize) -> usize {
    usize::from(wanted) * count / PAGE as usize
}

/// Place of the first entry that is not less: looked for around where it is expected, since that
/// takes fewer trips to memory than halving the list.
fn place_in(rests: &[u16], wanted: u16) -> usize {
    let expected = expected(wanted, rests.len());
    let (mut from, mut until) = (0, rests.len());
    let start = expected.saturating_sub(WINDOW / 2).min(until);
    let end = (start + WINDOW).min(until);
    if start < end {
        // Of the list before the window all are less, of that behind it none.
        if rests[start] >= wanted {
            until = start;
        } else if rests[end - 1] < wanted {
            from = end;
        } else {
            return start + rests[start..end].iter().filter(|&&other| other < wanted).count();
        }
    }
    from + rests[from..until].partition_point(|&other| other < wanted)
}

/// Entries that are compared at once.
const WINDOW: usize = 32;

/// Where in the sorted list of pages to look: a step towards the place, as the numbers are spread
/// over what there is between the first and the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Index {
    least: u64,
    shift: u32,
    /// Place of the first page of each part, and the number of pages at the end.
    first: Vec<u32>,
}

impl Index {
    fn new(numbers: &[u64]) -> Self {
        let (Some(&least), Some(&most)) = (numbers.first(), numbers.last()) else {
            return Self::default();
        };
        let span = most - least;
        let mut shift = 0;
        // Two pages a part on average: two octets a page.
        while span >> shift > numbers.len() as u64 / 2 {
            shift += 1;
        }
        let parts = (span >> shift) as usize + 1;
        let mut first = Vec::with_capacity(parts + 1);
        for (place, &number) in numbers.iter().enumerate() {
            let part = ((number - least) >> shift) as usize;
            while first.len() <= part {
                first.push(place as u32);
            }
        }
        first.push(numbers.len() as u32);
        Self { least, shift, first }
    }

    /// The places among which a number or the next greater one is, the one behind included.
    fn within(&self, number: u64, pages: usize) -> Range<usize> {
        let Some(above) = number.checked_sub(self.least) else {
            return 0..0;
        };
        let part = above >> self.shift;
        let Ok(part) = usize::try_from(part) else {
            return pages..pages;
        };
        match self.first.get(part..part + 2) {
            Some(&[from, until]) => from as usize..until as usize,
            _ => pages..pages,
        }
    }
}
