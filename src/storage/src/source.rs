//! Opening a stored file that is to be sent.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;
use tnv_common::disk::DiskFile;

use crate::layout::Place;
use crate::volume::StorePath;

/// Opens the file, if that takes no disk and finds what is expected. `None`: ask [`open`].
pub(crate) fn open_cached(path: &StorePath, place: &Place, len: u64) -> Option<DiskFile> {
    let file = path.disk().open_cached(&path.root().join(place.path()))?;
    (file.len() == len).then_some(file)
}

/// Opens the file and brings `wanted` into memory.
///
/// # Errors
/// I/O errors; [`ErrorKind::InvalidData`] where the file is not `len` bytes long.
pub(crate) async fn open(
    path: Arc<StorePath>,
    place: Place,
    len: u64,
    wanted: Range<u64>,
) -> io::Result<DiskFile> {
    let disk = path.disk().clone();
    let open = move || {
        let file = open_blocking(&path, &place, len)?;
        if file.disk().tells_what_is_cached() {
            file.warm_blocking(&wanted, wanted.end)?;
        }
        Ok(file)
    };
    disk.wait_for(open).await
}

fn open_blocking(path: &StorePath, place: &Place, len: u64) -> io::Result<DiskFile> {
    let file = path.open_file(place)?;
    let mut found = file.metadata()?.len();
    if found != len {
        // What is known here may be of a time when another storage was writing it.
        found = path.len_of(&file)?;
    }
    if found != len {
        let text = format!("the file has {found} bytes, the catalog says {len}");
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    Ok(DiskFile::new(file, len, path.disk().clone()))
}

/// Whether an error of reading says that the bytes are not, or no longer, those that were stored.
pub(crate) fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        || Errno::from_io_error(error) == Some(Errno::IO)
}
