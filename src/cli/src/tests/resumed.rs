//! Transfers that end too soon and go on later.

use std::ffi::OsString;
use std::fs;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tnv_proto::Command;
use tokio::sync::Notify;

use super::cluster::{Cluster, Fault, key};
use super::{Outcome, client_with};
use crate::state::StateFolder;

/// A user with a folder, and a cluster.
struct Setting {
    cluster: Cluster,
    folder: TempDir,
}

fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) >> 3) as u8).collect()
}

impl Setting {
    async fn new() -> Setting {
        Setting { cluster: Cluster::start().await, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn memos(&self, kind: &str) -> usize {
        fs::read_dir(self.path("state").join(kind)).map_or(0, Iterator::count)
    }

    async fn client(&self, words: &[&str], path: PathBuf, stopped: impl Future<Output = u8>) -> Outcome {
        let state = StateFolder::at(&self.path("state"));
        let words = words.iter().map(OsString::from).chain([path.into()]);
        client_with::<OsString>(state, &self.cluster.address, words, stopped).await
    }

    async fn upload(&self, more: &[&str]) -> Outcome {
        let words: Vec<_> = ["upload", "tnvideo", "tnv001", "--part-size", "64K", "--json"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        self.client(&words, self.path("film"), pending()).await
    }

    /// Uploads a film of which only half a part arrives: the id it has there.
    async fn broken_upload(&self) -> String {
        fs::write(self.path("film"), sample(SIZE)).unwrap();
        self.cluster.state().cut_appends = 1;
        let outcome = self.upload(&["--retries", "0"]).await;
        outcome.assert_code(5);
        assert!(outcome.json_error()["message"].as_str().unwrap().contains("goes on from there"));
        assert_eq!(self.memos("uploads"), 1);
        outcome.json_error()["id"].as_str().unwrap().to_owned()
    }

    async fn download(&self, more: &[&str], stopped: impl Future<Output = u8>) -> Outcome {
        let words: Vec<_> = ["download", "tnvideo", "tnv001", "f1", "--json"]
            .iter()
            .chain(more)
            .chain(&["-o"])
            .copied()
            .collect();
        self.client(&words, self.path("out"), stopped).await
    }

    /// Downloads a film of which only a part arrives: how much.
    async fn broken_download(&self) -> u64 {
        self.cluster.add("f1", "", &sample(LARGE));
        self.cluster.break_with(Fault::Cut);
        let outcome = self.download(&["--retries", "0"], pending()).await;
        outcome.assert_code(5);
        assert!(outcome.err.contains("out.part stays"), "{outcome:?}");
        self.cluster.break_with(Fault::None);
        let len = fs::metadata(self.path("out.part")).unwrap().len();
        assert!(len > 0 && len < LARGE as u64, "{len}");
        len
    }
}

const SIZE: usize = 300_000;
const PART: u64 = 64 * 1024;
const LARGE: usize = 2_000_000;

#[tokio::test]
async fn a_long_file_goes_in_parts() {
    let setting = Setting::new().await;
    fs::write(setting.path("film"), sample(SIZE)).unwrap();
    let outcome = setting.upload(&[]).await;
    outcome.assert_code(0);
    let id = outcome.json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(setting.cluster.contents()[&key(&id)], sample(SIZE));
    assert_eq!(setting.cluster.state().appends, (0..5).map(|at| at * PART).collect::<Vec<_>>());
    assert_eq!(setting.memos("uploads"), 0);
    assert_eq!(outcome.json()[0]["storage"], setting.cluster.address.as_str());
}

#[tokio::test]
async fn a_part_of_a_file_goes_in_parts_as_well() {
    let setting = Setting::new().await;
    fs::write(setting.path("film"), sample(SIZE)).unwrap();
    let film = setting.path("film");
    let words =
        ["upload", "tnvideo", "tnv001", "--part-size", "10K", "--id", "mine", film.to_str().unwrap(), "7"];
    let outcome = setting.client(&words, "100000".into(), pending()).await;
    outcome.assert_code(0);
    assert_eq!(setting.cluster.contents()[&key("mine")], sample(SIZE)[7..100_007]);
    assert!(setting.cluster.commands().contains(&Command::Finish));
}

#[tokio::test]
async fn lost_connections_are_put_up_with() {
    let setting = Setting::new().await;
    fs::write(setting.path("film"), sample(SIZE)).unwrap();
    setting.cluster.state().cut_appends = 3;
    let outcome = setting.upload(&["--no-resume"]).await;
    outcome.assert_code(0);
    let id = outcome.json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(setting.cluster.contents()[&key(&id)], sample(SIZE));
    assert_eq!(setting.memos("uploads"), 0);
}

#[tokio::test]
async fn the_same_command_goes_on_with_an_upload() {
    let setting = Setting::new().await;
    let id = setting.broken_upload().await;
    setting.cluster.state().appends.clear();
    let outcome = setting.upload(&[]).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json()[0]["id"], id.as_str());
    assert_eq!(outcome.json()[0]["resumed_at"], PART / 2);
    assert_eq!(setting.cluster.state().appends[0], PART / 2);
    assert_eq!(setting.cluster.contents()[&key(&id)], sample(SIZE));
    assert_eq!(setting.memos("uploads"), 0);
}

#[tokio::test]
async fn a_file_that_changed_is_uploaded_anew() {
    let setting = Setting::new().await;
    let id = setting.broken_upload().await;
    let other = sample(SIZE + 1);
    fs::write(setting.path("film"), &other).unwrap();
    let outcome = setting.upload(&[]).await;
    outcome.assert_code(0);
    let new = outcome.json()[0]["id"].as_str().unwrap().to_owned();
    assert_ne!(new, id);
    assert_eq!(setting.cluster.contents()[&key(&new)], other);
}

#[tokio::test]
async fn without_resume_nothing_is_gone_on_with() {
    let setting = Setting::new().await;
    let id = setting.broken_upload().await;
    let outcome = setting.upload(&["--no-resume"]).await;
    outcome.assert_code(0);
    assert_ne!(outcome.json()[0]["id"], id.as_str());
    setting.cluster.state().cut_appends = 1;
    fs::remove_dir_all(setting.path("state")).unwrap();
    setting.upload(&["--no-resume", "--retries", "0"]).await.assert_code(5);
    assert_eq!(setting.memos("uploads"), 0);
}

#[tokio::test]
async fn what_is_stored_already_is_not_sent_again() {
    let setting = Setting::new().await;
    let id = setting.broken_upload().await;
    setting.cluster.state().parts.clear();
    setting.cluster.add(&id, "film", &sample(SIZE));
    setting.cluster.state().appends.clear();
    let outcome = setting.upload(&[]).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json()[0]["id"], id.as_str());
    assert!(setting.cluster.state().appends.is_empty());
    assert_eq!(setting.memos("uploads"), 0);
}

#[tokio::test]
async fn an_id_with_other_contents_is_left_alone() {
    let setting = Setting::new().await;
    let id = setting.broken_upload().await;
    setting.cluster.state().parts.clear();
    setting.cluster.add(&id, "film", b"theirs");
    let outcome = setting.upload(&[]).await;
    outcome.assert_code(0);
    let new = outcome.json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(setting.cluster.contents()[&key(&new)], sample(SIZE));
    assert_eq!(setting.cluster.contents()[&key(&id)], b"theirs");
}

#[tokio::test]
async fn parts_of_other_bytes_are_sent_again() {
    let setting = Setting::new().await;
    let id = setting.broken_upload().await;
    setting.cluster.state().parts.get_mut(&key(&id)).unwrap().1[5] ^= 1;
    let outcome = setting.upload(&[]).await;
    outcome.assert_code(0);
    assert_eq!(setting.cluster.contents()[&key(&id)], sample(SIZE));
    assert!(setting.cluster.commands().contains(&Command::Abort));
}

#[tokio::test]
async fn an_upload_that_does_not_arrive_as_it_was_sent_is_given_up() {
    let setting = Setting::new().await;
    fs::write(setting.path("film"), sample(SIZE)).unwrap();
    setting.cluster.state().spoils_appends = true;
    let outcome = setting.upload(&[]).await;
    outcome.assert_code(4);
    assert!(!outcome.err.contains("the same command"), "{outcome:?}");
    assert_eq!((setting.memos("uploads"), setting.cluster.state().parts.len()), (0, 0));
    // Also if a part of it was sent by an earlier command.
    setting.cluster.state().spoils_appends = false;
    setting.broken_upload().await;
    setting.cluster.state().spoils_appends = true;
    setting.upload(&[]).await.assert_code(4);
    assert_eq!((setting.memos("uploads"), setting.cluster.state().parts.len()), (0, 0));
}

#[tokio::test]
async fn parts_that_were_forgotten_begin_anew() {
    let setting = Setting::new().await;
    let id = setting.broken_upload().await;
    setting.cluster.state().parts.clear();
    let outcome = setting.upload(&[]).await;
    outcome.assert_code(0);
    assert_eq!(setting.cluster.contents()[&key(&id)], sample(SIZE));
}

#[tokio::test]
async fn the_same_command_goes_on_with_a_download() {
    let setting = Setting::new().await;
    let len = setting.broken_download().await;
    let outcome = setting.download(&[], pending()).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json()[0]["resumed_at"], len);
    assert_eq!(outcome.json()[0]["verified"], true);
    assert_eq!(fs::read(setting.path("out")).unwrap(), sample(LARGE));
    assert!(!setting.path("out.part").exists());
    assert_eq!(setting.memos("downloads"), 0);
}

#[tokio::test]
async fn a_file_that_changed_is_downloaded_anew() {
    let setting = Setting::new().await;
    setting.broken_download().await;
    let mut other = sample(LARGE);
    other[5] ^= 1;
    setting.cluster.add("f1", "", &other);
    let outcome = setting.download(&[], pending()).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json()[0]["resumed_at"], 0);
    assert_eq!(fs::read(setting.path("out")).unwrap(), other);
}

#[tokio::test]
async fn a_damaged_part_is_fetched_anew() {
    let setting = Setting::new().await;
    setting.broken_download().await;
    let mut part = fs::read(setting.path("out.part")).unwrap();
    part[5] ^= 1;
    fs::write(setting.path("out.part"), part).unwrap();
    let outcome = setting.download(&[], pending()).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json()[0]["resumed_at"], 0);
    assert_eq!(fs::read(setting.path("out")).unwrap(), sample(LARGE));
}

#[tokio::test]
async fn a_damaged_file_leaves_no_part() {
    let setting = Setting::new().await;
    setting.cluster.add("f1", "", &sample(LARGE));
    setting.cluster.damage("f1", |bytes| bytes[3] ^= 1);
    setting.download(&[], pending()).await.assert_code(6);
    assert!(!setting.path("out").exists() && !setting.path("out.part").exists());
    assert_eq!(setting.memos("downloads"), 0);
}

#[tokio::test]
async fn a_stopped_download_leaves_its_part() {
    let setting = Setting::new().await;
    setting.cluster.add("f1", "", &sample(LARGE));
    let stalled = Arc::new(Notify::new());
    setting.cluster.break_with(Fault::Stall(stalled.clone()));
    let stopped = async {
        stalled.notified().await;
        while fs::metadata(setting.path("out.part")).unwrap().len() == 0 {
            tokio::task::yield_now().await;
        }
        2
    };
    setting.download(&[], stopped).await.assert_code(130);
    setting.cluster.break_with(Fault::None);
    let outcome = setting.download(&[], pending()).await;
    outcome.assert_code(0);
    assert!(outcome.json()[0]["resumed_at"].as_u64().unwrap() > 0);
    assert_eq!(fs::read(setting.path("out")).unwrap(), sample(LARGE));
}

#[tokio::test]
async fn without_resume_a_broken_download_leaves_nothing() {
    let setting = Setting::new().await;
    setting.cluster.add("f1", "", &sample(LARGE));
    setting.cluster.break_with(Fault::Cut);
    setting.download(&["--no-resume"], pending()).await.assert_code(5);
    assert_eq!(fs::read_dir(setting.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn somebody_elses_part_is_left_alone() {
    let setting = Setting::new().await;
    setting.cluster.add("f1", "", &sample(LARGE));
    fs::write(setting.path("out.part"), b"theirs").unwrap();
    setting.download(&[], pending()).await.assert_code(0);
    assert_eq!(fs::read(setting.path("out.part")).unwrap(), b"theirs");
    assert_eq!(fs::read(setting.path("out")).unwrap(), sample(LARGE));
}
