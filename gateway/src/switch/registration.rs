//! What directories are told of this gateway, where it registers.

use trunkline_directory::client::registrar::connection::Registration;
use trunkline_directory::client::registrar::in_steps;
use trunkline_directory::fleet::{GroupReport, Report};
use trunkline_directory::wire::GroupComing;

use super::Switch;

/// Alarms that are told, and how long each may be: no operator reads more.
const ALARMS_MAX: usize = 32;
const ALARM_MAX_CHARS: usize = 60;

impl Switch {
    /// Registers at the directories of the configuration. Call it inside a tokio runtime.
    pub fn register(&self) -> Option<Registration> {
        let mut settings = self.configuration.registration.clone()?;
        let groups = self.configuration.trunk_groups.iter();
        settings.coming.trunk_groups = groups
            .map(|group| GroupComing {
                name: group.name.clone(),
                circuits: self.circuits(&group.spans).0,
            })
            .collect();
        Some(Registration::start(settings, self.report_to_directories()))
    }

    /// How the gateway is.
    pub fn report_to_directories(&self) -> Report {
        // Without room for a call every circuit is as good as taken.
        let has_room = self.control.congestion().is_none();
        let group = |spans: &[usize]| {
            let (circuits, free) = self.circuits(spans);
            GroupReport {
                free: if has_room { in_steps(free, circuits) } else { 0 },
                alarmed: !spans.iter().any(|&span| self.lines.spans[span].in_service()),
            }
        };
        let alarms = self.lines.spans.iter().filter_map(|span| {
            let what = if !span.alarms.is_clear() {
                "alarm"
            } else if !span.interface.is_up() {
                "data link down"
            } else {
                return None;
            };
            let name: String = span.name.chars().take(ALARM_MAX_CHARS / 2).collect();
            Some(format!("span {name}: {what}"))
        });
        Report {
            groups: self.configuration.trunk_groups.iter().map(|own| group(&own.spans)).collect(),
            draining: self.draining,
            alarms: alarms.take(ALARMS_MAX).collect(),
        }
    }

    /// All B channels of some spans, and those that a call may have.
    fn circuits(&self, spans: &[usize]) -> (u32, u32) {
        spans.iter().fold((0, 0), |(all, free), &span| {
            let count = self.control.trunks.count(span);
            (all + count.total() as u32, free + count.idle as u32)
        })
    }
}
