//! The span's thread: what plays on a timeslot, and the D channel.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use trunkline_dsp::g711::Law;
use trunkline_isdn::Side;
use trunkline_isdn::q921::frame::{Control, Frame};
use trunkline_media::packet_io::Backend;
use trunkline_media::{Media, MediaConfig, OpenedLeg, Remote, RtpLegSpec, TimeslotEnd};
use trunkline_tdm::hdlc;

use super::{BLOCK, Work, sound};

/// One packet in so many is lost where losses are wanted: concealment begins, goes on into the second
/// half of the block, and blends into what comes next.
const LOSS_SPACING: u64 = 2;

/// A call: packets come over a socket as ever, then the line asks for 20 ms.
struct Call {
    media: Media,
    timeslot: TimeslotEnd,
    to: SocketAddr,
    far: UdpSocket,
    law: Law,
    speech: Vec<i16>,
    loses: bool,
    turns: u64,
    sent: u64,
    line: [u8; BLOCK],
}

impl Call {
    /// A call between an A-law line and a peer that speaks `law`.
    fn work(law: Law, loses: bool) -> Box<dyn Work> {
        let ip: IpAddr = Ipv4Addr::LOCALHOST.into();
        let config = MediaConfig {
            cores: vec![0],
            // The one that instruction counters can follow.
            backend: Some(Backend::Mio),
            rtp_ports: 30_000..=39_999,
            realtime_priority: None,
            legs_per_worker_max: 1,
            ..MediaConfig::default()
        };
        let media = Media::start(config).expect("the media plane starts");
        let far = UdpSocket::bind((ip, 0)).expect("a port is free");
        let remote = Remote::new(far.local_addr().expect("it is bound"));
        let spec = RtpLegSpec { line_law: Law::A, ..RtpLegSpec::g711(ip, Some(remote), law) };
        let OpenedLeg { local: to, timeslot, .. } = media.open(spec).expect("a leg opens");
        let (speech, line) = (sound::speech(), [0; BLOCK]);
        Box::new(Self { media, timeslot, to, far, law, speech, loses, turns: 0, sent: 0, line })
    }

    fn speak(&mut self) {
        let mut packet = [0; 12 + BLOCK];
        let payload_type = if self.law == Law::A { 8 } else { 0 };
        packet[..2].copy_from_slice(&[0x80, payload_type]);
        packet[2..4].copy_from_slice(&(self.turns as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(self.turns as u32 * BLOCK as u32).to_be_bytes());
        let at = self.turns as usize * BLOCK % (self.speech.len() - BLOCK);
        self.law.encode_block(&self.speech[at..at + BLOCK], &mut packet[12..]);
        self.far.send_to(&packet, self.to).expect("loopback carries it");
        self.sent += 1;
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.media.counters().total().packets_received < self.sent {
            assert!(Instant::now() < deadline, "a packet was lost on loopback");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Work for Call {
    fn needs_preparation(&self) -> bool {
        true
    }

    fn prepare(&mut self) {
        self.turns += 1;
        if !self.loses || !self.turns.is_multiple_of(LOSS_SPACING) {
            self.speak();
        }
    }

    fn run(&mut self) {
        self.timeslot.exchange(black_box(&[0xd5; BLOCK]), &mut self.line);
        black_box(&self.line);
    }
}

/// A-law to an A-law line: octet by octet.
pub fn plays() -> Box<dyn Work> {
    Call::work(Law::A, false)
}

/// µ-law to an A-law line.
pub fn converts() -> Box<dyn Work> {
    Call::work(Law::Mu, false)
}

/// Every other packet is lost.
pub fn conceals() -> Box<dyn Work> {
    Call::work(Law::A, true)
}

pub fn q921_decode() -> Box<dyn Work> {
    let message = [0x55; 60];
    let control = Control::Information { ns: 3, nr: 4, message: &message };
    let frame = Frame { is_command: true, poll_final: false, control }.encode(Side::Network);
    Box::new(move || {
        let frame = Frame::decode(black_box(&frame), Side::Network, 260).expect("a whole frame");
        black_box(frame);
    })
}

/// A D channel that is busy: frames of 60 octets one after the other.
pub fn hdlc_decode() -> Box<dyn Work> {
    let mut encoder = hdlc::Encoder::default();
    let mut timeslot = vec![0; 100 * BLOCK];
    encoder.fill(&mut timeslot, || Some((0..60).collect()));
    let mut decoder = hdlc::Decoder::default();
    let mut at = 0;
    Box::new(move || {
        at = (at + BLOCK) % timeslot.len();
        decoder.feed(black_box(&timeslot[at..at + BLOCK]), |frame| {
            black_box(frame);
        });
    })
}

pub fn hdlc_encode() -> Box<dyn Work> {
    let mut encoder = hdlc::Encoder::default();
    let mut timeslot = [0; BLOCK];
    Box::new(move || encoder.fill(black_box(&mut timeslot), || Some((0..60).collect())))
}
