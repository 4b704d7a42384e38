//! Channels with signalling bits of their own.

use std::io;

use super::{Channel, ChannelLaw, Control, ask};

const HOOK: libc::c_ulong = 0x4004_da07;
const GETRXBITS: libc::c_ulong = 0x8004_da2b;
const SETTXBITS: libc::c_ulong = 0x4004_da2b;

/// What a channel with signalling bits is configured for (`DAHDI_SIG_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum BitSignalling {
    /// E&M by the driver: all four bits are 0 on hook and 1 off hook.
    EAndM = 0x40,
    /// The bits as they are.
    Bits = 0x8000,
}

/// What the driver does by itself on a channel of E&M (`DAHDI_…HOOK`, `DAHDI_WINK`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Hook {
    /// On hook.
    On = 0,
    /// Off hook.
    Off = 1,
    /// Off hook for a moment.
    Wink = 2,
}

impl Control {
    /// Configures a channel with signalling bits; with [`BitSignalling::Bits`] it sends the bits
    /// `idle` (ABCD, A is 8) until it is told others.
    pub fn configure_bit_channel(
        &self,
        channel: i32,
        signalling: BitSignalling,
        idle: u8,
        law: ChannelLaw,
    ) -> io::Result<()> {
        self.set_channel(channel, signalling as i32, law, idle)
    }
}

impl Channel {
    /// The bits that the other end sends now (ABCD, A is 8).
    pub fn signalling_bits(&self) -> io::Result<u8> {
        let mut octets = [0; 4];
        ask(self.fd(), GETRXBITS, &mut octets)?;
        // `dahdi_dynamic` leaves the next channel's bits above.
        Ok(octets[0] & 0x0f)
    }

    /// Sends these bits from now on.
    pub fn set_signalling_bits(&self, bits: u8) -> io::Result<()> {
        ask(self.fd(), SETTXBITS, &mut i32::from(bits & 0x0f).to_ne_bytes())
    }

    /// Goes on or off hook, or winks, on a channel of E&M. What takes time is told by an event
    /// when it is over.
    pub fn hook(&self, hook: Hook) -> io::Result<()> {
        match ask(self.fd(), HOOK, &mut (hook as i32).to_ne_bytes()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
            outcome => outcome,
        }
    }
}
