//! The tus clients that people use: tuspy and tus-js-client upload, break off, go on in a new process, and outlive a
//! SIGKILL of all servers.

use std::process::Command;

use crate::harness::eventually;
use crate::harness::lab::{Lab, own_address};
use crate::harness::pattern::Pattern;
use crate::harness::process::Process;
use crate::harness::tools::{node, python};
use crate::harness::web::{Web, get};

const CHUNK: u64 = 2 << 20;
const SIZE: u64 = 40 * CHUNK + 12_345;

/// The file that `path` (below /tus/) has become, compared; and its name and type as they were sent.
#[track_caller]
fn assert_stored(http: &str, url: &str, name: &str, contents: &[u8]) {
    let path = url.strip_prefix(&format!("http://{http}")).unwrap_or(url).replace("/tus/", "/files/");
    let file = get(http, &path, &[]);
    assert_eq!(file.status, 200, "{path}");
    assert!(file.body == contents, "{path}");
    assert_eq!(file.header("content-type"), Some("video/mp4"));
    let files = get(http, "/api/files", &[]).json();
    assert_eq!(files["files"].as_array().unwrap().len(), 1, "{files}");
    assert_eq!(
        (files["files"][0]["name"].as_str(), files["files"][0]["url"].as_str()),
        (Some(name), Some(&*path))
    );
}

/// Where the gateway says the upload stands.
fn stands(http: &str, url: &str) -> u64 {
    let path = url.strip_prefix(&format!("http://{http}")).unwrap_or(url);
    eventually("the upload to be free", || {
        let head = Web::connect(http).request("HEAD", path, &[("Tus-Resumable", "1.0.0")]);
        head.header("upload-offset").map(|offset| offset.parse().unwrap())
    })
}

/// The offsets that a client tells, up to one that is at least `until`.
#[track_caller]
fn wait_for_offset(client: &mut Process, until: u64) -> u64 {
    loop {
        let offset = client.expect_line("offset ").parse().unwrap();
        if offset >= until {
            return offset;
        }
    }
}

/// Kills everything in the middle of an upload twice and starts it again; the client does not notice more than a pause.
#[track_caller]
fn outlives_kills(lab: &Lab, name: &str, start: impl FnOnce(&str, &str) -> Command) {
    let contents = Pattern::new(101, SIZE).bytes();
    let file = lab.file("film.mp4", &contents);
    let address = own_address();
    let mut up = lab.up_at(&address);
    let mut client = lab.process("client", &mut start(&address, &file));
    let url = client.expect_line("url ");
    for until in [SIZE / 4, SIZE / 2] {
        let acknowledged = wait_for_offset(&mut client, until);
        up.process.kill();
        up = lab.up_at(&address);
        assert!(stands(&address, &url) >= acknowledged, "an acknowledged chunk is durable");
    }
    client.expect_line("done");
    assert!(client.wait().success(), "{}", client.log());
    assert_stored(&address, &url, name, &contents);
}

#[test]
fn tuspy_breaks_off_and_goes_on() {
    let Some(mut tuspy) = python("tus_clients/tuspy.py") else { return };
    let lab = Lab::new();
    let up = lab.up();
    let contents = Pattern::new(102, SIZE).bytes();
    let file = lab.file("film.mp4", &contents);
    let chunk = CHUNK.to_string();
    let mut first = lab.process("first", tuspy.args([&up.http, &file, &chunk, &(SIZE / 3).to_string()]));
    let url = first.expect_line("url ");
    first.expect_line("stopped");
    assert!(first.wait().success(), "{}", first.log());
    let stopped = stands(&up.http, &url);
    assert!((SIZE / 3..SIZE).contains(&stopped), "{stopped}");

    let mut tuspy = python("tus_clients/tuspy.py").unwrap();
    let mut second = lab.process("second", tuspy.args([&up.http, &file, &chunk, "0", &url]));
    assert_eq!(second.expect_line("offset "), stopped.to_string(), "it goes on where the first stopped");
    second.expect_line("done");
    assert!(second.wait().success(), "{}", second.log());
    assert_stored(&up.http, &url, "电影 from tuspy.mp4", &contents);
}

#[test]
fn tuspy_outlives_a_kill_of_all_servers() {
    let Some(mut tuspy) = python("tus_clients/tuspy.py") else { return };
    let lab = Lab::new();
    outlives_kills(&lab, "电影 from tuspy.mp4", |http, file| {
        tuspy.args([http, file, &CHUNK.to_string(), "0"]);
        tuspy
    });
}

#[test]
fn tus_js_client_breaks_off_in_a_chunk_and_goes_on() {
    let Some(mut client) = node("tus_clients/tus-js-client.mjs") else { return };
    let lab = Lab::new();
    let up = lab.up();
    // So long that there is much left to come when the client, which looks ten times a second, stops.
    let size = 3 * SIZE;
    let contents = Pattern::new(103, size).bytes();
    let file = lab.file("film.mp4", &contents);
    // One request for all of it, so that it breaks off in the middle of one.
    let (chunk, store) = (size.to_string(), lab.arg("uploads.json"));
    let mut first =
        lab.process("first", client.args([&up.http, &file, &chunk, &(size / 4).to_string(), &store]));
    let url = first.expect_line("url ");
    first.expect_line("aborted");
    assert!(first.wait().success(), "{}", first.log());
    let stopped = stands(&up.http, &url);
    assert!((1..size).contains(&stopped), "{stopped}");

    let mut client = node("tus_clients/tus-js-client.mjs").unwrap();
    let mut second = lab.process("second", client.args([&up.http, &file, &chunk, "0", &store]));
    assert_eq!(second.expect_line("from "), url);
    second.expect_line("done");
    assert!(second.wait().success(), "{}", second.log());
    assert_stored(&up.http, &url, "电影 from node.mp4", &contents);
}

#[test]
fn tus_js_client_outlives_a_kill_of_all_servers() {
    let Some(mut client) = node("tus_clients/tus-js-client.mjs") else { return };
    let lab = Lab::new();
    let store = lab.arg("uploads.json");
    outlives_kills(&lab, "电影 from node.mp4", |http, file| {
        client.args([http, file, &CHUNK.to_string(), "0", &store]);
        client
    });
}
