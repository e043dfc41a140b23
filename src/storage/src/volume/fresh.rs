//! Looking past the caches of a network file system's client, which may not know yet what another host has written.
//! (What is cached below the kernel, by GlusterFS' own translators, must be switched off there.)

use std::fs::File;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use rustix::fs::{Advice, AtFlags, StatxFlags, fadvise, statx};
use rustix::io::Errno;

/// Between attempts at something that fails for a moment.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(500)];

/// Does what may fail because another host is making the same folder at this moment: GlusterFS says EIO of one that has
/// a name already and no place yet. Blocks.
pub(super) fn patiently<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for pause in PAUSES {
        match work() {
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => sleep(pause),
            outcome => return outcome,
        }
    }
    work()
}

/// Has the contents read anew.
pub(super) fn forget_contents(file: &File) -> io::Result<()> {
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

/// The length, as the servers know it.
pub(super) fn len(file: &File) -> io::Result<u64> {
    let asked = statx(file, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, StatxFlags::SIZE)?;
    Ok(asked.stx_size)
}
