//! Twenty networks: when each packet of a stream comes, if it comes.
//!
//! Packet `n` carries the speech of `n * 20` to `(n + 1) * 20` ms and is sent at the end of that. The
//! part of the delay that is the same for all packets is left out, so that what a playout adds can be
//! read directly: 20 ms is the least there can be.

use super::random::Random;

/// Length of a packet, ms.
pub const PACKET_MS: f64 = 20.0;

/// A packet that arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arrival {
    /// Which packet of the stream, from 0.
    pub number: u32,
    /// When, from the moment the first sample was spoken, in ms.
    pub at_ms: f64,
}

/// A network with a name.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What it is like, in a word.
    pub name: &'static str,
    /// The packets in the order they come.
    pub arrivals: Vec<Arrival>,
}

/// The network whose delays are beyond any conversation. It is run, and left out of the mean.
pub const HOPELESS: &str = "modem_fifo";

/// The twenty networks for a stream of so many packets.
pub fn all(packets: usize, seed: u64) -> Vec<Trace> {
    let stream = Stream { packets, seed };
    vec![
        stream.lossy("clean", |_| 0.0, |_| vec![false; packets]),
        stream.lossy("iid1", |_| 0.0, |random| independent(packets, 0.01, random)),
        stream.lossy("iid3", |_| 0.0, |random| independent(packets, 0.03, random)),
        stream.lossy("iid5", |_| 0.0, |random| independent(packets, 0.05, random)),
        stream.lossy("iid10", |_| 0.0, |random| independent(packets, 0.10, random)),
        stream.lossy("burst3", |_| 0.0, |random| bursts(packets, 0.03, 3.0, random)),
        stream.lossy("burst5", |_| 0.0, |random| bursts(packets, 0.05, 5.0, random)),
        stream.queued("gamma10", |random| (0..packets).map(|_| random.gamma_2(5.0)).collect()),
        stream.queued("gamma30", |random| (0..packets).map(|_| random.gamma_2(15.0)).collect()),
        stream.queued("pareto", |random| {
            (0..packets).map(|_| (4.0 * random.pareto(1.8)).min(400.0)).collect()
        }),
        stream.queued("spikes", |random| {
            let spikes = spikes(packets, 5_000.0, (80.0, 250.0), random);
            spikes.into_iter().map(|spike| spike + random.gamma_2(1.5)).collect()
        }),
        stream.skewed("skew+500", 500.0),
        stream.skewed("skew-500", -500.0),
        stream.route_change(),
        stream.reordered(),
        stream.duplicated(),
        stream.wifi(),
        stream.modem(HOPELESS, 576, false),
        stream.modem("modem_prio576", 576, true),
        stream.modem("modem_prio128", 128, true),
    ]
}

/// A stream that is sent into each of them.
#[derive(Clone, Copy)]
struct Stream {
    packets: usize,
    seed: u64,
}

impl Stream {
    fn random(self, name: &str) -> Random {
        let purpose = name.bytes().fold(0, |sum, letter| sum * 31 + u64::from(letter));
        Random::new(self.seed, purpose)
    }

    /// When each packet is sent.
    fn sent_ms(self) -> impl Iterator<Item = f64> {
        (1..=self.packets).map(|n| n as f64 * PACKET_MS)
    }

    /// Delays that do not wait for each other, and losses.
    fn lossy(
        self,
        name: &'static str,
        mut delay_ms: impl FnMut(&mut Random) -> f64,
        lost: impl FnOnce(&mut Random) -> Vec<bool>,
    ) -> Trace {
        let mut random = self.random(name);
        let lost = lost(&mut random);
        let coming = self.sent_ms().map(|sent_ms| sent_ms + delay_ms(&mut random));
        let kept = coming.zip(&lost).enumerate().filter(|(_, (_, lost))| !**lost);
        in_order(name, kept.map(|(n, (at_ms, _))| (n, at_ms)))
    }

    /// Delays in a queue: no packet overtakes another.
    fn queued(self, name: &'static str, delays_ms: impl FnOnce(&mut Random) -> Vec<f64>) -> Trace {
        let delays_ms = delays_ms(&mut self.random(name));
        let coming = self.sent_ms().zip(delays_ms).map(|(sent_ms, delay_ms)| sent_ms + delay_ms);
        in_order(name, queue(coming).enumerate())
    }

    /// The sender's clock is slow, or fast where the skew is negative.
    fn skewed(self, name: &'static str, ppm: f64) -> Trace {
        in_order(name, self.sent_ms().map(|sent_ms| sent_ms * (1.0 + ppm * 1e-6)).enumerate())
    }

    /// A way that is 60 ms longer in the second and the third quarter.
    fn route_change(self) -> Trace {
        let mut random = self.random("route60");
        let longer = self.packets / 4..3 * self.packets / 4;
        let coming = self.sent_ms().enumerate().map(|(n, sent_ms)| {
            let way_ms = if longer.contains(&n) { 60.0 } else { 0.0 };
            (n, sent_ms + way_ms + random.gamma_2(2.0))
        });
        in_order("route60", coming)
    }

    /// One packet in twenty takes 30 ms more and is overtaken.
    fn reordered(self) -> Trace {
        let mut random = self.random("reorder5");
        let coming = self.sent_ms().map(|sent_ms| {
            let detour_ms = if random.share() < 0.05 { 30.0 } else { 0.0 };
            sent_ms + detour_ms + random.gamma_2(1.0)
        });
        in_order("reorder5", coming.enumerate())
    }

    /// One packet in twenty comes twice, 7 ms apart.
    fn duplicated(self) -> Trace {
        let mut random = self.random("dup5");
        let mut coming = Vec::new();
        for (n, sent_ms) in self.sent_ms().enumerate() {
            let at_ms = sent_ms + random.gamma_2(1.0);
            coming.push((n, at_ms));
            if random.share() < 0.05 {
                coming.push((n, at_ms + 7.0));
            }
        }
        in_order("dup5", coming)
    }

    /// Contention that goes up and down, spikes, and losses in bursts.
    fn wifi(self) -> Trace {
        let mut random = self.random("wifi");
        let mut contention_ms = 0.0_f64;
        let spikes = spikes(self.packets, 8_000.0, (40.0, 150.0), &mut random);
        let coming: Vec<f64> = self
            .sent_ms()
            .zip(spikes)
            .map(|(sent_ms, spike_ms)| {
                contention_ms = 0.95 * contention_ms + random.laplace(3.0);
                sent_ms + contention_ms.abs() + spike_ms
            })
            .collect();
        let lost = bursts(self.packets, 0.02, 3.0, &mut random);
        let kept = queue(coming.into_iter()).enumerate().zip(lost).filter(|(_, lost)| !lost);
        in_order("wifi", kept.map(|(packet, _)| packet))
    }

    /// A line of 33.6 kbit/s shared with downloads that come and go: packets of `web_octets`, four of
    /// which are always on their way. With `priority`, voice waits only for the one that is being sent.
    fn modem(self, name: &'static str, web_octets: u32, priority: bool) -> Trace {
        const KBIT_PER_S: f64 = 33.6;
        const VOICE_OCTETS: f64 = 40.0;
        const IN_FLIGHT: f64 = 4.0;
        const DOWNLOAD_MS: f64 = 2_500.0;
        let mut random = self.random("modem");
        let web_ms = f64::from(web_octets) * 8.0 / KBIT_PER_S;
        let voice_ms = VOICE_OCTETS * 8.0 / KBIT_PER_S;
        let (mut free_ms, mut web_until_ms) = (0.0_f64, 0.0_f64);
        let (mut downloads, mut until_ms) = (false, 0.0);
        let coming = self.sent_ms().map(|sent_ms| {
            while until_ms < sent_ms {
                downloads = !downloads;
                until_ms += random.exponential(DOWNLOAD_MS);
            }
            let start_ms = if priority {
                while downloads && web_until_ms < sent_ms {
                    web_until_ms = web_until_ms.max(free_ms).max(sent_ms - PACKET_MS) + web_ms;
                }
                let busy_ms = if downloads || web_until_ms > sent_ms { web_until_ms } else { 0.0 };
                sent_ms.max(free_ms).max(busy_ms)
            } else {
                free_ms = free_ms.max(sent_ms);
                while downloads && free_ms - sent_ms < (IN_FLIGHT - 1.0) * web_ms {
                    free_ms += web_ms;
                }
                free_ms
            };
            free_ms = start_ms + voice_ms;
            if priority && downloads {
                web_until_ms = web_until_ms.max(free_ms);
            }
            start_ms
        });
        let coming: Vec<f64> = coming.collect();
        in_order(name, queue(coming.into_iter()).enumerate())
    }
}

fn in_order(name: &'static str, packets: impl IntoIterator<Item = (usize, f64)>) -> Trace {
    let arrival = |(number, at_ms)| Arrival { number: number as u32, at_ms };
    let mut arrivals: Vec<Arrival> = packets.into_iter().map(arrival).collect();
    arrivals.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    Trace { name, arrivals }
}

/// No packet before one that was sent earlier.
fn queue(coming: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    coming.scan(0.0_f64, |latest, at_ms| {
        *latest = latest.max(at_ms);
        Some(*latest)
    })
}

fn independent(packets: usize, share: f64, random: &mut Random) -> Vec<bool> {
    (0..packets).map(|_| random.share() < share).collect()
}

/// Losses in bursts of `mean` packets on average (Gilbert 1960).
fn bursts(packets: usize, share: f64, mean: f64, random: &mut Random) -> Vec<bool> {
    let ends = 1.0 / mean;
    let begins = share * ends / (1.0 - share);
    let mut lost = false;
    let next = |_| {
        lost = if lost { random.share() >= ends } else { random.share() < begins };
        lost
    };
    (0..packets).map(next).collect()
}

/// Delays that rise at once, every `apart_ms` on average, and fall by a packet time each packet: what
/// was held up comes together.
fn spikes(
    packets: usize,
    apart_ms: f64,
    (low_ms, high_ms): (f64, f64),
    random: &mut Random,
) -> Vec<f64> {
    let mut delays_ms = vec![0.0_f64; packets];
    let mut at_ms = random.exponential(apart_ms);
    while ((at_ms / PACKET_MS) as usize) < packets {
        let mut height_ms = random.between(low_ms, high_ms);
        for delay_ms in &mut delays_ms[(at_ms / PACKET_MS) as usize..] {
            if height_ms <= 0.0 {
                break;
            }
            *delay_ms = delay_ms.max(height_ms);
            height_ms -= PACKET_MS;
        }
        at_ms += random.exponential(apart_ms);
    }
    delays_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKETS: usize = 4_000;

    fn trace(name: &str) -> Trace {
        all(PACKETS, 1).into_iter().find(|trace| trace.name == name).expect("it is one of them")
    }

    fn delays_ms(trace: &Trace) -> Vec<f64> {
        let delay = |a: &Arrival| a.at_ms - f64::from(a.number + 1) * PACKET_MS;
        trace.arrivals.iter().map(delay).collect()
    }

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn a_seed_names_its_networks() {
        let of = |seed| all(500, seed).into_iter().map(|t| t.arrivals).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(of(1).len(), 20);
    }

    #[test]
    fn no_packet_comes_before_it_was_sent_and_all_come_in_the_order_of_time() {
        for trace in all(PACKETS, 3) {
            let least = delays_ms(&trace).into_iter().fold(f64::MAX, f64::min);
            // A fast clock sends ahead of ours: 40 ms in 80 s.
            let early_ms = if trace.name == "skew-500" { 40.1 } else { 0.001 };
            assert!(least >= -early_ms, "{} ms in {}", least, trace.name);
            assert!(trace.arrivals.is_sorted_by(|a, b| a.at_ms <= b.at_ms), "{}", trace.name);
        }
    }

    #[test]
    fn losses_are_as_frequent_and_as_long_as_they_shall_be() {
        for (name, share, run) in
            [("iid1", 0.01, 1.0), ("iid10", 0.1, 1.1), ("burst3", 0.03, 3.0), ("burst5", 0.05, 5.0)]
        {
            let trace = trace(name);
            let lost = 1.0 - trace.arrivals.len() as f64 / PACKETS as f64;
            assert!((lost / share - 1.0).abs() < 0.5, "{lost} lost in {name}");
            let gaps = trace.arrivals.windows(2).filter(|pair| pair[1].number > pair[0].number + 1);
            let mean_run = lost * PACKETS as f64 / gaps.count() as f64;
            assert!((mean_run / run - 1.0).abs() < 0.4, "runs of {mean_run} in {name}");
        }
    }

    #[test]
    fn delays_are_as_long_as_they_shall_be() {
        for (name, low_ms, high_ms) in [
            ("gamma10", 9.0, 12.0),
            // Queueing adds a little to 30.
            ("gamma30", 30.0, 38.0),
            ("route60", 33.0, 35.0),
            ("modem_prio576", 20.0, 80.0),
            ("modem_prio128", 3.0, 18.0),
            (HOPELESS, 200.0, 500.0),
        ] {
            let mean = mean(&delays_ms(&trace(name)));
            assert!((low_ms..high_ms).contains(&mean), "{mean} ms in {name}");
        }
        let spikes = delays_ms(&trace("spikes"));
        let high = spikes.iter().filter(|delay| **delay > 60.0).count();
        assert!((40..400).contains(&high), "{high} packets in spikes");
    }
}
