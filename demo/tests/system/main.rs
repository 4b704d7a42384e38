//! The whole system at work, with software that nobody here wrote on the other side.
//!
//! One program, so that tests can share the machine: those that judge speech have it for
//! themselves ([`common::system_alone`]), of the others as many run as there are cores.

mod baresip;
mod below;
mod browser;
mod common;
mod configuration;
mod dig;
mod digits;
mod hostile;
mod interworking;
mod line;
mod maintenance;
mod operations;
mod overload;
mod patent;
mod peers;
mod refused_numbers;
mod sipp;
mod srtp;
