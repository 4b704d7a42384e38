//! A received datagram in the back end's memory.

use std::ops::{Deref, DerefMut};

/// A received datagram where it lies, and the room behind it.
///
/// Reads and writes as the datagram's octets; [`Self::with_room`] has the room as well.
#[derive(Debug)]
pub struct Datagram<'a> {
    memory: &'a mut [u8],
    octets: usize,
}

impl<'a> Datagram<'a> {
    /// The datagram in the first `octets` of `memory` (all of it, if it is shorter); the rest is
    /// room.
    pub fn new(memory: &'a mut [u8], octets: usize) -> Self {
        let octets = octets.min(memory.len());
        Self { memory, octets }
    }

    /// Forgets what lies behind the first `octets`: it becomes room.
    pub fn truncate(&mut self, octets: usize) {
        self.octets = self.octets.min(octets);
    }

    /// The datagram's octets with the room behind them.
    pub fn with_room(&mut self) -> &mut [u8] {
        self.memory
    }
}

impl Deref for Datagram<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.octets]
    }
}

impl DerefMut for Datagram<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.octets]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_becomes_room() {
        let mut memory = *b"speech and tag......";
        let mut datagram = Datagram::new(&mut memory, 14);
        datagram.truncate(6);
        assert_eq!(*datagram, *b"speech");
        datagram.truncate(14);
        assert_eq!(datagram.len(), 6);
        datagram.with_room()[6] = b'!';
        assert_eq!(memory[..7], *b"speech!");
    }
}
