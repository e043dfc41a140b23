//! Several files at once.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::console::Console;
use crate::error::Error;

/// Starts one job for each item, at most `limit` at a time and in their order, and hands over each outcome as it
/// comes. Dropping the future drops the jobs.
pub(crate) async fn run_all<T, F: Future>(
    items: impl IntoIterator<Item = T>,
    limit: usize,
    start: impl Fn(T) -> F,
    mut done: impl FnMut(F::Output),
) {
    let mut items = items.into_iter();
    let mut running: FuturesUnordered<F> = items.by_ref().take(limit.max(1)).map(&start).collect();
    while let Some(outcome) = running.next().await {
        done(outcome);
        running.extend(items.next().map(&start));
    }
}

/// Counts how the files of a command went, and what became of the first that failed.
pub(crate) struct Tally {
    total: usize,
    failed: usize,
    first: Option<Error>,
}

impl Tally {
    pub(crate) fn of(total: usize) -> Tally {
        Tally { total, failed: 0, first: None }
    }

    /// Takes note of a failure. One of several files is reported at once; that of a single file is the command's.
    pub(crate) fn failed(&mut self, error: Error, console: &mut Console) {
        if self.total > 1 {
            console.report(&error);
        }
        self.failed += 1;
        self.first.get_or_insert(error);
    }

    /// The outcome of the command: the first failure decides its kind.
    pub(crate) fn into_result(self, what: &str) -> Result<(), Error> {
        match self.first {
            None => Ok(()),
            Some(error) if self.total <= 1 => Err(error),
            Some(first) => {
                Err(Error::new(first.kind, format!("{} of {} {what} failed", self.failed, self.total)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn every_item_is_done_and_never_too_many_at_once() {
        for (limit, most) in [(0, 1), (1, 1), (3, 3), (100, 10)] {
            let (running, peak) = (Cell::new(0), Cell::new(0));
            let job = async |item: u32| {
                running.set(running.get() + 1);
                peak.set(peak.get().max(running.get()));
                tokio::task::yield_now().await;
                running.set(running.get() - 1);
                item
            };
            let mut seen = Vec::new();
            run_all(0..10, limit, job, |item| seen.push(item)).await;
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
            assert_eq!(peak.get(), most, "{limit}");
        }
    }
}
