//! Speech of a channel in blocks, and the tones in it.

use trunkline_dsp::g711::Law;
use trunkline_tdm::dahdi::device::{Buffers, Channel, Policy};

/// Samples of a block: 10 ms.
pub const BLOCK: usize = 80;

pub struct Voice {
    pub channel: Channel,
    law: Law,
}

impl Voice {
    /// A guest is held up now and then: `ahead` blocks are under way to the line.
    pub fn open(number: i32, law: Law, ahead: usize) -> Self {
        let channel = Channel::open(number).expect("the channel opens");
        let size_octets = BLOCK as i32;
        let buffers = Buffers { count: 32, size_octets, policy: Policy::Immediate };
        channel.set_buffers(buffers).expect("buffers");
        let voice = Self { channel, law };
        for _ in 0..ahead {
            voice.write(&[0; BLOCK]);
        }
        voice
    }

    fn write(&self, samples: &[i16; BLOCK]) {
        let mut octets = [0; BLOCK];
        self.law.encode_block(samples, &mut octets);
        // What finds no room waits for it, since a tone that jumps is none; an event stands in the way
        // for a moment only.
        for _ in 0..20 {
            match self.channel.write(&octets) {
                Ok(_) => return,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                Err(_) => _ = self.channel.event(),
            }
        }
    }

    /// What happened to the channel since (`DAHDI_EVENT_…`), and the block that came; for each that
    /// comes one goes out.
    pub fn exchange(
        &self,
        mut event: impl FnMut(i32),
        hear: impl FnOnce(&[i16; BLOCK]),
        say: impl FnOnce(&mut [i16; BLOCK]),
    ) {
        while let Some(happened) = self.channel.event().expect("events") {
            event(happened);
        }
        let mut octets = [0; BLOCK];
        let Ok(BLOCK) = self.channel.read(&mut octets) else { return };
        let mut samples = [0; BLOCK];
        self.law.decode_block(&octets, &mut samples);
        hear(&samples);
        let mut said = [0; BLOCK];
        say(&mut said);
        self.write(&said);
    }
}
