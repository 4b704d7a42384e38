//! Two hosts on one machine: network namespaces with a cable between them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::File;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The near host's device.
pub const DEVICE: &str = "near";
/// Its addresses.
pub const NEAR: [&str; 2] = ["10.97.0.2", "fd00:97::2"];
/// The far host's addresses.
pub const FAR: [&str; 2] = ["10.97.0.1", "fd00:97::1"];

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// The two hosts; removed when dropped.
#[derive(Debug)]
pub struct Hosts {
    near: String,
    far: String,
}

impl Hosts {
    /// Makes them and moves the calling thread to the near one. None, said aloud, where that is not
    /// allowed; then the caller has nothing to test.
    pub fn make() -> Option<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("trunkline-{}-{number}-{end}", std::process::id());
        let hosts = Self { near: name("near"), far: name("far") };
        match hosts.cable() {
            Ok(()) => {
                enter(&hosts.near);
                hosts.meet();
                Some(hosts)
            }
            Err(refusal) => {
                assert!(std::env::var_os("CI").is_none(), "this test must run here: {refusal}");
                eprintln!("skipped: no network namespaces here ({refusal}); it needs root");
                None
            }
        }
    }

    fn cable(&self) -> Result<(), String> {
        let (near, far) = (self.near.as_str(), self.far.as_str());
        ip(&["netns", "add", near])?;
        ip(&["netns", "add", far])?;
        ip(&[
            "-n", near, "link", "add", DEVICE, "type", "veth", "peer", "name", "far", "netns", far,
        ])?;
        for (host, device, addresses) in [(near, DEVICE, NEAR), (far, "far", FAR)] {
            for (address, bits) in addresses.iter().zip([24, 64]) {
                // Without the wait for a twin of the address (RFC 4862 §5.4).
                let address = format!("{address}/{bits}");
                let mut words = vec!["-n", host, "addr", "add", &address, "dev", device];
                if bits == 64 {
                    words.push("nodad");
                }
                ip(&words)?;
            }
            ip(&["-n", host, "link", "set", "lo", "up"])?;
            ip(&["-n", host, "link", "set", device, "up"])?;
        }
        Ok(())
    }

    /// Waits until packets go both ways: the kernel takes its time to bring a cable into service.
    fn meet(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        for v6 in [false, true] {
            let near = UdpSocket::bind((address(NEAR, v6), 0)).expect("bind at the near host");
            let far = self.bind_far((address(FAR, v6), 0));
            let mut buffer = [0; 4];
            for (from, to) in [(&near, &far), (&far, &near)] {
                to.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
                while to.recv(&mut buffer).is_err() {
                    assert!(Instant::now() < deadline, "the hosts do not reach each other");
                    let _ = from.send_to(b"here", to.local_addr().expect("own address"));
                }
            }
        }
    }

    /// Binds a socket at the far host.
    pub fn bind_far(&self, address: impl Into<SocketAddr>) -> UdpSocket {
        self.at_far(|| UdpSocket::bind(address.into()).expect("bind at the far host"))
    }

    /// Does something at the far host: what it opens and starts stays there.
    pub fn at_far<T>(&self, work: impl FnOnce() -> T) -> T {
        enter(&self.far);
        let outcome = work();
        enter(&self.near);
        outcome
    }

    /// Runs a command at the near host.
    pub fn ip_near(&self, words: &[&str]) {
        ip(&[&["-n", &self.near], words].concat()).expect("the near host obeys");
    }

    /// Runs a command at the far host.
    pub fn ip_far(&self, words: &[&str]) {
        ip(&[&["-n", &self.far], words].concat()).expect("the far host obeys");
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in [&self.near, &self.far] {
            let _ = ip(&["netns", "del", host]);
        }
    }
}

/// An address of [`NEAR`] or [`FAR`].
pub fn address(of: [&str; 2], v6: bool) -> IpAddr {
    of[usize::from(v6)].parse().expect("an address")
}

fn ip(words: &[&str]) -> Result<(), String> {
    let outcome = Command::new("ip").args(words).output().map_err(|e| format!("ip: {e}"))?;
    if outcome.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&outcome.stderr).trim()))
}

/// Moves the calling thread.
fn enter(host: &str) {
    let namespace = File::open(format!("/run/netns/{host}")).expect("the namespace is there");
    // SAFETY: a descriptor of a namespace.
    let outcome = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    assert_eq!(outcome, 0, "setns: {}", std::io::Error::last_os_error());
}
