//! What every back end must do: one suite, run against each.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use trunkline_media::packet_io::{
    Backend, DATAGRAM_MAX_OCTETS, PacketIo, PortIndex, TAILROOM_OCTETS, Verdict, open, probe,
};

/// A bound, non-blocking socket on the loopback and its address.
fn bound(v6: bool) -> (UdpSocket, SocketAddr) {
    let socket = if v6 {
        UdpSocket::bind((Ipv6Addr::LOCALHOST, 0))
    } else {
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
    }
    .expect("bind on the loopback");
    socket.set_nonblocking(true).expect("non-blocking");
    let address = socket.local_addr().expect("own address");
    (socket, address)
}

type Received = (PortIndex, SocketAddr, Vec<u8>);

/// Receives until `count` packets have come or two seconds have passed.
fn receive(io: &mut dyn PacketIo, count: usize) -> Vec<Received> {
    let mut received = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(2);
    while received.len() < count && Instant::now() < deadline {
        io.flush();
        io.receive(&mut |port, from, bytes| {
            received.push((port, from, bytes.to_vec()));
            Verdict::Consumed
        });
        std::thread::yield_now();
    }
    received
}

fn packets_go_between_ports_and_name_port_and_sender(io: &mut dyn PacketIo) {
    for v6 in [false, true] {
        let (a, address_a) = bound(v6);
        let (b, address_b) = bound(v6);
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

fn order_is_kept_within_a_batch(io: &mut dyn PacketIo) {
    let (a, _) = bound(false);
    let (b, address_b) = bound(false);
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

fn more_than_all_buffers_arrive_when_they_are_taken_in_time(io: &mut dyn PacketIo) {
    let (a, _) = bound(false);
    let (b, address_b) = bound(false);
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

fn a_flood_on_many_ports_is_received_from_all_of_them(io: &mut dyn PacketIo) {
    let (sender, _) = bound(false);
    let ports: Vec<_> = (0..60)
        .map(|_| {
            let (socket, address) = bound(false);
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

fn a_packet_is_forwarded_in_place(io: &mut dyn PacketIo) {
    let (far, address_far) = bound(false);
    let (a, address_a) = bound(false);
    let (b, address_b) = bound(false);
    let (a, b) = (io.open_port(a).unwrap(), io.open_port(b).unwrap());
    far.send_to(b"hello, world", address_a).unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut buffer = [0; 64];
    let back = loop {
        io.receive(&mut |port, from, bytes| {
            assert_eq!((port, from), (a, address_far));
            bytes[0] = b'J';
            Verdict::Forward { port: b, to: address_far, len: 5 }
        });
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

fn a_forwarded_packet_may_be_longer_by_the_room_behind_it(io: &mut dyn PacketIo) {
    let (far, address_far) = bound(false);
    let (a, address_a) = bound(false);
    let a = io.open_port(a).unwrap();
    let mut buffer = [0; DATAGRAM_MAX_OCTETS + TAILROOM_OCTETS + 1];
    for octets in [0, 100, DATAGRAM_MAX_OCTETS] {
        far.send_to(&[1; DATAGRAM_MAX_OCTETS][..octets], address_a).unwrap();
        let deadline = Instant::now() + Duration::from_secs(2);
        let len = loop {
            io.receive(&mut |_, _, bytes| {
                assert_eq!(bytes.len(), octets);
                let len = octets + TAILROOM_OCTETS;
                bytes.with_room()[octets..len].fill(2);
                Verdict::Forward { port: a, to: address_far, len }
            });
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

fn oversized_datagrams_are_dropped_and_counted(io: &mut dyn PacketIo) {
    let (sender, _) = bound(false);
    let (a, address_a) = bound(false);
    let a = io.open_port(a).unwrap();
    let before = io.counts().oversized;
    sender.send_to(&[1; DATAGRAM_MAX_OCTETS + 1], address_a).unwrap();
    sender.send_to(&[2; DATAGRAM_MAX_OCTETS], address_a).unwrap();
    sender.send_to(&[], address_a).unwrap();
    let received = receive(io, 2);
    assert!(received[0].2 == vec![2; DATAGRAM_MAX_OCTETS], "the longest datagram comes whole");
    assert_eq!(received[1].2, Vec::<u8>::new());
    assert_eq!(io.counts().oversized - before, 1);
    io.close_port(a);
}

fn sending_where_nobody_listens_disturbs_no_later_packet(io: &mut dyn PacketIo) {
    let (gone, address_gone) = bound(false);
    drop(gone);
    let (sender, _) = bound(false);
    let (a, address_a) = bound(false);
    let a = io.open_port(a).unwrap();
    for _ in 0..5 {
        io.send(a, address_gone, b"nobody");
        io.flush();
    }
    sender.send_to(b"still here", address_a).unwrap();
    assert_eq!(receive(io, 1)[0].2, b"still here");
    io.close_port(a);
}

fn what_was_sent_before_closing_goes_out(io: &mut dyn PacketIo) {
    let (far, address_far) = bound(false);
    let (a, _) = bound(false);
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

fn closed_port_frees_its_address_and_shows_nothing_more(io: &mut dyn PacketIo) {
    let (sender, _) = bound(false);
    let (a, address_a) = bound(false);
    let a = io.open_port(a).unwrap();
    io.close_port(a);
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        io.receive(&mut |_, _, _| panic!("a closed port showed a packet"));
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

fn counts_tell_what_went_in_and_out(io: &mut dyn PacketIo) {
    let before = io.counts();
    let (a, address_a) = bound(false);
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

fn conformance(backend: Backend) {
    let mut io = open(backend).expect("the back end opens");
    assert_eq!(io.kind(), backend);
    for check in [
        packets_go_between_ports_and_name_port_and_sender,
        order_is_kept_within_a_batch,
        more_than_all_buffers_arrive_when_they_are_taken_in_time,
        a_flood_on_many_ports_is_received_from_all_of_them,
        a_packet_is_forwarded_in_place,
        a_forwarded_packet_may_be_longer_by_the_room_behind_it,
        oversized_datagrams_are_dropped_and_counted,
        sending_where_nobody_listens_disturbs_no_later_packet,
        what_was_sent_before_closing_goes_out,
        closed_port_frees_its_address_and_shows_nothing_more,
        counts_tell_what_went_in_and_out,
    ] {
        check(&mut *io);
    }
}

#[test]
fn mio_conforms() {
    conformance(Backend::Mio);
}

#[test]
fn io_uring_conforms_where_the_kernel_allows_it() {
    let choice = probe(None);
    if choice.backend == Backend::IoUring {
        conformance(Backend::IoUring);
    } else {
        assert!(choice.reason.contains("io_uring"), "{}", choice.reason);
    }
}

#[test]
fn forced_choice_is_kept_and_said() {
    let choice = probe(Some(Backend::Mio));
    assert_eq!(choice.backend, Backend::Mio);
    assert!(choice.reason.contains("configuration"));
}
