use super::*;
use crate::line::BLOCK_SAMPLES_MAX;

fn line(clock: Clock) -> (TdmoeLine, UdpSocket, TdmoeConfig) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let local = "127.0.0.1:0".parse().unwrap();
    let config = TdmoeConfig::e1(local, peer.local_addr().unwrap(), clock);
    let line = TdmoeLine::open(config.clone()).unwrap();
    (line, peer, config)
}

/// A frame of the peer.
fn datagram(config: &TdmoeConfig, sequence: u16, content: u8) -> Vec<u8> {
    let mut block = Block::new(SAMPLES);
    block.timeslot_mut(1).fill(content);
    let addresses = Addresses {
        destination: config.local_mac,
        source: config.remote_mac,
        subaddress: config.subaddress,
    };
    let mut octets = vec![0; FRAME_SIZE_OCTETS_MAX];
    let size_octets = frame::encode(&mut octets, addresses, 31, sequence, &block);
    octets.truncate(size_octets);
    octets
}

#[test]
fn the_following_end_hands_on_each_frame_and_fills_gaps() {
    let (mut line, peer, config) = line(Clock::Line);
    let to = line.local_address().unwrap();
    for sequence in [u16::MAX, 0, 3, 2, 4] {
        peer.send_to(&datagram(&config, sequence, sequence as u8), to).unwrap();
    }
    let mut block = Block::new(BLOCK_SAMPLES_MAX);
    let mut seen = Vec::new();
    while seen.len() < 6 {
        match line.receive(&mut block).unwrap() {
            Tick::Block { .. } => seen.push(Some(block.timeslot(1)[0])),
            Tick::Missing => {
                assert_eq!(block.timeslot(1), [crate::IDLE_A_LAW; SAMPLES]);
                seen.push(None);
            }
            Tick::Quiet => {}
        }
    }
    assert_eq!(seen, [Some(255), Some(0), None, None, Some(3), Some(4)]);
    let counters = line.counters();
    assert_eq!((counters.sequence_gaps, counters.out_of_order), (2, 1));
}

#[test]
fn strangers_and_malformed_frames_are_counted_and_refused() {
    let (mut line, peer, config) = line(Clock::Line);
    let to = line.local_address().unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&datagram(&config, 0, 1), to).unwrap();
    let mut wrong_source = datagram(&config, 0, 2);
    wrong_source[11] ^= 1;
    let mut wrong_subaddress = datagram(&config, 0, 3);
    wrong_subaddress[15] = 7;
    let mut wrong_destination = datagram(&config, 0, 4);
    wrong_destination[0] = 0xaa;
    for frame in [&wrong_source, &wrong_subaddress, &wrong_destination] {
        peer.send_to(frame, to).unwrap();
    }
    peer.send_to(&datagram(&config, 0, 5)[..285], to).unwrap();
    peer.send_to(&[], to).unwrap();
    peer.send_to(&[0xff; 1400], to).unwrap();
    peer.send_to(&datagram(&config, 0, 6), to).unwrap();
    let mut block = Block::new(SAMPLES);
    while !matches!(line.receive(&mut block).unwrap(), Tick::Block { .. }) {}
    assert_eq!(block.timeslot(1), [6; SAMPLES]);
    let counters = line.counters();
    assert_eq!((counters.wrong_address, counters.malformed), (4, 3));
}

#[test]
fn the_pacing_end_sends_numbered_frames_and_waits_for_late_answers() {
    let (mut line, peer, config) = line(Clock::Internal);
    let to = line.local_address().unwrap();
    let mut block = Block::new(SAMPLES);
    let mut received = [0; 1500];
    for sequence in 0..4 {
        assert_eq!(line.receive(&mut block).unwrap(), Tick::Missing);
        block.timeslot_mut(1).fill(sequence as u8);
        line.transmit(&block).unwrap();
        let size_octets = peer.recv(&mut received).unwrap();
        let frame = frame::decode(&received[..size_octets]).unwrap();
        assert_eq!((frame.sequence, frame.addresses.source), (sequence, config.local_mac));
    }
    assert_eq!(line.receive(&mut block).unwrap(), Tick::Quiet, "no answer yet");
    for sequence in 0..4 {
        peer.send_to(&datagram(&config, sequence, sequence as u8), to).unwrap();
    }
    for sequence in 0..4 {
        assert!(matches!(line.receive(&mut block).unwrap(), Tick::Block { .. }));
        assert_eq!(block.timeslot(1), [sequence; SAMPLES]);
    }
}

#[test]
fn an_address_in_use_is_named() {
    let (line, peer, _) = line(Clock::Line);
    let taken = line.local_address().unwrap();
    let config = TdmoeConfig::e1(taken, peer.local_addr().unwrap(), Clock::Line);
    let error = TdmoeLine::open(config).unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}
