//! Packages.

use std::io::{Cursor, Read};

use serde_json::Value;

use crate::cluster::{Cluster, Running, sample};
use crate::http::Call;
use crate::node::FakeNode;

const PACKAGE: &str = "/api/v1/meetings/m/download-package";
const DIRECT: &str = "/api/v1/meetings/m/download-package-direct";

fn version(meeting: &Value) -> String {
    meeting["package"]["version"].as_str().unwrap().to_owned()
}

async fn version_now(hub: &Running) -> String {
    version(&hub.get("/api/v1/meetings/m").await.json())
}

#[tokio::test]
async fn a_package_is_a_zip_that_everybody_can_open() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let large = sample(2_000_000, 3);
    let meeting = hub.meeting("m", &[("议程/第一项.txt", b"hello"), ("b.bin", &large), ("empty", b"")]).await;
    let package = hub.get(PACKAGE).await;
    assert_eq!((package.status, package.header("content-type")), (200, "application/zip"));
    assert_eq!(
        package.header("content-disposition"),
        "attachment; filename=\"meeting_m.zip\"; filename*=UTF-8''meeting_m.zip"
    );
    assert_eq!(package.header("etag"), format!("\"{}\"", version(&meeting)));
    assert_eq!(package.header("accept-ranges"), "bytes");
    assert_eq!(meeting["package"]["size"], package.body.len());
    assert_eq!(meeting["package"]["checksum"], format!("{:08x}", crc32fast::hash(&package.body)));
    let mut zip = zip::ZipArchive::new(Cursor::new(package.body.clone())).unwrap();
    let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    assert_eq!(names, ["metadata.json", "files/b.bin", "files/empty", "files/议程/第一项.txt"]);
    let mut read = Vec::new();
    zip.by_name("files/b.bin").unwrap().read_to_end(&mut read).unwrap();
    assert!(read == large);

    // The same from the other address, at another time, with HEAD, and from programs that know zips.
    assert!(hub.get(DIRECT).await.body == package.body);
    let head = Call::new("HEAD", PACKAGE).send(hub.address).await;
    assert_eq!((head.status, head.header("content-length")), (200, package.header("content-length")));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("package.zip");
    std::fs::write(&file, &package.body).unwrap();
    let check = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; \
                 assert z.read('files/议程/第一项.txt') == b'hello'";
    for mut command in [
        {
            let mut python = std::process::Command::new("python3");
            python.args(["-c", check]);
            python
        },
        {
            let mut unzip = std::process::Command::new("unzip");
            unzip.args(["-tq"]);
            unzip
        },
    ] {
        let program = command.get_program().to_string_lossy().into_owned();
        if tnv_testbed::installed(&[&program]) {
            let output = command.arg(&file).output().unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_meeting_has_a_package() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[]).await;
    let package = hub.get(PACKAGE).await;
    let zip = zip::ZipArchive::new(Cursor::new(package.body)).unwrap();
    assert_eq!((zip.len(), zip.file_names().next().unwrap().unwrap().as_ref()), (1, "metadata.json"));
}

#[tokio::test]
async fn ranges_and_conditions_are_those_of_the_whole() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[("a", &sample(100_000, 1)), ("b", &sample(100_000, 2))]).await;
    let whole = hub.get(PACKAGE).await.body;
    let len = whole.len();
    let etag = format!("\"{}\"", version_now(&hub).await);
    for (first, last) in
        [(0, 0), (0, 99), (90, 100_500), (99_990, 200_000), (len - 500, len - 1), (1, len - 1)]
    {
        let range = format!("bytes={first}-{last}");
        let part =
            Call::get(PACKAGE).header("range", &range).header("if-range", &etag).send(hub.address).await;
        assert_eq!(
            (part.status, part.header("content-range")),
            (206, &*format!("bytes {first}-{last}/{len}"))
        );
        assert!(part.body[..] == whole[first..=last], "{range}");
    }
    let parts = Call::get(PACKAGE).header("range", "bytes=0-9,100000-100009").send(hub.address).await;
    assert_eq!(parts.status, 206);
    assert!(parts.header("content-type").starts_with("multipart/byteranges; boundary="));
    assert_eq!(parts.header("content-length"), parts.body.len().to_string());
    let beyond = Call::get(PACKAGE).header("range", &format!("bytes={len}-")).send(hub.address).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, &*format!("bytes */{len}")));
    let stale =
        Call::get(PACKAGE).header("range", "bytes=0-9").header("if-range", "\"x\"").send(hub.address).await;
    assert_eq!((stale.status, stale.body.len()), (200, len));
    let known = Call::get(PACKAGE).header("if-none-match", &etag).send(hub.address).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let other = Call::get(PACKAGE).header("if-match", "\"x\"").send(hub.address).await;
    assert_eq!(other.status, 412);
}

#[tokio::test]
async fn a_version_in_the_address_decides() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[("a", b"old")]).await;
    let old = hub.get(PACKAGE).await;
    let old_version = version_now(&hub).await;
    hub.put("m", "a", b"newer").await;
    let new_version = version_now(&hub).await;
    assert_ne!(old_version, new_version);
    // What is remembered is still to be had, bytes and all.
    let again = hub.get(&format!("{PACKAGE}?version={old_version}")).await;
    assert_eq!((again.status, again.body == old.body), (200, true));
    assert_eq!(hub.get(&format!("{PACKAGE}?version={new_version}")).await.status, 200);
    let other = hub.get(&format!("{PACKAGE}?version={}", "0".repeat(64))).await;
    assert_eq!(other.status, 409);
    assert!(other.detail().contains(&new_version));
    assert_eq!(hub.get(&format!("{PACKAGE}?version=x")).await.status, 400);
    // A hub that has not seen the old version cannot tell what was in it.
    hub.stop().await;
    let hub = cluster.hub(|_| {}).await;
    assert_eq!(hub.get(&format!("{DIRECT}?version={old_version}")).await.status, 409);
}

#[tokio::test]
async fn bytes_that_are_gone_break_the_package_off_and_never_mix() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    let meeting = hub.meeting("m", &[("a", &sample(300_000, 1)), ("b", &sample(300_000, 2))]).await;
    let whole = hub.get(PACKAGE).await.body;
    let client = cluster.client();
    let id = meeting["files"][1]["id"].as_str().unwrap();
    client.delete(&tnv_proto::FileKey::new("tnvideo", "meeting-m", id).unwrap()).await.unwrap();
    let broken = hub.get(PACKAGE).await;
    assert!(!broken.is_whole && broken.body.len() < whole.len());
    assert!(broken.body[..] == whole[..broken.body.len()]);
    let direct = hub.get(&format!("/api/v1/meetings/m/files/{id}")).await;
    assert_eq!(direct.status, 404);
}

#[tokio::test]
async fn clients_are_sent_to_nodes_that_hold_this_version() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[("a", b"1")]).await;
    let version = version_now(&hub).await;
    let (one, two) = (FakeNode::start("node-1").await, FakeNode::start("节点 2").await);
    one.join(&hub, &[("m", &version)]).await;
    let sent = hub.get(PACKAGE).await;
    let location = format!("http://{}{PACKAGE}?version={version}", one.address);
    assert_eq!((sent.status, sent.header("location")), (302, &*location));
    assert_eq!(sent.header("cache-control"), "no-store");
    let data = hub.get("/api/v1/meetings/m/data").await.json();
    assert_eq!(data["download_url"], location);
    assert_eq!(Call::new("HEAD", PACKAGE).send(hub.address).await.status, 302);

    // Who comes back at once gets another node, here the hub itself; with two nodes, the other one.
    let back = hub.get(PACKAGE).await;
    assert_eq!(back.status, 200);
    let other = back.headers.get_all("link").iter().next_back().unwrap();
    assert_eq!(other, &format!("<{location}>; rel=duplicate; pri=1"));
    let answer = hub.post("/api/v1/nodes/register", two.registration()).await;
    assert_eq!(answer.status, 200);
    let id = percent_encoding::utf8_percent_encode("节点 2", percent_encoding::NON_ALPHANUMERIC);
    let beat = serde_json::json!({"status": "active", "packages": [{"id": "m", "version": version}]});
    assert_eq!(hub.post(&format!("/api/v1/nodes/{id}/heartbeat"), beat).await.status, 200);
    crate::http::in_time(async {
        while two.shown(&hub).await["online"] != true {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let sent = hub.get(PACKAGE).await;
    let location = format!("http://{}{PACKAGE}?version={version}", two.address);
    assert_eq!((sent.status, sent.header("location")), (302, &*location));
    for _ in 0..3 {
        assert_eq!(hub.get(PACKAGE).await.status, 200, "it has been at both");
    }

    // A node that is drained, or holds another version, is left alone; nodes are served in any case.
    for id in ["node-1", &id.to_string()] {
        let call = Call::new("PUT", &format!("/api/v1/admin/nodes/{id}"));
        let answer = call.json(&serde_json::json!({"draining": true})).send(hub.address).await;
        assert_eq!((answer.status, &answer.json()["draining"]), (200, &Value::Bool(true)));
    }
    assert_eq!(hub.get(PACKAGE).await.status, 200);
    assert_eq!(hub.get(DIRECT).await.status, 200);
    let call = Call::new("PUT", "/api/v1/admin/nodes/node-1").json(&serde_json::json!({"draining": false}));
    assert_eq!(call.send(hub.address).await.status, 200);
    hub.put("m", "a", b"2").await;
    assert_eq!(hub.get(PACKAGE).await.status, 200, "nobody holds it yet");
    let newest = version_now(&hub).await;
    assert_eq!(one.beat(&hub, &[("m", &newest)]).await.status, 200);
    let statuses = [hub.get(PACKAGE).await.status, hub.get(PACKAGE).await.status];
    assert!(statuses.contains(&302), "{statuses:?}");
}

#[tokio::test]
async fn files_that_come_and_go_meanwhile_never_make_a_bad_package() {
    let cluster = Cluster::start().await;
    let hub = cluster.hub(|_| {}).await;
    hub.meeting("m", &[("a", &sample(50_000, 0))]).await;
    let changing = async {
        for n in 0..20 {
            hub.put("m", "a", &sample(50_000 + n, n)).await;
            hub.put("m", &format!("b{}", n % 3), &sample(1000 * n, n)).await;
            let path = format!("/api/v1/meetings/m/files/b{}", n % 3);
            Call::new("DELETE", &path).send(hub.address).await;
        }
    };
    let reading = async {
        for _ in 0..40 {
            let package = hub.get(PACKAGE).await;
            assert!(package.status == 200 && package.is_whole);
            let mut zip = zip::ZipArchive::new(Cursor::new(package.body)).unwrap();
            for n in 0..zip.len() {
                // It compares the CRC32.
                std::io::copy(&mut zip.by_index(n).unwrap(), &mut std::io::sink()).unwrap();
            }
        }
    };
    tokio::join!(changing, reading);
    // Two that take one place at once: one is there in the end, and nothing is left over.
    let put = |n: usize| {
        Call::new("PUT", "/api/v1/meetings/m/files/same").body(sample(10_000, n)).send(hub.address)
    };
    let (one, two, other) = tokio::join!(
        put(1),
        put(2),
        Call::new("PUT", "/api/v1/meetings/m/files/SAME").body("x").send(hub.address)
    );
    let statuses = [one.status, two.status, other.status];
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    let files = hub.get("/api/v1/meetings/m").await.json()["files"].as_array().unwrap().clone();
    let same = files.iter().filter(|file| file["path"].as_str().unwrap().eq_ignore_ascii_case("same"));
    assert_eq!(same.count(), 1);
}
