//! A disk as POSIX promises it: contents last once their file was synced, names once their folder was.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::trace::Event;
use crate::harness::files_below;

/// What lasts of all that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Nothing,
    Everything,
    /// Names, and contents none.
    Names,
    /// Contents, and names none.
    Contents,
    /// Everything, but of each write only the first half.
    Torn,
    /// Some, whatever came before or after.
    Some(u64),
}

impl Cut {
    pub(super) fn all(shuffles: u64) -> impl Iterator<Item = Cut> {
        [Cut::Nothing, Cut::Everything, Cut::Names, Cut::Contents, Cut::Torn]
            .into_iter()
            .chain((0..shuffles).map(Cut::Some))
    }

    /// Whether the nth change lasts.
    fn keeps(self, is_name: bool, n: usize) -> bool {
        match self {
            Cut::Nothing => false,
            Cut::Everything | Cut::Torn => true,
            Cut::Names => is_name,
            Cut::Contents => !is_name,
            Cut::Some(seed) => {
                let mut hasher = DefaultHasher::new();
                (seed, is_name, n).hash(&mut hasher);
                hasher.finish() & 1 == 0
            }
        }
    }
}

type Id = usize;

/// What is written or cut off.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Change {
    fn apply(&self, contents: &mut Vec<u8>, is_torn: bool) {
        match self {
            Change::Write { offset, bytes } => {
                contents.resize(contents.len().max(offset + bytes.len()), 0);
                let lasts = if is_torn { bytes.len() / 2 } else { bytes.len() };
                contents[*offset..offset + lasts].copy_from_slice(&bytes[..lasts]);
            }
            Change::Resize(len) => contents.resize(*len, 0),
        }
    }
}

/// A file; a folder has no contents.
#[derive(Debug, Default)]
struct Node {
    is_folder: bool,
    len: usize,
    synced: Vec<u8>,
    pending: Vec<Change>,
}

/// Names of one folder that come and go in one step.
#[derive(Debug)]
struct NameChange {
    folder: PathBuf,
    gone: Option<PathBuf>,
    come: Option<(PathBuf, Id)>,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Id>) {
        if let Some(path) = &self.gone {
            names.remove(path);
        }
        if let Some((path, id)) = &self.come {
            names.insert(path.clone(), *id);
        }
    }
}

/// Files and folders, as they are and as they would be after a cut.
#[derive(Debug, Default)]
pub(super) struct Disk {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, Id>,
    synced: BTreeMap<PathBuf, Id>,
    pending: Vec<NameChange>,
}

/// What a cut left: contents by path, `None` of folders.
pub(super) type Found = BTreeMap<PathBuf, Option<Vec<u8>>>;

impl Disk {
    /// All there is now in these folders and files, taken for synced.
    pub(super) fn of(roots: &[PathBuf]) -> Disk {
        let mut disk = Disk::default();
        for root in roots {
            if root.is_dir() {
                disk.add(root.clone(), None);
                for path in files_below(root) {
                    for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(root)) {
                        disk.add(folder.to_owned(), None);
                    }
                    let contents = std::fs::read(&path).unwrap();
                    disk.add(path, Some(contents));
                }
            } else {
                disk.add(root.clone(), Some(std::fs::read(root).unwrap()));
            }
        }
        disk
    }

    fn add(&mut self, path: PathBuf, contents: Option<Vec<u8>>) {
        let is_folder = contents.is_none();
        let synced = contents.unwrap_or_default();
        self.nodes.push(Node { is_folder, len: synced.len(), synced, pending: Vec::new() });
        self.names.insert(path.clone(), self.nodes.len() - 1);
        self.synced.insert(path, self.nodes.len() - 1);
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Make { path, is_folder } => {
                if !self.names.contains_key(path) {
                    self.nodes.push(Node { is_folder: *is_folder, ..Node::default() });
                    self.rename(None, Some((path.clone(), self.nodes.len() - 1)));
                }
            }
            Event::Write { path, offset, bytes } => {
                let node = self.node(path);
                let offset = offset.map_or(node.len, |offset| offset.try_into().unwrap());
                node.len = node.len.max(offset + bytes.0.len());
                node.pending.push(Change::Write { offset, bytes: bytes.0.clone() });
            }
            Event::Resize { path, len, shrink } => {
                let (node, len) = (self.node(path), usize::try_from(*len).unwrap());
                if *shrink || len > node.len {
                    node.len = len;
                    node.pending.push(Change::Resize(len));
                }
            }
            Event::Sync(path) => {
                let id = self.names[path];
                if self.nodes[id].is_folder {
                    let (of_folder, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
                        .into_iter()
                        .partition(|change| change.folder == *path);
                    self.pending = rest;
                    of_folder.iter().for_each(|change| change.apply(&mut self.synced));
                } else {
                    self.nodes[id].sync();
                }
            }
            Event::SyncAll => {
                self.nodes.iter_mut().for_each(Node::sync);
                std::mem::take(&mut self.pending).iter().for_each(|change| change.apply(&mut self.synced));
            }
            Event::Name { from, to, keep } => {
                let id = self.names[from];
                let gone = (!keep).then(|| from.clone());
                if from.parent() == to.parent() || *keep {
                    self.rename(gone, Some((to.clone(), id)));
                } else {
                    panic!("{} moves to another folder", from.display());
                }
            }
            Event::Unlink(path) => self.rename(Some(path.clone()), None),
            Event::Reply => {}
        }
    }

    #[track_caller]
    fn node(&mut self, path: &Path) -> &mut Node {
        let id = *self.names.get(path).unwrap_or_else(|| panic!("{} is not known", path.display()));
        &mut self.nodes[id]
    }

    fn rename(&mut self, gone: Option<PathBuf>, come: Option<(PathBuf, Id)>) {
        let path = come.as_ref().map(|(path, _)| path).or(gone.as_ref()).unwrap();
        let change = NameChange { folder: path.parent().unwrap().to_owned(), gone, come };
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    /// What is there after a cut now.
    pub(super) fn after(&self, cut: Cut) -> Found {
        let mut names = self.synced.clone();
        for (n, change) in self.pending.iter().enumerate() {
            if cut.keeps(true, n) {
                change.apply(&mut names);
            }
        }
        let contents = |id: Id| {
            let node = &self.nodes[id];
            let mut contents = node.synced.clone();
            for (n, change) in node.pending.iter().enumerate() {
                if cut.keeps(false, n) {
                    change.apply(&mut contents, cut == Cut::Torn);
                }
            }
            (!node.is_folder).then_some(contents)
        };
        names.iter().map(|(path, id)| (path.clone(), contents(*id))).collect()
    }
}

impl Node {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.synced, false);
        }
    }
}

/// Tells states apart.
pub(super) fn digest(found: &Found) -> u64 {
    let mut hasher = DefaultHasher::new();
    found.hash(&mut hasher);
    hasher.finish()
}

/// Makes the folder anew with these files. What lies in a folder that did not last is lost.
pub(super) fn write(folder: &Path, found: impl Iterator<Item = (PathBuf, Option<Vec<u8>>)>) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    std::fs::create_dir(folder).unwrap();
    for (path, contents) in found {
        let path = folder.join(path);
        if !path.parent().is_some_and(Path::is_dir) {
            continue;
        }
        match contents {
            Some(contents) => std::fs::write(path, contents).unwrap(),
            None => std::fs::create_dir(path).unwrap(),
        }
    }
}
