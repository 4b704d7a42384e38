//! Line DSP as a line sees it: through A-law, with echo paths, tones and speech.

mod echo;
mod path;
mod signal;
