//! What the file system alone does: a loop that stores small files as a storage lays them out, without a network or a
//! database.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use hdrhistogram::Histogram;

use crate::bench::Bench;
use crate::contents;
use crate::cpu::Meter;
use crate::load::{Load, Window, latencies, record};
use crate::versus::Turn;

/// A folder that small files go into: create, write, rename, with 512 files to a folder. Nothing is ever deleted.
pub(crate) struct BareLoop {
    shared: Arc<Shared>,
    threads: usize,
}

struct Shared {
    root: PathBuf,
    contents: Vec<u8>,
    /// Whether each file, its name included, is on the disk before the next one begins.
    syncs: bool,
    next: AtomicU64,
    is_measured: AtomicBool,
    is_over: AtomicBool,
}

impl BareLoop {
    /// One with this many threads, in a new folder of that name.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub(crate) fn new(
        bench: &Bench,
        name: &str,
        size: usize,
        threads: usize,
        syncs: bool,
    ) -> anyhow::Result<BareLoop> {
        let shared = Shared {
            root: bench.folder(name)?,
            contents: contents::whole(size),
            syncs,
            next: AtomicU64::new(0),
            is_measured: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        };
        Ok(BareLoop { shared: Arc::new(shared), threads })
    }

    /// One turn. The CPU time is that of this process, which has nothing else to do meanwhile.
    ///
    /// # Errors
    /// The first of any file.
    pub(crate) fn turn(&mut self, bench: &mut Bench, window: Window) -> anyhow::Result<Turn> {
        let (shared, mut meter) = (&self.shared, Meter::of(std::process::id()));
        shared.is_over.store(false, Ordering::Relaxed);
        let threads: Vec<_> = (0..self.threads)
            .map(|_| {
                let shared = shared.clone();
                std::thread::spawn(move || shared.store_until_over())
            })
            .collect();
        let elapsed = bench.run(async {
            tokio::time::sleep(window.warm_up).await;
            meter.begin()?;
            shared.is_measured.store(true, Ordering::Relaxed);
            let begin = Instant::now();
            tokio::time::sleep(window.measured).await;
            shared.is_measured.store(false, Ordering::Relaxed);
            meter.end()?;
            Ok(begin.elapsed())
        });
        shared.is_over.store(true, Ordering::Relaxed);
        let mut all = latencies();
        for thread in threads {
            let stored = thread.join().map_err(|_| anyhow::anyhow!("a thread of the bare loop panicked"))?;
            all.add(stored?)?;
        }
        Ok(Turn::of_load(Load { elapsed: elapsed?, latencies: all }, meter.used()))
    }
}

impl Shared {
    fn store_until_over(&self) -> anyhow::Result<Histogram<u64>> {
        let mut taken = latencies();
        while !self.is_over.load(Ordering::Relaxed) {
            let start = Instant::now();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            self.store(number).with_context(|| format!("file {number} of the bare loop"))?;
            if self.is_measured.load(Ordering::Relaxed) {
                record(&mut taken, start.elapsed());
            }
        }
        Ok(taken)
    }

    fn store(&self, number: u64) -> std::io::Result<()> {
        let (folder, name) = place(&self.root, number);
        let temporary = folder.join(format!("{name}.tmp"));
        let create = || File::options().write(true).create_new(true).open(&temporary);
        let mut file = match create() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&folder)?;
                create()?
            }
            file => file?,
        };
        file.write_all(&self.contents)?;
        std::fs::rename(&temporary, folder.join(name))?;
        if self.syncs {
            // Behind the rename: the journal then has the name as well.
            file.sync_all()?;
        }
        Ok(())
    }
}

/// Folder and name of a file, as docs/protocol.md has them.
fn place(root: &Path, number: u64) -> (PathBuf, String) {
    let digit = |power: u32| number / 512u64.pow(power) % 512;
    let folder = root.join(format!("{:03}/{:03}/{:03}", digit(3), digit(2), digit(1)));
    (folder, format!("5F6E7AD2_{:03}", digit(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_where_a_storage_would_put_them() {
        let root = tempfile::tempdir().unwrap();
        let shared = Shared {
            root: root.path().to_owned(),
            contents: contents::whole(100),
            syncs: true,
            next: AtomicU64::new(0),
            is_measured: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
        };
        shared.store(512 + 7).unwrap();
        let stored = std::fs::read(root.path().join("000/000/001/5F6E7AD2_007")).unwrap();
        assert_eq!(stored, contents::whole(100));
        assert_eq!(std::fs::read_dir(root.path().join("000/000/001")).unwrap().count(), 1);
    }
}
