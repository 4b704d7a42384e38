//! The media plane: a pinned worker per core, RTP legs, timeslot bridges and packet I/O.

mod memory;
pub mod packet_io;
