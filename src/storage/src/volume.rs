//! The folders that files lie in: which of them takes the next file, and how bytes get a durable place there.

mod appender;
mod durability;
mod fresh;
mod incoming;
mod journal;
mod mark;
mod names;
mod part_writer;
mod parts;
mod parts_lock;
mod room;
mod staging;
mod store_path;
mod sums;

use std::path::PathBuf;
use std::sync::Arc;

use tnv_common::config::WrittenPath;
use tnv_proto::{ErrorCode, Failure, GroupName};

pub use incoming::Incoming;
pub(crate) use incoming::Written;
pub use mark::{Mark, Owner};
pub(crate) use names::Remains;
pub use part_writer::PartWriter;
pub use parts::Parts;
pub(crate) use parts_lock::PartsLock;
pub use room::Reservation;
pub use store_path::StorePath;
pub(crate) use store_path::{explain, is_unreachable};

use self::store_path::Prepared;
use crate::config::{Replication, Writing};
use crate::layout::Place;

/// A store path, or the marks of several, that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VolumeError {
    /// A folder cannot be made, read or written.
    #[error("store path {}: {reason}", path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The marks say that these folders do not belong to this storage, or not together.
    #[error("store path {}: {reason}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What its mark says and what to do.
        reason: String,
    },
    /// None of the folders can be used.
    #[error("no store path can be used: {0}")]
    NoneLeft(String),
}

/// Store paths whose marks have been read and agree. Nothing has been written into them yet.
#[derive(Debug)]
pub struct Candidate {
    paths: Vec<Prepared>,
    owner: Owner,
    is_new: bool,
    writing: Writing,
}

impl Candidate {
    /// Inspects the folders: makes those that are not there and reads their marks. Folders that cannot be used are
    /// left out with a warning. `fresh_id` becomes the storage's identity if no path has one yet. Blocks; meant for
    /// start-up. Folders that are shared and new stay locked until [`Candidate::open`].
    ///
    /// # Errors
    /// [`VolumeError`] for a foreign mark and when no path is left.
    pub fn inspect(
        folders: &[WrittenPath],
        cluster: &str,
        group: &GroupName,
        replication: Replication,
        fresh_id: &str,
    ) -> Result<Candidate, VolumeError> {
        let mut paths = Vec::new();
        let mut unusable = Vec::new();
        // In an order that all storages keep, for they lock them.
        let mut folders: Vec<_> = folders.iter().enumerate().collect();
        folders.sort_by_key(|(_, folder)| &folder.resolved);
        for (n, folder) in folders {
            match StorePath::prepare(folder, replication) {
                Ok(path) => paths.push((n, path)),
                Err(error) => {
                    tracing::warn!(%error, "left out");
                    unusable.push(error.to_string());
                }
            }
        }
        if paths.is_empty() {
            return Err(VolumeError::NoneLeft(unusable.join("; ")));
        }
        paths.sort_by_key(|(n, _)| *n);
        let paths: Vec<_> = paths.into_iter().map(|(_, path)| path).collect();
        let marks = paths.iter().map(|path| (path.root(), path.mark()));
        let marked = mark::agree(marks, cluster, group, replication)?;
        let is_new = marked.is_none();
        let owner = marked.unwrap_or_else(|| Owner {
            storage: fresh_id.to_owned(),
            cluster: cluster.to_owned(),
            group: group.to_string(),
        });
        Ok(Candidate { paths, owner, is_new, writing: Writing::default() })
    }

    /// The same with another way to write files.
    pub fn written(self, writing: Writing) -> Candidate {
        Candidate { writing, ..self }
    }

    /// Who these folders belong to, or will.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether no path has been marked before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Marks those that are new and makes all of them ready for use. `used` is the highest number that the catalog
    /// knows: the path that has it may be away, and its number must not go to another. Blocks.
    ///
    /// # Errors
    /// [`VolumeError::Unusable`].
    pub fn open(self, reserved_space: u64, used: Option<u32>) -> Result<Volume, VolumeError> {
        let marked = self.paths.iter().filter_map(|path| path.mark()).map(|mark| mark.path);
        let mut free_index = marked.chain(used).max().map_or(0, |index| index.saturating_add(1));
        let mut paths = Vec::new();
        for path in self.paths {
            let path = path.settle(&self.owner, free_index, reserved_space, self.writing)?;
            free_index = free_index.max(path.index().saturating_add(1));
            paths.push(Arc::new(path));
        }
        Ok(Volume { paths, owner: self.owner })
    }
}

/// All store paths of a storage.
#[derive(Debug)]
pub struct Volume {
    paths: Vec<Arc<StorePath>>,
    owner: Owner,
}

impl Volume {
    /// Who these folders belong to.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// All usable store paths.
    pub fn paths(&self) -> &[Arc<StorePath>] {
        &self.paths
    }

    /// Whether other storages have the same paths.
    pub fn is_shared(&self) -> bool {
        self.paths.iter().any(|path| path.is_shared())
    }

    /// The store path with this index.
    pub fn path(&self, index: u32) -> Option<&Arc<StorePath>> {
        self.paths.iter().find(|path| path.index() == index)
    }

    /// Sets `size` bytes aside in the store path that has most room.
    ///
    /// # Errors
    /// 507 when none has so much room above its reserved space, 503 when none can be written.
    pub fn reserve(&self, size: u64) -> Result<Reservation, Failure> {
        let mut candidates: Vec<_> = self.paths.iter().filter(|path| path.is_writable()).collect();
        if candidates.is_empty() {
            return Err(Failure::new(ErrorCode::UNAVAILABLE, "no store path can be written right now"));
        }
        candidates.sort_by_key(|path| std::cmp::Reverse(path.free()));
        candidates.iter().find_map(|path| Reservation::take(path, size)).ok_or_else(|| {
            let most = candidates.first().map_or(0, |path| path.free());
            Failure::new(
                ErrorCode::NO_SPACE,
                format!("no room for {size} bytes: the emptiest store path has {most} above reserved_space"),
            )
        })
    }

    /// Where a path of the older system lies: it must begin with a store path as written in the config.
    pub fn locate_written(&self, file_path: &str) -> Option<(Arc<StorePath>, Place)> {
        self.paths.iter().find_map(|path| {
            let below = file_path.strip_prefix(path.written())?;
            // "/srv/" is written into rows as "/srv//000/..." by us and as "/srv/000/..." by others.
            let below = match below.strip_prefix('/') {
                None if path.written().ends_with('/') => below,
                below => below?,
            };
            Some((path.clone(), Place::parse(below)?))
        })
    }

    /// Bytes of all store paths, and bytes that new files may take.
    pub fn space(&self) -> (u64, u64) {
        let add =
            |(total, free): (u64, u64), path: &Arc<StorePath>| (total + path.total(), free + path.free());
        self.paths.iter().fold((0, 0), add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &std::path::Path) -> WrittenPath {
        WrittenPath { written: folder.to_string_lossy().into_owned(), resolved: folder.to_owned() }
    }

    fn open(folders: &[&std::path::Path], group: &str) -> Result<Volume, VolumeError> {
        let folders: Vec<_> = folders.iter().map(|folder| written(folder)).collect();
        let group = GroupName::new(group).unwrap();
        Candidate::inspect(&folders, "tnv", &group, Replication::None, "fresh")?.open(0, None)
    }

    #[test]
    fn a_storage_is_recognised_by_its_marks() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let first = open(&[&a], "group001").unwrap();
        assert_eq!((first.owner().storage.as_str(), first.paths()[0].index()), ("fresh", 0));
        drop(first);
        // A second folder joins, and the order in the config does not matter.
        let both = open(&[&b, &a], "group001").unwrap();
        let index =
            |root: &std::path::Path| both.paths().iter().find(|path| path.root() == root).unwrap().index();
        assert_eq!((index(&a), index(&b)), (0, 1));
    }

    #[test]
    fn foreign_marks_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        drop(open(&[&a], "group001").unwrap());
        let other_group = open(&[&a], "group002").unwrap_err().to_string();
        assert!(other_group.contains("belongs to group group001"), "{other_group}");
        let fresh = [written(&b)];
        let group = GroupName::new("group001").unwrap();
        drop(
            Candidate::inspect(&fresh, "tnv", &group, Replication::None, "another")
                .unwrap()
                .open(0, None)
                .unwrap(),
        );
        let two = open(&[&a, &b], "group001").unwrap_err().to_string();
        assert!(two.contains("belongs to storage another"), "{two}");
    }

    #[test]
    fn two_paths_with_one_number_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b, c) = (folder.path().join("a"), folder.path().join("b"), folder.path().join("c"));
        drop(open(&[&a, &b], "group001").unwrap());
        // While b is away c gets its number, for no copy tells that it is taken.
        drop(open(&[&a, &c], "group001").unwrap());
        let error = open(&[&a, &b, &c], "group001").unwrap_err().to_string();
        assert!(error.contains("it has number 1, and so has"), "{error}");
    }

    #[test]
    fn the_id_key_is_the_path_as_first_written() {
        let folder = tempfile::tempdir().unwrap();
        let group = GroupName::new("group001").unwrap();
        for written in ["data/store", "../data/store"] {
            let path = [WrittenPath { written: written.to_owned(), resolved: folder.path().to_owned() }];
            let volume = Candidate::inspect(&path, "tnv", &group, Replication::None, "fresh")
                .unwrap()
                .open(0, None)
                .unwrap();
            assert_eq!((volume.paths()[0].id_key(), volume.paths()[0].written()), ("data/store", written));
        }
    }

    #[test]
    fn one_folder_serves_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let _held = open(&[folder.path()], "group001").unwrap();
        let error = open(&[folder.path()], "group001").unwrap_err().to_string();
        assert!(error.contains("in use by another storage process"), "{error}");
    }

    #[test]
    fn unusable_folders_are_left_out_unless_all_are() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let good = folder.path().join("good");
        assert_eq!(open(&[&file, &good], "group001").unwrap().paths().len(), 1);
        let error = open(&[&file], "group001").unwrap_err().to_string();
        assert!(error.contains("no store path can be used") && error.contains("file"), "{error}");
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let volume = open(&[folder.path()], "group001").unwrap();
        assert_eq!(volume.reserve(1 << 60).unwrap_err().code, ErrorCode::NO_SPACE);
        let free = volume.space().1;
        let held = volume.reserve(free / 2).unwrap();
        assert_eq!(volume.reserve(free - free / 4).unwrap_err().code, ErrorCode::NO_SPACE);
        drop(held);
        assert!(volume.reserve(free - free / 4).is_ok());
    }

    #[test]
    fn older_paths_are_found_as_written_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let group = GroupName::new("group001").unwrap();
        let open = |written: &str| {
            let written = [WrittenPath { written: written.to_owned(), resolved: folder.path().to_owned() }];
            Candidate::inspect(&written, "tnv", &group, Replication::None, "fresh")
                .unwrap()
                .open(0, None)
                .unwrap()
        };
        let place = "0A1/000/1FF/5F6E7AD2_0FF";
        for row in [format!("../data/{place}"), format!("../data//{place}")] {
            let (path, found) = open("../data/").locate_written(&row).unwrap();
            assert_eq!((path.root(), found.path().as_str()), (folder.path(), place), "{row}");
        }
        let volume = open("../data");
        assert_eq!(volume.locate_written(&format!("../data/{place}")).unwrap().1.path(), place);
        for bad in ["../data", "../data/", "../database/x/y", "/etc/passwd", "../data/../../etc/passwd"] {
            assert!(volume.locate_written(bad).is_none(), "{bad}");
        }
    }
}
