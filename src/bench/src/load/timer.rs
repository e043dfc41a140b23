//! Waiting to the microsecond: the runtime's own timer wakes up to a millisecond late, which is a long time between
//! requests.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// Waits for moments, one after the other.
pub(super) trait Timer: Send + 'static {
    /// Returns when it is that time or later.
    ///
    /// # Errors
    /// If the system has no timers.
    fn until(&mut self, moment: Instant) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// A timer of the kernel.
pub(super) struct PreciseTimer(AsyncFd<OwnedFd>);

impl PreciseTimer {
    /// # Errors
    /// If the system has no timers.
    // What is deprecated about it are descriptors that change or close early; an OwnedFd does neither.
    #[expect(deprecated)]
    pub(super) fn new() -> anyhow::Result<PreciseTimer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(PreciseTimer(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }
}

impl Timer for PreciseTimer {
    async fn until(&mut self, moment: Instant) -> anyhow::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let time = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(left) };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &time)?;
        loop {
            let mut ready = self.0.readable().await?;
            let expired = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?));
            if let Ok(expired) = expired {
                return Ok(expired.map(drop)?);
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    // Nothing is waited for as long as an i64 of seconds.
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_never_early_and_can_be_used_again() {
        let mut timer = PreciseTimer::new().unwrap();
        for microseconds in [0, 150, 2_000, 1] {
            let moment = Instant::now() + Duration::from_micros(microseconds);
            timer.until(moment).await.unwrap();
            assert!(Instant::now() >= moment);
        }
    }
}
