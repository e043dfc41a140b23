//! download.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use tnv_proto::{Command, ErrorCode};
use tokio::sync::Notify;

use super::cluster::{Cluster, Fault, blake3};
use super::{Outcome, client, client_into, client_until, closed_pipe};

const BYTES: &[u8] = b"0123456789";

/// A cluster with the file `f1`, and an empty folder to download into.
async fn cluster_and_folder() -> (Cluster, TempDir) {
    let cluster = Cluster::start().await;
    cluster.add("f1", "", BYTES);
    (cluster, tempfile::tempdir().unwrap())
}

fn words(more: &[&str], output: &Path) -> Vec<OsString> {
    let fixed = ["download", "tnvideo", "tnv001", "f1"];
    fixed.iter().chain(more).map(OsString::from).chain(["-o".into(), output.into()]).collect()
}

async fn download(cluster: &Cluster, more: &[&str], output: impl AsRef<Path>) -> Outcome {
    client(&cluster.address, words(more, output.as_ref())).await
}

fn entries(folder: &TempDir) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_file_is_fetched_and_verified() {
    let (cluster, folder) = cluster_and_folder().await;
    let path = folder.path().join("out");
    let outcome = download(&cluster, &[], &path).await;
    outcome.assert_code(0);
    assert!(outcome.out.is_empty());
    assert!(outcome.err.contains("checksum verified"), "{outcome:?}");
    assert_eq!(fs::read(&path).unwrap(), BYTES);
    assert_eq!(entries(&folder), [path]);
}

#[tokio::test]
async fn an_empty_file_is_fetched() {
    let (cluster, folder) = cluster_and_folder().await;
    cluster.add("f1", "", b"");
    download(&cluster, &[], folder.path().join("out")).await.assert_code(0);
    assert_eq!(fs::read(folder.path().join("out")).unwrap(), b"");
}

#[tokio::test]
async fn json_tells_what_was_fetched() {
    let (cluster, folder) = cluster_and_folder().await;
    let path = folder.path().join("out");
    let outcome = download(&cluster, &["2", "3", "--json"], &path).await;
    outcome.assert_code(0);
    assert_eq!(outcome.err, "");
    let [result] = &outcome.json()[..] else { panic!("{outcome:?}") };
    assert_eq!(fs::read(&path).unwrap(), b"234");
    assert_eq!(result["id"], "f1");
    assert_eq!(result["path"], json!(path));
    assert_eq!((&result["offset"], &result["size"]), (&json!(2), &json!(3)));
    assert_eq!(result["blake3"], blake3(b"234").to_string());
    assert_eq!(result["verified"], false);
}

#[tokio::test]
async fn the_name_comes_from_the_server_or_else_the_id() {
    let (cluster, folder) = cluster_and_folder().await;
    download(&cluster, &[], folder.path()).await.assert_code(0);
    assert_eq!(entries(&folder), [folder.path().join("f1")]);

    let folder = tempfile::tempdir().unwrap();
    cluster.add("f1", "../../003.mp4", BYTES);
    download(&cluster, &[], folder.path()).await.assert_code(0);
    assert_eq!(entries(&folder), [folder.path().join("_._.._003.mp4")]);
}

#[tokio::test]
async fn a_damaged_file_leaves_nothing() {
    let (cluster, folder) = cluster_and_folder().await;
    cluster.damage("f1", |bytes| bytes[3] ^= 1);
    let outcome = download(&cluster, &["--json"], folder.path().join("out")).await;
    outcome.assert_code(6);
    assert_eq!(outcome.json_error()["error"], "damaged");
    assert!(outcome.out.is_empty());
    assert!(entries(&folder).is_empty());
}

#[tokio::test]
async fn a_short_file_leaves_nothing() {
    let (cluster, folder) = cluster_and_folder().await;
    cluster.damage("f1", |bytes| bytes.truncate(9));
    download(&cluster, &[], folder.path().join("out")).await.assert_code(6);
    download(&cluster, &["1", "0"], folder.path().join("out")).await.assert_code(6);
    assert!(entries(&folder).is_empty());
}

#[tokio::test]
async fn a_download_that_breaks_off_leaves_nothing() {
    let (cluster, folder) = cluster_and_folder().await;
    cluster.break_with(Fault::Cut);
    download(&cluster, &[], folder.path().join("out")).await.assert_code(5);
    assert!(entries(&folder).is_empty());
}

#[tokio::test]
async fn a_stopped_download_leaves_nothing() {
    let (cluster, folder) = cluster_and_folder().await;
    let stalled = Arc::new(Notify::new());
    cluster.break_with(Fault::Stall(stalled.clone()));
    let words = words(&[], &folder.path().join("out"));
    let stopped = async {
        stalled.notified().await;
        assert_eq!(entries(&folder).len(), 1);
        2
    };
    let outcome = client_until(&cluster.address, words, stopped).await;
    outcome.assert_code(130);
    assert!(entries(&folder).is_empty());
}

#[tokio::test]
async fn an_existing_file_is_kept_without_asking_anybody() {
    let (cluster, folder) = cluster_and_folder().await;
    let path = folder.path().join("out");
    fs::write(&path, b"mine").unwrap();
    let outcome = download(&cluster, &[], &path).await;
    outcome.assert_code(1);
    assert!(outcome.err.contains("exists already"), "{outcome:?}");
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert!(cluster.commands().is_empty());
}

#[tokio::test]
async fn force_replaces_a_file_but_only_by_a_good_one() {
    let (cluster, folder) = cluster_and_folder().await;
    let path = folder.path().join("out");
    fs::write(&path, b"mine").unwrap();
    cluster.damage("f1", |bytes| bytes[3] ^= 1);
    download(&cluster, &["--force"], &path).await.assert_code(6);
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    cluster.damage("f1", |bytes| bytes[3] ^= 1);
    download(&cluster, &["--force"], &path).await.assert_code(0);
    assert_eq!(fs::read(&path).unwrap(), BYTES);
    assert_eq!(entries(&folder), [path]);
}

#[tokio::test]
async fn a_part_outside_the_file_is_refused() {
    let (cluster, folder) = cluster_and_folder().await;
    for part in [["11", "0"], ["0", "11"], ["5", "6"]] {
        let outcome = download(&cluster, &[part[0], part[1], "--json"], folder.path().join("out")).await;
        outcome.assert_code(4);
        assert_eq!(outcome.json_error()["code"], ErrorCode::RANGE.0);
    }
    assert!(entries(&folder).is_empty());
}

#[tokio::test]
async fn an_older_storage_serves_as_well() {
    let (cluster, folder) = cluster_and_folder().await;
    cluster.break_with(Fault::Old);
    let path = folder.path().join("out");
    let outcome = download(&cluster, &[], &path).await;
    outcome.assert_code(0);
    assert!(outcome.err.contains("length verified"), "{outcome:?}");
    assert_eq!(fs::read(&path).unwrap(), BYTES);
    assert!(cluster.commands().contains(&Command::Download));
}

#[tokio::test]
async fn a_dash_streams_to_standard_output() {
    let (cluster, _folder) = cluster_and_folder().await;
    let outcome = download(&cluster, &[], "-").await;
    outcome.assert_code(0);
    assert_eq!(outcome.out, BYTES);
    assert!(outcome.err.contains("checksum verified"), "{outcome:?}");
    let outcome = download(&cluster, &["2", "3", "--quiet"], "-").await;
    assert_eq!((outcome.out.as_slice(), outcome.err.as_str()), (&b"234"[..], ""));
}

#[tokio::test]
async fn a_damaged_stream_ends_in_an_error() {
    let (cluster, _folder) = cluster_and_folder().await;
    cluster.damage("f1", |bytes| bytes[3] ^= 1);
    download(&cluster, &[], "-").await.assert_code(6);
}

#[tokio::test]
async fn a_closed_pipe_ends_the_stream_quietly() {
    let (cluster, _folder) = cluster_and_folder().await;
    let words = words(&[], Path::new("-"));
    let outcome = client_into(closed_pipe(), &cluster.address, words, std::future::pending()).await;
    assert_eq!(outcome, (141, String::new()));
}

#[tokio::test]
async fn json_and_a_stream_do_not_go_together() {
    let (cluster, _folder) = cluster_and_folder().await;
    download(&cluster, &["--json"], "-").await.assert_code(2);
    assert!(cluster.commands().is_empty());
}
