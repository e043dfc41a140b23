//! How what was written becomes durable: each file by itself, or a group of them by one sync of their file system. The
//! latter is the cheaper for small files, unless others write much to the same file system: which one is taken depends
//! on what both have cost lately.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, available_parallelism, scope};
use std::time::Instant;

use rustix::fs::{fstatfs, syncfs};

use super::Written;
use super::journal::sync_folder;
use crate::buffer::HUGE;
use crate::config::{SyncPolicy, WriteMode, Writing};

/// File systems on this machine whose `syncfs` waits until all is durable and reports what failed: ext2 to ext4, XFS,
/// Btrfs and F2FS.
const HONEST: [u64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];
/// Groups under way at once, at most; one for two processors: where nobody waits for a disk, more only get in each
/// other's way.
const GROUP_LANES: usize = 4;
/// Groups that become durable at once, at least: one is written while the other waits for the disk.
const SYNCED_LANES: usize = 2;
/// Files that become durable at once where each is synced by itself.
const SINGLE_LANES: usize = 32;
/// Files in a group, at most.
const MAX_GROUP: usize = 256;
/// Files from this size on go past the page cache, in bytes, where it is left to us: smaller ones are likely to be read soon.
const DIRECT_FROM: u64 = 32 * 1024 * 1024;
/// From this size on they can.
const DIRECT_LEAST: u64 = HUGE as u64;
/// Threads that sync files side by side.
const SYNCERS: usize = 8;

/// What makes the files of a store path durable.
#[derive(Debug)]
pub(crate) struct Durability {
    policy: SyncPolicy,
    /// Where `syncfs` may be used. The system tells a failed write-back once to each descriptor that was open then: one
    /// for each group that is under way, opened before the first file is written.
    whole: Mutex<Vec<File>>,
    costs: Mutex<Costs>,
    lanes: usize,
    is_local: bool,
    /// The least size of files that go past the page cache.
    direct_from: u64,
}

impl Durability {
    /// For files below `root`.
    pub(super) fn of(root: &Path, writing: Writing, is_shared: bool) -> io::Result<Durability> {
        let folder = File::open(root)?;
        let kind = fstatfs(&folder)?.f_type as u64;
        let is_local = !is_shared && HONEST.contains(&kind);
        let policy = writing.sync;
        let direct_from = match writing.mode {
            WriteMode::Auto if is_local && policy != SyncPolicy::None => DIRECT_FROM,
            WriteMode::Auto | WriteMode::Buffered => u64::MAX,
            WriteMode::Direct => DIRECT_LEAST,
        };
        let least = if policy == SyncPolicy::None { 1 } else { SYNCED_LANES };
        let lanes = (available_parallelism().map_or(1, usize::from) / 2).clamp(least, GROUP_LANES);
        let whole = match policy {
            SyncPolicy::Group if is_local => {
                (0..lanes).map(|_| File::open(root)).collect::<io::Result<_>>()?
            }
            _ => Vec::new(),
        };
        Ok(Durability {
            policy,
            whole: Mutex::new(whole),
            costs: Mutex::default(),
            lanes,
            is_local,
            direct_from,
        })
    }

    /// How many groups may be under way, and how many files there may be in each. Where nothing is shared but the wait,
    /// as on a network file system, each file goes by itself.
    pub(crate) fn lanes(&self) -> (usize, usize) {
        match self.policy {
            SyncPolicy::Group | SyncPolicy::None if self.is_local => (self.lanes, MAX_GROUP),
            _ => (SINGLE_LANES, 1),
        }
    }

    /// Whether a file of this size is written past the page cache.
    pub(crate) fn is_direct(&self, size: u64) -> bool {
        size >= self.direct_from
    }

    /// Makes bytes and temporary names durable, or, under the policy none, leaves that to the system. Blocks.
    ///
    /// # Errors
    /// I/O errors: any of the files may be lost then.
    pub(crate) fn sync(&self, files: &[Written]) -> io::Result<()> {
        if self.policy == SyncPolicy::None || files.is_empty() {
            return Ok(());
        }
        let spare = if files.len() > 1 { self.lock().pop() } else { None };
        let Some(whole) = spare else { return sync_each(files) };
        let way = self.costs().choose();
        let begun = Instant::now();
        let synced = match way {
            Way::Whole => syncfs(&whole).map_err(io::Error::from),
            Way::Each => sync_each(files),
        };
        self.costs().note(way, begun.elapsed().as_secs_f64() / files.len() as f64);
        self.lock().push(whole);
        synced
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<File>> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn costs(&self) -> std::sync::MutexGuard<'_, Costs> {
        self.costs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Syncs each file, and each folder once; side by side, for one journal commit then serves many.
fn sync_each(files: &[Written]) -> io::Result<()> {
    if files.len() > 1 {
        let share = files.len().div_ceil(SYNCERS);
        scope(|scope| {
            let sync = |files: &[Written]| files.iter().try_for_each(|written| written.file.sync_all());
            let shares = files.chunks(share).map(|files| {
                // Without a thread of its own, here and now.
                Builder::new().spawn_scoped(scope, move || sync(files)).map_err(|_| sync(files))
            });
            let outcomes: Vec<_> = shares.collect();
            outcomes.into_iter().try_for_each(|outcome| match outcome {
                Ok(thread) => thread.join().unwrap_or_else(|_| Err(io::Error::other("a sync broke off"))),
                Err(synced) => synced,
            })
        })?;
    } else {
        files.iter().try_for_each(|written| written.file.sync_all())?;
    }
    let folders: BTreeSet<&Path> = files.iter().filter_map(|written| written.temp.parent()).collect();
    folders.into_iter().try_for_each(sync_folder)
}

/// How a group becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By one sync of the whole file system.
    Whole,
    /// By a sync of each file.
    Each,
}

/// What both ways have cost lately: a moving average, in seconds per file.
#[derive(Debug)]
struct Costs {
    whole: Option<f64>,
    each: Option<f64>,
    /// Groups until the way that is dearer is tried again.
    patience: u32,
    /// What `patience` begins at; it doubles with every try that was in vain.
    interval: u32,
}

impl Default for Costs {
    fn default() -> Costs {
        Costs { whole: None, each: None, patience: Costs::SHORTEST, interval: Costs::SHORTEST }
    }
}

impl Costs {
    /// Between two tries of the dearer way, in groups.
    const SHORTEST: u32 = 64;
    const LONGEST: u32 = 8192;
    /// The share of the newest figure in the average.
    const WEIGHT: f64 = 0.2;

    fn choose(&mut self) -> Way {
        let (Some(whole), Some(each)) = (self.whole, self.each) else {
            return if self.whole.is_none() { Way::Whole } else { Way::Each };
        };
        let (cheaper, dearer) = if whole <= each { (Way::Whole, Way::Each) } else { (Way::Each, Way::Whole) };
        match self.patience.checked_sub(1) {
            Some(left) => {
                self.patience = left;
                cheaper
            }
            None => dearer,
        }
    }

    fn note(&mut self, way: Way, cost: f64) {
        let cheaper = if self.whole <= self.each { Way::Whole } else { Way::Each };
        let average = if way == Way::Whole { &mut self.whole } else { &mut self.each };
        // What is known of the dearer way is old.
        let weight = if way == cheaper { Costs::WEIGHT } else { 1.0 };
        *average = Some(average.map_or(cost, |average| average + weight * (cost - average)));
        if (self.whole <= self.each) != (cheaper == Way::Whole) {
            self.interval = Costs::SHORTEST;
            self.patience = self.interval;
        } else if way != cheaper {
            self.interval = (self.interval * 2).min(Costs::LONGEST);
            self.patience = self.interval;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which way is taken, so many times, where they cost so much.
    fn take(costs: &mut Costs, times: usize, whole: f64, each: f64) -> usize {
        let ways = (0..times).map(|_| {
            let way = costs.choose();
            costs.note(way, if way == Way::Whole { whole } else { each });
            way
        });
        ways.filter(|way| *way == Way::Whole).count()
    }

    #[test]
    fn the_cheaper_way_is_taken_and_the_other_tried_ever_less() {
        let mut costs = Costs::default();
        let whole = take(&mut costs, 10_000, 1.0, 2.0);
        assert!((9_980..10_000).contains(&whole), "{whole}");
        // Others write: what was cheaper is given up after a few groups, and seldom tried.
        let whole = take(&mut costs, 10_000, 100.0, 2.0);
        assert!((1..30).contains(&whole), "{whole}");
        // They have stopped: that is found out.
        let whole = take(&mut costs, 20_000, 1.0, 2.0);
        assert!(whole > 10_000, "{whole}");
    }

    #[test]
    fn only_file_systems_that_are_known_to_be_honest_are_synced_as_a_whole() {
        let folder = Path::new("/proc");
        let durability = Durability::of(folder, Writing::default(), false).unwrap();
        assert!(durability.lock().is_empty() && durability.lanes().1 == 1);
        assert!(!durability.is_direct(1 << 40));
    }
}
