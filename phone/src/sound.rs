//! What sits at the voice's end: microphone and loudspeaker, WAV files, or nothing.
//!
//! Each kind has a clock that moves [`line::Line`] on: that of the sound card for [`devices`], a
//! thread with absolute deadlines ([`paced`]) for [`files`] and [`nothing`].

pub mod devices;
pub mod echo;
pub mod files;
pub mod line;
pub mod nothing;
pub mod paced;

use std::path::PathBuf;

use trunkline_media::TimeslotEnd;

use crate::configuration;
use devices::Devices;
use line::{Controls, Line};
use paced::Paced;

/// Why there is no sound.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// A WAV file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: hound::Error,
    },
    /// A WAV file has another format than the telephone's.
    #[error(
        "{path}: {rate_hz} Hz, {bits} bit, {channels} channels; a WAV file to be spoken must have \
         8000 Hz, 16 bit integers and one channel"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its sampling rate.
        rate_hz: u32,
        /// Bits of a sample.
        bits: u16,
        /// Channels.
        channels: u16,
    },
    /// A device that was in use does not end.
    #[error("the sound system does not let go of the call")]
    Stuck,
    /// The thread could not start.
    #[error("no thread for the sound: {0}")]
    Thread(std::io::Error),
}

/// Sound that runs.
pub enum Sound {
    /// On a sound card.
    Devices(Box<Devices>),
    /// On a thread: files, or nothing.
    Paced(Paced),
}

impl Sound {
    /// Starts the sound of the configuration. `say` is told what a person should know, as that
    /// there is no loudspeaker.
    ///
    /// # Errors
    /// A file that cannot be used. A missing sound card is no error: there is silence instead.
    pub fn start(
        sound: &configuration::Sound,
        timeslot: TimeslotEnd,
        controls: Controls,
        say: impl Fn(&str),
    ) -> Result<Self, SoundError> {
        let line = Line::new(timeslot, controls);
        match sound {
            configuration::Sound::Devices(wanted) => Self::on_devices(line, wanted, &say),
            configuration::Sound::Files { speak, record } => {
                files::start(line, speak.as_deref(), record.as_deref()).map(Self::Paced)
            }
            configuration::Sound::Nothing => nothing::start(line).map(Self::Paced),
        }
    }

    fn on_devices(
        line: Line,
        wanted: &configuration::Devices,
        say: &impl Fn(&str),
    ) -> Result<Self, SoundError> {
        match Devices::start(line, wanted, say) {
            Ok(devices) => Ok(Self::Devices(Box::new(devices))),
            Err((line, why)) => {
                say(&format!("No sound, the call goes on in silence: {why}"));
                nothing::start(*line).map(Self::Paced)
            }
        }
    }

    /// Goes on with other devices, in the same call.
    ///
    /// # Errors
    /// The old device does not let go of the call, or the sound is not on devices at all.
    pub fn change(
        self,
        wanted: &configuration::Devices,
        say: impl Fn(&str),
    ) -> Result<Self, SoundError> {
        let line = match self {
            Self::Devices(devices) => devices.stop(),
            // There were none when the call began; now there may be.
            Self::Paced(paced) => paced.into_line(),
        };
        Self::on_devices(line.ok_or(SoundError::Stuck)?, wanted, &say)
    }

    /// Whether a device has gone and others should be taken.
    pub fn has_failed(&self) -> bool {
        match self {
            Self::Devices(devices) => devices.has_failed(),
            Self::Paced(_) => false,
        }
    }

    /// Ends the sound; a recording is complete then.
    ///
    /// # Errors
    /// The recording could not be completed.
    pub fn stop(self) -> Result<(), SoundError> {
        match self {
            Self::Devices(devices) => {
                devices.stop();
                Ok(())
            }
            Self::Paced(paced) => paced.stop(),
        }
    }
}
