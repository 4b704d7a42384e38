//! When which packet is due.

/// An even load: in each packet time every party sends once, one after the other at equal
/// distances, in slots.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Parties that send.
    pub parties: u32,
    /// Packets of each party, warm-up included.
    pub packets_each: u32,
    /// Nanoseconds between two packets of a party.
    pub packet_time_ns: u64,
    /// Nanoseconds between two slots; what falls due within one is sent together at its end.
    pub slot_ns: u64,
}

/// One packet that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Who sends it.
    pub sender: u32,
    /// Its number in that party's stream.
    pub index: u32,
}

impl Schedule {
    /// How many packets there are.
    pub fn packets(&self) -> u64 {
        u64::from(self.parties) * u64::from(self.packets_each)
    }

    /// Packet `nth` of the run, 0 first; none after the last.
    pub fn due(&self, nth: u64) -> Option<Due> {
        (nth < self.packets()).then(|| Due {
            sender: (nth % u64::from(self.parties)) as u32,
            index: (nth / u64::from(self.parties)) as u32,
        })
    }

    /// The end of the slot that packet `nth` falls into, ns after the start.
    pub fn slot_end_ns(&self, nth: u64) -> u64 {
        let parties = u64::from(self.parties);
        let (interval, place) = (nth / parties, nth % parties);
        let due = interval * self.packet_time_ns + place * self.packet_time_ns / parties;
        (due / self.slot_ns + 1) * self.slot_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Schedule =
        Schedule { parties: 10, packets_each: 3, packet_time_ns: 20_000, slot_ns: 1_000 };

    #[test]
    fn all_parties_send_once_in_each_packet_time() {
        assert_eq!(TEN.packets(), 30);
        assert_eq!(TEN.due(0), Some(Due { sender: 0, index: 0 }));
        assert_eq!(TEN.due(19), Some(Due { sender: 9, index: 1 }));
        assert_eq!(TEN.due(30), None);
    }

    #[test]
    fn packets_are_spread_evenly_and_go_out_at_the_end_of_their_slot() {
        let ends: Vec<_> = (0..12).map(|nth| TEN.slot_end_ns(nth)).collect();
        assert_eq!(ends[..3], [1_000, 3_000, 5_000]);
        assert_eq!(ends[9..], [19_000, 21_000, 23_000]);
    }

    #[test]
    fn more_parties_than_slots_share_them_evenly() {
        let many = Schedule { parties: 1000, slot_ns: 2_000, ..TEN };
        let mut counts = [0; 10];
        for nth in 0..1000 {
            counts[(many.slot_end_ns(nth) / 2_000 - 1) as usize] += 1;
        }
        assert_eq!(counts, [100; 10]);
    }
}
