//! `client fetch` against real gateways and storages: whatever dies meanwhile, the bytes are right or the exit code says
//! what is wrong.

mod https;

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::lab::{APP, Lab, Role, USER, Up, own_address, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::process::{Process, text};
use crate::harness::web::Web;
use crate::harness::{DEADLINE, eventually};

const LEN: u64 = 12 << 20;

/// A cluster with one file.
struct Site {
    lab: Lab,
    up: Up,
    bytes: Vec<u8>,
    id: String,
}

impl Site {
    fn new(seed: u64) -> Site {
        let lab = Lab::new();
        let up = lab.up();
        let bytes = Pattern::new(seed, LEN).bytes();
        let film = lab.file("film", &bytes);
        let id =
            ok(&lab.client(&[&up.tracker, "upload", APP, USER, &film, "--id", "film"])).trim().to_owned();
        Site { lab, up, bytes, id }
    }

    fn url(&self) -> String {
        format!("http://{}/files/{}", self.up.http, self.id)
    }

    fn fetch(&self, args: &[&str]) -> Output {
        let (out, limit) = (self.lab.arg("out"), DEADLINE.as_secs().to_string());
        self.lab.client(&[&["fetch", "-o", &out, "--timeout", &limit], args].concat())
    }

    #[track_caller]
    fn assert_fetched(&self, output: &Output) {
        assert_eq!(output.status.code(), Some(0), "{:?}", text(output));
        self.assert_out(&self.bytes);
    }

    #[track_caller]
    fn assert_out(&self, bytes: &[u8]) {
        assert!(std::fs::read(self.lab.path("out")).unwrap() == bytes, "other bytes");
        for left in ["out.part", "out.part.json"] {
            assert!(!self.lab.path(left).exists(), "{left}");
        }
        std::fs::remove_file(self.lab.path("out")).unwrap();
    }

    /// A slow fetch, of which something has been written down.
    fn begin(&self, name: &str, urls: &[&str]) -> Process {
        let out = self.lab.arg("out");
        let args = [&["fetch", "--json", "-o", &out, "--limit-rate", "2M"], urls].concat();
        let process = self.lab.process(name, &mut self.lab.client_command(&args));
        eventually("a note with bytes", || {
            let note: Value =
                serde_json::from_slice(&std::fs::read(self.lab.path("out.part.json")).ok()?).ok()?;
            let written = note["written"].as_array()?;
            (!written.is_empty()).then_some(())
        });
        process
    }
}

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{:?}", text(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The last event of a fetch with `--json`.
#[track_caller]
fn last_event(output: &Output) -> Value {
    let out = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(out.lines().last().expect("an event")).unwrap()
}

#[test]
fn from_gateways_and_from_storages() {
    let site = Site::new(61);
    let url = site.url();
    site.assert_fetched(&site.fetch(&[&url]));
    site.assert_fetched(&site.fetch(&["http://127.0.0.1:1/files/film", &url, "--parallel", "2"]));
    let base = format!("http://{}", site.up.http);
    site.assert_fetched(&site.fetch(&["--base", &base, "--count", "3", "/files/film"]));
    let out = site.lab.arg("out");
    site.assert_fetched(&site.lab.client(&[
        &site.up.tracker,
        "fetch",
        APP,
        USER,
        "film",
        "-o",
        &out,
        "--parallel",
        "2",
    ]));
    let hash = format!("blake3:{}", blake3::hash(&site.bytes).to_hex());
    // The gateway describes it, with the hashes of its pieces.
    let metalink = format!("{url}?meta4");
    let output = site.fetch(&[&metalink, "--json", "--parallel", "2"]);
    let event = last_event(&output);
    assert_eq!((&event["pieces_verified"], &event["hashes"][0]), (&true.into(), &hash.as_str().into()));
    site.assert_fetched(&output);
    let mut web = Web::connect(&site.up.http);
    web.send(format!("GET /files/film?meta4 HTTP/1.1\r\nHost: {}\r\n\r\n", site.up.http).as_bytes());
    let document = site.lab.file("film.meta4", web.response("GET").body);
    site.assert_fetched(&site.fetch(&[&document]));
    let output = site.fetch(&[&url, "--checksum", &hash, "--json"]);
    let event = last_event(&output);
    assert_eq!((&event["event"], &event["size"]), (&"downloadComplete".into(), &LEN.into()));
    assert_eq!(event["hashes"][0], hash.as_str());
    site.assert_fetched(&output);
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let site = Site::new(62);
    let url = site.url();
    let check = |args: &[&str], code: i32, status: &str| {
        let output = site.fetch(&[args, &["--json", "--retries", "0"]].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {:?}", text(&output));
        assert_eq!(last_event(&output)["status"], status, "{args:?}");
        assert!(!site.lab.path("out").exists() && !site.lab.path("out.part").exists(), "{args:?}");
    };
    let missing = format!("{url}-not");
    check(&[&missing], 3, "all_servers_failed");
    check(&["http://127.0.0.1:1/film"], 5, "all_servers_failed");
    let wrong = format!("blake3:{}", blake3::hash(b"other").to_hex());
    check(&[&url, "--checksum", &wrong], 6, "checksum_mismatch");
    assert_eq!(site.fetch(&["ftp://127.0.0.1/film"]).status.code(), Some(2));
    let empty = "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"><file name=\"x\"/></metalink>";
    check(&[&site.lab.file("empty.meta4", empty)], 10, "no_servers");
    std::fs::write(site.lab.path("out"), b"precious").unwrap();
    let output = site.fetch(&[&url]);
    assert_eq!(output.status.code(), Some(1), "{:?}", text(&output));
    assert_eq!(std::fs::read(site.lab.path("out")).unwrap(), b"precious");
}

#[test]
fn a_killed_fetch_goes_on_where_it_was() {
    let site = Site::new(63);
    let url = site.url();
    site.begin("killed", &[&url]).kill();
    assert!(!site.lab.path("out").exists());
    let output = site.fetch(&[&url, "--json"]);
    let resumed = last_event(&output)["resumed_at"].as_u64().unwrap();
    assert!(resumed > 0 && resumed < LEN, "{resumed}");
    site.assert_fetched(&output);
}

#[test]
fn a_stopped_fetch_says_so_and_another_file_is_not_mixed_in() {
    let site = Site::new(64);
    let url = site.url();
    let mut process = site.begin("stopped", &[&url]);
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(128 + 15));
    let events = std::fs::read_to_string(site.lab.path("stopped.out")).unwrap();
    let last: Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
    assert_eq!((&last["event"], &last["status"]), (&"downloadError".into(), &"cancelled".into()));
    ok(&site.lab.client(&[&site.up.tracker, "delete", APP, USER, "film"]));
    let other = Pattern::new(65, LEN).bytes();
    let path = site.lab.file("other", &other);
    ok(&site.lab.client(&[&site.up.tracker, "upload", APP, USER, &path, "--id", "film"]));
    let output = site.fetch(&[&url, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{:?}", text(&output));
    assert_eq!(last_event(&output)["resumed_at"], 0);
    site.assert_out(&other);
}

#[test]
fn a_gateway_that_dies_is_replaced_by_another() {
    let site = Site::new(66);
    wait_active(&site.up.tracker, USER);
    let gateway =
        |name: &str| Role::http(&[&site.up.tracker]).named(name).listen(&own_address()).start(&site.lab);
    let mut gateways = [gateway("one"), gateway("two")];
    let urls: Vec<String> = gateways.iter().map(|one| format!("http://{}/files/film", one.address)).collect();
    let mut process = site.begin("dying", &[&urls[0], &urls[1]]);
    // The events' names come in the order of the alphabet.
    let line = process.expect_line("{\"bytes\":");
    let event: Value = serde_json::from_str(&format!("{{\"bytes\":{line}")).unwrap();
    // Whichever is at work dies.
    let active = |source: &Value| source["state"] == "active" && source["source"] == urls[0].as_str();
    let first = event["sources"].as_array().is_some_and(|sources| sources.iter().any(active));
    gateways[usize::from(!first)].process.kill();
    assert_eq!(process.wait().code(), Some(0));
    site.assert_out(&site.bytes);
}

#[test]
fn only_one_at_a_time_writes_a_file() {
    let site = Site::new(67);
    let url = site.url();
    let mut process = site.begin("first", &[&url]);
    let output = site.fetch(&[&url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).1.contains("another process"), "{:?}", text(&output));
    process.kill();
    site.assert_fetched(&site.fetch(&[&url]));
}
