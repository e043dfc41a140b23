//! Several storages on one volume: one folder that they do not know of each other to have, or two mounts of GlusterFS.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use tnv_proto::{
    Append, Begin, Checksum, Command, ErrorCode, Failure, Finish, Labels, NewUpload, Request, UploadProgress,
};
use tnv_storage::{Replication, StartError};
use tnv_testbed::{Gluster, installed};

use crate::lab::{Lab, Running, key, pattern, until};

/// Each of these on one folder, and all of them on GlusterFS: to start that takes a while.
macro_rules! on_both {
    ($($scenario:ident,)*) => {
        mod on_a_folder {
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario(&super::on_folder().await).await;
                }
            )*
        }

        #[tokio::test]
        async fn on_glusterfs() {
            if !installed(Gluster::PROGRAMS) {
                return;
            }
            let start = tokio::task::spawn_blocking(Gluster::start);
            let Some(gluster) = start.await.unwrap() else { return };
            $(
                println!("{}", stringify!($scenario));
                $scenario(&on_mounts(&gluster, stringify!($scenario)).await).await;
            )*
        }
    };
}

on_both! {
    what_one_takes_the_other_has_at_once_and_what_one_deletes_is_gone,
    storages_that_start_at_once_become_one_and_never_use_a_number_twice,
    a_start_leaves_alone_what_another_storage_is_writing,
    what_a_dead_storage_left_is_settled_as_the_catalog_says,
    a_storage_that_was_taken_for_dead_promises_nothing_and_goes_on,
    a_file_that_waits_for_its_name_is_read_and_deleted_at_the_other,
    a_volume_that_is_not_mounted_any_more_is_out_of_reach_and_nothing_in_it_is_given_up,
    leftovers_are_swept_by_whoever_comes_first,
    parts_go_on_at_the_other_but_not_while_one_is_being_written,
}

/// A lab whose storages have the same store path, and take turns with the ways to it.
struct Shared {
    lab: Lab,
    stores: Vec<PathBuf>,
    starts: AtomicUsize,
}

async fn on_folder() -> Shared {
    let lab = lab_to_share().await;
    Shared { stores: vec![lab.store()], lab, starts: AtomicUsize::new(0) }
}

async fn on_mounts(gluster: &Gluster, folder: &str) -> Shared {
    let lab = lab_to_share().await;
    let stores: Vec<_> = gluster.mounts().iter().map(|mount| mount.join(folder)).collect();
    // Where tests look.
    std::os::unix::fs::symlink(&stores[0], lab.store()).unwrap();
    Shared { lab, stores, starts: AtomicUsize::new(0) }
}

impl Deref for Shared {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.lab
    }
}

async fn lab_to_share() -> Lab {
    let mut lab = Lab::new().await;
    lab.config.replication = Replication::SharedVolume;
    lab
}

impl Shared {
    async fn try_start(&self) -> Result<Running, StartError> {
        let mut config = self.config.clone();
        let turn = self.starts.fetch_add(1, Ordering::Relaxed);
        config.store_paths[0].resolved = self.stores[turn % self.stores.len()].clone();
        self.lab.try_start_with(config).await
    }

    async fn start(&self) -> Running {
        self.try_start().await.unwrap()
    }
}

fn code<T>(result: Result<T, Failure>) -> ErrorCode {
    result.err().expect("a refusal").code
}

/// The folders of processes.
fn staging(lab: &Lab) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(lab.store().join(".tnv-staging")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The only folder of a process.
fn only_staging(lab: &Lab) -> PathBuf {
    let folders = staging(lab);
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

fn temps(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|kind| kind == "tmp")).collect()
}

/// The temporary name of a file below a process's folder.
fn staged(folder: &Path, place: &str) -> PathBuf {
    folder.join(format!("{}.tmp", place.replace('/', "-")))
}

/// Leaves a folder as a process does that was killed.
fn left_behind(lab: &Lab) -> PathBuf {
    let folder = lab.store().join(".tnv-staging/0a1b2c3d-0000-4000-8000-000000000000");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("lock"), "").unwrap();
    std::fs::write(folder.join("folders"), "\n000/000/000\n\n000/0").unwrap();
    folder
}

/// Sends the first half of an upload and waits until it lies in `folder`.
async fn half_an_upload(storage: &Running, file: &str, bytes: &[u8], folder: &Path) -> crate::lab::Wire {
    let mut wire = storage.connect().await;
    wire.begin_upload(file, bytes.len() as u64).await;
    wire.send(&bytes[..bytes.len() / 2]).await;
    until(|| !temps(folder).is_empty()).await;
    wire
}

async fn what_one_takes_the_other_has_at_once_and_what_one_deletes_is_gone(lab: &Shared) {
    let (one, two) = (lab.start().await, lab.start().await);
    for (n, (here, there)) in [(&one, &two), (&two, &one)].into_iter().enumerate() {
        let (file, bytes) = (format!("file {n}"), pattern(300_000, n as u8));
        here.upload(&file, &bytes).await.unwrap();
        // Looked at before, it might be cached.
        assert_eq!(here.stat(&file).await.unwrap(), there.stat(&file).await.unwrap());
        assert_eq!(there.download(&file).await.unwrap(), bytes);
        assert_eq!(code(there.upload(&file, b"other").await), ErrorCode::CONFLICT);
        there.delete(&file).await.unwrap();
        assert_eq!(code(here.stat(&file).await), ErrorCode::NOT_FOUND);
        assert_eq!(code(here.download(&file).await), ErrorCode::NOT_FOUND);
        here.upload(&file, b"again").await.unwrap();
        assert_eq!(there.download(&file).await.unwrap(), b"again");
    }
    until(|| lab.rows() == (2, 2)).await;
    assert_eq!(lab.files().len(), 2);
}

async fn storages_that_start_at_once_become_one_and_never_use_a_number_twice(lab: &Shared) {
    let (a, b, c) = tokio::join!(lab.start(), lab.start(), lab.start());
    assert_eq!(lab.count("SELECT count(*) FROM t_storage"), 1);
    let mut uploads = tokio::task::JoinSet::new();
    for (n, storage) in [&a, &b, &c].into_iter().cycle().take(90).enumerate() {
        let tries = [(); 3].map(|()| storage.uploader(format!("file {n}"), pattern(2000, n as u8)));
        // A volume may show the lock of one that has just started late, and another take it for dead: it says 503, starts a
        // folder of its own anew, and its clients ask again.
        uploads.spawn(async move {
            let mut outcome = Ok(());
            for upload in tries {
                outcome = upload.await;
                if !matches!(&outcome, Err(failure) if failure.code == ErrorCode::UNAVAILABLE) {
                    break;
                }
            }
            outcome
        });
    }
    while let Some(upload) = uploads.join_next().await {
        upload.unwrap().unwrap();
    }
    assert_eq!((lab.rows(), lab.files().len()), ((90, 90), 90));
    for (n, storage) in [&b, &c, &a].into_iter().cycle().take(90).enumerate() {
        assert_eq!(storage.download(&format!("file {n}")).await.unwrap(), pattern(2000, n as u8));
    }
}

async fn a_start_leaves_alone_what_another_storage_is_writing(lab: &Shared) {
    let one = lab.start().await;
    let bytes = pattern(100_000, 1);
    let folder = only_staging(lab);
    let mut wire = half_an_upload(&one, "file", &bytes, &folder).await;
    let two = lab.start().await;
    assert_eq!((temps(&folder).len(), staging(lab).len()), (1, 2));
    wire.send(&bytes[50_000..]).await;
    wire.reply().await.unwrap();
    assert_eq!(two.download("file").await.unwrap(), bytes);
    assert!(temps(&folder).is_empty());
}

async fn what_a_dead_storage_left_is_settled_as_the_catalog_says(lab: &Shared) {
    let one = lab.start().await;
    one.upload("kept", &pattern(1000, 1)).await.unwrap();
    let place = lab.files().remove(0);
    let dead = left_behind(lab);
    std::fs::rename(lab.store().join(&place), staged(&dead, &place)).unwrap();
    std::fs::write(staged(&dead, "000/000/000/5F6E7AD2_077"), "half a fil").unwrap();
    // A place whose folder was never made, and one that somebody did not come to the end of settling.
    std::fs::write(staged(&dead, "000/000/009/5F6E7AD2_078"), "").unwrap();
    std::fs::create_dir(lab.store().join(".tnv-staging/1a1b2c3d-0000-4000-8000-000000000000")).unwrap();
    // Even before that its bytes can be read.
    assert_eq!(one.download("kept").await.unwrap(), pattern(1000, 1));

    let two = lab.start().await;
    assert_eq!(lab.files(), [place]);
    assert_eq!(staging(lab).len(), 2, "those of the living");
    assert_eq!(two.download("kept").await.unwrap(), pattern(1000, 1));
    assert_eq!(two.stat("kept").await.unwrap(), one.stat("kept").await.unwrap());
}

async fn a_storage_that_was_taken_for_dead_promises_nothing_and_goes_on(lab: &Shared) {
    let one = lab.start().await;
    let bytes = pattern(100_000, 1);
    let folder = only_staging(lab);
    let mut wire = half_an_upload(&one, "file", &bytes, &folder).await;
    // As when the servers of the volume forget the lock and another storage finds that.
    std::fs::remove_file(folder.join("lock")).unwrap();
    let two = lab.start().await;
    assert!(!folder.exists());
    wire.send(&bytes[50_000..]).await;
    assert_eq!(code(wire.reply().await), ErrorCode::UNAVAILABLE);
    for storage in [&one, &two] {
        assert_eq!(code(storage.stat("file").await), ErrorCode::NOT_FOUND);
    }
    assert!(lab.files().is_empty());
    // It notices, and has another folder.
    until(|| staging(lab).len() == 2).await;
    while one.upload("file", &bytes).await.is_err() {}
    assert_eq!(two.download("file").await.unwrap(), bytes);
}

async fn a_file_that_waits_for_its_name_is_read_and_deleted_at_the_other(lab: &Shared) {
    let one = lab.start().await;
    let folder = only_staging(lab);
    let two = lab.start().await;
    for file in ["read", "deleted"] {
        one.upload(file, &pattern(1000, 1)).await.unwrap();
        let place = lab.files().remove(0);
        std::fs::rename(lab.store().join(&place), staged(&folder, &place)).unwrap();
    }
    assert_eq!(two.download("read").await.unwrap(), pattern(1000, 1));
    two.delete("deleted").await.unwrap();
    assert_eq!(temps(&folder).len(), 1);
    assert_eq!(code(one.download("deleted").await), ErrorCode::NOT_FOUND);
    assert_eq!(one.download("read").await.unwrap(), pattern(1000, 1));
}

async fn a_volume_that_is_not_mounted_any_more_is_out_of_reach_and_nothing_in_it_is_given_up(lab: &Shared) {
    let one = lab.start().await;
    one.upload("kept", &pattern(1000, 1)).await.unwrap();
    one.upload("deleted", &pattern(1000, 2)).await.unwrap();
    begin(&one, "parts", 10).await.unwrap();
    let (store, away) = (&lab.stores[0], lab.stores[0].with_extension("away"));
    std::fs::rename(store, &away).unwrap();
    std::fs::create_dir(store).unwrap();
    assert_eq!(code(one.download("kept").await), ErrorCode::UNAVAILABLE);
    assert_eq!(code(ask(&one, &key("parts").to_frame(Command::Progress)).await), ErrorCode::UNAVAILABLE);
    one.delete("deleted").await.unwrap();
    while one.upload("new", b"1").await.is_ok() {
        one.delete("new").await.unwrap();
    }
    assert_eq!(lab.count("SELECT count(*) FROM t_copy WHERE state = 'deleting'"), 1);

    std::fs::remove_dir_all(store).unwrap();
    std::fs::rename(&away, store).unwrap();
    while one.upload("new", b"1").await.is_err() {}
    assert_eq!(one.download("kept").await.unwrap(), pattern(1000, 1));
    ask(&one, &key("parts").to_frame(Command::Progress)).await.unwrap();
    one.delete("new").await.unwrap();
    until(|| lab.rows() == (1, 1)).await;
    assert_eq!(lab.files().len(), 1);
}

async fn leftovers_are_swept_by_whoever_comes_first(lab: &Shared) {
    let one = lab.start().await;
    for n in 0..20 {
        one.upload(&format!("file {n}"), &pattern(100, n)).await.unwrap();
    }
    one.stop().await;
    lab.sql().execute_batch("DELETE FROM t_file_02; UPDATE t_copy SET state = 'deleting'").unwrap();
    let _both = tokio::join!(lab.start(), lab.start());
    until(|| lab.rows() == (0, 0)).await;
    assert!(lab.files().is_empty());
}

async fn ask(storage: &Running, frame: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut wire = storage.connect().await;
    wire.send(frame).await;
    wire.reply().await
}

async fn begin(storage: &Running, file: &str, size: usize) -> Result<u64, Failure> {
    let begin =
        Begin(NewUpload { key: key(file), size: size as u64, labels: Labels::default(), ack_copies: 0 });
    ask(storage, &begin.to_frame()).await.map(|body| UploadProgress::decode(&body).unwrap().offset)
}

fn append_frame(file: &str, offset: usize, len: usize) -> BytesMut {
    Append { key: key(file), offset: offset as u64, len: len as u64 }.to_frame()
}

async fn append(storage: &Running, file: &str, offset: usize, part: &[u8]) -> Result<u64, Failure> {
    let body = ask(storage, &[&append_frame(file, offset, part.len()), part].concat()).await?;
    Ok(UploadProgress::decode(&body).unwrap().offset)
}

async fn finish(storage: &Running, file: &str, bytes: &[u8]) -> Result<(), Failure> {
    let expected = Checksum(*blake3::hash(bytes).as_bytes());
    ask(storage, &Finish { key: key(file), expected }.to_frame()).await.map(drop)
}

async fn parts_go_on_at_the_other_but_not_while_one_is_being_written(lab: &Shared) {
    let (one, two) = (lab.start().await, lab.start().await);
    let bytes = pattern(3 << 20, 6);
    begin(&one, "f", bytes.len()).await.unwrap();
    assert_eq!(begin(&two, "f", bytes.len()).await.unwrap(), 0, "it is the same");
    let mut wire = one.connect().await;
    wire.send(&append_frame("f", 0, bytes.len())).await;
    wire.send(&bytes[..1 << 20]).await;
    let lock = || {
        let mut parts = std::fs::read_dir(lab.store().join(".tnv-parts")).unwrap();
        parts.any(|entry| entry.unwrap().path().extension().is_some_and(|kind| kind == "lock"))
    };
    until(lock).await;
    assert_eq!(code(append(&two, "f", 0, &bytes).await), ErrorCode::LOCKED);
    assert_eq!(code(finish(&two, "f", &bytes).await), ErrorCode::LOCKED);
    assert_eq!(code(begin(&two, "f", 1).await), ErrorCode::LOCKED);
    assert_eq!(code(ask(&two, &key("f").to_frame(Command::Abort)).await), ErrorCode::LOCKED);
    drop(wire);
    until(|| !lock()).await;

    assert_eq!(append(&two, "f", 1 << 20, &bytes[1 << 20..2 << 20]).await.unwrap(), 2 << 20);
    assert_eq!(append(&one, "f", 2 << 20, &bytes[2 << 20..]).await.unwrap(), 3 << 20);
    finish(&two, "f", &bytes).await.unwrap();
    finish(&one, "f", &bytes).await.unwrap();
    assert_eq!(one.download("f").await.unwrap(), bytes);
    assert_eq!(std::fs::read_dir(lab.store().join(".tnv-parts")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_first_start_decides_whether_a_path_is_shared() {
    let mut lab = on_folder().await;
    lab.start().await.stop().await;
    lab.lab.config.replication = Replication::None;
    let refused = lab.try_start().await.err().expect("it is shared").to_string();
    assert!(refused.contains("set replication = \"shared-volume\""), "{refused}");

    let mut lab = Lab::new().await;
    let one = lab.start().await;
    lab.config.replication = Replication::SharedVolume;
    let refused = lab.try_start().await.err().expect("it is in use").to_string();
    assert!(refused.contains("in use by another storage process"), "{refused}");
    one.stop().await;
    let refused = loop {
        let refused = lab.try_start().await.err().expect("it is exclusive").to_string();
        if !refused.contains("in use") {
            break refused;
        }
    };
    assert!(refused.contains("belongs to one storage alone"), "{refused}");
}

#[tokio::test]
async fn a_path_that_is_made_shared_or_exclusive_by_hand_loses_nothing() {
    let mut lab = Lab::new().await;
    let mark = |shared: bool| {
        let (mark, from) = (lab.store().join(".tnv-storage"), format!("\"shared\":{}", !shared));
        let text = std::fs::read_to_string(&mark).unwrap();
        assert!(text.contains(&from), "{text}");
        std::fs::write(&mark, text.replace(&from, &format!("\"shared\":{shared}"))).unwrap();
    };
    let storage = lab.start().await;
    storage.upload("kept", &pattern(1000, 1)).await.unwrap();
    storage.stop().await;
    let place = lab.files().remove(0);
    let target = lab.store().join(&place);
    std::fs::rename(&target, format!("{}.tmp", target.display())).unwrap();

    mark(true);
    lab.config.replication = Replication::SharedVolume;
    let storage = lab.start().await;
    assert_eq!(lab.files(), std::slice::from_ref(&place));
    assert_eq!(storage.download("kept").await.unwrap(), pattern(1000, 1));
    storage.stop().await;
    std::fs::rename(&target, staged(&left_behind(&lab), &place)).unwrap();

    let mark_path = lab.store().join(".tnv-storage");
    let text = std::fs::read_to_string(&mark_path).unwrap().replace("\"shared\":true", "\"shared\":false");
    std::fs::write(&mark_path, text).unwrap();
    lab.config.replication = Replication::None;
    let storage = lab.start().await;
    assert_eq!((lab.files(), staging(&lab).len()), (vec![place], 0));
    assert_eq!(storage.download("kept").await.unwrap(), pattern(1000, 1));
}
