//! How fast something moves. Pure: the time is passed in.

use std::time::{Duration, Instant};

/// Over how long a speed is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// The weight of the last window against all before it.
const WEIGHT: f64 = 0.4;

/// Counts bytes and knows their speed.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    begun: Instant,
    total: u64,
    since: Instant,
    bytes: u64,
    last: Instant,
    rate: Option<f64>,
    watched: (Instant, u64),
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Meter {
        Meter { begun: now, total: 0, since: now, bytes: 0, last: now, rate: None, watched: (now, 0) }
    }

    pub(crate) fn add(&mut self, bytes: u64, now: Instant) {
        self.settle(now);
        self.bytes = self.bytes.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
        self.watched.1 = self.watched.1.saturating_add(bytes);
        self.last = now;
    }

    /// Bytes a second, of late.
    pub(crate) fn rate(&self, now: Instant) -> f64 {
        let mut current = self.clone();
        current.settle(now);
        current.rate.unwrap_or_else(|| {
            let time = now.saturating_duration_since(current.since).as_secs_f64();
            if time > 0.0 { current.bytes as f64 / time.max(0.05) } else { 0.0 }
        })
    }

    /// Bytes a second since it began.
    pub(crate) fn average(&self, now: Instant) -> f64 {
        self.total as f64 / now.saturating_duration_since(self.begun).as_secs_f64().max(0.05)
    }

    /// How long nothing has come.
    pub(crate) fn silent(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last)
    }

    /// Whether fewer than `min_rate` bytes a second have come for so long. Judged once at the end of each such time.
    pub(crate) fn is_slow(&mut self, over: Duration, min_rate: u64, now: Instant) -> bool {
        let (since, bytes) = self.watched;
        if now.saturating_duration_since(since) < over {
            return false;
        }
        self.watched = (now, 0);
        (bytes as f64) < min_rate as f64 * over.as_secs_f64()
    }

    /// Closes the window if it has lasted long enough; silence counts.
    fn settle(&mut self, now: Instant) {
        let time = now.saturating_duration_since(self.since);
        if time < WINDOW {
            return;
        }
        let rate = self.bytes as f64 / time.as_secs_f64();
        // Over several windows the past counts for as much less.
        let windows = time.as_secs_f64() / WINDOW.as_secs_f64();
        let keep = (1.0 - WEIGHT).powf(windows);
        self.rate = Some(self.rate.map_or(rate, |past| past * keep + rate * (1.0 - keep)));
        (self.since, self.bytes) = (now, 0);
    }
}

/// Lets so many bytes a second through.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: u64,
    /// When all bytes so far may have passed.
    free_at: Instant,
}

impl Throttle {
    /// `rate` is above 0.
    pub(crate) fn new(rate: u64, now: Instant) -> Throttle {
        Throttle { rate: rate.max(1), free_at: now }
    }

    /// Notes bytes that pass, and tells until when nothing more may.
    pub(crate) fn pass(&mut self, bytes: u64, now: Instant) -> Instant {
        let time = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.free_at = self.free_at.max(now) + time;
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_steady_speed_is_told_and_silence_lowers_it() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        for tenth in 1..=50 {
            meter.add(100, start + SECOND / 10 * tenth);
        }
        let now = start + SECOND * 5;
        assert!((900.0..1100.0).contains(&meter.rate(now)), "{}", meter.rate(now));
        assert!(meter.rate(now + SECOND * 10) < 50.0);
        assert_eq!(meter.silent(now + SECOND), SECOND);
    }

    #[test]
    fn slowness_is_judged_over_its_time() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        meter.add(999, start);
        assert!(!meter.is_slow(SECOND * 10, 100, start + SECOND * 9));
        assert!(meter.is_slow(SECOND * 10, 100, start + SECOND * 10));
        meter.add(1000, start + SECOND * 11);
        assert!(!meter.is_slow(SECOND * 10, 100, start + SECOND * 20));
    }

    #[test]
    fn a_throttle_keeps_to_its_rate() {
        let start = Instant::now();
        let mut throttle = Throttle::new(1000, start);
        assert_eq!(throttle.pass(500, start), start + SECOND / 2);
        assert_eq!(throttle.pass(500, start), start + SECOND);
        assert_eq!(throttle.pass(1000, start + SECOND * 5), start + SECOND * 6);
    }
}
