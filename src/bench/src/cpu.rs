//! What processes cost: for a user it counts as much as how fast they are.

use anyhow::Context;

/// CPU time of processes between two moments.
#[derive(Debug)]
pub(crate) struct Meter {
    pids: Vec<u32>,
    begin: f64,
    used: f64,
}

impl Meter {
    pub(crate) fn of(pid: u32) -> Meter {
        Meter::over([pid])
    }

    /// Of several processes together.
    pub(crate) fn over(pids: impl IntoIterator<Item = u32>) -> Meter {
        Meter { pids: pids.into_iter().collect(), begin: 0.0, used: 0.0 }
    }

    /// # Errors
    /// If a process is gone.
    pub(crate) fn begin(&mut self) -> anyhow::Result<()> {
        self.begin = self.now()?;
        Ok(())
    }

    /// # Errors
    /// If a process is gone.
    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.used = self.now()? - self.begin;
        Ok(())
    }

    /// Seconds in user mode and in the kernel, of all threads, between the last begin and end.
    pub(crate) fn used(&self) -> f64 {
        self.used
    }

    fn now(&self) -> anyhow::Result<f64> {
        self.pids.iter().map(|pid| seconds(*pid)).sum()
    }
}

/// Seconds that all children took which have ended and were waited for.
///
/// # Errors
/// If the system does not tell.
pub(crate) fn of_ended_children() -> anyhow::Result<f64> {
    time(std::process::id(), CHILDREN)
}

/// utime and stime are the 14th and 15th field of a process's `stat`, cutime and cstime those behind them.
const OWN: usize = 14;
const CHILDREN: usize = 16;

fn seconds(pid: u32) -> anyhow::Result<f64> {
    time(pid, OWN)
}

fn time(pid: u32, field: usize) -> anyhow::Result<f64> {
    let file = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let ticks = ticks(&text, field).with_context(|| format!("{file} is not as expected: {text}"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The sum of this field and the next. The second one, the name, may hold spaces and brackets.
fn ticks(stat: &str, field: usize) -> Option<u64> {
    let mut behind_name = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(field - 3);
    let mut next = || behind_name.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 10 0 0 0 250 130 9 9 20 0 4 0 100 0 0";
        assert_eq!((ticks(stat, OWN), ticks(stat, CHILDREN)), (Some(380), Some(18)));
        assert_eq!(ticks("7 (a) S 1", OWN), None);
    }

    #[test]
    fn work_is_seen() {
        let own = std::process::id();
        let mut meter = Meter::of(own);
        let mut twice = Meter::over([own, own]);
        meter.begin().unwrap();
        twice.begin().unwrap();
        while seconds(own).unwrap() - meter.begin < 0.05 {}
        meter.end().unwrap();
        twice.end().unwrap();
        assert!(meter.used() >= 0.05 && twice.used() >= 0.08);
    }
}
