//! How the machine fares: processor, memory, disk.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// What is told where the system does not say how it fares.
const UNKNOWN: f64 = 0.8;

/// Disk space, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Disk {
    pub(crate) total: u64,
    pub(crate) used: u64,
    /// As far as this process may take it.
    pub(crate) free: u64,
}

/// The load of the machine, each from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) cpu_percent: f64,
    pub(crate) memory_percent: f64,
}

/// Measures the processor between two looks.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    last: Mutex<Ticks>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    total: u64,
}

impl Gauge {
    /// The load since the last look; `None` where the system does not tell.
    pub(crate) fn look(&self) -> Option<Load> {
        let now = ticks(&std::fs::read_to_string("/proc/stat").ok()?)?;
        let memory_percent = memory(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let cpu_percent = now.percent_since(*last);
        // Two looks at the same moment are one.
        if now.total > last.total {
            *last = now;
        }
        Some(Load { cpu_percent, memory_percent })
    }
}

impl Ticks {
    fn percent_since(self, last: Ticks) -> f64 {
        let (busy, total) = (self.busy.saturating_sub(last.busy), self.total.saturating_sub(last.total));
        if total == 0 { 0.0 } else { (busy as f64 / total as f64 * 100.0).clamp(0.0, 100.0) }
    }
}

/// From 0.1, hardly alive, to 1.0, idle.
pub(crate) fn score(load: Option<Load>) -> f64 {
    let Some(Load { cpu_percent, memory_percent }) = load else { return UNKNOWN };
    (1.0 - cpu_percent / 200.0 - memory_percent / 200.0).clamp(0.1, 1.0)
}

/// The disk that a folder lies on; nothing where it cannot be told.
pub(crate) fn disk(folder: &Path) -> Disk {
    let Ok(found) = rustix::fs::statvfs(folder) else { return Disk::default() };
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Disk {
        total: bytes(found.f_blocks),
        used: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
        free: bytes(found.f_bavail),
    }
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait and what else there is.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // The last two, of guests, are in the first two already.
    let total = fields.iter().take(8).sum();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    (fields.len() >= 5).then_some(Ticks { busy: total - idle, total })
}

/// How much of the memory cannot be had, from `/proc/meminfo`.
fn memory(meminfo: &str) -> Option<f64> {
    let kibibytes = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
    };
    let (total, available) = (kibibytes("MemTotal")?, kibibytes("MemAvailable")?);
    (total > 0.0).then(|| ((1.0 - available / total) * 100.0).clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_measured_between_two_looks() {
        let before = ticks("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n").unwrap();
        assert_eq!(before, Ticks { busy: 200, total: 1000 });
        let after = ticks("cpu  200 0 150 750 100 0 0 0 99 0").unwrap();
        assert_eq!(after.percent_since(before), 75.0);
        assert_eq!(before.percent_since(before), 0.0);
        assert_eq!((ticks(""), ticks("cpu  1 2 3\n"), ticks("intr 1 2 3 4 5")), (None, None, None));
    }

    #[test]
    fn memory_is_what_cannot_be_had() {
        let text = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    250 kB\n";
        assert_eq!(memory(text), Some(75.0));
        assert_eq!((memory(""), memory("MemTotal: 0 kB\nMemAvailable: 0 kB\n")), (None, None));
    }

    #[test]
    fn the_score_falls_with_the_load() {
        let load = |cpu_percent, memory_percent| Some(Load { cpu_percent, memory_percent });
        assert_eq!(score(load(0.0, 0.0)), 1.0);
        assert_eq!(score(load(50.0, 50.0)), 0.5);
        assert_eq!(score(load(100.0, 100.0)), 0.1);
        assert_eq!(score(None), 0.8);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let found = disk(Path::new("/"));
        assert!(found.total > 0 && found.used <= found.total && found.free <= found.total);
        assert_eq!(disk(Path::new("/no such folder")), Disk::default());
        #[cfg(target_os = "linux")]
        assert!(Gauge::default().look().is_some());
    }
}
