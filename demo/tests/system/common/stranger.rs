//! Somebody who sends what nobody should: garbage, truncated and oversized messages, strangers'
//! RTP, connections that never say anything whole.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Largest payload of a UDP datagram over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;

/// A repeatable stream of octets.
#[derive(Debug)]
pub struct Noise(u32);

impl Noise {
    /// The stream that belongs to `seed`.
    pub fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// The next `count` octets.
    pub fn octets(&mut self, count: usize) -> Vec<u8> {
        (0..count)
            .map(|_| {
                self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (self.0 >> 24) as u8
            })
            .collect()
    }
}

/// Messages that begin like `whole` and end too early, are changed in single octets, or are no
/// message at all.
pub fn damaged(whole: &[u8], noise: &mut Noise) -> Vec<Vec<u8>> {
    let step = (whole.len() / 60).max(1);
    let mut messages: Vec<Vec<u8>> =
        (0..whole.len()).step_by(step).map(|length| whole[..length].to_vec()).collect();
    for _ in 0..60 {
        let mut changed = whole.to_vec();
        for place in noise.octets(8).chunks_exact(2) {
            let at = usize::from(place[0]) * whole.len() / 256;
            changed[at] = place[1];
        }
        messages.push(changed);
    }
    for length in [1, 2, 3, 4, 11, 12, 13, 28, 100, 1_000, 9_000, LARGEST_DATAGRAM] {
        messages.push(noise.octets(length));
        messages.push(vec![0; length]);
        messages.push(vec![b'A'; length]);
    }
    messages
}

/// Sends each as a datagram; gives how many left.
pub fn send_all(from: Ipv4Addr, to: SocketAddr, messages: &[Vec<u8>]) -> usize {
    let socket = UdpSocket::bind((from, 0)).expect("a socket");
    messages
        .iter()
        .enumerate()
        .filter(|(count, message)| {
            // The receivers' buffers are not what is tried here.
            if count % 16 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            socket.send_to(message, to).is_ok()
        })
        .count()
}

/// Connects, writes `opening`, then `endless` again and again until the other side has enough or
/// 4 MiB are written. Gives the connection.
pub fn pour(to: SocketAddr, opening: &[u8], endless: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(2)).ok()?;
    let limit = Some(Duration::from_millis(200));
    stream.set_write_timeout(limit).expect("a time limit");
    if stream.write_all(opening).is_err() {
        return None;
    }
    let mut written = 0;
    while !endless.is_empty() && written < 4 << 20 {
        if stream.write_all(endless).is_err() {
            break;
        }
        written += endless.len();
    }
    Some(stream)
}

/// Sends RTP with loud noise to every even port of `ports` at `victim`, 10 rounds a second, until
/// it is told to stop.
#[derive(Debug)]
pub struct Injector {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl Injector {
    /// Begins.
    pub fn start(from: Ipv4Addr, victim: Ipv4Addr, ports: std::ops::RangeInclusive<u16>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let socket = UdpSocket::bind((from, 0)).expect("a socket");
                let mut noise = Noise::new(5);
                let mut sent = 0;
                for sequence in 0_u16.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    // RFC 3550 §5.1: version 2, PCMA.
                    let mut packet = vec![0x80, 8];
                    packet.extend(sequence.to_be_bytes());
                    packet.extend((u32::from(sequence) * 160).to_be_bytes());
                    packet.extend(0x5eed_5eed_u32.to_be_bytes());
                    packet.extend(noise.octets(160));
                    for port in ports.clone().step_by(2) {
                        sent += usize::from(socket.send_to(&packet, (victim, port)).is_ok());
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                sent
            }
        });
        Self { over, thread: Some(thread) }
    }

    /// Stops; gives how many packets were sent.
    pub fn stop(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("not stopped before").join().expect("it does not panic")
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
