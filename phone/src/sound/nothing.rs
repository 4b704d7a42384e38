//! Neither microphone nor loudspeaker: silence is said, nothing is heard.

use super::SoundError;
use super::line::{BLOCK_SAMPLES, Line};
use super::paced::{Paced, Work};

/// Starts the silence.
///
/// # Errors
/// The system gives no thread.
pub fn start(line: Line) -> Result<Paced, SoundError> {
    Paced::start(Silence { line })
}

struct Silence {
    line: Line,
}

impl Work for Silence {
    fn block(&mut self) {
        let (mut mic, mut speaker) = ([0; BLOCK_SAMPLES], [0; BLOCK_SAMPLES]);
        self.line.exchange(&mut mic, &mut speaker);
    }

    fn finish(self) -> (Line, Result<(), SoundError>) {
        (self.line, Ok(()))
    }
}
