//! upload.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use tnv_proto::Command;

use super::cluster::{Cluster, Fault, blake3, key};
use super::{Outcome, client, client_into, closed_pipe};

/// A folder with one file.
fn file(name: impl Into<OsString>, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name.into());
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

async fn upload<W: Into<OsString>>(cluster: &Cluster, words: impl IntoIterator<Item = W>) -> Outcome {
    let words = ["upload".into(), "tnvideo".into(), "tnv001".into()]
        .into_iter()
        .chain(words.into_iter().map(Into::into));
    client::<OsString>(&cluster.address, words).await
}

#[tokio::test]
async fn the_file_id_stands_alone_on_standard_output() {
    let cluster = Cluster::start().await;
    let (_folder, path) = file("003.mp4", b"0123456789");
    let outcome = upload(&cluster, [path.into(), OsString::from("0"), "0".into()]).await;
    outcome.assert_code(0);
    let id = outcome.text().strip_suffix('\n').unwrap();
    assert_eq!(id.len(), 36);
    assert_eq!(cluster.contents()[&key(id)], b"0123456789");
    assert!(outcome.err.contains("003.mp4") && outcome.err.contains(&cluster.address), "{outcome:?}");
}

#[tokio::test]
async fn a_part_of_a_file_is_uploaded() {
    let cluster = Cluster::start().await;
    let (_folder, path) = file("f", b"0123456789");
    for (offset, size, contents) in [("2", "3", "234"), ("7", "0", "789"), ("10", "0", "")] {
        let outcome = upload(&cluster, [path.clone().into(), OsString::from(offset), size.into()]).await;
        outcome.assert_code(0);
        assert_eq!(cluster.contents()[&key(outcome.text().trim_end())], contents.as_bytes());
    }
}

#[tokio::test]
async fn json_tells_everything_on_one_line_each() {
    let cluster = Cluster::start().await;
    let (_folder, path) = file("f", b"12345");
    let outcome =
        upload(&cluster, [path.clone().into(), OsString::from("--json"), "--id".into(), "mine".into()]).await;
    outcome.assert_code(0);
    let [result] = &outcome.json()[..] else { panic!("{outcome:?}") };
    assert_eq!(result["id"], "mine");
    assert_eq!(result["path"], json!(path));
    assert_eq!(result["size"], 5);
    assert_eq!(result["blake3"], blake3(b"12345").to_string());
    assert_eq!(result["storage"], cluster.address);
    assert!(result["seconds"].is_number());
    assert_eq!(outcome.err, "");
}

#[tokio::test]
async fn quiet_says_nothing_but_the_id() {
    let cluster = Cluster::start().await;
    let (_folder, path) = file("f", b"12345");
    let outcome = upload(&cluster, [path.into(), OsString::from("-q"), "--id".into(), "mine".into()]).await;
    assert_eq!((outcome.text(), outcome.err.as_str()), ("mine\n", ""));
}

#[tokio::test]
async fn a_taken_id_is_refused_and_its_file_stays() {
    let cluster = Cluster::start().await;
    cluster.add("mine", "", b"old");
    let (_folder, path) = file("f", b"new");
    let words = [path.into(), OsString::from("--id"), "mine".into(), "--json".into()];
    let outcome = upload(&cluster, words).await;
    outcome.assert_code(4);
    assert_eq!(outcome.json_error()["code"], 409);
    assert_eq!(cluster.contents()[&key("mine")], b"old");
}

#[tokio::test]
async fn one_id_does_not_do_for_several_files() {
    let cluster = Cluster::start().await;
    upload(&cluster, ["a", "b", "--id", "mine"]).await.assert_code(2);
    assert!(cluster.commands().is_empty());
}

#[tokio::test]
async fn a_folder_is_not_a_file() {
    let cluster = Cluster::start().await;
    let (folder, _path) = file("f", b"12345");
    let outcome = upload(&cluster, [folder.path()]).await;
    outcome.assert_code(1);
    assert!(outcome.err.contains("is a directory; -r uploads the files in it"), "{outcome:?}");
    assert!(outcome.out.is_empty() && cluster.commands().is_empty());
}

#[tokio::test]
async fn name_and_type_go_along() {
    let cluster = Cluster::start().await;
    let (_folder, path) = file("电影.mp4", b"12345");
    upload(&cluster, [&path]).await.assert_code(0);
    assert_eq!(cluster.labels()[&b"12345"[..]], ("电影.mp4".into(), "video/mp4".into()));
    let (_folder, path) = file("README", b"text");
    upload(&cluster, [&path]).await.assert_code(0);
    assert_eq!(cluster.labels()[&b"text"[..]], ("README".into(), String::new()));
    let given = ["--name", "a film", "--type", "video/webm", "--json"].map(OsString::from);
    let outcome =
        upload(&cluster, given.into_iter().chain([path.clone().into(), "2".into(), "1".into()])).await;
    assert_eq!(cluster.labels()[&b"x"[..]], ("a film".into(), "video/webm".into()));
    assert_eq!(
        (&outcome.json()[0]["name"], &outcome.json()[0]["content_type"]),
        (&json!("a film"), &json!("video/webm"))
    );
    for wrong in [["--name", "a\nb"], ["--type", "film"]] {
        let words = wrong.map(OsString::from).into_iter().chain([path.clone().into()]);
        upload(&cluster, words).await.assert_code(2);
    }
}

#[tokio::test]
async fn an_older_storage_takes_the_bytes() {
    let cluster = Cluster::start().await;
    cluster.break_with(Fault::Old);
    let (_folder, path) = file("f", &[7; 5000]);
    for more in [&["-q"][..], &["-q", "--part-size", "1K"]] {
        let outcome = upload(&cluster, more.iter().map(OsString::from).chain([path.clone().into()])).await;
        outcome.assert_code(0);
        assert_eq!(cluster.contents()[&key(outcome.text().trim_end())], [7; 5000]);
    }
}

#[tokio::test]
async fn paths_need_not_be_utf8() {
    let cluster = Cluster::start().await;
    let (_folder, path) = file(OsString::from_vec(vec![b'a', 0xff, b'.']), b"12345");
    let outcome = upload(&cluster, [path]).await;
    outcome.assert_code(0);
    assert_eq!(cluster.contents()[&key(outcome.text().trim_end())], b"12345");
}

#[tokio::test]
async fn an_unknown_outcome_is_told_with_the_id() {
    let cluster = Cluster::start().await;
    cluster.break_with(Fault::HangUp);
    let (_folder, path) = file("f", b"12345");
    let words = [path.into(), OsString::from("--id"), "mine".into(), "--json".into()];
    let outcome = upload(&cluster, words).await;
    outcome.assert_code(6);
    assert!(outcome.out.is_empty());
    assert_eq!(outcome.json_error()["id"], "mine");
    let uploads = cluster.commands().into_iter().filter(|command| *command == Command::Store).count();
    assert_eq!(uploads, 1, "an upload is never repeated where it may have been taken");
}

#[tokio::test]
async fn an_id_that_cannot_be_printed_is_told_elsewhere() {
    let cluster = Cluster::start().await;
    let (_folder, path) = file("f", b"12345");
    let words =
        ["upload".into(), "tnvideo".into(), "tnv001".into(), path.into(), OsString::from("--id=mine")];
    let (code, err) = client_into(closed_pipe(), &cluster.address, words, std::future::pending()).await;
    assert_eq!(code, 1);
    assert!(err.contains("is stored as mine, but standard output was closed"), "{err}");
}
