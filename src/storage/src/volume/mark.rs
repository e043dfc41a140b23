//! The mark in each store path: whose it is. It keeps a disk from being served by the wrong storage.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tnv_proto::GroupName;

use super::VolumeError;

/// The mark's name within a store path.
pub(super) const FILE_NAME: &str = ".tnv-storage";

/// Whom store paths belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The storage's identity, a UUID.
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
}

/// The mark's file, held locked as long as this process uses the store path.
#[derive(Debug)]
pub(super) struct MarkFile(File);

impl MarkFile {
    /// Opens and locks the mark of `root`, and reads it. An empty one says that the path is new.
    pub(super) fn open(root: &Path) -> io::Result<(MarkFile, Option<Mark>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join(FILE_NAME))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                return Err(io::Error::other("it is in use by another storage process"));
            }
            locked => locked?,
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mark = match text.trim() {
            "" => None,
            text => Some(serde_json::from_str(text).map_err(|error| {
                io::Error::other(format!("its mark {FILE_NAME} cannot be read: {error}"))
            })?),
        };
        Ok((MarkFile(file), mark))
    }

    /// Whether this is the mark that lies in `root` now. It is not when the disk is no longer mounted there.
    pub(super) fn is_in(&self, root: &Path) -> io::Result<bool> {
        let (held, found) = (self.0.metadata()?, std::fs::metadata(root.join(FILE_NAME)));
        Ok(found.is_ok_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino())))
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
}

/// Whose the marks say the paths are; `None` when none is marked yet.
pub(super) fn agree<'a>(
    marks: impl Iterator<Item = (&'a Path, Option<&'a Mark>)>,
    cluster: &str,
    group: &GroupName,
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
