//! Transfers that are killed, on either side, and go on.

use std::path::Path;

use rustix::process::Signal;

use super::{names, objects, ok};
use crate::harness::lab::{APP, Lab, Role, USER, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Web, get, request};
use crate::harness::{eventually, files_below};
use crate::uploads::tus;

const SIZE: u64 = 160 << 20;
const AT_START: (&str, &str) = ("Upload-Offset", "0");

fn write(path: &Path, pattern: &Pattern) {
    let mut file = std::fs::File::create(path).unwrap();
    std::io::copy(&mut pattern.reader(0), &mut file).unwrap();
}

#[track_caller]
fn check(path: &Path, pattern: &Pattern) {
    pattern.check(0, pattern.len(), &mut std::fs::File::open(path).unwrap());
}

/// Waits until some file below `folder` has so many bytes.
#[track_caller]
fn wait_for_bytes(folder: &Path, bytes: u64) {
    eventually("the transfer to be on its way", || {
        let mut sizes = files_below(folder).into_iter().filter_map(|path| Some(path.metadata().ok()?.len()));
        sizes.any(|len| len >= bytes).then_some(())
    });
}

#[test]
fn an_upload_goes_on_after_a_kill_of_the_client() {
    let lab = Lab::new();
    let up = lab.up();
    let film = lab.path("film.bin");
    let pattern = Pattern::new(121, SIZE);
    write(&film, &pattern);
    let upload = [&up.tracker, "upload", APP, USER, film.to_str().unwrap(), "--part-size", "1M", "--json"];
    let mut client = lab.process("first", &mut lab.client_command(&upload));
    wait_for_bytes(&lab.path("data/store"), SIZE / 8);
    client.kill();
    assert_eq!(names(&lab, &[&up.tracker, "ls"]), [""; 0], "not a file yet");

    let sent = objects(lab.client(&upload)).remove(0);
    let resumed_at = sent["resumed_at"].as_u64().unwrap();
    assert!((1..SIZE).contains(&resumed_at), "{sent}");
    assert_eq!((sent["size"].as_u64(), sent["name"].as_str()), (Some(SIZE), Some("film.bin")));
    let back = lab.arg("back");
    ok(lab.client(&[&up.tracker, "download", APP, USER, sent["id"].as_str().unwrap(), "-o", &back]));
    check(Path::new(&back), &pattern);
    // The next upload of the same file is one of its own.
    let again = objects(lab.client(&upload)).remove(0);
    assert_ne!(again["id"], sent["id"]);
    assert!(again["resumed_at"].as_u64().unwrap_or(0) == 0, "{again}");
}

/// What a client that was killed had sent may still be on its way to the disk when the next one comes.
#[test]
fn an_upload_waits_until_nobody_else_writes_to_it() {
    let lab = Lab::new();
    let up = lab.up();
    let film = lab.path("film.bin");
    let pattern = Pattern::new(124, SIZE);
    write(&film, &pattern);
    let path = tus::begin(&mut Web::connect(&up.http), SIZE, &[]);
    let id = path.rsplit('/').next().unwrap();
    let mut other = Web::connect(&up.http);
    other.send(
        request("PATCH", &path, &[tus::TUS, tus::PART, AT_START, ("Content-Length", "1000000")]).as_bytes(),
    );
    other.send(&pattern.bytes()[..500_000]);
    wait_for_bytes(&lab.path("data/store"), 100_000);
    let upload = [&up.tracker, "upload", APP, USER, film.to_str().unwrap(), "--part-size", "1M", "--id", id];
    let mut client = lab.process("client", &mut lab.client_command(&upload));
    let refused = r#"tnv_requests_total{server="storage",command="Begin",result="423"}"#;
    eventually("the client to be refused", || {
        get(&up.http, "/metrics", &[]).text().contains(refused).then_some(())
    });
    drop(other);
    assert!(client.wait().success(), "{}", client.log());
    let back = lab.arg("back");
    ok(lab.client(&[&up.tracker, "download", APP, USER, id, "-o", &back]));
    check(Path::new(&back), &pattern);
}

#[test]
fn an_upload_outlives_a_kill_of_its_storage() {
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let role = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]);
    let mut storage = role.start(&lab);
    wait_active(&tracker.address, USER);
    let film = lab.path("film.bin");
    let pattern = Pattern::new(122, SIZE);
    write(&film, &pattern);
    let path = film.to_str().unwrap();
    let upload =
        [&tracker.address, "upload", APP, USER, path, "--part-size", "1M", "--retries", "60", "--quiet"];
    let mut client = lab.process("client", &mut lab.client_command(&upload));
    for part in [SIZE / 8, SIZE / 2] {
        wait_for_bytes(&lab.path("store"), part);
        storage.process.signal(Signal::KILL);
        storage.process.wait();
        storage = role.start(&lab);
    }
    let file = client.expect_line("");
    assert!(client.wait().success(), "{}", client.log());
    let back = lab.arg("back");
    ok(lab.client(&[&tracker.address, "download", APP, USER, &file, "-o", &back]));
    check(Path::new(&back), &pattern);
}

#[test]
fn a_download_goes_on_after_a_kill_of_the_client() {
    let lab = Lab::new();
    let up = lab.up();
    let film = lab.path("film.bin");
    let pattern = Pattern::new(123, SIZE);
    write(&film, &pattern);
    let file = ok(lab.client(&[&up.tracker, "upload", APP, USER, film.to_str().unwrap(), "--quiet"]));
    let folder = lab.path("back");
    std::fs::create_dir(&folder).unwrap();
    let back = folder.join("film.bin");
    let download = [&up.tracker, "download", APP, USER, file.trim(), "-o", back.to_str().unwrap(), "--json"];
    let mut client = lab.process("first", &mut lab.client_command(&download));
    wait_for_bytes(&folder, 1 << 20);
    client.kill();
    assert!(!back.exists(), "what stands under its name is whole");
    let part = folder.join("film.bin.part");
    let kept = part.metadata().unwrap().len();
    assert!((1..SIZE).contains(&kept), "{kept}");
    ok(lab.client(&download));
    check(&back, &pattern);
    assert!(!part.exists());
}
