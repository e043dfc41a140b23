//! Uploads that come in parts, and large copies from other storages, as they lie on the disk: below each store path a folder with three files for each:
//! the bytes, how many of them are durable, and whose they are. They outlive every process; what they become in the
//! end is a second name (a hard link) for the bytes at the file's place, so that nothing is lost whenever a crash
//! comes. Every method blocks.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tnv_proto::{Checksum, FileKey, Labels, NewUpload};

use super::journal::{make_folder, remove_if_there, sync_folder};
use super::{PartWriter, StorePath, Volume, fresh, parts_lock, staging};
use crate::digest::{Digest, Received};
use crate::layout::Place;

/// The folder's name within a store path.
pub(super) const FOLDER: &str = ".tnv-parts";
/// Read at a time when the whole is checked.
const CHECK_BUFFER: usize = 1024 * 1024;

/// Whose bytes they are. The last of the three files to be written and the first to go: with it, they exist.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    app: String,
    user: String,
    file: String,
    size: u64,
    name: String,
    content_type: String,
    #[serde(default)]
    ack_copies: u8,
}

/// An upload that comes in parts.
#[derive(Debug, Clone)]
pub struct Parts {
    path: Arc<StorePath>,
    stem: String,
    new: NewUpload,
    offset: u64,
    touched: SystemTime,
}

/// The files' common name: ids are no file names.
pub(super) fn stem(key: &FileKey) -> String {
    name_of(key, &[])
}

/// The common name of a copy's files. An upload of the key, for which clients ask, has another one.
fn stem_of_copy(key: &FileKey, blake3: &Checksum) -> String {
    name_of(key, &blake3.0)
}

fn name_of(key: &FileKey, more: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in [key.app.as_str(), key.user.as_str(), key.file.as_str()] {
        hasher.update(text.as_bytes()).update(&[0]);
    }
    hasher.update(more);
    let mut stem = hasher.finalize().to_hex().to_string();
    stem.truncate(32);
    stem
}

impl Parts {
    /// Begins an upload in this store path.
    ///
    /// # Errors
    /// I/O errors.
    pub fn begin(path: &Arc<StorePath>, new: NewUpload) -> io::Result<Parts> {
        let stem = stem(&new.key);
        Parts::begin_as(path, stem, new)
    }

    /// Begins a copy, in this store path, of a file that another storage has.
    ///
    /// # Errors
    /// I/O errors.
    pub fn begin_copy(
        path: &Arc<StorePath>,
        key: FileKey,
        size: u64,
        blake3: &Checksum,
    ) -> io::Result<Parts> {
        let stem = stem_of_copy(&key, blake3);
        Parts::begin_as(path, stem, NewUpload { key, size, labels: Labels::default(), ack_copies: 0 })
    }

    fn begin_as(path: &Arc<StorePath>, stem: String, new: NewUpload) -> io::Result<Parts> {
        let folder = path.root().join(FOLDER);
        if !folder.try_exists()? {
            make_folder(&folder, path.root())?;
        }
        let parts = Parts { path: path.clone(), stem, new, offset: 0, touched: SystemTime::now() };
        let manifest = Manifest {
            app: parts.new.key.app.to_string(),
            user: parts.new.key.user.to_string(),
            file: parts.new.key.file.to_string(),
            size: parts.new.size,
            name: parts.new.labels.name().to_owned(),
            content_type: parts.new.labels.content_type().to_owned(),
            ack_copies: parts.new.ack_copies,
        };
        // First, for it is what expiry looks at.
        let mut offset = File::create(parts.offset_path())?;
        offset.write_all(&0_u64.to_be_bytes())?;
        offset.sync_all()?;
        // What lies under the name may be a file's other name, and be read at this moment.
        remove_if_there(&parts.data_path())?;
        File::create_new(parts.data_path())?.sync_all()?;
        let fresh = folder.join(format!("{}.new", parts.stem));
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec(&manifest).map_err(io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(fresh, parts.manifest_path())?;
        File::open(folder)?.sync_all()?;
        Ok(parts)
    }

    /// The upload of this key, in whichever store path it lies.
    ///
    /// # Errors
    /// I/O errors.
    pub fn find(volume: &Volume, key: &FileKey) -> io::Result<Option<Parts>> {
        Parts::find_as(volume, &stem(key), key)
    }

    /// What has come of a copy with this BLAKE3, in whichever store path it lies.
    ///
    /// # Errors
    /// I/O errors.
    pub fn find_copy(volume: &Volume, key: &FileKey, blake3: &Checksum) -> io::Result<Option<Parts>> {
        Parts::find_as(volume, &stem_of_copy(key, blake3), key)
    }

    fn find_as(volume: &Volume, stem: &str, key: &FileKey) -> io::Result<Option<Parts>> {
        for path in volume.paths() {
            if let Some(parts) = Parts::read(path, stem)?.filter(|parts| parts.new.key == *key) {
                return Ok(Some(parts));
            }
        }
        for path in volume.paths() {
            path.check_mark()?;
        }
        Ok(None)
    }

    fn read(path: &Arc<StorePath>, stem: &str) -> io::Result<Option<Parts>> {
        match Parts::read_files(path, stem) {
            // Another storage may be removing it: the manifest goes first.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && !path.root().join(FOLDER).join(format!("{stem}.json")).try_exists()? =>
            {
                Ok(None)
            }
            parts => parts,
        }
    }

    fn read_files(path: &Arc<StorePath>, stem: &str) -> io::Result<Option<Parts>> {
        let folder = path.root().join(FOLDER);
        let manifest = match std::fs::read(folder.join(format!("{stem}.json"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            manifest => manifest?,
        };
        let manifest: Manifest = serde_json::from_slice(&manifest).map_err(invalid)?;
        let new = NewUpload {
            key: FileKey::new(&manifest.app, &manifest.user, &manifest.file).map_err(invalid)?,
            size: manifest.size,
            labels: Labels::new(&manifest.name, &manifest.content_type).map_err(invalid)?,
            ack_copies: manifest.ack_copies,
        };
        let mut offset = [0; 8];
        let file = File::open(folder.join(format!("{stem}.offset")))?;
        if path.is_shared() {
            // Another storage may have written it since it was last read here.
            fresh::forget_contents(&file)?;
        }
        (&file).read_exact(&mut offset)?;
        let touched = file.metadata()?.modified()?;
        let offset = u64::from_be_bytes(offset);
        let there = path.len_of(&File::open(folder.join(format!("{stem}.data")))?)?;
        if offset > there || offset > new.size {
            let text = format!("{offset} bytes of {} should be durable, {there} are there", new.key);
            return Err(invalid(text));
        }
        Ok(Some(Parts { path: path.clone(), stem: stem.to_owned(), new, offset, touched }))
    }

    /// What it is to become.
    pub fn new_upload(&self) -> &NewUpload {
        &self.new
    }

    /// Its bytes, from the first on. Blocks.
    ///
    /// # Errors
    /// I/O errors.
    pub fn open(&self) -> io::Result<File> {
        File::open(self.data_path())
    }

    /// The store path it lies in.
    pub fn path(&self) -> &Arc<StorePath> {
        &self.path
    }

    /// Bytes that are durable.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// When it was last written to, in milliseconds since 1970.
    pub fn touched_ms(&self) -> i64 {
        let since = self.touched.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    /// Opens it for the next part. What an earlier part left behind the durable bytes is cut off.
    ///
    /// # Errors
    /// I/O errors; [`io::ErrorKind::WouldBlock`] if another storage still has it open for writing.
    pub fn writer(&self) -> io::Result<PartWriter> {
        let mut data = OpenOptions::new().write(true).open(self.data_path())?;
        // The bytes are locked as well as the upload. A file system that is strict in this lets nobody write through a
        // lock that its servers have forgotten.
        if self.path.is_shared() && !staging::lock(&data)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        data.set_len(self.offset)?;
        data.seek(SeekFrom::Start(self.offset))?;
        let offset_file = OpenOptions::new().write(true).open(self.offset_path())?;
        Ok(PartWriter::new(self.path.clone(), data, offset_file, self.offset))
    }

    /// Reads the whole and takes its checksums.
    ///
    /// # Errors
    /// I/O errors.
    pub fn check(&self) -> io::Result<Received> {
        let mut digest = Digest::default();
        let len = self.read_into(&mut digest, u64::MAX)?;
        if len != self.new.size {
            return Err(invalid(format!("{len} of {} bytes are there", self.new.size)));
        }
        Ok(digest.finish())
    }

    /// Reads the bytes that are durable, and begins their checksums.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn digest(&self) -> io::Result<Digest> {
        let mut digest = Digest::default();
        let len = self.read_into(&mut digest, self.offset)?;
        if len != self.offset {
            return Err(invalid(format!("{len} of {} durable bytes are there", self.offset)));
        }
        Ok(digest)
    }

    /// Has the checksums taken of its bytes, `most` of them at most. How many there were.
    fn read_into(&self, digest: &mut Digest, most: u64) -> io::Result<u64> {
        let file = File::open(self.data_path())?;
        if self.path.is_shared() {
            fresh::forget_contents(&file)?;
        }
        let mut file = file.take(most);
        let mut buffer = vec![0; CHECK_BUFFER];
        let mut len = 0_u64;
        loop {
            let got = file.read(&mut buffer)?;
            if got == 0 {
                return Ok(len);
            }
            digest.update(&buffer[..got]);
            len += got as u64;
        }
    }

    /// Gives the bytes a second name: the temporary one of this place. Both are durable then.
    ///
    /// # Errors
    /// I/O errors.
    pub fn link_to(&self, place: &Place) -> io::Result<()> {
        let temp = self.path.stage(place)?;
        std::fs::hard_link(self.data_path(), &temp)?;
        sync_folder(temp.parent().unwrap_or(self.path.root()))
    }

    /// Forgets the upload, durably: it must not be there again after the file was deleted.
    ///
    /// # Errors
    /// I/O errors; files that are gone already are fine.
    pub fn remove(&self) -> io::Result<()> {
        remove_files(&self.path.root().join(FOLDER), &self.stem)
    }

    /// Whether there is anything of an upload of this key.
    ///
    /// # Errors
    /// I/O errors.
    pub fn is_there(volume: &Volume, key: &FileKey) -> io::Result<bool> {
        let stem = stem(key);
        for path in volume.paths() {
            let folder = path.root().join(FOLDER);
            for kind in ["json", "data"] {
                if folder.join(format!("{stem}.{kind}")).try_exists()? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Removes whatever there is of an upload, even if it cannot be read. `false`: there was nothing.
    ///
    /// # Errors
    /// I/O errors.
    pub fn discard(volume: &Volume, key: &FileKey) -> io::Result<bool> {
        let stem = stem(key);
        let mut found = false;
        for path in volume.paths() {
            let folder = path.root().join(FOLDER);
            found |= folder.join(format!("{stem}.json")).try_exists()?;
            if folder.try_exists()? {
                remove_files(&folder, &stem)?;
            }
        }
        Ok(found)
    }

    /// Forgets the uploads in this store path that nothing has come for in so long and that `enter` lets in to:
    /// nobody may be writing to them. Returns how many there were.
    ///
    /// # Errors
    /// I/O errors.
    pub fn expire<G>(
        path: &Arc<StorePath>,
        now: SystemTime,
        unused_for: Duration,
        enter: impl Fn(&FileKey) -> Option<G>,
    ) -> io::Result<usize> {
        let entries = match std::fs::read_dir(path.root().join(FOLDER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        let mut expired = 0;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let stem = name.strip_suffix(".offset");
            if stem.is_none() && !name.ends_with(parts_lock::SUFFIX) {
                continue;
            }
            let is_old = |touched: SystemTime| now.duration_since(touched).unwrap_or_default() > unused_for;
            let touched = match entry.metadata() {
                // Finished or given up at this moment.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?.modified()?,
            };
            if !is_old(touched) {
                continue;
            }
            let outcome = match stem {
                None => parts_lock::remove_stale(entry.path()).map(|()| false),
                Some(stem) => Parts::expire_one(path, stem, is_old, &enter),
            };
            match outcome {
                Ok(is_gone) => expired += usize::from(is_gone),
                // The others are not worse for it.
                Err(error) => {
                    tracing::warn!(name, %error, "cannot forget an upload in parts that has expired")
                }
            }
        }
        Ok(expired)
    }

    fn expire_one<G>(
        path: &Arc<StorePath>,
        stem: &str,
        is_old: impl Fn(SystemTime) -> bool,
        enter: impl Fn(&FileKey) -> Option<G>,
    ) -> io::Result<bool> {
        let parts = match Parts::read(path, stem) {
            Ok(Some(parts)) => parts,
            // One that makes no sense is of no use to anybody.
            Err(error)
                if error.kind() != io::ErrorKind::InvalidData && error.kind() != io::ErrorKind::NotFound =>
            {
                return Err(error);
            }
            _ => return remove_files(&path.root().join(FOLDER), stem).map(|()| true),
        };
        let Some(_guard) = enter(&parts.new.key) else { return Ok(false) };
        // Somebody may have written to it before the door was shut.
        if !Parts::read(path, stem)?.is_some_and(|parts| is_old(parts.touched)) {
            return Ok(false);
        }
        parts.remove().map(|()| true)
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.path.root().join(FOLDER).join(format!("{}.{kind}", self.stem))
    }

    fn manifest_path(&self) -> PathBuf {
        self.file("json")
    }

    fn data_path(&self) -> PathBuf {
        self.file("data")
    }

    fn offset_path(&self) -> PathBuf {
        self.file("offset")
    }
}

fn remove_files(folder: &Path, stem: &str) -> io::Result<()> {
    for kind in ["json", "new", "data", "offset"] {
        remove_if_there(&folder.join(format!("{stem}.{kind}")))?;
    }
    sync_folder(folder)
}

/// An error of one that was read and makes no sense.
fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
