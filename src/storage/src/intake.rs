//! Small uploads. Their bytes are in memory when they come here; one thread then does everything for all that wait:
//! files, checksums, sync, rows, final names, replies. A few such groups are under way at once, so that one is written
//! while another waits for the disk. What comes alone is a group of one and waits for nobody.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tnv_common::connection::Interrupt;
use tnv_proto::{Attributes, Checksum, Failure, NewUpload};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::catalog::{CopyAt, NewFile};
use crate::commit::{Names, Placed, conclude, discard, publish};
use crate::digest::Received;
use crate::files::Files;
use crate::held::{Held, HeldFile};
use crate::layout::Place;
use crate::pump::write_failure;
use crate::upload::check_expected;
use crate::volume::{Reservation, StorePath, Written};

/// Where groups of files are written. Every method but the first two blocks.
pub(crate) trait Shelf: Names {
    /// A file under its temporary name, not durable yet.
    type Written: Send;

    /// The store path as rows name it.
    fn written(&self) -> &str;

    /// How many groups may be under way, and how many files there may be in each.
    fn lanes(&self) -> (usize, usize);

    /// Puts the bytes of a file under its temporary name. After an error nothing is left.
    fn write(&self, place: &Place, bytes: &[u8]) -> io::Result<Self::Written>;

    /// Makes files durable, as far as the policy asks. After an error any of them may be lost.
    fn sync(&self, files: &[Self::Written]) -> io::Result<()>;

    /// What an error comes to for those who sent the files.
    fn refusal(&self, error: &io::Error) -> Failure;
}

impl Shelf for StorePath {
    type Written = Written;

    fn written(&self) -> &str {
        StorePath::written(self)
    }

    fn lanes(&self) -> (usize, usize) {
        self.durability().lanes()
    }

    fn write(&self, place: &Place, bytes: &[u8]) -> io::Result<Written> {
        StorePath::write(self, place, bytes)
    }

    fn sync(&self, files: &[Written]) -> io::Result<()> {
        self.durability().sync(files)
    }

    fn refusal(&self, error: &io::Error) -> Failure {
        write_failure(self, error)
    }
}

/// A whole upload in memory.
pub(crate) struct Arrived {
    pub(crate) new: NewUpload,
    pub(crate) bytes: Vec<u8>,
    /// The share of the memory for transfers that the bytes lie in.
    pub(crate) share: Option<OwnedSemaphorePermit>,
    /// What the sender says the BLAKE3 is.
    pub(crate) expected: Checksum,
    pub(crate) place: Place,
    pub(crate) created_ms: i64,
    pub(crate) reservation: Option<Reservation>,
    pub(crate) end: End,
}

/// What comes when the bytes are durable under their temporary name.
pub(crate) enum End {
    /// Rows, for this storage and for others that have the file already, and the final name.
    Rows(Vec<CopyAt>),
    /// Nothing yet: whoever pushed them writes the rows.
    Held(Arc<Held>),
}

type Outcome = Result<Attributes, Interrupt>;

struct Job {
    arrived: Arrived,
    answer: oneshot::Sender<Outcome>,
    /// A stop waits for it.
    _token: TaskTrackerToken,
}

/// Where the small uploads of one store path are handed in.
pub(crate) struct Intake<S> {
    shared: Arc<Shared<S>>,
    commits: TaskTracker,
}

struct Shared<S> {
    shelf: Arc<S>,
    files: Arc<Files>,
    group: String,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// No more than there are connections.
    waiting: VecDeque<Job>,
    lanes: usize,
}

impl<S: Shelf> Intake<S> {
    /// For files of this group on this shelf. `commits` counts those that are under way.
    pub(crate) fn new(shelf: Arc<S>, files: Arc<Files>, group: String, commits: TaskTracker) -> Intake<S> {
        let shared = Shared { shelf, files, group, queue: Mutex::default() };
        Intake { shared: Arc::new(shared), commits }
    }

    /// Stores a file: what STAT will tell of it. Once a thread has begun with it, it is stored even if nobody waits for
    /// it any more.
    pub(crate) async fn store(&self, arrived: Arrived) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let job = Job { arrived, answer, _token: self.commits.token() };
        let begin = {
            let mut queue = self.shared.queue();
            queue.waiting.push_back(job);
            let begin = queue.lanes < self.shared.shelf.lanes().0;
            queue.lanes += usize::from(begin);
            begin
        };
        if begin {
            let token = self.commits.token();
            let lane = Lane { shared: self.shared.clone(), runtime: Handle::current(), _token: token };
            tokio::task::spawn_blocking(move || lane.run());
        }
        answered.await.map_err(|_| io::Error::other("an upload broke off"))?
    }
}

impl<S> Shared<S> {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that carries out groups as long as somebody waits.
struct Lane<S: Shelf> {
    shared: Arc<Shared<S>>,
    runtime: Handle,
    /// Goes last: after a stop nothing holds the store path any more.
    _token: TaskTrackerToken,
}

impl<S: Shelf> Drop for Lane<S> {
    fn drop(&mut self) {
        // In the middle of a panic only: it has ended otherwise.
        if std::thread::panicking() {
            self.shared.queue().lanes -= 1;
        }
    }
}

/// A file whose bytes are written.
struct Staged<W> {
    written: W,
    file: NewFile,
    attributes: Attributes,
    placed: (Place, Option<Reservation>),
    held: Option<Arc<Held>>,
    answer: oneshot::Sender<Outcome>,
    token: TaskTrackerToken,
}

/// A file whose bytes are written, as long as its group goes on.
struct Waiting<S> {
    file: NewFile,
    attributes: Attributes,
    placed: Placed<S>,
    held: Option<Arc<Held>>,
    answer: oneshot::Sender<Outcome>,
    token: TaskTrackerToken,
}

impl<S: Shelf> Waiting<S> {
    /// Leaves durable bytes as they are, for whoever pushed them here.
    fn hold(self) {
        let Placed { names, place, reservation, .. } = self.placed;
        if let Some(held) = self.held {
            held.hold(HeldFile::new(names, place, reservation));
        }
        let _ = self.answer.send(Ok(self.attributes));
    }
}

impl<S: Shelf> Lane<S> {
    fn run(self) {
        while let Some(group) = self.next_group() {
            let staged: Vec<_> = group.into_iter().filter_map(|job| self.stage(job)).collect();
            self.commit(staged);
        }
    }

    /// All that wait, or as many as a group takes. `None` ends the lane.
    fn next_group(&self) -> Option<Vec<Job>> {
        let mut queue = self.shared.queue();
        let len = queue.waiting.len().min(self.shared.shelf.lanes().1);
        if len == 0 {
            queue.lanes -= 1;
            return None;
        }
        Some(queue.waiting.drain(..len).collect())
    }

    /// Writes a file under its temporary name, or says why not.
    fn stage(&self, job: Job) -> Option<Staged<S::Written>> {
        let Job { arrived, answer, _token: token } = job;
        let Arrived { new, bytes, share, expected, place, created_ms, reservation, end } = arrived;
        if answer.is_closed() {
            return None;
        }
        let received = Received::of(&bytes);
        let shelf = &*self.shared.shelf;
        let written = check_expected(expected, received.blake3)
            .and_then(|()| shelf.write(&place, &bytes).map_err(|error| shelf.refusal(&error)));
        drop((bytes, share));
        let written = match written {
            Ok(written) => written,
            Err(refusal) => {
                let _ = answer.send(Err(refusal.into()));
                return None;
            }
        };
        let at = (shelf.index(), shelf.written());
        let mut file = describe(new, &self.shared.group, at, &place, &received, created_ms);
        let attributes = file.attributes();
        let held = match end {
            End::Rows(copies) => {
                file.copies = copies;
                None
            }
            End::Held(held) => Some(held),
        };
        Some(Staged { written, file, attributes, placed: (place, reservation), held, answer, token })
    }

    /// Makes the group durable, writes its rows and gives its files their names.
    fn commit(&self, staged: Vec<Staged<S::Written>>) {
        let (mut written, mut waiting) = (Vec::new(), Vec::new());
        for Staged { written: bytes, file, attributes, placed: (place, reservation), held, answer, token } in
            staged
        {
            let names = self.shared.shelf.clone();
            let placed = Placed { key: file.key.clone(), names, place, reservation };
            waiting.push(Waiting { file, attributes, placed, held, answer, token });
            written.push(bytes);
        }
        if waiting.is_empty() {
            return;
        }
        if let Err(error) = self.shared.shelf.sync(&written) {
            drop(written);
            let refusal = self.shared.shelf.refusal(&error);
            for Waiting { placed, answer, token: _token, .. } in waiting {
                discard(&*placed.names, &placed.place);
                let _ = answer.send(Err(refusal.clone().into()));
            }
            return;
        }
        drop(written);
        let (held, own): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|waiting| waiting.held.is_some());
        held.into_iter().for_each(Waiting::hold);
        self.add_rows(own);
    }

    /// Writes the rows of files that are durable and gives them their names.
    fn add_rows(&self, waiting: Vec<Waiting<S>>) {
        if waiting.is_empty() {
            return;
        }
        let mut files = Vec::with_capacity(waiting.len());
        let mut answers = Vec::with_capacity(waiting.len());
        for Waiting { file, attributes, placed, answer, token, .. } in waiting {
            files.push(file);
            answers.push((placed, attributes, answer, token));
        }
        let outcomes = self.shared.files.catalog().insert_all(files);
        let mut stored = Vec::with_capacity(answers.len());
        for ((placed, attributes, answer, token), outcome) in answers.into_iter().zip(outcomes) {
            if let Ok(true) = outcome {
                if let Some(reservation) = placed.reservation {
                    reservation.keep();
                }
                publish(&*placed.names, &placed.place);
                stored.push((answer, attributes));
                continue;
            }
            let files = self.shared.files.clone();
            self.runtime.spawn(async move {
                let concluded = conclude(files, placed, outcome).await;
                let _ = answer.send(concluded.map(|()| attributes));
                drop(token);
            });
        }
        // All at once, so that the reactor is woken once.
        for (answer, attributes) in stored {
            let _ = answer.send(Ok(attributes));
        }
    }
}

/// The rows of a file at this place of the store path with this index and this name.
pub(crate) fn describe(
    new: NewUpload,
    group: &str,
    (path_index, written): (u32, &str),
    place: &Place,
    received: &Received,
    created_ms: i64,
) -> NewFile {
    let content_type = match new.labels.content_type() {
        "" => received.content_type,
        told => told,
    };
    NewFile {
        group: group.to_owned(),
        file_path: format!("{written}/{}", place.path()),
        path_index,
        path: place.path(),
        size: new.size,
        created_ms,
        crc32: received.crc32,
        blake3: received.blake3,
        content_type: content_type.to_owned(),
        name: new.labels.name().to_owned(),
        copies: Vec::new(),
        key: new.key,
    }
}

#[cfg(test)]
mod tests;
