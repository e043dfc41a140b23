//! Metalinks of packages, and the links that lead there.

use sha2::{Digest, Sha256};
use tnv_metalink::{Algorithm, File, Link, parse_links, read};

use crate::cluster::{Cluster, Running};
use crate::http::{Answer, Call};
use crate::node::FakeNode;

const PACKAGE: &str = "/api/v1/meetings/m/download-package";
const METALINK: &str = "/api/v1/meetings/m/package.meta4";

fn metalink(answer: &Answer) -> File {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/metalink4+xml"));
    read(&answer.body).unwrap().files.remove(0)
}

async fn version_now(hub: &Running) -> String {
    let meeting = hub.get("/api/v1/meetings/m").await.json();
    meeting["package"]["version"].as_str().unwrap().to_owned()
}

fn links(answer: &Answer) -> Vec<Link> {
    let lines = answer.headers.get_all("link").iter().map(|line| line.to_str().unwrap());
    lines.flat_map(parse_links).collect()
}

#[tokio::test]
async fn a_package_is_described_with_its_hashes_and_nodes() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|at| (at % 251) as u8).collect();
    hub.meeting("m", &[("a", &bytes), ("empty", b"")]).await;
    let package = hub.get(PACKAGE).await.body;
    let version = version_now(&hub).await;

    let answer = hub.get(METALINK).await;
    let file = metalink(&answer);
    assert_eq!((file.name.as_str(), file.size), ("meeting_m.zip", Some(package.len() as u64)));
    let whole = file.strongest().unwrap();
    assert_eq!((whole.algorithm(), whole.bytes()), (Algorithm::Sha256, Sha256::digest(&package).as_slice()));
    let pieces = file.pieces.unwrap();
    for (index, piece) in package.chunks(pieces.length() as usize).enumerate() {
        assert_eq!(pieces.get(index as u64).unwrap().bytes(), Sha256::digest(piece).as_slice());
    }
    assert!(pieces.fits(package.len() as u64));
    assert!(answer.header("content-disposition").contains("meeting_m.zip.meta4"));
    let own = format!("http://{}/api/v1/meetings/m/download-package-direct?version={version}", hub.address);
    assert_eq!(file.mirrors.iter().map(|mirror| &mirror.url).collect::<Vec<_>>(), [&own]);

    let (one, two) = (FakeNode::start("node-1").await, FakeNode::start("node-2").await);
    one.join(&hub, &[("m", &version)]).await;
    two.join(&hub, &[("m", &"0".repeat(64))]).await;
    let mirrors = metalink(&hub.get(METALINK).await).mirrors;
    let held = format!("http://{}{PACKAGE}?version={version}", one.address);
    let found: Vec<_> = mirrors.iter().map(|mirror| (mirror.priority, mirror.url.as_str())).collect();
    assert_eq!(found, [(1, &*held), (2, &*own)], "only who holds this version, and the hub last");
}

#[tokio::test]
async fn answers_with_a_package_lead_to_its_metalink() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[("a", b"1")]).await;
    let version = version_now(&hub).await;
    let node = FakeNode::start("node-1").await;
    let range = Call::get(PACKAGE).header("range", "bytes=0-9");
    for answer in [hub.get(PACKAGE).await, range.send(hub.address).await] {
        let links = links(&answer);
        assert_eq!(
            (links.len(), links[0].target.as_str()),
            (1, &*format!("package.meta4?version={version}"))
        );
        assert!(links[0].is("describedby"));
    }
    node.join(&hub, &[("m", &version)]).await;
    let sent = hub.get(PACKAGE).await;
    assert_eq!((sent.status, links(&sent)[0].is("describedby")), (302, true));
    let described = hub.get(&format!("/api/v1/meetings/m/{}", links(&sent)[0].target)).await;
    assert_eq!(
        metalink(&described).size,
        Some(hub.get(&format!("{PACKAGE}-direct")).await.body.len() as u64)
    );
    // An old version is described as long as it is known.
    hub.put("m", "a", b"22").await;
    let old = hub.get(&format!("{METALINK}?version={version}")).await;
    assert_eq!(metalink(&old).size, metalink(&described).size);
    assert_eq!(hub.get(&format!("{METALINK}?version={}", "0".repeat(64))).await.status, 409);
    assert_eq!(hub.get("/api/v1/meetings/other/package.meta4").await.status, 404);
}

#[tokio::test]
async fn without_the_cluster_the_nodes_are_named_all_the_same() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let meeting = hub.meeting("m", &[("a", b"1")]).await;
    let id = meeting["files"][0]["id"].as_str().unwrap();
    let key = tnv_proto::FileKey::new("tnvideo", "meeting-m", id).unwrap();
    cluster.client().delete(&key).await.unwrap();
    let file = metalink(&hub.get(METALINK).await);
    assert_eq!((file.hashes.len(), file.pieces, file.mirrors.len()), (0, None, 1));
}
