//! How good the voice is that a leg receives: for its statistics, and for the other side if it asks
//! (RFC 3611 §4.7).

use trunkline_rtp::rtcp::{JitterBufferKind, LossConcealment, VoipMetrics};
use trunkline_rtp::voip_metrics::{GMIN, Quality, in_256ths};

use super::{Joint, Leg};

impl Leg {
    /// What the voice that came so far is worth; none if none has come.
    pub(super) fn quality(&self) -> Option<Quality> {
        let codec = self.incoming.heard_codec()?;
        Some(Quality::of(&codec, &self.incoming.losses().figures(), self.one_way_ms()))
    }

    /// The same for the other side; none while there is nothing to say.
    pub(super) fn voip_metrics(&self, ssrc: u32) -> Option<VoipMetrics> {
        let quality = self.quality()?;
        let losses = self.incoming.losses().figures();
        let packet_ms = self.incoming.packet_ms();
        let metrics = VoipMetrics {
            ssrc,
            loss_rate: in_256ths(losses.loss_rate()),
            discard_rate: in_256ths(losses.discard_rate()),
            burst_density: in_256ths(losses.bursts.density()),
            gap_density: in_256ths(losses.gaps.density()),
            burst_duration_ms: losses.bursts.mean_duration_ms(packet_ms) as u16,
            gap_duration_ms: losses.gaps.mean_duration_ms(packet_ms) as u16,
            round_trip_ms: self.reports.round_trip_ms().unwrap_or(0.0) as u16,
            end_system_delay_ms: self.end_system_delay_ms() as u16,
            // Nobody measures levels and echo on a leg.
            signal_level_dbm0: None,
            noise_level_dbm0: None,
            rerl_db: None,
            gmin: GMIN,
            r_factor: Some(quality.r_factor.round() as u8),
            external_r_factor: None,
            mos_lq_tenths: Some((quality.mos_lq * 10.0).round() as u8),
            mos_cq_tenths: Some((quality.mos_cq * 10.0).round() as u8),
            ..VoipMetrics::default()
        };
        let Joint::Timeslot(line) = &self.joint else {
            // Whoever is behind the other leg conceals, and holds packets back.
            return Some(metrics);
        };
        let reading = line.bridge.board.read();
        let in_ms = |samples: u32| u16::try_from(samples / 8).unwrap_or(u16::MAX);
        Some(VoipMetrics {
            concealment: LossConcealment::Standard,
            jitter_buffer: JitterBufferKind::Adaptive,
            // A packet of exactly the usual delay waits as long as they do in the mean. As long as the
            // policy lets a packet wait, it may wait at any time.
            jitter_buffer_nominal_ms: in_ms(reading.playout.delay),
            jitter_buffer_maximum_ms: in_ms(reading.delay_max),
            jitter_buffer_absolute_maximum_ms: in_ms(reading.delay_max),
            ..metrics
        })
    }

    /// What this side adds to the delay: a packet's worth of samples gathered, and the wait for the
    /// playout. Packets of a pair are passed on at once.
    fn end_system_delay_ms(&self) -> f64 {
        match &self.joint {
            Joint::Timeslot(line) => {
                let wait_ms = f64::from(line.bridge.board.read().playout.delay) / 8.0;
                f64::from(self.outgoing.sending.ptime_ms) + wait_ms
            }
            Joint::Pair(_) => 0.0,
        }
    }

    /// The delay from mouth to ear (RFC 3611 §4.7.3): half of the round trip and of both ends. Of what
    /// nobody has told, only the packet that the other side must gather is counted.
    fn one_way_ms(&self) -> f64 {
        let told = self.reports.remote_voice();
        let remote_ms = told.map_or(0.0, |voice| f64::from(voice.end_system_delay_ms));
        let remote_ms = remote_ms.max(self.incoming.packet_ms());
        let round_trip_ms = self.reports.round_trip_ms().unwrap_or(0.0);
        (round_trip_ms + self.end_system_delay_ms() + remote_ms) / 2.0
    }
}
