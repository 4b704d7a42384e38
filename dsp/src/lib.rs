//! Sample arithmetic of the telephone network: codecs, concealment, tones, resampling.
