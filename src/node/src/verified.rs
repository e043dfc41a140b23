//! Which bytes of a package that is on its way are known to be right. Headers and directory are from the beginning; a
//! member is as a whole.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::pull::PullError;

/// What is known of a package on its way, for the one who brings it and all who wait for it.
#[derive(Debug)]
pub(crate) struct Verified {
    /// The length of the package.
    len: u64,
    members: Vec<Range<u64>>,
    done: Mutex<Vec<bool>>,
    /// Changes with every member, and when it is over.
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Default)]
enum Progress {
    #[default]
    Moving,
    Whole,
    Failed(Arc<PullError>),
}

impl Verified {
    /// A package of this length, with the members in these ranges, in order; empty ones are right at once.
    pub(crate) fn new(len: u64, members: Vec<Range<u64>>) -> Verified {
        let done = members.iter().map(Range::is_empty).collect();
        Verified { len, members, done: Mutex::new(done), progress: watch::Sender::default() }
    }

    /// Whether a member is.
    pub(crate) fn has(&self, member: usize) -> bool {
        self.lock().get(member).copied().unwrap_or_default()
    }

    /// A member is now.
    pub(crate) fn add(&self, member: usize) {
        if let Some(done) = self.lock().get_mut(member) {
            *done = true;
        }
        self.progress.send_modify(|_| {});
    }

    /// Bytes of members that are.
    pub(crate) fn bytes(&self) -> u64 {
        let done = self.lock();
        let right = self.members.iter().zip(&*done).filter(|(_, done)| **done);
        right.map(|(range, _)| range.end - range.start).sum()
    }

    /// Everything is, for good.
    pub(crate) fn finish(&self) {
        self.progress.send_replace(Progress::Whole);
    }

    /// No more will be.
    pub(crate) fn fail(&self, error: Arc<PullError>) {
        self.progress.send_replace(Progress::Failed(error));
    }

    /// Waits until bytes from `at` on are right, and tells where they end. `at` lies within the package.
    ///
    /// # Errors
    /// Why they will not come.
    pub(crate) async fn wait(&self, at: u64) -> Result<u64, Arc<PullError>> {
        let mut progress = self.progress.subscribe();
        loop {
            let now = progress.borrow_and_update().clone();
            if matches!(now, Progress::Whole) {
                return Ok(self.len);
            }
            let end = self.end(at);
            if end > at {
                return Ok(end);
            }
            if let Progress::Failed(error) = now {
                return Err(error);
            }
            // The sender is in `self`.
            let _ = progress.changed().await;
        }
    }

    /// Up to where bytes are right from `at` on.
    fn end(&self, at: u64) -> u64 {
        let done = self.lock();
        let first = self.members.partition_point(|range| range.end <= at);
        let behind = self.members.iter().zip(&*done).skip(first);
        behind.into_iter().find(|(_, done)| !**done).map_or(self.len, |(range, _)| range.start.max(at))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<bool>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_are_right_up_to_the_first_member_that_is_not() {
        let verified = Verified::new(100, vec![10..20, 25..25, 30..40, 45..60]);
        assert_eq!(verified.wait(0).await.unwrap(), 10);
        assert_eq!(verified.wait(9).await.unwrap(), 10);
        assert_eq!(verified.wait(20).await.unwrap(), 30);
        assert_eq!(verified.wait(60).await.unwrap(), 100);
        verified.add(2);
        assert_eq!(verified.wait(35).await.unwrap(), 45);
        assert_eq!((verified.has(1), verified.has(3), verified.bytes()), (true, false, 10));
        verified.add(0);
        assert_eq!(verified.wait(0).await.unwrap(), 45);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_member_by_the_end_or_by_the_failure() {
        let verified = Arc::new(Verified::new(100, vec![10..20, 30..40]));
        let wait = |at| {
            let verified = verified.clone();
            tokio::spawn(async move { verified.wait(at).await })
        };
        let (first, second) = (wait(12), wait(35));
        tokio::task::yield_now().await;
        verified.add(0);
        assert_eq!(first.await.unwrap().unwrap(), 30);
        verified.fail(Arc::new(PullError::Cancelled));
        assert!(matches!(*second.await.unwrap().unwrap_err(), PullError::Cancelled));
        assert_eq!(verified.wait(0).await.unwrap(), 30, "what is right stays right");
        verified.finish();
        assert_eq!(verified.wait(35).await.unwrap(), 100);
    }
}
