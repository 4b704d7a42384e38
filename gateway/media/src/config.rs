//! The settings of a media plane.

use std::ops::RangeInclusive;
use std::time::Duration;

use trunkline_rtp::playout::PlayoutConfig;
use trunkline_rtp::source::SourcePolicy;

use crate::error::MediaError;
use crate::packet_io::Backend;

/// The settings of a media plane; the defaults are for a gateway that has its machine for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaConfig {
    /// The cores that get a worker each; empty: every core this process may use.
    pub cores: Vec<usize>,
    /// The packet back end; none: the best this host allows.
    pub backend: Option<Backend>,
    /// The network device that RTP comes by, to be taken past the kernel; none: it is not.
    pub device: Option<String>,
    /// Where the XDP program shall be; none: in the driver if it lets it, else behind it.
    pub xdp_mode: Option<trunkline_xdp::Mode>,
    /// Whether a pair's stream that needs nothing done to it is relayed by the kernel on its device,
    /// with the back end `af_xdp`; none: where the device is known to be able to send what it has just
    /// received (`XDP_TX`). A veth can when its other end has generic receive offload on.
    pub kernel_relay: Option<bool>,
    /// RTP and RTCP ports, in pairs of an even port and the next.
    pub rtp_ports: RangeInclusive<u16>,
    /// How often a worker serves its legs.
    pub tick: Duration,
    /// SCHED_FIFO priority of the workers, 1..=99, where the system allows it; none: ordinary threads.
    pub realtime_priority: Option<u8>,
    /// Most legs of a worker.
    pub legs_per_worker_max: usize,
    /// The share of its time, up to 1.0, that a worker may take to serve its legs; it is given no new
    /// ones that would make it more. None: it is given legs whatever its load.
    pub load_max: Option<f64>,
    /// Packets a jitter buffer holds.
    pub jitter_packets: usize,
    /// The playout policy.
    pub playout: PlayoutConfig,
    /// Whose packets are believed.
    pub source: SourcePolicy,
    /// How many packets the source of a leg may send; none: as many as it likes.
    pub allowance: Option<PacketAllowance>,
    /// Without a packet for this long a leg reports a timeout; zero: never.
    pub rtp_timeout: Duration,
    /// Mean time between RTCP reports.
    pub rtcp_interval: Duration,
    /// Differentiated services code point of what is sent, 0..=63; 46 is EF (RFC 3246).
    pub dscp: u8,
}

/// How many packets the source of a leg may send; what is over is dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketAllowance {
    /// So many times the packets that its packet time makes; a packet time above 20 ms counts as 20.
    pub times: u32,
    /// What it has not used of that for so long it may send at once.
    pub burst: Duration,
}

impl Default for PacketAllowance {
    /// Four times: room for packets a quarter as long as agreed on and for digits beside the voice.
    /// With 20 ms that is 200 packets a second; a second's worth of it at once is what four seconds of
    /// a network that stood still have piled up, and about what the socket's buffer holds.
    fn default() -> Self {
        Self { times: 4, burst: Duration::from_secs(1) }
    }
}

impl Default for MediaConfig {
    fn default() -> Self {
        Self {
            cores: Vec::new(),
            backend: None,
            device: None,
            xdp_mode: None,
            kernel_relay: Some(false),
            rtp_ports: 20_000..=29_999,
            tick: Duration::from_millis(5),
            realtime_priority: Some(50),
            legs_per_worker_max: 4096,
            // The rest is for what comes unevenly, and for the work that a flood makes.
            load_max: Some(0.8),
            jitter_packets: 64,
            playout: PlayoutConfig::default(),
            source: SourcePolicy::default(),
            allowance: Some(PacketAllowance::default()),
            rtp_timeout: Duration::from_secs(30),
            rtcp_interval: Duration::from_secs(5),
            dscp: 46,
        }
    }
}

/// The worker itself looks at packets once a tick only, and RTCP is allowed one in 50 ms.
const BURST_MIN: Duration = Duration::from_millis(100);
const BURST_MAX: Duration = Duration::from_secs(60);

impl MediaConfig {
    pub(crate) fn check(&self) -> Result<(), MediaError> {
        let refuse = |setting, reason: String| Err(MediaError::Setting { setting, reason });
        let (first, last) = (*self.rtp_ports.start(), *self.rtp_ports.end());
        if first < 1024 || u32::from(first.next_multiple_of(2)) + 1 > u32::from(last) {
            return refuse(
                "rtp_ports",
                format!("{first}-{last} holds no pair of an even port from 1024 on and the next"),
            );
        }
        if !(Duration::from_millis(1)..=Duration::from_millis(20)).contains(&self.tick) {
            return refuse("tick", format!("{:?} is not within 1 ms to 20 ms", self.tick));
        }
        if self.realtime_priority.is_some_and(|priority| !(1..=99).contains(&priority)) {
            return refuse("realtime_priority", "must be 1 to 99".to_owned());
        }
        if self.dscp > 63 {
            return refuse("dscp", format!("{} is above 63", self.dscp));
        }
        if self.legs_per_worker_max == 0 {
            return refuse("legs_per_worker_max", "must be at least 1".to_owned());
        }
        if self.load_max.is_some_and(|load| !(load > 0.0 && load <= 1.0)) {
            return refuse("load_max", format!("{:?} is not above 0 and up to 1", self.load_max));
        }
        if self.allowance.is_some_and(|allowance| {
            allowance.times == 0 || allowance.burst < BURST_MIN || allowance.burst > BURST_MAX
        }) {
            return refuse(
                "allowance",
                format!("{:?} is not 1 or more times, and bursts of 0.1 s to 60 s", self.allowance),
            );
        }
        if !(8..=trunkline_rtp::jitter::SLOTS_MAX).contains(&self.jitter_packets) {
            return refuse("jitter_packets", format!("{} is not 8 to 1024", self.jitter_packets));
        }
        if self.rtcp_interval < Duration::from_millis(100) {
            return refuse("rtcp_interval", format!("{:?} is below 100 ms", self.rtcp_interval));
        }
        Ok(())
    }
}
