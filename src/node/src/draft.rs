//! A package that is being made: the file beside the one it will replace, written in any order, each member counted when
//! its bytes are the right ones.
//!
//! Everything here blocks, but for what [`Verified`] does.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use tnv_common::disk::{Disk, DiskFile};
use tnv_package::{Layout, Member, Verifier};

use crate::folder::Folder;
use crate::intake::{self, Intake};
use crate::journal::Journal;
use crate::package::{self, Package};
use crate::plan::Source;
use crate::verified::Verified;

/// How much is read at once for the last look at the whole.
const CHUNK: usize = 1024 * 1024;

/// A package that is being made.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) layout: Layout,
    pub(crate) file: Arc<DiskFile>,
    pub(crate) verified: Verified,
    folder: Folder,
    journal: Mutex<Journal>,
    /// How far members have come that are not whole.
    begun: BTreeMap<usize, u64>,
}

/// Members of files that are not needed otherwise any more.
#[derive(Debug)]
pub(crate) struct Quarry {
    pub(crate) file: Arc<DiskFile>,
    pub(crate) source: Source,
}

impl Draft {
    /// Begins a package, or goes on with one of the same version. One of another version is set aside.
    ///
    /// # Errors
    /// I/O errors; where the disk is full, nothing of it is left there.
    pub(crate) fn begin(folder: Folder, layout: Layout, disk: &Disk) -> io::Result<Draft> {
        folder.create()?;
        if let Some(draft) = Draft::resume(&folder, &layout, disk)? {
            return Ok(draft);
        }
        folder.set_draft_aside()?;
        let file = File::options().read(true).write(true).create_new(true).open(folder.draft())?;
        let begun = allocate(&file, layout.len()).and_then(|()| {
            package::frame(&layout).try_for_each(|(at, bytes)| file.write_all_at(&bytes, at))?;
            Journal::create(&folder.journal())
        });
        match begun {
            Ok(journal) => Ok(Draft::new(folder, layout, (file, disk), journal)),
            Err(error) => {
                // It would take up the room that is missing.
                let _ = crate::durable::remove(&folder.draft());
                Err(error)
            }
        }
    }

    fn new(folder: Folder, layout: Layout, (file, disk): (File, &Disk), journal: Journal) -> Draft {
        let ranges = (0..).map_while(|index| layout.member_range(index)).collect();
        let verified = Verified::new(layout.len(), ranges);
        let file = Arc::new(DiskFile::new(file, layout.len(), disk.clone()));
        Draft { layout, file, verified, folder, journal: Mutex::new(journal), begun: BTreeMap::new() }
    }

    /// Goes on with what a process before left, if it was this version.
    fn resume(folder: &Folder, layout: &Layout, disk: &Disk) -> io::Result<Option<Draft>> {
        let Some(file) = open_existing(&folder.draft())? else { return Ok(None) };
        let same = package::layout_of(&file)
            .is_ok_and(|found| found.manifest().version() == layout.manifest().version());
        if !same || file.metadata()?.len() != layout.len() {
            return Ok(None);
        }
        let said = Journal::read(&folder.journal())?;
        // Whatever a power cut has made of them, these are known.
        package::frame(layout).try_for_each(|(at, bytes)| file.write_all_at(&bytes, at))?;
        let journal = Journal::append(&folder.journal())?;
        let mut draft = Draft::new(folder.clone(), layout.clone(), (file, disk), journal);
        draft.adopt(said)?;
        Ok(Some(draft))
    }

    /// Looks at what the journal says is there.
    fn adopt(&mut self, said: BTreeMap<usize, u64>) -> io::Result<()> {
        for (index, written) in said {
            let Some(member) = self.member(index) else { continue };
            if written < member.size {
                self.begun.insert(index, written);
            } else {
                self.check(index)?;
            }
        }
        Ok(())
    }

    /// What members it may copy: those of the package before it, and of a draft that was set aside.
    pub(crate) fn quarries(&self, before: Option<&Package>) -> io::Result<Vec<Quarry>> {
        let before = before.map(|package| Quarry { file: package.file.clone(), source: package.source() });
        let former = open_existing(&self.folder.former())?.and_then(|file| {
            let layout = package::layout_of(&file).ok()?;
            let done = Journal::read(&self.folder.former_journal()).ok()?;
            let whole = |index: usize| {
                let size = layout.manifest().members().get(index).map(|member| member.size);
                done.get(&index).copied() == size
            };
            let source = package::source(&layout, whole);
            Some(Quarry {
                source,
                file: Arc::new(DiskFile::new(file, layout.len(), self.file.disk().clone())),
            })
        });
        Ok(before.into_iter().chain(former).collect())
    }

    /// Copies a member from another file. `false` if its bytes there are not the right ones.
    ///
    /// # Errors
    /// I/O errors of the draft; a source that cannot be read is one that does not have it.
    pub(crate) fn copy(&self, index: usize, from: &File, at: u64) -> io::Result<bool> {
        let Some(range) = self.layout.member_range(index) else { return Ok(false) };
        match intake::copy(from, at, self.file.file(), range) {
            Ok(()) => self.check(index),
            Err(error) if is_full(&error) => Err(error),
            Err(error) => {
                tracing::debug!(index, %error, "a member cannot be copied");
                Ok(false)
            }
        }
    }

    /// Copies a member from another one of the same package.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn repeat(&self, index: usize, like: usize) -> io::Result<bool> {
        let Some(range) = self.layout.member_range(like) else { return Ok(false) };
        self.copy(index, self.file.file(), range.start)
    }

    /// Begins to take a member in, with what an earlier process had of it.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn intake(&self, index: usize) -> io::Result<Intake> {
        let range = self.layout.member_range(index).unwrap_or_default();
        let mut intake = Intake::new(self.file.clone(), range);
        intake.adopt(self.begun.get(&index).copied().unwrap_or(0))?;
        Ok(intake)
    }

    /// Notes how far a member has come.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn note(&self, index: usize, written: u64) -> io::Result<()> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).note(index, written)
    }

    /// Counts a member that has come in, if its bytes are the right ones.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn accept(&self, index: usize, intake: &Intake) -> io::Result<bool> {
        let right = self.member(index).is_some_and(|member| intake.is(&member.blake3, member.crc32));
        if right {
            self.note(index, intake.written())?;
            self.verified.add(index);
        }
        Ok(right)
    }

    /// Counts a member whose bytes are there, if they are the right ones.
    fn check(&self, index: usize) -> io::Result<bool> {
        let range = self.layout.member_range(index).unwrap_or_default();
        let len = range.end - range.start;
        let mut intake = Intake::new(self.file.clone(), range);
        intake.adopt(len)?;
        self.accept(index, &intake)
    }

    pub(crate) fn member(&self, index: usize) -> Option<&Member> {
        self.layout.manifest().members().get(index)
    }

    /// Looks at the whole once more, makes it durable, and puts it in the place of the package before.
    ///
    /// # Errors
    /// I/O errors, and bytes that are not those that were written.
    pub(crate) fn publish(&self, now_ms: i64) -> io::Result<Package> {
        self.look_at_all()?;
        self.folder.publish(self.file.file())?;
        if let Err(error) = self.folder.remove_former() {
            tracing::warn!(%error, "what was set aside cannot be removed");
        }
        Ok(Package::new(self.layout.clone(), self.file.clone(), now_ms))
    }

    fn look_at_all(&self) -> io::Result<()> {
        let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut verifier = Verifier::new(&self.layout);
        let mut chunk = vec![0; CHUNK];
        let mut at = 0;
        loop {
            let read = match self.file.file().read_at(&mut chunk, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                return verifier.finish().map_err(wrong);
            }
            verifier.update(chunk.get(..read).unwrap_or_default()).map_err(wrong)?;
            at += read as u64;
        }
    }

    /// Forgets that anything of it is there: what it has turned out to be wrong.
    pub(crate) fn discard(&self) {
        let removed = crate::durable::remove(&self.folder.journal())
            .and_then(|()| crate::durable::remove(&self.folder.draft()));
        if let Err(error) = removed {
            tracing::warn!(%error, "an unfinished package cannot be removed");
        }
    }
}

/// Whether there was no room for something.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Takes the room for a file now, so that its end is found out before its beginning is fetched.
fn allocate(file: &File, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) => Ok(()),
        // File systems that cannot do it make room as bytes come.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(len),
        Err(error) => Err(error.into()),
    }
}

fn open_existing(path: &Path) -> io::Result<Option<File>> {
    match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}
