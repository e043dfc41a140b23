//! The large store. It takes minutes to fill, so it is kept between runs, with a note of what is in it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tnv_proto::FileKey;
use tokio::task::JoinSet;

use super::{CONNECTIONS, SIZE};
use crate::bench::Bench;
use crate::cluster::Cluster;
use crate::wire::Uploads;

/// Files uploaded before the note is written anew: a run that is stopped is taken up from there.
const BATCH: u64 = 20_000;
/// How many files are noted by their names, at most.
const SAMPLE: u64 = 20_000;
/// The note.
const STAMP: &str = "stamp.json";

/// A running cluster whose store holds many files.
pub(super) struct Store {
    pub(super) cluster: Cluster,
    /// Some of them, from everywhere in the store.
    pub(super) sample: Vec<FileKey>,
}

/// What a store was filled with. Later uploads of a measurement are not counted.
#[derive(Serialize, Deserialize)]
struct Stamp {
    files: u64,
    size: u64,
    /// App, user and id.
    sample: Vec<[String; 3]>,
}

/// Opens the store with so many files, filled first if it is not.
///
/// # Errors
/// If a server cannot be started or refuses a file.
pub(super) fn open(bench: &mut Bench, files: u64) -> anyhow::Result<Store> {
    let folder = bench.output().canonicalize()?.join("scale").join(format!("files-{files}"));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut stamp = Stamp::read(&folder)?;
    if stamp.files < files {
        fill(bench, &folder, &mut stamp, files)?;
    }
    let cluster = start(bench, &folder, &[])?;
    let sample = stamp.sample.iter().map(|[app, user, file]| FileKey::new(app, user, file));
    Ok(Store { cluster, sample: sample.collect::<Result<_, _>>()? })
}

fn start(bench: &mut Bench, folder: &Path, settings: &[&str]) -> anyhow::Result<Cluster> {
    let database = format!("sqlite:{}", folder.join("tnv.db").display());
    Cluster::start(bench, folder, &database, settings)
}

/// Uploads what is missing. Nobody waits for the disk here, where the program knows how not to.
fn fill(bench: &mut Bench, folder: &Path, stamp: &mut Stamp, files: u64) -> anyhow::Result<()> {
    let quickly = if bench.knows("storage", "sync=none") { &["sync=none"][..] } else { &[] };
    let cluster = start(bench, folder, quickly)?;
    let every = files.div_ceil(SAMPLE).max(1);
    while stamp.files < files {
        let (begin, count) = (Instant::now(), BATCH.min(files - stamp.files));
        let noted = upload(bench, &cluster, count, every)?;
        stamp.sample.extend(noted);
        stamp.files += count;
        // What the note says is there.
        rustix::fs::sync();
        stamp.write(folder)?;
        let rate = count as f64 / begin.elapsed().as_secs_f64();
        bench.say(&format!("filling: {} of {files} files, {rate:.0}/s", stamp.files));
    }
    Ok(())
}

/// Uploads so many files, and returns the names of every so manyth.
fn upload(bench: &mut Bench, cluster: &Cluster, count: u64, every: u64) -> anyhow::Result<Vec<[String; 3]>> {
    let storage = cluster.storage();
    bench.run(async {
        let mut uploading = JoinSet::new();
        for n in 0..CONNECTIONS as u64 {
            let numbers = (n..count).step_by(CONNECTIONS);
            let mut uploads = Uploads::connect(storage, &format!("user{n:02}"), SIZE).await?;
            uploading.spawn(async move {
                let mut noted = Vec::new();
                for number in numbers {
                    let key = uploads.upload().await?;
                    if number % every == 0 {
                        noted.push([key.app.to_string(), key.user.to_string(), key.file.to_string()]);
                    }
                }
                anyhow::Ok(noted)
            });
        }
        let mut noted = Vec::new();
        while let Some(uploaded) = uploading.join_next().await {
            noted.append(&mut uploaded??);
        }
        Ok(noted)
    })
}

impl Stamp {
    /// Of a store in this folder; without a note of files of this size nothing of it counts.
    fn read(folder: &Path) -> anyhow::Result<Stamp> {
        let empty = Stamp { files: 0, size: SIZE, sample: Vec::new() };
        match std::fs::read(stamp_in(folder)) {
            Ok(text) => {
                let stamp: Stamp = serde_json::from_slice(&text)
                    .with_context(|| format!("{} is not as expected", stamp_in(folder).display()))?;
                Ok(if stamp.size == SIZE { stamp } else { empty })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(empty),
            Err(error) => Err(error.into()),
        }
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let unfinished = folder.join("stamp.new");
        std::fs::write(&unfinished, serde_json::to_vec(self)?)?;
        Ok(std::fs::rename(unfinished, stamp_in(folder))?)
    }
}

fn stamp_in(folder: &Path) -> PathBuf {
    folder.join(STAMP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_again_and_none_is_an_empty_store() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Stamp::read(folder.path()).unwrap().files, 0);
        let file = || ["app", "user", "file"].map(str::to_owned);
        Stamp { files: 7, size: SIZE, sample: vec![file()] }.write(folder.path()).unwrap();
        let read = Stamp::read(folder.path()).unwrap();
        assert_eq!((read.files, read.sample), (7, vec![file()]));
        Stamp { files: 7, size: SIZE + 1, sample: vec![file()] }.write(folder.path()).unwrap();
        assert_eq!(Stamp::read(folder.path()).unwrap().files, 0);
    }
}
