//! The mark in each store path: whose it is, and whether several storages share it. It keeps a disk from being served by
//! the wrong storage, and one storage's disk from being served by two.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tnv_common::disk::tells_what_is_cached;
use tnv_proto::GroupName;

use super::staging::unlock;
use super::{VolumeError, fresh};
use crate::config::Replication;

/// The mark's name within a store path.
pub(super) const FILE_NAME: &str = ".tnv-storage";

/// How long another storage may take to write the mark of a path that both are to share.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks whether it has.
const PAUSE: Duration = Duration::from_millis(20);

/// Whom store paths belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The storage's identity, a UUID; that of the volume, where several storages share one.
    pub storage: String,
    /// The cluster's name.
    pub cluster: String,
    /// The group's name.
    pub group: String,
}

/// What a mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Whose it is.
    #[serde(flatten)]
    pub owner: Owner,
    /// Which of the storage's paths it is: catalog rows name it by this number.
    pub path: u32,
    /// The id servers' key for it: the path as the config had it at first. Kept, so that another way to write the
    /// path does not begin to count anew.
    #[serde(default)]
    pub id_key: String,
    /// Whether several storages have it at once.
    #[serde(default)]
    pub shared: bool,
}

/// The mark's file: locked, unless it has been marked as shared already.
#[derive(Debug)]
pub(super) struct MarkFile(File);

impl MarkFile {
    /// Opens and locks the mark of `root`, and reads it. An empty one says that the path is new. Blocks, for some seconds
    /// at worst.
    pub(super) fn open(root: &Path, replication: Replication) -> io::Result<(MarkFile, Option<Mark>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join(FILE_NAME))?;
        lock(&mut file, replication)?;
        let mark = read(&mut file)?;
        if mark.as_ref().is_some_and(|mark| mark.shared) && replication == Replication::SharedVolume {
            unlock(&file);
        }
        Ok((MarkFile(file), mark))
    }

    /// Writes the mark durably. It fits one sector, so a crash leaves it empty or whole.
    pub(super) fn write(&mut self, root: &Path, mark: &Mark) -> io::Result<()> {
        let mut text = serde_json::to_vec(mark).map_err(io::Error::other)?;
        text.push(b'\n');
        self.0.rewind()?;
        self.0.write_all(&text)?;
        self.0.set_len(text.len() as u64)?;
        self.0.sync_all()?;
        File::open(root)?.sync_all()
    }

    /// Whether this file system can be read without waiting for its disk.
    pub(super) fn tells_what_is_cached(&self) -> bool {
        tells_what_is_cached(&self.0)
    }

    /// Guards the path as long as this process uses it. A shared one is locked no longer: others may start.
    pub(super) fn guard(self, mark: &Mark) -> MarkGuard {
        if !mark.shared {
            return MarkGuard::Exclusive(self.0);
        }
        unlock(&self.0);
        MarkGuard::Shared(mark.clone())
    }
}

/// An exclusive path is locked for good or not at all; a shared one only while a storage that starts may mark it.
fn lock(file: &mut File, replication: Replication) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match flock(&*file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {}
            locked => return Ok(locked?),
        }
        let may_pass = replication == Replication::SharedVolume
            && begun.elapsed() < PATIENCE
            && read(file)?.is_none_or(|mark| mark.shared);
        if !may_pass {
            return Err(io::Error::other("it is in use by another storage process"));
        }
        std::thread::sleep(PAUSE);
    }
}

fn read(file: &mut File) -> io::Result<Option<Mark>> {
    // Another storage may have marked the path while this one waited for the lock.
    fresh::len(file)?;
    fresh::forget_contents(file)?;
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    match text.trim() {
        "" => Ok(None),
        text => serde_json::from_str(text)
            .map(Some)
            .map_err(|error| io::Error::other(format!("its mark {FILE_NAME} cannot be read: {error}"))),
    }
}

/// Tells whether what lies in a folder still is the store path that was opened.
#[derive(Debug)]
pub(super) enum MarkGuard {
    /// The mark itself, locked.
    Exclusive(File),
    /// What it says: a network file system may have been mounted anew meanwhile, with everything in its place.
    Shared(Mark),
}

impl MarkGuard {
    /// Whether it is there. It is not when the disk is no longer mounted.
    pub(super) fn is_in(&self, root: &Path) -> io::Result<bool> {
        match self {
            MarkGuard::Exclusive(held) => {
                let (held, found) = (held.metadata()?, std::fs::metadata(root.join(FILE_NAME)));
                Ok(found.is_ok_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino())))
            }
            MarkGuard::Shared(mark) => match File::open(root.join(FILE_NAME)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                found => Ok(read(&mut found?)?.as_ref() == Some(mark)),
            },
        }
    }
}

/// Whose the marks say the paths are; `None` when none is marked yet.
pub(super) fn agree<'a>(
    marks: impl Iterator<Item = (&'a Path, Option<&'a Mark>)>,
    cluster: &str,
    group: &GroupName,
    replication: Replication,
) -> Result<Option<Owner>, VolumeError> {
    let mut owner: Option<Owner> = None;
    let mut numbers: HashMap<u32, &Path> = HashMap::new();
    for (path, mark) in marks {
        let Some(mark) = mark else { continue };
        let of = &mark.owner;
        let reason = if of.cluster != cluster {
            format!("it belongs to cluster {}, not to {cluster}", of.cluster)
        } else if of.group != group.as_str() {
            format!("it belongs to group {}, not to {group}", of.group)
        } else if owner.as_ref().is_some_and(|owner| owner.storage != of.storage) {
            format!("it belongs to storage {}, the paths before it to another", of.storage)
        } else if let Some(why) = misfit(mark, replication) {
            why.to_owned()
        } else if let Some(other) = numbers.insert(mark.path, path) {
            format!("it has number {}, and so has {}", mark.path, other.display())
        } else {
            owner = Some(of.clone());
            continue;
        };
        let reason =
            format!("{reason} (says its mark {FILE_NAME}); check the config and what is mounted there");
        return Err(VolumeError::Foreign { path: path.to_owned(), reason });
    }
    Ok(owner)
}

/// What the first start has decided stays so: two storages that think otherwise of a path would destroy its files.
fn misfit(mark: &Mark, replication: Replication) -> Option<&'static str> {
    match (mark.shared, replication) {
        (true, Replication::None) => Some(
            "several storages share it, but replication is \"none\" here; set replication = \"shared-volume\"",
        ),
        (true, Replication::Copies) => Some(
            "several storages share it, but replication is \"copies\" here; set replication = \"shared-volume\"",
        ),
        (false, Replication::SharedVolume) => Some(
            "it belongs to one storage alone, but replication is \"shared-volume\" here; \
             set replication = \"copies\" or \"none\", or name another folder",
        ),
        _ => None,
    }
}
