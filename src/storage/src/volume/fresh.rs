//! Looking past the caches of a network file system's client, which may not know yet what another host has written.
//! (What is cached below the kernel, by GlusterFS' own translators, must be switched off there.)

use std::fs::File;
use std::io;

use rustix::fs::{Advice, AtFlags, StatxFlags, fadvise, statx};

/// Has the contents read anew.
pub(super) fn forget_contents(file: &File) -> io::Result<()> {
    Ok(fadvise(file, 0, None, Advice::DontNeed)?)
}

/// The length, as the servers know it.
pub(super) fn len(file: &File) -> io::Result<u64> {
    let asked = statx(file, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, StatxFlags::SIZE)?;
    Ok(asked.stx_size)
}
