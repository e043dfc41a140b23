//! Several files in one command.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::cluster::{Cluster, key};
use super::{Outcome, client};

/// A folder with these files, each of which holds its own name.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    folder
}

async fn upload(cluster: &Cluster, options: &[&str], paths: &[PathBuf]) -> Outcome {
    let fixed = ["upload", "tnvideo", "tnv001"];
    let words = fixed.iter().chain(options).map(OsString::from).chain(paths.iter().map(Into::into));
    client::<OsString>(&cluster.address, words).await
}

/// The path and the stored contents on each line of standard output, by path.
fn stored(outcome: &Outcome, cluster: &Cluster) -> Vec<(String, String)> {
    let contents = cluster.contents();
    let mut stored: Vec<_> = outcome
        .text()
        .lines()
        .map(|line| {
            let (id, path) = line.split_once('\t').unwrap();
            (path.to_owned(), String::from_utf8(contents[&key(id)].clone()).unwrap())
        })
        .collect();
    stored.sort();
    stored
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_id_is_told_with_its_path() {
    let (cluster, folder) = (Cluster::start().await, folder(&["a", "b", "c"]));
    let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
    for jobs in ["1", "2", "64"] {
        let outcome = upload(&cluster, &["--jobs", jobs], &paths).await;
        outcome.assert_code(0);
        let expected = [(text(&paths[0]), "a"), (text(&paths[1]), "b"), (text(&paths[2]), "c")];
        assert_eq!(stored(&outcome, &cluster), expected.map(|(path, name)| (path, name.to_owned())));
    }
}

#[tokio::test]
async fn folders_are_uploaded_with_relative_names() {
    let (cluster, folder) = (Cluster::start().await, folder(&["films/a.mp4", "films/x/b.srt"]));
    let outcome = upload(&cluster, &["-r"], &[folder.path().join("films")]).await;
    outcome.assert_code(0);
    assert_eq!(stored(&outcome, &cluster).len(), 2);
    let labels = cluster.labels();
    assert_eq!(labels[&b"films/a.mp4"[..]], ("films/a.mp4".into(), "video/mp4".into()));
    assert_eq!(labels[&b"films/x/b.srt"[..]].0, "films/x/b.srt");
    let empty = tempfile::tempdir().unwrap();
    let outcome = upload(&cluster, &["-r"], &[empty.path().to_owned()]).await;
    assert_eq!((outcome.code, outcome.text()), (0, ""));
    upload(&cluster, &["-r", "--id", "mine"], &[folder.path().to_owned()]).await.assert_code(2);
}

#[tokio::test]
async fn a_file_that_fails_does_not_stop_the_others() {
    let (cluster, folder) = (Cluster::start().await, folder(&["a", "c"]));
    let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
    let outcome = upload(&cluster, &[], &paths).await;
    outcome.assert_code(1);
    assert_eq!(stored(&outcome, &cluster).len(), 2);
    let errors: Vec<_> = outcome.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 2, "{outcome:?}");
    assert!(errors[0].contains("/b: no such file"), "{outcome:?}");
    assert_eq!(errors[1], "error: 1 of 3 uploads failed");

    let outcome = upload(&cluster, &["--json"], &paths).await;
    outcome.assert_code(1);
    assert_eq!(outcome.json().len(), 2);
    let errors: Vec<serde_json::Value> =
        outcome.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((errors.len(), &errors[1]["exit"]), (2, &1.into()));
}

async fn download(cluster: &Cluster, words: &[&str], folder: &TempDir) -> Outcome {
    let fixed = ["download", "tnvideo", "tnv001"];
    let words = fixed.iter().chain(words).map(OsString::from).chain(["-o".into(), folder.path().into()]);
    client::<OsString>(&cluster.address, words).await
}

fn entries(folder: &TempDir) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn several_files_are_fetched_into_a_folder() {
    let (cluster, folder) = (Cluster::start().await, tempfile::tempdir().unwrap());
    cluster.add("f1", "a.mp4", b"one");
    cluster.add("f2", "films/a.mp4", b"two");
    cluster.add("f3", "", b"three");
    cluster.add("f4", "a.mp4", b"four");
    let outcome = download(&cluster, &["f1", "f2", "f3", "f4", "--jobs", "1", "--json"], &folder).await;
    outcome.assert_code(0);
    assert_eq!(outcome.json().len(), 4);
    assert_eq!(entries(&folder), ["a.mp4", "f3", "f4-a.mp4", "films_a.mp4"]);
    assert_eq!(fs::read(folder.path().join("f4-a.mp4")).unwrap(), b"four");
}

#[tokio::test]
async fn a_download_that_fails_does_not_stop_the_others() {
    let (cluster, folder) = (Cluster::start().await, tempfile::tempdir().unwrap());
    cluster.add("f1", "", b"one");
    cluster.add("f3", "", b"three");
    let outcome = download(&cluster, &["f1", "none", "f3"], &folder).await;
    outcome.assert_code(3);
    assert!(outcome.err.ends_with("error: 1 of 3 downloads failed\n"), "{outcome:?}");
    assert_eq!(entries(&folder), ["f1", "f3"]);
}

#[tokio::test]
async fn several_files_need_a_folder() {
    let cluster = Cluster::start().await;
    cluster.add("f1", "", b"one");
    let to = async |output: &str| {
        client(&cluster.address, ["download", "tnvideo", "tnv001", "f1", "f2", "-o", output]).await
    };
    to("-").await.assert_code(2);
    to("/nowhere/at/all").await.assert_code(1);
    assert!(cluster.commands().is_empty());
}
