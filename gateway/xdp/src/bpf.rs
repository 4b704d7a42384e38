//! The system call `bpf(2)`: maps, programs, and a program's place on a device.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::assembler::Instruction;

// Commands and constants of <linux/bpf.h>.
const MAP_CREATE: i64 = 0;
const MAP_UPDATE_ELEM: i64 = 2;
const PROG_LOAD: i64 = 5;
#[cfg(test)]
const PROG_TEST_RUN: i64 = 10;
const LINK_CREATE: i64 = 28;
const PROGRAM_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;

/// The kind of a map.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum MapKind {
    Array = 2,
    XskMap = 17,
}

/// A map of the kernel.
#[derive(Debug)]
pub(crate) struct Map {
    descriptor: OwnedFd,
}

/// A program the kernel has accepted.
#[derive(Debug)]
pub(crate) struct Program {
    descriptor: OwnedFd,
}

/// A program's place on a device; it ends when this is dropped, or when the process ends.
#[derive(Debug)]
pub(crate) struct Link {
    _descriptor: OwnedFd,
}

/// How a program meets the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In the driver, before the kernel has made anything of the packet.
    Native,
    /// Behind the driver; works on every device.
    Generic,
}

impl Mode {
    fn flags(self) -> u32 {
        match self {
            Self::Native => 1 << 2,
            Self::Generic => 1 << 1,
        }
    }
}

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_octets: u32,
    value_octets: u32,
    entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct MapElement {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgramLoad {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_octets: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    attach: u32,
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    device: u32,
    attach: u32,
    flags: u32,
}

/// Calls `bpf(2)` with the attributes of one command.
///
/// # Safety
/// `attributes` must be those of `command`, and every address in it valid for what the command does.
unsafe fn bpf<T>(command: i64, attributes: &mut T) -> io::Result<i64> {
    // SAFETY: as promised by the caller; the kernel reads and writes the length given, no more.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}

fn name(text: &str) -> [u8; 16] {
    let mut name = [0; 16];
    for (to, from) in name.iter_mut().take(15).zip(text.bytes()) {
        *to = from;
    }
    name
}

fn owned(descriptor: i64) -> OwnedFd {
    // SAFETY: a descriptor the kernel has just made for us.
    unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }
}

impl Map {
    /// A map of `entries` values of so many octets under numbers of four.
    pub(crate) fn new(
        kind: MapKind,
        what: &str,
        value_octets: usize,
        entries: u32,
        mappable: bool,
    ) -> io::Result<Self> {
        let mut attributes = MapCreate {
            kind: kind as u32,
            key_octets: 4,
            value_octets: value_octets as u32,
            entries,
            // BPF_F_MMAPABLE.
            flags: if mappable { 1 << 10 } else { 0 },
            inner_map: 0,
            numa_node: 0,
            name: name(what),
        };
        // SAFETY: the attributes of this command, without addresses.
        let descriptor = unsafe { bpf(MAP_CREATE, &mut attributes) }?;
        Ok(Self { descriptor: owned(descriptor) })
    }

    /// Puts a descriptor under a number.
    pub(crate) fn set(&self, key: u32, value: BorrowedFd<'_>) -> io::Result<()> {
        let value = value.as_raw_fd();
        let mut attributes = MapElement {
            map: self.descriptor.as_raw_fd() as u32,
            _pad: 0,
            key: (&raw const key) as u64,
            value: (&raw const value) as u64,
            flags: 0,
        };
        // SAFETY: the attributes of this command; key and value have the map's lengths.
        unsafe { bpf(MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Program {
    /// Has the kernel check and take an XDP program.
    ///
    /// # Errors
    /// What the kernel says, with the end of the verifier's report if it made one.
    pub(crate) fn load(what: &str, code: &[Instruction]) -> io::Result<Self> {
        let license = c"Apache-2.0";
        let mut attributes = ProgramLoad {
            kind: PROGRAM_XDP,
            instructions: code.len() as u32,
            code: code.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log_level: 0,
            log_octets: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: name(what),
            device: 0,
            attach: ATTACH_XDP,
        };
        // SAFETY: the attributes of this command; code and license outlive the call.
        match unsafe { bpf(PROG_LOAD, &mut attributes) } {
            Ok(descriptor) => Ok(Self { descriptor: owned(descriptor) }),
            Err(refusal) => Err(Self::explain(&mut attributes, refusal)),
        }
    }

    /// Has the refusal repeated with the verifier's report.
    fn explain(attributes: &mut ProgramLoad, refusal: io::Error) -> io::Error {
        let mut log = vec![0_u8; 1 << 20];
        attributes.log_level = 1;
        attributes.log_octets = log.len() as u32;
        attributes.log = log.as_mut_ptr() as u64;
        // SAFETY: as in `load`, and the report's memory outlives the call.
        if let Ok(descriptor) = unsafe { bpf(PROG_LOAD, attributes) } {
            drop(owned(descriptor));
        }
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.trim_end_matches('\0').trim().lines().collect();
        match lines.len() {
            0 => refusal,
            count => {
                let last = lines[count.saturating_sub(12)..].join("; ");
                io::Error::new(refusal.kind(), format!("{refusal}: {last}"))
            }
        }
    }

    /// Puts the program on a device.
    pub(crate) fn attach(&self, device: u32, mode: Mode) -> io::Result<Link> {
        let mut attributes = LinkCreate {
            program: self.descriptor.as_raw_fd() as u32,
            device,
            attach: ATTACH_XDP,
            flags: mode.flags(),
        };
        // SAFETY: the attributes of this command, without addresses.
        let descriptor = unsafe { bpf(LINK_CREATE, &mut attributes) }?;
        Ok(Link { _descriptor: owned(descriptor) })
    }

    /// Runs the program once on a packet: its verdict, and the packet as it is afterwards.
    #[cfg(test)]
    pub(crate) fn run(&self, packet: &[u8]) -> io::Result<(u32, Vec<u8>)> {
        #[repr(C)]
        struct TestRun {
            program: u32,
            verdict: u32,
            in_octets: u32,
            out_octets: u32,
            packet: u64,
            out: u64,
            repeat: u32,
            duration: u32,
        }
        let mut out = vec![0; packet.len() + 512];
        let mut attributes = TestRun {
            program: self.descriptor.as_raw_fd() as u32,
            verdict: 0,
            in_octets: packet.len() as u32,
            out_octets: out.len() as u32,
            packet: packet.as_ptr() as u64,
            out: out.as_mut_ptr() as u64,
            repeat: 1,
            duration: 0,
        };
        // SAFETY: the attributes of this command; both packets have the lengths given.
        unsafe { bpf(PROG_TEST_RUN, &mut attributes) }?;
        out.truncate(attributes.out_octets as usize);
        Ok((attributes.verdict, out))
    }
}

const _: () = assert!(mem::size_of::<Instruction>() == 8);
