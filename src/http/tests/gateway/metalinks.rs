//! Metalinks of files, and the headers that point to them.

use std::net::SocketAddr;

use tnv_metalink::{Algorithm, Metalink, read};
use tnv_proto::ErrorCode;

use crate::cluster::{Cluster, bytes_of, with_clip};
use crate::http::{Answer, get, head};

const SIZE: u64 = 2_500_000;

fn metalink(answer: &Answer) -> Metalink {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/metalink4+xml")));
    read(&answer.body).unwrap()
}

async fn urls(address: SocketAddr, path: &str, headers: &[&str]) -> Vec<String> {
    let file = metalink(&get(address, path, headers).await).files.remove(0);
    file.mirrors.into_iter().map(|mirror| mirror.url).collect()
}

#[tokio::test]
async fn a_file_is_described_with_its_hashes() {
    let cluster = Cluster::start().await;
    cluster.add("film", SIZE, "video/mp4", "holiday.mp4");
    let gateway = cluster.gateway(|_| {}).await;
    let answer = get(gateway.address, "/files/film?meta4", &[]).await;
    let file = metalink(&answer).files.remove(0);
    assert_eq!((file.name.as_str(), file.size), ("holiday.mp4", Some(SIZE)));
    let pieces = file.pieces.as_ref().unwrap();
    assert_eq!((pieces.algorithm(), pieces.length(), pieces.count()), (Algorithm::Sha256, 1 << 20, 3));
    assert_eq!(file.strongest().unwrap().bytes(), [0xab; 32]);
    assert_eq!(file.mirrors[0].url, "http://test/files/film");
    let whole = file.hashes.iter().find(|hash| hash.algorithm() == Algorithm::Sha256).unwrap();
    let (again, reads) = (get(gateway.address, "/files/film?meta4", &[]).await, cluster.seen().reads);
    assert_eq!(metalink(&again).files[0].hashes[0], *whole);
    assert_eq!(reads, 1, "it is read once");
    assert!(answer.header("content-disposition").unwrap().contains("holiday.mp4.meta4"));
    cluster.replace("film", SIZE + 1);
    let other = metalink(&get(gateway.address, "/files/film?meta4", &[]).await).files.remove(0);
    assert_eq!(other.size, Some(SIZE + 1));
    assert_ne!(other.hashes[0], *whole);
}

#[tokio::test]
async fn mirrors_are_named() {
    let cluster = Cluster::start().await;
    cluster.add_for("shop", "user 2", "a/b", 10, "", "");
    let mirrors = || vec!["http://10.0.0.2:8080".to_owned(), "https://other.example/tnv/".to_owned()];
    let gateway = cluster.gateway(|config| config.mirrors = mirrors()).await;
    let path = "/files/shop/user%202/a%2Fb";
    let named = [
        "http://10.0.0.2:8080/files/shop/user%202/a%2Fb",
        "https://other.example/tnv/files/shop/user%202/a%2Fb",
    ];
    let found = urls(gateway.address, &format!("{path}?meta4"), &["X-Forwarded-Proto: https"]).await;
    assert_eq!(found, [&["https://test/files/shop/user%202/a%2Fb"][..], &named].concat());
    for answer in [get(gateway.address, path, &[]).await, head(gateway.address, path, &[]).await] {
        let links: Vec<&str> = answer.lines.iter().filter_map(|line| line.strip_prefix("link: ")).collect();
        assert_eq!(links.len(), 3);
        assert!(links[0].starts_with("<?meta4>; rel=describedby"), "{links:?}");
        assert_eq!(links[1], format!("<{}>; rel=duplicate", named[0]));
    }
}

#[tokio::test]
async fn only_files_are_described() {
    let (cluster, gateway) = with_clip().await;
    let missing = get(gateway.address, "/files/nothing?meta4", &[]).await;
    assert_eq!((missing.status, missing.header("link")), (404, None));
    assert_eq!(
        get(gateway.address, "/?meta4", &[]).await.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    cluster.add("empty", 0, "", "");
    let empty = metalink(&get(gateway.address, "/files/empty?meta4", &[]).await).files.remove(0);
    assert_eq!((empty.size, empty.pieces), (Some(0), None));
    cluster.fault(|faults| faults.reads = Some(ErrorCode::UNAVAILABLE));
    let broken = get(gateway.address, "/files/clip?meta4", &[]).await;
    assert_eq!(broken.status, 503);
    // A reading that failed is not remembered.
    cluster.fault(|faults| faults.reads = None);
    metalink(&get(gateway.address, "/files/clip?meta4", &[]).await);
}

#[tokio::test]
async fn a_digest_is_given_to_who_wants_it() {
    let (_cluster, gateway) = with_clip().await;
    let wants = ["Want-Repr-Digest: sha-256=1, blake3=10"];
    let digest = "blake3=:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=:";
    for headers in [&wants[..], &["Want-Repr-Digest: blake3=1", "Range: bytes=10-19"]] {
        let answer = get(gateway.address, "/files/clip", headers).await;
        assert_eq!(answer.header("repr-digest"), Some(digest));
    }
    let answer = get(gateway.address, "/files/clip", &[]).await;
    assert_eq!(answer.header("repr-digest"), None);
    assert_eq!(answer.body, bytes_of(0..1000));
}
