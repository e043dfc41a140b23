//! The downloads that the hub serves itself, as they are now: for the page, for the log when they end, and so that there are
//! not more of them than there is memory for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tnv_package::MeetingId;
use tnv_web::body::Follower;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::audit::{Action, Audit, Outcome};

/// What a rate is an average of, in seconds: half of what was before counts no more.
const HALF_LIFE: f64 = 2.0;

/// What a download holds at most of its bytes, a chunk and what its connection to a storage has read ahead; and in what steps
/// that is counted. In bytes.
const HELD: u64 = 320 * 1024;
const STEP: u64 = 16 * 1024;
/// How long a download waits until others have ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// All downloads under way.
#[derive(Debug, Clone)]
pub(crate) struct Downloads {
    /// The steps that are left for what downloads hold.
    memory: Arc<Semaphore>,
    live: Arc<Mutex<BTreeMap<u64, Arc<Live>>>>,
    next: Arc<AtomicU64>,
    audit: Audit,
}

/// One of them.
#[derive(Debug)]
struct Live {
    subject: Subject,
    began: Instant,
    sent: AtomicU64,
    meter: Mutex<Meter>,
}

/// What is downloaded, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// What it is to the audit: a package for a client, one for a node, or a file.
    pub(crate) action: Action,
    pub(crate) meeting: MeetingId,
    /// The file's path; `None`: the package.
    pub(crate) path: Option<String>,
    pub(crate) peer: IpAddr,
    /// The node that gets it, if it says so.
    pub(crate) node: Option<String>,
    /// Bytes that it has in all.
    pub(crate) size: u64,
}

impl Subject {
    /// What it is called in the log.
    pub(crate) fn name(&self) -> String {
        match &self.path {
            Some(path) => format!("{path:?} of meeting {}", self.meeting),
            None => format!("the package of meeting {}", self.meeting),
        }
    }
}

/// A rate that follows what is sent.
#[derive(Debug)]
struct Meter {
    at: Instant,
    sent: u64,
    rate: f64,
}

/// A download as the page shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Shown {
    id: u64,
    action: &'static str,
    meeting: String,
    path: Option<String>,
    peer: IpAddr,
    node: Option<String>,
    size: u64,
    sent: u64,
    /// Bytes a second.
    rate: u64,
    seconds: u64,
}

/// Follows one download to its end, however that comes about.
#[derive(Debug)]
pub(crate) struct Followed {
    downloads: Downloads,
    id: u64,
    live: Arc<Live>,
    failure: Option<String>,
    _room: Room,
}

/// Memory for one download, until this is dropped.
#[derive(Debug)]
pub(crate) struct Room(
    #[allow(dead_code, reason = "it is given back when it is dropped")] OwnedSemaphorePermit,
);

impl Downloads {
    /// `memory` is what all of them may hold together, in bytes, one at the least.
    pub(crate) fn new(audit: Audit, memory: u64) -> Downloads {
        let steps = usize::try_from(memory.max(HELD) / STEP).unwrap_or(usize::MAX);
        let memory = Arc::new(Semaphore::new(steps.min(Semaphore::MAX_PERMITS)));
        Downloads { memory, live: Arc::default(), next: Arc::default(), audit }
    }

    /// Memory for a download of so many bytes; `None` if others do not give enough of it back soon.
    pub(crate) async fn room(&self, size: u64) -> Option<Room> {
        // It is at most 20.
        let steps = size.min(HELD).div_ceil(STEP) as u32;
        let permit = timeout(PATIENCE, Arc::clone(&self.memory).acquire_many_owned(steps)).await;
        permit.ok()?.ok().map(Room)
    }

    /// One begins.
    pub(crate) fn begin(&self, subject: Subject, room: Room) -> Followed {
        let now = Instant::now();
        let meter = Mutex::new(Meter { at: now, sent: 0, rate: 0.0 });
        let live = Arc::new(Live { subject, began: now, sent: AtomicU64::new(0), meter });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(id, Arc::clone(&live));
        Followed { downloads: self.clone(), id, live, failure: None, _room: room }
    }

    /// How many packages are on their way to clients.
    pub(crate) fn packages(&self) -> usize {
        self.lock().values().filter(|live| live.subject.action == Action::Package).count()
    }

    /// All of them, the oldest first.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let live: Vec<_> = self.lock().iter().map(|(id, live)| (*id, Arc::clone(live))).collect();
        live.into_iter().map(|(id, live)| live.shown(id)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn shown(&self, id: u64) -> Shown {
        let sent = self.sent.load(Ordering::Relaxed);
        let rate = self.meter.lock().unwrap_or_else(PoisonError::into_inner).read(sent, Instant::now());
        let subject = &self.subject;
        Shown {
            id,
            action: subject.action.name(),
            meeting: subject.meeting.to_string(),
            path: subject.path.clone(),
            peer: subject.peer,
            node: subject.node.clone(),
            size: subject.size,
            sent,
            // A rate is no negative number.
            rate: rate as u64,
            seconds: self.began.elapsed().as_secs(),
        }
    }
}

impl Meter {
    /// The rate now that so much was sent, in bytes per second.
    fn read(&mut self, sent: u64, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(self.at).as_secs_f64();
        if seconds > 0.0 {
            let current = sent.saturating_sub(self.sent) as f64 / seconds;
            let old = (-seconds / HALF_LIFE).exp2();
            *self = Meter { at: now, sent, rate: old * self.rate + (1.0 - old) * current };
        }
        self.rate
    }
}

impl Follower for Followed {
    fn sent(&mut self, bytes: u64) {
        self.live.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    fn failed(&mut self, why: &dyn fmt::Display) {
        self.failure = Some(why.to_string());
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.downloads.lock().remove(&self.id);
        let Live { subject, sent, .. } = &*self.live;
        let bytes = sent.load(Ordering::Relaxed);
        let outcome = match &self.failure {
            Some(why) => Outcome::Failed(why),
            None if bytes >= subject.size => Outcome::Done,
            None => Outcome::Given("the client went away"),
        };
        let node = subject.node.as_deref();
        self.downloads.audit.note(subject.action, &subject.meeting, subject.peer, node, bytes, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_shared_and_given_back() {
        let downloads = Downloads::new(Audit::default(), 2 * HELD);
        let one = downloads.room(u64::MAX).await.unwrap();
        let small: Vec<Room> = futures_util::future::join_all((0..20).map(|_| downloads.room(1)))
            .await
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(small.len(), 20);
        assert!(downloads.room(1).await.is_none());
        drop(one);
        assert!(downloads.room(HELD).await.is_some());
        assert!(Downloads::new(Audit::default(), 0).room(u64::MAX).await.is_some());
    }

    #[test]
    fn a_rate_follows_what_is_sent() {
        let begun = Instant::now();
        let mut meter = Meter { at: begun, sent: 0, rate: 0.0 };
        for second in 1..=30 {
            meter.read(second * 1000, begun + Duration::from_secs(second));
        }
        let rate = meter.read(30_000, begun + Duration::from_secs(30));
        assert!((990.0..=1000.0).contains(&rate), "{rate}");
        let rate = meter.read(30_000, begun + Duration::from_secs(50));
        assert!(rate < 2.0, "{rate}");
    }
}
