//! A histogram that was counted elsewhere, by label.

use std::collections::HashMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::status::Ticks;

/// The ticks of media workers, in seconds, by worker.
#[derive(Debug)]
pub struct TickHistogram {
    description: Desc,
    workers: Vec<Ticks>,
}

impl TickHistogram {
    /// One entry a worker.
    pub fn new(name: &str, help: &str, workers: Vec<Ticks>) -> Self {
        let labels = vec!["worker".to_owned()];
        let description = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new());
        Self { description: description.expect("names are constant"), workers }
    }
}

impl Collector for TickHistogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let workers = self.workers.iter().enumerate().map(|(worker, ticks)| {
            let mut label = LabelPair::default();
            label.set_name("worker".to_owned());
            label.set_value(worker.to_string());
            let mut metric = Metric::default();
            metric.set_label(vec![label]);
            metric.set_histogram(histogram(ticks));
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(workers.collect());
        vec![family]
    }
}

fn histogram(ticks: &Ticks) -> Histogram {
    let mut below = 0;
    // The last bucket, without a bound, is the count of all.
    let bounded = ticks.buckets.iter().filter_map(|(bound_us, count)| Some(((*bound_us)?, *count)));
    let buckets = bounded.map(|(bound_us, count)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound_us as f64 / 1e6);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(ticks.buckets.iter().map(|(_, count)| count).sum());
    histogram.set_sample_sum(ticks.sum_us as f64 / 1e6);
    histogram
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, Registry, TextEncoder};

    use super::*;

    #[test]
    fn buckets_are_cumulative_and_in_seconds() {
        let buckets = vec![(Some(50), 3), (Some(1_000), 4), (None, 1)];
        let ticks = vec![Ticks { buckets, sum_us: 7_000 }];
        let registry = Registry::new();
        registry.register(Box::new(TickHistogram::new("t_seconds", "Ticks.", ticks))).unwrap();
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "# TYPE t_seconds histogram",
            r#"t_seconds_bucket{worker="0",le="0.00005"} 3"#,
            r#"t_seconds_bucket{worker="0",le="0.001"} 7"#,
            r#"t_seconds_bucket{worker="0",le="+Inf"} 8"#,
            r#"t_seconds_sum{worker="0"} 0.007"#,
            r#"t_seconds_count{worker="0"} 8"#,
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
    }
}
