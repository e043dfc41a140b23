//! What this storage is in its group: whether it takes uploads, and which it is taking now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tnv_proto::{ErrorCode, Failure, Membership};
use tokio::sync::watch;

use crate::catalog::MemberState;

impl MemberState {
    /// As it is told to others.
    pub(crate) fn membership(self) -> Membership {
        match self {
            MemberState::Active => Membership::Active,
            MemberState::Filling => Membership::Filling,
            MemberState::Draining => Membership::Draining,
            MemberState::Removed => Membership::Removed,
        }
    }
}

/// What the catalog says that this storage is, as far as is known here.
pub(crate) struct Standing {
    known: watch::Sender<Known>,
    uploads: AtomicU32,
}

/// A state, and how often it was decided: what was read before a decision does not count behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    state: MemberState,
    decisions: u64,
}

/// The right to note what is read from the catalog from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look(u64);

/// An upload that is under way.
pub(crate) struct Taking(Arc<Standing>);

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.uploads.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Standing {
    pub(crate) fn new(state: MemberState) -> Standing {
        Standing { known: watch::Sender::new(Known { state, decisions: 0 }), uploads: AtomicU32::new(0) }
    }

    pub(crate) fn state(&self) -> MemberState {
        self.known.borrow().state
    }

    /// As trackers are told: nothing where it takes part in everything.
    pub(crate) fn told(&self) -> String {
        match self.state() {
            MemberState::Active => String::new(),
            other => other.membership().as_str().to_owned(),
        }
    }

    /// Tells of each change from now on.
    pub(crate) fn changes(&self) -> Changes {
        Changes(self.known.subscribe())
    }

    /// Uploads that are under way.
    pub(crate) fn uploads(&self) -> u32 {
        self.uploads.load(Ordering::SeqCst)
    }

    /// Before the catalog is read.
    pub(crate) fn look(&self) -> Look {
        Look(self.known.borrow().decisions)
    }

    /// Notes what the catalog says, unless it was decided otherwise meanwhile.
    pub(crate) fn note(&self, look: Look, state: MemberState) {
        self.change(|known| (known.decisions == look.0).then_some(Known { state, ..*known }));
    }

    /// Notes what this storage has made of itself, by a transaction that has ended.
    pub(crate) fn decide(&self, state: MemberState) {
        self.change(|known| Some(Known { state, decisions: known.decisions + 1 }));
    }

    fn change(&self, change: impl FnOnce(&Known) -> Option<Known>) {
        let mut changed = None;
        self.known.send_if_modified(|known| {
            let Some(new) = change(known) else { return false };
            let before = std::mem::replace(known, new);
            changed = (before.state != new.state).then_some((before.state, new.state));
            changed.is_some()
        });
        match changed {
            Some((_, MemberState::Removed)) => {
                tracing::error!(
                    "this storage was removed from its group and takes nothing any more; empty its store paths and start it \
                     again to have it filled anew"
                );
            }
            Some((before, state)) => {
                tracing::info!(before = before.as_str(), state = state.as_str(), "what this storage is");
            }
            None => {}
        }
    }

    /// Counts an upload that goes on.
    pub(crate) fn count(self: &Arc<Self>) -> Taking {
        self.uploads.fetch_add(1, Ordering::SeqCst);
        Taking(self.clone())
    }

    /// Counts a new upload, if any are taken. Who has seen that this storage drains, and then no uploads, will see none
    /// later: each is counted first and looks then.
    ///
    /// # Errors
    /// 503 if it is draining or was removed.
    pub(crate) fn admit(self: &Arc<Self>) -> Result<Taking, Failure> {
        let taking = self.count();
        match self.state() {
            MemberState::Active | MemberState::Filling => Ok(taking),
            MemberState::Draining => Err(Failure::new(
                ErrorCode::UNAVAILABLE,
                "this storage is draining and takes no new files; another one of its group takes them",
            )),
            MemberState::Removed => Err(Failure::new(
                ErrorCode::UNAVAILABLE,
                "this storage was removed from its group and takes no files; ask another one",
            )),
        }
    }
}

/// When the state changes.
#[derive(Clone)]
pub(crate) struct Changes(watch::Receiver<Known>);

impl Changes {
    /// Returns when it has changed since the last time.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_decision_does_not_undo_it() {
        let standing = Standing::new(MemberState::Active);
        let before = standing.look();
        standing.decide(MemberState::Draining);
        standing.note(before, MemberState::Active);
        assert_eq!(standing.state(), MemberState::Draining);
        standing.note(standing.look(), MemberState::Active);
        assert_eq!((standing.state(), standing.told()), (MemberState::Active, String::new()));
    }

    #[test]
    fn who_drains_or_was_removed_admits_nothing_and_what_runs_is_counted() {
        let standing = Arc::new(Standing::new(MemberState::Filling));
        let running = standing.admit().unwrap_or_else(|failure| panic!("{failure}"));
        for state in [MemberState::Draining, MemberState::Removed] {
            standing.decide(state);
            assert_eq!(standing.admit().err().map(|failure| failure.code), Some(ErrorCode::UNAVAILABLE));
            assert_eq!((standing.uploads(), standing.told()), (1, state.as_str().to_owned()));
        }
        drop(running);
        assert_eq!(standing.uploads(), 0);
    }
}
