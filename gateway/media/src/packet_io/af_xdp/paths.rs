//! How destinations are reached, found out beside the workers and read by them without a lock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam::queue::ArrayQueue;
use trunkline_xdp::XdpError;
use trunkline_xdp::network::{Device, Network, Path, Watch};

/// Whence and whither.
type Way = (IpAddr, IpAddr);

/// How often the kernel is heard.
const LISTEN_EVERY: Duration = Duration::from_millis(50);
/// Questions that can wait; what finds no room is asked again at the next change.
const WANTED: usize = 4096;
/// More ways than this are forgotten, and those in use are asked for again.
const KNOWN_MAX: usize = 65_536;

/// The ways that are known, kept up to date by a thread of its own.
#[derive(Debug)]
pub struct Paths {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    known: ArcSwap<HashMap<Way, Option<Path>>>,
    /// Goes up with every change of `known`; never zero.
    state: AtomicU64,
    wanted: ArrayQueue<Way>,
    stop: AtomicBool,
}

impl Paths {
    /// Ways by a device of the calling thread's network namespace.
    pub(super) fn watch(device: Device) -> Result<Self, XdpError> {
        // Listening first: no change is missed between.
        let watch = Watch::open()?;
        let network = Network::open()?;
        let shared = Arc::new(Shared {
            known: ArcSwap::default(),
            state: AtomicU64::new(1),
            wanted: ArrayQueue::new(WANTED),
            stop: AtomicBool::new(false),
        });
        let listener = Listener { device, watch, network, shared: Arc::clone(&shared) };
        let listener = std::thread::Builder::new()
            .name("network-paths".to_owned())
            .spawn(move || listener.run())
            .map_err(|source| XdpError::Netlink { step: "a thread to listen", source })?;
        Ok(Self { shared, listener: Some(listener) })
    }

    /// The number of the present state: what was found in an earlier one may be wrong now.
    pub(super) fn state(&self) -> u64 {
        self.shared.state.load(Ordering::Acquire)
    }

    /// The way, if it is known; otherwise it is asked for.
    pub(super) fn find(&self, from: IpAddr, to: IpAddr) -> Option<Path> {
        if let Some(path) = self.shared.known.load().get(&(from, to)) {
            return *path;
        }
        if self.shared.wanted.push((from, to)).is_ok()
            && let Some(listener) = &self.listener
        {
            Thread::unpark(listener.thread());
        }
        None
    }
}

impl Drop for Paths {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(listener) = self.listener.take() {
            listener.thread().unpark();
            // A panic there has been reported by its thread.
            let _ = listener.join();
        }
    }
}

struct Listener {
    device: Device,
    watch: Watch,
    network: Network,
    shared: Arc<Shared>,
}

impl Listener {
    fn run(mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            let changed = self.watch.has_changed();
            if changed || !self.shared.wanted.is_empty() {
                self.find_out(changed);
            }
            std::thread::park_timeout(LISTEN_EVERY);
        }
    }

    /// Finds the ways that are wanted, and after a change all.
    fn find_out(&mut self, changed: bool) {
        let mut known = HashMap::clone(&self.shared.known.load());
        if changed {
            match self.network.device(&self.device.name) {
                Ok(device) => self.device = device,
                // Gone: nothing is reached by it.
                Err(error) => {
                    tracing::warn!(%error, "the device of the packet bypass cannot be seen");
                    known.values_mut().for_each(|path| *path = None);
                    return self.publish(known);
                }
            }
        }
        let mut ways: Vec<Way> = std::iter::from_fn(|| self.shared.wanted.pop()).collect();
        if known.len() > KNOWN_MAX {
            known.clear();
        }
        if changed {
            ways.extend(known.keys());
        }
        let mut different = false;
        for (from, to) in ways {
            let path = self.network.path(&self.device, from, to).unwrap_or_else(|error| {
                tracing::debug!(%from, %to, %error, "no way past the kernel");
                None
            });
            different |= known.insert((from, to), path) != Some(path);
        }
        if different {
            self.publish(known);
        }
    }

    fn publish(&self, known: HashMap<Way, Option<Path>>) {
        self.shared.known.store(Arc::new(known));
        self.shared.state.fetch_add(1, Ordering::AcqRel);
    }
}
