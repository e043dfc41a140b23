//! ls and stat.

use serde_json::json;
use tnv_proto::Command;

use super::client;
use super::cluster::{Cluster, blake3};

async fn cluster() -> Cluster {
    let cluster = Cluster::start().await;
    for (at, (id, name)) in [("f1", "b.mp4"), ("f2", "films/a.mp4"), ("f3", "")].into_iter().enumerate() {
        cluster.add(id, name, &vec![7; 1500 * at]);
        cluster.state().files.get_mut(&super::cluster::key(id)).unwrap().0.created_ms =
            1_700_000_000_000 + at as i64 * 86_400_000;
    }
    cluster
}

async fn ids(cluster: &Cluster, more: &[&str]) -> Vec<String> {
    let words = ["ls", "tnvideo", "tnv001", "--json"].iter().chain(more);
    let outcome = client(&cluster.address, words).await;
    outcome.assert_code(0);
    outcome.json().iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn files_are_listed_in_order() {
    let cluster = cluster().await;
    assert_eq!(ids(&cluster, &[]).await, ["f3", "f2", "f1"]);
    assert_eq!(ids(&cluster, &["--order", "name"]).await, ["f3", "f1", "f2"]);
    assert_eq!(ids(&cluster, &["--prefix", "films/"]).await, ["f2"]);
    assert_eq!(ids(&cluster, &["--limit", "2"]).await, ["f3", "f2"]);
    assert!(ids(&cluster, &["--prefix", "none"]).await.is_empty());
    let whose = client(&cluster.address, ["ls", "tnvideo", "somebody"]).await;
    assert_eq!((whose.code, whose.text()), (0, ""));
}

#[tokio::test]
async fn each_line_has_size_date_id_and_name() {
    let cluster = cluster().await;
    let outcome = client(&cluster.address, ["ls"]).await;
    outcome.assert_code(0);
    let lines: Vec<Vec<&str>> =
        outcome.text().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(&lines[1][..2], ["1.46", "KiB"]);
    assert!(lines[1][2].starts_with("2023-11-1"), "{lines:?}");
    assert_eq!(&lines[1][4..], ["f2", "films/a.mp4"]);
    let outcome = client(&cluster.address, ["ls", "tnvideo", "tnv001", "--long", "--order", "name"]).await;
    let last: Vec<&str> = outcome.text().lines().last().unwrap().split_whitespace().collect();
    assert_eq!((last[0], last[3], last[4]), ("1500", "f2", "-"));
    assert_eq!(&last[5..], [&blake3(&[7; 1500]).to_string(), "films/a.mp4"]);
}

#[tokio::test]
async fn all_pages_are_fetched() {
    let cluster = Cluster::start().await;
    for at in 0..2100 {
        cluster.add(&format!("f{at:04}"), &format!("{at:04}"), b"");
    }
    let all = ids(&cluster, &["--order", "name"]).await;
    assert_eq!(all, (0..2100).map(|at| format!("f{at:04}")).collect::<Vec<_>>());
    assert_eq!(cluster.commands().iter().filter(|command| **command == Command::List).count(), 3);
    assert_eq!(ids(&cluster, &["--order", "name", "--limit", "1001"]).await, all[..1001]);
}

#[tokio::test]
async fn stat_tells_what_is_known() {
    let cluster = cluster().await;
    let outcome = client(&cluster.address, ["stat", "tnvideo", "tnv001", "f2"]).await;
    outcome.assert_code(0);
    assert!(outcome.text().contains("\n   name: films/a.mp4\n   size: 1500\n"), "{outcome:?}");
    let outcome = client(&cluster.address, ["stat", "tnvideo", "tnv001", "f2", "--json"]).await;
    let [told] = &outcome.json()[..] else { panic!("{outcome:?}") };
    assert_eq!((&told["name"], &told["size"]), (&json!("films/a.mp4"), &json!(1500)));
    assert_eq!(told["created"], "2023-11-15T22:13:20Z");
    assert_eq!(told["blake3"], blake3(&[7; 1500]).to_string());
    client(&cluster.address, ["stat", "tnvideo", "tnv001", "none"]).await.assert_code(3);
}
