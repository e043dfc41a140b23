//! The file on the disk: one thread writes, verifies, syncs and publishes, in the order it is told to.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use bytes::Bytes;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use tnv_metalink::Hash;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::hasher::Hasher;
use crate::map::Check;
use crate::place::Place;
use crate::ranges::Ranges;
use crate::saved::Saved;

/// How many jobs wait for a slow disk before the sources do.
pub(crate) const QUEUE: usize = 8;

/// How much is read at once, in bytes.
const READ: usize = 256 * 1024;

/// How far the hash of the whole follows after each job, in bytes: further than a job is long, so that it catches up.
const FOLLOW: u64 = 2 * 1024 * 1024;

/// What [`Done::Failed`] says of a note that could not be written.
pub(crate) const SAVE: &str = "write down what has come of";

/// What is to be done.
pub(crate) enum Job {
    /// Writes a first note, makes room for a file of this size, and prepares to compare these hashes of the whole.
    Begin { note: Box<Saved>, size: u64, whole: Vec<Hash> },
    /// These bytes are there already, but for those of the checks, which are to be verified first.
    Restore { epoch: u64, settled: Ranges, checks: Vec<Check> },
    /// Writes, and verifies the pieces that are whole with it. What `settles` needs no verification.
    Write { epoch: u64, at: u64, bytes: Bytes, settles: bool, checks: Vec<Check> },
    /// These bytes do not count any more.
    Forget(Range<u64>),
    /// Syncs, and then writes the note.
    Save(Box<Saved>),
    /// Compares the hashes of the whole.
    Compare,
    /// It will get this name, and replace nothing with it.
    Name(PathBuf),
    /// Gives the file its name.
    Publish,
    /// Leaves nothing.
    Discard,
}

impl Job {
    /// Whether there is an answer if it does not fail.
    pub(crate) fn is_answered(&self) -> bool {
        !matches!(self, Job::Begin { .. } | Job::Forget(_) | Job::Name(_))
    }
}

/// What was done; with the epoch of the job where it is about bytes. [`Job::Begin`], [`Job::Name`] and
/// [`Job::Forget`] are not answered unless they fail.
#[derive(Debug)]
pub(crate) enum Done {
    Restored(u64, Vec<(u64, bool)>),
    Written(u64, Range<u64>, Vec<(u64, bool)>),
    Saved,
    /// The hashes that differ.
    Compared(Vec<Hash>),
    Published,
    Discarded,
    /// What could not be done, and why. Nothing more is done then but to write notes and to discard.
    Failed(&'static str, io::Error),
}

/// Starts the thread. It ends when nobody can send jobs any more.
pub(crate) fn start(place: Place) -> (mpsc::Sender<Job>, mpsc::Receiver<Done>) {
    let (jobs, mut queue) = mpsc::channel(QUEUE);
    // One answer for each job that waits, one for that at hand, and one in reserve.
    let (answers, done) = mpsc::channel(QUEUE + 2);
    spawn_blocking(move || {
        let mut disk = Disk {
            place,
            size: 0,
            settled: Ranges::default(),
            whole: Vec::new(),
            hashed: 0,
            hashers: Vec::new(),
        };
        while let Some(job) = queue.blocking_recv() {
            let answer = disk.run(job).unwrap_or_else(|(what, error)| Some(Done::Failed(what, error)));
            if let Some(answer) = answer
                && answers.blocking_send(answer).is_err()
            {
                break;
            }
        }
    });
    (jobs, done)
}

struct Disk {
    place: Place,
    size: u64,
    /// What is in the file and will not change.
    settled: Ranges,
    /// The hashes of the whole that are to be compared, and their functions at work on the first `hashed` bytes.
    whole: Vec<Hash>,
    hashers: Vec<Hasher>,
    hashed: u64,
}

type Failed = (&'static str, io::Error);

impl Disk {
    fn run(&mut self, job: Job) -> Result<Option<Done>, Failed> {
        let writing = |error| ("write", error);
        Ok(match job {
            Job::Begin { note, size, whole } => {
                self.begin(&note, size, whole).map_err(|error| ("make room for", error))?;
                None
            }
            Job::Restore { epoch, settled, checks } => {
                let verdicts = self.verify(&checks).map_err(|error| ("read", error))?;
                settled.iter().for_each(|range| self.settled.insert(range));
                Some(Done::Restored(epoch, verdicts))
            }
            Job::Write { epoch, at, bytes, settles, checks } => {
                let range = at..at + bytes.len() as u64;
                self.file().write_all_at(&bytes, at).map_err(writing)?;
                if settles {
                    self.settled.insert(range.clone());
                }
                let verdicts = self.verify(&checks).map_err(|error| ("read", error))?;
                self.follow(FOLLOW).map_err(|error| ("read", error))?;
                Some(Done::Written(epoch, range, verdicts))
            }
            Job::Forget(range) => {
                self.forget(range);
                None
            }
            Job::Save(note) => {
                self.place.save(&note).map_err(|error| (SAVE, error))?;
                Some(Done::Saved)
            }
            Job::Compare => Some(Done::Compared(self.compare().map_err(|error| ("read", error))?)),
            Job::Name(target) => {
                self.place.rename(target);
                None
            }
            Job::Publish => {
                self.place.publish().map_err(|error| ("publish", error))?;
                Some(Done::Published)
            }
            Job::Discard => {
                self.place.discard();
                Some(Done::Discarded)
            }
        })
    }

    fn file(&self) -> &File {
        self.place.file()
    }

    /// The note comes first: whoever finds the file then knows whose it is.
    fn begin(&mut self, note: &Saved, size: u64, whole: Vec<Hash>) -> io::Result<()> {
        self.place.save(note)?;
        (self.size, self.whole) = (size, whole);
        self.forget(0..u64::MAX);
        self.file().set_len(size.min(self.file().metadata()?.len()))?;
        if size == 0 {
            return Ok(());
        }
        match rustix::fs::fallocate(self.file(), FallocateFlags::empty(), 0, size) {
            // Then it grows as it is written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn forget(&mut self, range: Range<u64>) {
        if range.start < self.hashed || self.hashers.len() != self.whole.len() {
            self.hashed = 0;
            self.hashers = self.whole.iter().map(|hash| Hasher::new(hash.algorithm())).collect();
        }
        self.settled.remove(range);
    }

    /// Which of these pieces have their hashes. Those that have are settled.
    fn verify(&mut self, checks: &[Check]) -> io::Result<Vec<(u64, bool)>> {
        let mut verdicts = Vec::with_capacity(checks.len());
        for check in checks {
            let mut hasher = Hasher::new(check.hash.algorithm());
            read(self.file(), check.range.clone(), |bytes| hasher.update(bytes))?;
            let matches = hasher.matches(&check.hash);
            if matches {
                self.settled.insert(check.range.clone());
            }
            verdicts.push((check.index, matches));
        }
        Ok(verdicts)
    }

    /// Hashes what is settled behind the bytes hashed so far, but not more than `most` of it.
    fn follow(&mut self, most: u64) -> io::Result<()> {
        let end = self.settled.reach(self.hashed).min(self.hashed.saturating_add(most));
        if self.hashers.is_empty() || end == self.hashed {
            return Ok(());
        }
        let hashers = &mut self.hashers;
        let each = |bytes: &[u8]| hashers.iter_mut().for_each(|hasher| hasher.update(bytes));
        read(self.place.file(), self.hashed..end, each)?;
        self.hashed = end;
        Ok(())
    }

    fn compare(&mut self) -> io::Result<Vec<Hash>> {
        // Whatever was not hashed on the way, and by now all of it counts.
        self.settled.insert(0..self.size);
        self.follow(u64::MAX)?;
        let found = std::mem::take(&mut self.hashers).into_iter().zip(&self.whole);
        let different =
            found.filter_map(|(hasher, hash)| (!hasher.matches(hash)).then(|| hash.clone())).collect();
        self.forget(0..0);
        Ok(different)
    }
}

fn read(file: &File, range: Range<u64>, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let (mut at, mut buffer) = (range.start, vec![0; READ]);
    while at < range.end {
        let len = READ.min(usize::try_from(range.end - at).unwrap_or(READ));
        file.read_exact_at(&mut buffer[..len], at)?;
        each(&buffer[..len]);
        at += len as u64;
    }
    Ok(())
}
