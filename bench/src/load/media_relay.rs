//! Trunkline's own media plane as a relay: two legs a call, joined as a pair.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use trunkline_dsp::g711::Law;
use trunkline_media::packet_io::Backend;
use trunkline_media::{
    Media, MediaConfig, MediaError, OpenedEnd, OpenedPair, Payload, PayloadFormat, Protection,
    Remote, RtpLegSpec, Sending, WorkerCounters,
};
use trunkline_rtp::codec::Codec;
use trunkline_rtp::srtp::Suite;

use super::call_list::{Call, CallList, Leg};
use super::codecs::{Codecs, VoiceCodec};
use super::error::LoadError;
use super::protection::LegKeys;

/// The ports of the legs.
const PORTS: RangeInclusive<u16> = 10_000..=65_535;
/// Calls for which they last: a leg has one port for RTP and the next for RTCP.
const CALLS_MAX: usize = (*PORTS.end() as usize - *PORTS.start() as usize + 1) / 4;
/// How long a worker may take to take its legs.
const OPENING: Duration = Duration::from_secs(20);

/// How the relay shall run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What carries its packets.
    pub backend: Backend,
    /// The network device that `af_xdp` takes past the kernel.
    pub device: Option<String>,
    /// Whether the kernel relays on its device what needs nothing done to it.
    pub in_kernel: bool,
    /// Where its ports are.
    pub address: Ipv4Addr,
    /// What the parties speak.
    pub codecs: Codecs,
    /// The suite of SRTP that they speak, if any.
    pub srtp: Option<Suite>,
    /// Its workers; they stay on the cores from 0 on.
    pub workers: usize,
    /// How often they serve their legs.
    pub tick: Duration,
    /// SCHED_FIFO priority of the workers, where the system allows it; none: ordinary threads.
    pub realtime_priority: Option<u8>,
}

/// A media plane with a pair of legs a call.
#[derive(Debug)]
pub struct MediaRelay {
    media: Media,
    list: CallList,
}

impl MediaRelay {
    /// Starts the workers and opens two legs for each call between these parties.
    ///
    /// # Errors
    /// More calls than ports, or what the media plane or the kernel refuses.
    pub fn open(
        settings: &Settings,
        parties: &[(SocketAddrV4, SocketAddrV4)],
    ) -> Result<Self, LoadError> {
        if parties.is_empty() {
            return Err(LoadError::NoCalls);
        }
        if parties.len() > CALLS_MAX {
            return Err(LoadError::Argument {
                name: "--calls",
                value: parties.len().to_string(),
                allowed: "four ports a call are needed, and there are 10000-65535",
            });
        }
        let workers = settings.workers.max(1);
        let media = Media::start(MediaConfig {
            cores: (0..workers).collect(),
            backend: Some(settings.backend),
            device: settings.device.clone(),
            kernel_relay: Some(settings.in_kernel),
            rtp_ports: PORTS,
            tick: settings.tick,
            realtime_priority: settings.realtime_priority,
            legs_per_worker_max: 2 * parties.len().div_ceil(workers),
            // Where it cannot keep up any more is what is looked for.
            load_max: None,
            ..MediaConfig::default()
        })?;
        // Nobody listens to the legs.
        drop(media.events());
        let mut list = CallList::default();
        for (call, &parties) in parties.iter().enumerate() {
            let keys = |party| settings.srtp.map(|suite| LegKeys::of(suite, party));
            let (keys_a, keys_b) = (keys(2 * call), keys(2 * call + 1));
            let pair = open(&media, settings, parties, [&keys_a, &keys_b])?;
            let a = leg(parties.0, pair.a, keys_a)?;
            list.calls.push(Call { a, b: leg(parties.1, pair.b, keys_b)? });
        }
        let relay = Self { media, list };
        relay.wait_until_open()?;
        Ok(relay)
    }

    /// Its ports.
    pub fn calls(&self) -> &CallList {
        &self.list
    }

    /// What it has done so far, in a line.
    pub fn sum(&self) -> String {
        format!("{}: {}", self.media.backend(), sum(&self.media.counters().total()))
    }

    /// Waits for the workers to take their legs.
    fn wait_until_open(&self) -> Result<(), LoadError> {
        let deadline = Instant::now() + OPENING;
        loop {
            let counters = self.media.counters().total();
            if counters.legs_failed > 0 {
                return Err(LoadError::Legs { failed: counters.legs_failed });
            }
            if counters.legs_opened == self.list.parties() as u64 {
                return Ok(());
            }
            if Instant::now() > deadline {
                let late = self.list.parties() as u64 - counters.legs_opened;
                return Err(LoadError::Legs { failed: late });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Opens a pair, if need be when the workers have done some of what waits.
fn open(
    media: &Media,
    settings: &Settings,
    (a, b): (SocketAddrV4, SocketAddrV4),
    keys: [&Option<LegKeys>; 2],
) -> Result<OpenedPair, LoadError> {
    let [protection_a, protection_b] = keys.map(|keys| match keys {
        Some(keys) => keys.at_relay().map(Protection::Srtp),
        None => Ok(Protection::Plain),
    });
    let (protection_a, protection_b) = (protection_a?, protection_b?);
    let spec = |party: SocketAddrV4, codec: VoiceCodec, protection: &Protection| {
        let payload_type = codec.payload_type();
        let codec = codec_of(codec);
        RtpLegSpec {
            protection: protection.clone(),
            sending: Sending { codec, payload_type, telephone_event: None, ptime_ms: 20 },
            receiving: vec![PayloadFormat { payload_type, payload: Payload::Audio(codec) }],
            ..RtpLegSpec::g711(
                IpAddr::V4(settings.address),
                Some(Remote::new(party.into())),
                Law::A,
            )
        }
    };
    let Codecs { a: codec_a, b: codec_b } = settings.codecs;
    let deadline = Instant::now() + OPENING;
    loop {
        match media.open_pair(spec(a, codec_a, &protection_a), spec(b, codec_b, &protection_b)) {
            Err(MediaError::Busy { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            outcome => return Ok(outcome?),
        }
    }
}

fn codec_of(codec: VoiceCodec) -> Codec {
    match codec {
        VoiceCodec::Pcma => Codec::Pcma,
        VoiceCodec::Pcmu => Codec::Pcmu,
        VoiceCodec::G722 => Codec::G722,
        VoiceCodec::Opus => Codec::opus_telephony(),
    }
}

fn leg(party: SocketAddrV4, end: OpenedEnd, srtp: Option<LegKeys>) -> Result<Leg, LoadError> {
    match end.local {
        SocketAddr::V4(relay) => Ok(Leg { party, relay, srtp }),
        SocketAddr::V6(_) => Err(LoadError::system(
            format!("the address of leg {}", end.leg),
            std::io::ErrorKind::AddrNotAvailable.into(),
        )),
    }
}

/// Packets in and out, and whatever went wrong.
fn sum(counters: &WorkerCounters) -> String {
    let mut line =
        format!("{} packets in, {} out", counters.packets_received, counters.packets_sent);
    let wrong = |name: &str| {
        name.starts_with("dropped_")
            || matches!(name, "send_failed" | "receive_failed" | "concealed_samples")
    };
    for (name, _, count) in counters.named().filter(|(name, _, count)| wrong(name) && *count > 0) {
        line.push_str(&format!(", {name} {count}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_names_what_was_dropped_and_only_that() {
        let mut counters = WorkerCounters {
            packets_received: 12,
            packets_sent: 10,
            ticks: 7,
            ..WorkerCounters::default()
        };
        assert_eq!(sum(&counters), "12 packets in, 10 out");
        counters.dropped_duplicate = 2;
        counters.send_failed = 1;
        assert_eq!(sum(&counters), "12 packets in, 10 out, dropped_duplicate 2, send_failed 1");
    }

    #[test]
    fn more_calls_than_ports_and_none_at_all_are_refused_before_anything_starts() {
        let settings = Settings {
            backend: Backend::Mio,
            device: None,
            in_kernel: false,
            address: Ipv4Addr::LOCALHOST,
            codecs: Codecs::ALIKE,
            srtp: None,
            workers: 1,
            tick: Duration::from_millis(5),
            realtime_priority: None,
        };
        let party = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 20_000);
        let refused = |calls| {
            MediaRelay::open(&settings, &vec![(party, party); calls]).unwrap_err().to_string()
        };
        assert!(refused(CALLS_MAX + 1).starts_with("--calls: 13885 is not possible; four ports"));
        assert_eq!(refused(0), "the call list has no calls");
    }
}
