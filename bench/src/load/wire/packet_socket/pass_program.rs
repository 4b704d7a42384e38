//! A program on the flooder's device that passes every frame on.
//!
//! The end of a veth pair takes frames of `XDP_TX` at the other end only if it has a program of its
//! own (drivers/net/veth.c), as the receive queue they go into is there for programs.
#![allow(unsafe_code)]

use std::ffi::c_long;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use crate::load::LoadError;

/// Of `enum bpf_cmd` in linux/bpf.h, which libc does not carry, as the rest here.
const PROG_LOAD: c_long = 5;
const LINK_CREATE: c_long = 28;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
/// In the driver, not in front of the stack (linux/if_link.h).
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// `r0 = XDP_PASS; exit`, as `struct bpf_insn`.
static PROGRAM: [u64; 2] = [
    u64::from_le_bytes([0xb7, 0, 0, 0, 2, 0, 0, 0]),
    u64::from_le_bytes([0x95, 0, 0, 0, 0, 0, 0, 0]),
];
static LICENCE: [u8; 11] = *b"Apache-2.0\0";

/// The program, attached until it is dropped.
#[derive(Debug)]
pub struct PassProgram {
    _link: OwnedFd,
}

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    expected_attach_type: u32,
}

/// The part that attaches one.
#[repr(C)]
struct Link {
    program: u32,
    device: u32,
    attach_type: u32,
    flags: u32,
}

impl PassProgram {
    /// Attaches it to a device.
    ///
    /// # Errors
    /// If there is no right to do so, or another program is there.
    pub fn attach(device: i32) -> Result<Self, LoadError> {
        let load = Load {
            program_type: PROG_TYPE_XDP,
            instruction_count: PROGRAM.len() as u32,
            instructions: ptr::from_ref(&PROGRAM).addr() as u64,
            licence: ptr::from_ref(&LICENCE).addr() as u64,
            name: *b"trunkline_pass\0\0",
            expected_attach_type: ATTACH_TYPE_XDP,
            ..Load::default()
        };
        let program = call(PROG_LOAD, &load, "loading a program for the flooder's device")?;
        let link = Link {
            program: program.as_raw_fd().cast_unsigned(),
            device: device.cast_unsigned(),
            attach_type: ATTACH_TYPE_XDP,
            flags: XDP_FLAGS_DRV_MODE,
        };
        let link = call(LINK_CREATE, &link, "attaching a program to the flooder's device")?;
        Ok(Self { _link: link })
    }
}

/// bpf(2), for commands that give a descriptor.
fn call<T>(command: c_long, attributes: &T, what: &str) -> Result<OwnedFd, LoadError> {
    // SAFETY: the attributes are as long as said, and what they point to lives as long as the
    // program; the kernel only reads them.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attributes), size_of::<T>()) };
    match i32::try_from(outcome) {
        // SAFETY: just opened, and owned by nobody else.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(LoadError::last(what)),
    }
}
