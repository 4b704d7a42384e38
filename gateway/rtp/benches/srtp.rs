//! What SRTP adds to a packet: 20 ms of G.711, protected and unprotected.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trunkline_rtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};

const PACKET_OCTETS: usize = 172;

fn packet() -> [u8; PACKET_OCTETS + 16] {
    let mut packet = [0x55; PACKET_OCTETS + 16];
    packet[..12].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    packet
}

fn srtp(criterion: &mut Criterion) {
    for suite in Suite::ALL {
        let key = MasterKey::generate(suite, |octets| octets.fill(0x5a));
        let mut group = criterion.benchmark_group(suite.name());
        group.throughput(Throughput::Elements(1));
        group.bench_function("protect", |bencher| {
            let mut sender = SrtpSender::new(&key).expect("a whole key");
            let (mut packet, mut sequence) = (packet(), 0_u16);
            bencher.iter(|| {
                sequence = sequence.wrapping_add(1);
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                sender.protect_rtp(black_box(&mut packet), PACKET_OCTETS).expect("room for the tag")
            });
        });
        group.bench_function("protect and unprotect", |bencher| {
            let mut sender = SrtpSender::new(&key).expect("a whole key");
            let mut receiver = SrtpReceiver::new(&key).expect("a whole key");
            let (mut packet, mut sequence) = (packet(), 0_u16);
            bencher.iter(|| {
                sequence = sequence.wrapping_add(1);
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                let octets = sender
                    .protect_rtp(black_box(&mut packet), PACKET_OCTETS)
                    .expect("room for the tag");
                receiver.unprotect_rtp(black_box(&mut packet[..octets])).expect("the same key")
            });
        });
        group.finish();
    }
}

criterion_group!(benches, srtp);
criterion_main!(benches);
