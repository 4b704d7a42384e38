//! What every back end must do: one suite, run against each.

mod hosts;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use hosts::{DEVICE, FAR, Hosts, NEAR, address};
use trunkline_media::packet_io::{
    Backend, DATAGRAM_MAX_OCTETS, Host, Opening, PacketIo, PortIndex, TAILROOM_OCTETS, Verdict,
    choose, probe, showing,
};
use trunkline_xdp::Mode;

/// The ports of the near host in the suite.
const PORTS: std::ops::RangeInclusive<u16> = 20_000..=20_999;

/// Where the suite runs.
enum Place {
    /// Everything on the loopback.
    Loopback,
    /// The back end at the near one of two hosts.
    Cable(Hosts, AtomicU16),
}

impl Place {
    fn cable(hosts: Hosts) -> Self {
        Self::Cable(hosts, AtomicU16::new(*PORTS.start()))
    }

    /// A bound, non-blocking socket for the back end, and its address.
    fn near(&self, v6: bool) -> (UdpSocket, SocketAddr) {
        let socket = match self {
            Self::Loopback => UdpSocket::bind((localhost(v6), 0)),
            Self::Cable(_, next) => {
                UdpSocket::bind((address(NEAR, v6), next.fetch_add(1, Ordering::Relaxed)))
            }
        };
        ready(socket.expect("bind at the near host"))
    }

    /// The same for whom the back end talks to.
    fn far(&self, v6: bool) -> (UdpSocket, SocketAddr) {
        ready(match self {
            Self::Loopback => UdpSocket::bind((localhost(v6), 0)).expect("bind on the loopback"),
            Self::Cable(hosts, _) => hosts.bind_far((address(FAR, v6), 0)),
        })
    }
}

fn localhost(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
}

fn ready(socket: UdpSocket) -> (UdpSocket, SocketAddr) {
    socket.set_nonblocking(true).expect("non-blocking");
    let address = socket.local_addr().expect("own address");
    (socket, address)
}

/// Takes `count` packets from a far socket, within two seconds.
fn take(io: &mut dyn PacketIo, far: &UdpSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut taken = Vec::new();
    let mut buffer = [0; 2048];
    let deadline = Instant::now() + Duration::from_secs(2);
    while taken.len() < count && Instant::now() < deadline {
        io.receive(&mut showing(|_, _, _| Verdict::Consumed));
        io.flush();
        while let Ok((len, from)) = far.recv_from(&mut buffer) {
            taken.push((from, buffer[..len].to_vec()));
        }
        std::thread::yield_now();
    }
    taken
}

type Received = (PortIndex, SocketAddr, Vec<u8>);

/// Receives until `count` packets have come or two seconds have passed.
fn receive(io: &mut dyn PacketIo, count: usize) -> Vec<Received> {
    let mut received = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(2);
    while received.len() < count && Instant::now() < deadline {
        io.flush();
        io.receive(&mut showing(|port, from, bytes| {
            received.push((port, from, bytes.to_vec()));
            Verdict::Consumed
        }));
        std::thread::yield_now();
    }
    received
}

fn packets_go_between_ports_and_name_port_and_sender(io: &mut dyn PacketIo, place: &Place) {
    for v6 in [false, true] {
        let (a, address_a) = place.near(v6);
        let (b, address_b) = place.near(v6);
        let (a, b) = (io.open_port(a).unwrap(), io.open_port(b).unwrap());
        io.send(a, address_b, b"from a to b");
        io.send(b, address_a, b"from b to a");
        let received: HashSet<_> = receive(io, 2).into_iter().collect();
        let expected = HashSet::from([
            (b, address_a, b"from a to b".to_vec()),
            (a, address_b, b"from b to a".to_vec()),
        ]);
        assert_eq!(received, expected);
        io.close_port(a);
        io.close_port(b);
    }
}

fn packets_go_to_and_from_another_host(io: &mut dyn PacketIo, place: &Place) {
    for v6 in [false, true] {
        let (far, address_far) = place.far(v6);
        let (a, address_a) = place.near(v6);
        let a = io.open_port(a).unwrap();
        for round in 0..20_u8 {
            for n in 0..10 {
                io.send(a, address_far, &[round, n, 3]);
            }
            let expected: Vec<_> = (0..10).map(|n| (address_a, vec![round, n, 3])).collect();
            assert_eq!(take(io, &far, 10), expected);
            for n in 0..10 {
                far.send_to(&[n, round], address_a).unwrap();
            }
            let expected: Vec<_> = (0..10).map(|n| (a, address_far, vec![n, round])).collect();
            assert_eq!(receive(io, 10), expected);
        }
        io.close_port(a);
    }
}

fn datagrams_longer_than_a_frame_come_and_go_whole(io: &mut dyn PacketIo, place: &Place) {
    let (far, address_far) = place.far(false);
    let (a, address_a) = place.near(false);
    let a = io.open_port(a).unwrap();
    let long: Vec<_> = (0..DATAGRAM_MAX_OCTETS).map(|n| n as u8).collect();
    io.send(a, address_far, &long);
    assert_eq!(take(io, &far, 1), [(address_a, long.clone())]);
    far.send_to(&long, address_a).unwrap();
    assert_eq!(receive(io, 1), [(a, address_far, long)]);
    io.close_port(a);
}

fn order_is_kept_within_a_batch(io: &mut dyn PacketIo, place: &Place) {
    let (a, _) = place.near(false);
    let (b, address_b) = place.near(false);
    let (a, b) = (io.open_port(a).unwrap(), io.open_port(b).unwrap());
    for n in 0..200_u8 {
        io.send(a, address_b, &[n; 172]);
    }
    let received = receive(io, 200);
    let numbers: Vec<_> = received.iter().map(|(_, _, bytes)| bytes[0]).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(received.iter().all(|(port, _, bytes)| *port == b && bytes.len() == 172));
    io.close_port(a);
    io.close_port(b);
}

fn more_than_all_buffers_arrive_when_they_are_taken_in_time(io: &mut dyn PacketIo, place: &Place) {
    let (a, _) = place.near(false);
    let (b, address_b) = place.near(false);
    let (a, b) = (io.open_port(a).unwrap(), io.open_port(b).unwrap());
    let mut total = 0;
    for _ in 0..40 {
        for _ in 0..100 {
            io.send(a, address_b, &[7; 172]);
        }
        total += receive(io, 100).len();
    }
    assert_eq!(total, 4000);
    io.close_port(a);
    io.close_port(b);
}

fn a_flood_on_many_ports_is_received_from_all_of_them(io: &mut dyn PacketIo, place: &Place) {
    let (sender, _) = place.far(false);
    let ports: Vec<_> = (0..60)
        .map(|_| {
            let (socket, address) = place.near(false);
            (io.open_port(socket).unwrap(), address)
        })
        .collect();
    // More than there are receive buffers.
    for n in 0..30_u8 {
        for (_, address) in &ports {
            sender.send_to(&[n; 100], address).unwrap();
        }
    }
    let received = receive(io, 60 * 30);
    for (port, _) in &ports {
        let of_port: Vec<_> =
            received.iter().filter(|(p, _, _)| p == port).map(|(_, _, bytes)| bytes[0]).collect();
        assert_eq!(of_port, (0..30).collect::<Vec<_>>());
    }
    for (port, _) in ports {
        io.close_port(port);
    }
}

fn one_look_takes_what_has_come_on_every_port(io: &mut dyn PacketIo, place: &Place) {
    let (sender, _) = place.far(false);
    let ports: Vec<_> = (0..500)
        .map(|_| {
            let (socket, address) = place.near(false);
            (io.open_port(socket).unwrap(), address)
        })
        .collect();
    // The ports come into service.
    io.receive(&mut showing(|_, _, _| Verdict::Consumed));
    for (_, address) in &ports {
        sender.send_to(b"for each", address).unwrap();
    }
    let mut received = HashSet::new();
    io.receive(&mut showing(|port, _, _| {
        received.insert(port);
        Verdict::Consumed
    }));
    assert_eq!(received.len(), ports.len(), "a packet that is left waits for a tick more");
    for (port, _) in ports {
        io.close_port(port);
    }
}

fn a_packet_is_forwarded_in_place(io: &mut dyn PacketIo, place: &Place) {
    let (far, address_far) = place.far(false);
    let (a, address_a) = place.near(false);
    let (b, address_b) = place.near(false);
    let (a, b) = (io.open_port(a).unwrap(), io.open_port(b).unwrap());
    far.send_to(b"hello, world", address_a).unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut buffer = [0; 64];
    let back = loop {
        io.receive(&mut showing(|port, from, bytes| {
            assert_eq!((port, from), (a, address_far));
            bytes[0] = b'J';
            Verdict::Forward { port: b, to: address_far, len: 5 }
        }));
        io.flush();
        match far.recv_from(&mut buffer) {
            Ok(back) => break back,
            Err(_) => assert!(Instant::now() < deadline, "nothing was forwarded"),
        }
    };
    assert_eq!(back, (5, address_b));
    assert_eq!(&buffer[..5], b"Jello");
    io.close_port(a);
    io.close_port(b);
}

fn a_forwarded_packet_may_be_longer_by_the_room_behind_it(io: &mut dyn PacketIo, place: &Place) {
    let (far, address_far) = place.far(false);
    let (a, address_a) = place.near(false);
    let a = io.open_port(a).unwrap();
    let mut buffer = [0; DATAGRAM_MAX_OCTETS + TAILROOM_OCTETS + 1];
    for octets in [0, 100, DATAGRAM_MAX_OCTETS] {
        far.send_to(&[1; DATAGRAM_MAX_OCTETS][..octets], address_a).unwrap();
        let deadline = Instant::now() + Duration::from_secs(2);
        let len = loop {
            io.receive(&mut showing(|_, _, bytes| {
                assert_eq!(bytes.len(), octets);
                let len = octets + TAILROOM_OCTETS;
                bytes.with_room()[octets..len].fill(2);
                Verdict::Forward { port: a, to: address_far, len }
            }));
            io.flush();
            match far.recv_from(&mut buffer) {
                Ok((len, _)) => break len,
                Err(_) => assert!(Instant::now() < deadline, "nothing was forwarded"),
            }
        };
        assert_eq!(buffer[..octets], [1; DATAGRAM_MAX_OCTETS][..octets]);
        assert_eq!(buffer[octets..len], [2; TAILROOM_OCTETS]);
    }
    io.close_port(a);
}

fn oversized_datagrams_are_dropped_and_counted(io: &mut dyn PacketIo, place: &Place) {
    let (sender, _) = place.far(false);
    let (a, address_a) = place.near(false);
    let a = io.open_port(a).unwrap();
    let before = io.counts().oversized;
    sender.send_to(&[1; DATAGRAM_MAX_OCTETS + 1], address_a).unwrap();
    sender.send_to(&[2; DATAGRAM_MAX_OCTETS], address_a).unwrap();
    sender.send_to(&[], address_a).unwrap();
    // What came in fragments may come behind what did not.
    let mut lengths: Vec<_> = receive(io, 2).iter().map(|(_, _, bytes)| bytes.len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [0, DATAGRAM_MAX_OCTETS]);
    assert_eq!(io.counts().oversized - before, 1);
    io.close_port(a);
}

fn sending_where_nobody_listens_disturbs_no_later_packet(io: &mut dyn PacketIo, place: &Place) {
    let (gone, address_gone) = place.far(false);
    drop(gone);
    let (sender, _) = place.far(false);
    let (a, address_a) = place.near(false);
    let a = io.open_port(a).unwrap();
    for _ in 0..5 {
        io.send(a, address_gone, b"nobody");
        io.flush();
    }
    sender.send_to(b"still here", address_a).unwrap();
    assert_eq!(receive(io, 1)[0].2, b"still here");
    io.close_port(a);
}

fn what_was_sent_before_closing_goes_out(io: &mut dyn PacketIo, place: &Place) {
    let (far, address_far) = place.far(false);
    let (a, _) = place.near(false);
    let a = io.open_port(a).unwrap();
    io.send(a, address_far, b"goodbye");
    io.close_port(a);
    io.flush();
    far.set_nonblocking(false).unwrap();
    far.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buffer = [0; 16];
    let (len, _) = far.recv_from(&mut buffer).expect("the packet goes out");
    assert_eq!(&buffer[..len], b"goodbye");
}

fn closed_port_frees_its_address_and_shows_nothing_more(io: &mut dyn PacketIo, place: &Place) {
    let (sender, _) = place.far(false);
    let (a, address_a) = place.near(false);
    let a = io.open_port(a).unwrap();
    io.close_port(a);
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        io.receive(&mut showing(|_, _, _| panic!("a closed port showed a packet")));
        let _ = sender.send_to(b"too late", address_a);
        if UdpSocket::bind(address_a).is_ok() {
            break;
        }
        assert!(Instant::now() < deadline, "the address is still taken");
        std::thread::yield_now();
    }
    // Closing twice, or sending on a closed port, is harmless and counted.
    io.close_port(a);
    let failed = io.counts().send_failed;
    io.send(a, address_a, b"x");
    assert_eq!(io.counts().send_failed, failed + 1);
}

fn counts_tell_what_went_in_and_out(io: &mut dyn PacketIo, place: &Place) {
    let before = io.counts();
    let (a, address_a) = place.near(false);
    let a = io.open_port(a).unwrap();
    for _ in 0..10 {
        io.send(a, address_a, b"to myself");
    }
    assert_eq!(receive(io, 10).len(), 10);
    let after = io.counts();
    assert_eq!((after.sent - before.sent, after.received - before.received), (10, 10));
    assert_eq!(after.send_failed, before.send_failed);
    io.close_port(a);
}

fn conformance(io: &mut dyn PacketIo, place: &Place) {
    for check in [
        packets_go_between_ports_and_name_port_and_sender,
        packets_go_to_and_from_another_host,
        datagrams_longer_than_a_frame_come_and_go_whole,
        order_is_kept_within_a_batch,
        more_than_all_buffers_arrive_when_they_are_taken_in_time,
        a_flood_on_many_ports_is_received_from_all_of_them,
        one_look_takes_what_has_come_on_every_port,
        a_packet_is_forwarded_in_place,
        a_forwarded_packet_may_be_longer_by_the_room_behind_it,
        oversized_datagrams_are_dropped_and_counted,
        sending_where_nobody_listens_disturbs_no_later_packet,
        what_was_sent_before_closing_goes_out,
        closed_port_frees_its_address_and_shows_nothing_more,
        counts_tell_what_went_in_and_out,
    ] {
        check(io, place);
    }
}

/// The suite on the loopback and between two hosts.
fn sockets_conform(backend: Backend) {
    let opening = || match backend {
        Backend::IoUring => Opening::IoUring,
        _ => Opening::Mio,
    };
    let mut io = opening().open().expect("the back end opens");
    assert_eq!(io.kind(), backend);
    conformance(&mut *io, &Place::Loopback);
    if let Some(hosts) = Hosts::make() {
        let mut io = opening().open().expect("the back end opens");
        conformance(&mut *io, &Place::cable(hosts));
    }
}

#[test]
fn mio_conforms() {
    sockets_conform(Backend::Mio);
}

#[test]
fn io_uring_conforms_where_the_kernel_allows_it() {
    let choice = probe(None);
    if choice.backend == Backend::IoUring {
        sockets_conform(Backend::IoUring);
    } else {
        assert!(choice.reason.contains("io_uring"), "{}", choice.reason);
    }
}

fn host(mode: Mode, workers: usize) -> Host {
    Host {
        device: Some(DEVICE.to_owned()),
        xdp_mode: Some(mode),
        rtp_ports: PORTS,
        workers,
        kernel_relay: None,
        dscp: 46,
    }
}

/// One of the workers of a fast path runs the suite, the other looks after its frames.
fn af_xdp_conforms(mode: Mode, worker: usize, workers: usize) {
    let Some(hosts) = Hosts::make() else { return };
    let (choice, openings) = choose(Some(Backend::AfXdp), &host(mode, workers)).unwrap();
    // From within the driver a veth may not be able to send.
    assert_eq!(choice.relays_in_kernel, mode == Mode::Generic, "{}", choice.reason);
    assert_eq!(choice.reason.contains("near is a veth"), mode == Mode::Native, "{}", choice.reason);
    assert!(choice.reason.contains(DEVICE), "{}", choice.reason);
    let mut all: Vec<_> = openings.into_iter().map(|opening| opening.open().unwrap()).collect();
    let mut io = Tended { io: all.remove(worker), others: all };
    assert_eq!(io.kind(), Backend::AfXdp);
    let place = Place::cable(hosts);
    learn_the_way(&mut io, &place);
    let before = io.counts();
    conformance(&mut io, &place);
    let counts = io.counts();
    // All but what is too long, and what goes to ourselves.
    assert_eq!(counts.received_fast - before.received_fast, 2_705, "{counts:?}");
    assert_eq!(counts.sent_fast - before.sent_fast, 409, "{counts:?}");
}

/// Sends to the far host until packets go past the kernel.
fn learn_the_way(io: &mut dyn PacketIo, place: &Place) {
    for v6 in [false, true] {
        let (far, address_far) = place.far(v6);
        let (a, _) = place.near(v6);
        let a = io.open_port(a).unwrap();
        let before = io.counts().sent_fast;
        let deadline = Instant::now() + Duration::from_secs(5);
        while io.counts().sent_fast == before {
            assert!(Instant::now() < deadline, "no packet goes past the kernel");
            io.send(a, address_far, b"where are you");
            take(io, &far, 1);
        }
        io.close_port(a);
    }
}

/// A back end and its fellows, all served by one thread.
struct Tended {
    io: Box<dyn PacketIo>,
    others: Vec<Box<dyn PacketIo>>,
}

impl PacketIo for Tended {
    fn open_port(&mut self, socket: UdpSocket) -> std::io::Result<PortIndex> {
        self.io.open_port(socket)
    }
    fn close_port(&mut self, port: PortIndex) {
        self.io.close_port(port);
    }
    fn receive(&mut self, sink: &mut dyn trunkline_media::packet_io::Sink) -> usize {
        for other in &mut self.others {
            other.receive(&mut showing(|_, _, _| panic!("another worker's packet")));
        }
        self.io.receive(sink)
    }
    fn send(&mut self, port: PortIndex, to: SocketAddr, bytes: &[u8]) {
        self.io.send(port, to, bytes);
    }
    fn flush(&mut self) {
        self.io.flush();
        for other in &mut self.others {
            other.flush();
        }
    }
    fn counts(&self) -> trunkline_media::packet_io::IoCounts {
        self.io.counts()
    }
    fn kind(&self) -> Backend {
        self.io.kind()
    }
}

#[test]
fn af_xdp_conforms_in_the_driver() {
    af_xdp_conforms(Mode::Native, 0, 1);
}

#[test]
fn af_xdp_conforms_behind_the_driver() {
    af_xdp_conforms(Mode::Generic, 0, 1);
}

#[test]
fn af_xdp_conforms_on_a_queue_that_another_worker_owns() {
    af_xdp_conforms(Mode::Native, 1, 2);
}

#[test]
fn a_device_that_cannot_be_taken_is_named_with_the_reason() {
    let nowhere = Host { device: Some("no-such-dev".to_owned()), ..host(Mode::Generic, 1) };
    let refusal = choose(Some(Backend::AfXdp), &nowhere).unwrap_err().to_string();
    assert!(refusal.contains("af_xdp") && refusal.contains("no-such-dev"), "{refusal}");
    let (choice, openings) = choose(None, &nowhere).unwrap();
    assert_ne!(choice.backend, Backend::AfXdp);
    assert!(choice.reason.contains("no-such-dev"), "{}", choice.reason);
    assert_eq!(openings.len(), 1);
}

#[test]
fn forced_choice_is_kept_and_said() {
    let choice = probe(Some(Backend::Mio));
    assert_eq!(choice.backend, Backend::Mio);
    assert!(choice.reason.contains("configuration"));
}
