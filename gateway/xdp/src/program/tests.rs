//! The program as the kernel has accepted it, run by the kernel on single packets.

use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::AsFd;

use super::*;
use crate::bpf::{Map, MapKind, Program};
use crate::frame::{self, Ethernet};
use crate::ports::{Relay, Relayed, Sender};

const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;
const OURS: &str = "192.0.2.9:20002";
const PEER: &str = "198.51.100.7:4000";

struct Bench {
    table: PortTable,
    program: Program,
    _sockets: Map,
}

/// A table of ports 20000 to 20099 and its program; none, said aloud, where the kernel lets us not.
fn bench() -> Option<Bench> {
    let table = match PortTable::new(20_000, 20_099) {
        Ok(table) => table,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "this test must run here: {error}");
            eprintln!("skipped: no BPF maps here ({error}); it needs CAP_BPF");
            return None;
        }
    };
    let sockets = Map::new(MapKind::XskMap, "test", 4, 4, false).unwrap();
    let code = super::program(&table, sockets.as_fd(), 1);
    let program = Program::load("test", &code).unwrap();
    Some(Bench { table, program, _sockets: sockets })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn v4(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn packet(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (address(from), address(to));
    let headers = frame::headers_octets(&from, &to).unwrap();
    let mut packet = vec![0; headers];
    packet.extend_from_slice(payload);
    let ethernet = Ethernet { destination: [2, 0, 0, 0, 0, 9], source: [2, 0, 0, 0, 0, 7] };
    frame::write(&mut packet, &ethernet, from, to, 0xB8);
    packet
}

fn rtp(first: u8, payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut rtp = vec![first, payload_type];
    rtp.extend_from_slice(&sequence.to_be_bytes());
    rtp.extend_from_slice(&timestamp.to_be_bytes());
    rtp.extend_from_slice(&ssrc.to_be_bytes());
    rtp.extend((0..160).map(|n| n as u8));
    rtp
}

fn relay() -> Relay {
    Relay {
        peer: v4(PEER),
        payload_type: (8, 0),
        ssrc: (0x1111_2222, 0x3333_4444),
        sequence_offset: 0xFFF0,
        timestamp_offset: 0xFFFF_FF00,
        newest: (0xFFFE, 7),
        whole_checksums: true,
        source: v4("192.0.2.9:20010"),
        destination: v4("203.0.113.5:6000"),
        ethernet: [[2, 0, 0, 0, 0, 5], [2, 0, 0, 0, 0, 9]],
        traffic_class: 0xB8,
    }
}

#[test]
fn only_packets_for_open_ports_are_touched() {
    let Some(bench) = bench() else { return };
    let open = packet(PEER, OURS, &rtp(0x80, 8, 1, 1, 1));
    assert_eq!(bench.program.run(&open).unwrap(), (PASS, open.clone()));
    assert!(bench.table.steer(address(OURS), 0));
    assert!(!bench.table.steer(address("192.0.2.9:30000"), 0));
    bench.table.relay(20_002, &relay());
    let mut vlan = open.clone();
    vlan[12..14].copy_from_slice(&[0x81, 0x00]);
    let mut fragment = open.clone();
    fragment[20] |= 0x20;
    let mut tcp = open.clone();
    tcp[23] = 6;
    for other in [
        vlan,
        fragment,
        tcp,
        packet(PEER, "192.0.2.8:20002", &rtp(0x80, 8, 1, 1, 0x1111_2222)),
        packet(PEER, "192.0.2.9:20004", &rtp(0x80, 8, 1, 1, 0x1111_2222)),
        packet(PEER, "192.0.2.9:19999", &rtp(0x80, 8, 1, 1, 0x1111_2222)),
        packet(PEER, "192.0.2.9:20100", &rtp(0x80, 8, 1, 1, 0x1111_2222)),
        packet("[2001:db8::7]:4000", "[2001:db8::9]:20002", &rtp(0x80, 8, 1, 1, 0x1111_2222)),
        open[..40].to_vec(),
    ] {
        assert_eq!(bench.program.run(&other).unwrap(), (PASS, other.clone()));
    }
    assert_eq!(bench.table.relayed(20_002).packets, 0);
}

#[test]
fn who_is_not_let_in_gets_nothing_back_and_is_counted() {
    let Some(bench) = bench() else { return };
    // Of each version: our port, two who are expected, and strangers: another host, another port of
    // the same host, and for IPv6 one for each word of the address.
    let versions: [(&str, [&str; 2], &[&str]); 2] = [
        (OURS, [PEER, "203.0.113.5:6000"], &["198.51.100.9:4000", "198.51.100.7:4002"]),
        (
            "[2001:db8::9]:20002",
            ["[2001:db8:7:0:1:2:3:4]:4000", "[2001:db8::5]:6000"],
            &[
                "[2001:db9:7:0:1:2:3:4]:4000",
                "[2001:db8:7:1:1:2:3:4]:4000",
                "[2001:db8:7:0:1:0:3:4]:4000",
                "[2001:db8:7:0:1:2:3:5]:4000",
                "[2001:db8:7:0:1:2:3:4]:6000",
            ],
        ),
    ];
    for (ours, expected, strangers) in versions {
        assert!(bench.table.steer(address(ours), 0));
        let run = |from: &str| {
            let packet = packet(from, ours, &rtp(0x80, 8, 1, 1, 0x1111_2222));
            let (verdict, after) = bench.program.run(&packet).unwrap();
            assert_eq!(after, packet);
            verdict
        };
        let all_run = |whom: &[&str], verdict| whom.iter().all(|from| run(from) == verdict);
        let senders = expected.map(|from| Sender::from(address(from)));
        bench.table.admit(20_002, Some(senders));
        assert!(all_run(strangers, DROP), "{ours}");
        // No socket is there in a test run: what is steered is passed.
        assert!(all_run(&expected, PASS), "{ours}");
        let kept_out = strangers.len() as u64;
        assert_eq!(bench.table.kept_out(20_002), kept_out);
        // The second goes.
        bench.table.admit(20_002, Some([senders[0]; 2]));
        assert_eq!((run(expected[0]), run(expected[1])), (PASS, DROP), "{ours}");
        // Any port of the host of the second.
        bench.table.admit(20_002, Some([senders[0], address(expected[1]).ip().into()]));
        let other_port = SocketAddr::new(address(expected[1]).ip(), 1);
        assert!(all_run(&[expected[0], expected[1], &other_port.to_string()], PASS), "{ours}");
        assert!(all_run(strangers, DROP), "{ours}");
        bench.table.admit(20_002, None);
        assert!(all_run(strangers, PASS), "{ours}");
        assert_eq!(bench.table.kept_out(20_002), 2 * kept_out + 1);
        // The next owner of the port begins anew.
        bench.table.admit(20_002, Some(senders));
        bench.table.pass(20_002);
        assert!(bench.table.steer(address(ours), 0));
        assert!(all_run(strangers, PASS), "{ours}");
        assert_eq!(bench.table.kept_out(20_002), 0);
    }
}

#[test]
fn a_relayed_port_lets_only_its_senders_by() {
    let Some(bench) = bench() else { return };
    assert!(bench.table.steer(address(OURS), 0));
    bench.table.admit(20_002, Some([address(PEER).into(); 2]));
    bench.table.relay(20_002, &relay());
    let run = |from| {
        let packet = packet(from, OURS, &rtp(0x80, 8, 1, 1, 0x1111_2222));
        bench.program.run(&packet).unwrap().0
    };
    assert_eq!((run(PEER), run("198.51.100.7:4002")), (TX, DROP));
    assert_eq!((bench.table.relayed(20_002).packets, bench.table.kept_out(20_002)), (1, 1));
}

#[test]
fn a_relayed_packet_leaves_under_its_new_names_with_right_checksums() {
    let Some(bench) = bench() else { return };
    bench.table.steer(address(OURS), 0);
    bench.table.relay(20_002, &relay());
    for (n, sequence) in [15_u16, 16, 17].into_iter().enumerate() {
        let marker = if n == 0 { 0x80 } else { 0 };
        let given = packet(PEER, OURS, &rtp(0x80, 8 | marker, sequence, 0x200, 0x1111_2222));
        let (verdict, sent) = bench.program.run(&given).unwrap();
        assert_eq!(verdict, TX);
        assert_eq!(sent[..12], [2, 0, 0, 0, 0, 5, 2, 0, 0, 0, 0, 9]);
        let datagram = frame::read(&sent).unwrap();
        assert_eq!(datagram.from, address("192.0.2.9:20010"));
        assert_eq!(datagram.to, address("203.0.113.5:6000"));
        assert!(frame::is_checksum_whole(&sent, &datagram));
        let expected = rtp(0x80, marker, sequence.wrapping_add(0xFFF0), 0x100, 0x3333_4444);
        assert_eq!(&sent[datagram.begin..datagram.end], expected);
        // The IP header as we would have written it ourselves, to the checksum.
        let own = packet("192.0.2.9:20010", "203.0.113.5:6000", &expected);
        assert_eq!(sent[12..], own[12..]);
    }
    let expected = Relayed { packets: 3, octets: 480, sequence: 1, timestamp: 0x100 };
    assert_eq!(bench.table.relayed(20_002), expected);
    // A straggler moves nothing back.
    let late = packet(PEER, OURS, &rtp(0x80, 8, 14, 0x100, 0x1111_2222));
    assert_eq!(bench.program.run(&late).unwrap().0, TX);
    let expected = Relayed { packets: 4, octets: 640, sequence: 1, timestamp: 0x100 };
    assert_eq!(bench.table.relayed(20_002), expected);
}

#[test]
fn a_checksum_that_cannot_be_mended_is_left_out() {
    let Some(bench) = bench() else { return };
    bench.table.steer(address(OURS), 0);
    let good = packet(PEER, OURS, &rtp(0x80, 8, 15, 0x200, 0x1111_2222));
    let mut none = good.clone();
    none[40..42].fill(0);
    for (whole, given) in [(true, none), (false, good)] {
        bench.table.relay(20_002, &Relay { whole_checksums: whole, ..relay() });
        let (verdict, sent) = bench.program.run(&given).unwrap();
        assert_eq!((verdict, &sent[40..42]), (TX, &[0, 0][..]));
    }
}

#[test]
fn what_is_not_the_agreed_stream_goes_to_the_worker_unchanged() {
    let Some(bench) = bench() else { return };
    bench.table.steer(address(OURS), 0);
    bench.table.relay(20_002, &relay());
    let ours = 0x1111_2222;
    let mut lengths_differ = packet(PEER, OURS, &rtp(0x80, 8, 1, 1, ours));
    lengths_differ[39] -= 1;
    for other in [
        packet("198.51.100.8:4000", OURS, &rtp(0x80, 8, 1, 1, ours)),
        packet("198.51.100.7:4001", OURS, &rtp(0x80, 8, 1, 1, ours)),
        packet(PEER, OURS, &rtp(0x80, 101, 1, 1, ours)),
        packet(PEER, OURS, &rtp(0x90, 8, 1, 1, ours)),
        packet(PEER, OURS, &rtp(0x81, 8, 1, 1, ours)),
        packet(PEER, OURS, &rtp(0x80, 8, 1, 1, ours + 1)),
        packet(PEER, OURS, &rtp(0x80, 8, 1, 1, ours)[..12]),
        packet(PEER, OURS, &[0x80, 8]),
        lengths_differ,
    ] {
        // No socket is in the map: the kernel has what would be the worker's.
        assert_eq!(bench.program.run(&other).unwrap(), (PASS, other.clone()));
    }
    let good = packet(PEER, OURS, &rtp(0x80, 8, 1, 1, ours));
    bench.table.recall(20_002);
    assert_eq!(bench.program.run(&good).unwrap(), (PASS, good.clone()));
    assert_eq!(bench.table.relayed(20_002).packets, 0);
}
