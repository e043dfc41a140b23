//! Resumable uploads, request by request (tus 1.0).

use std::net::Shutdown;
use std::path::{Path, PathBuf};

use super::{assert_serves, listed, up};
use crate::harness::lab::{Lab, assert_no_temps};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Response, Web, request};
use crate::harness::{eventually, files_below};

pub(crate) const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
pub(crate) const PART: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

/// `filename` and `filetype` of the metadata: `视.mp4`, `video/mp4`.
const METADATA: (&str, &str) =
    ("Upload-Metadata", "filename 6KeGLm1wNA==,confidential ,filetype dmlkZW8vbXA0");

/// Begins an upload; its path.
#[track_caller]
pub(crate) fn begin(web: &mut Web, size: u64, headers: &[(&str, &str)]) -> String {
    let size = size.to_string();
    let response = web.post("/tus/", &[&[TUS, ("Upload-Length", &size)], headers].concat(), b"");
    assert_eq!(response.status, 201, "{}", response.text());
    assert_eq!(response.header("tus-resumable"), Some("1.0.0"));
    let location = response.header("location").unwrap();
    location.strip_prefix("http://localhost").unwrap_or(location).to_owned()
}

pub(crate) fn patch(
    web: &mut Web,
    path: &str,
    offset: u64,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let offset = offset.to_string();
    web.send_body("PATCH", path, &[&[TUS, PART, ("Upload-Offset", &offset)], headers].concat(), body)
}

/// Where an upload stands, if it can be told at this moment.
pub(crate) fn offset(web: &mut Web, path: &str) -> Option<u64> {
    let response = web.request("HEAD", path, &[TUS]);
    assert!([200, 423].contains(&response.status), "{response:?}");
    response.header("upload-offset").map(|offset| offset.parse().unwrap())
}

/// What lies there of uploads in parts.
pub(crate) fn parts_below(folder: &Path) -> Vec<PathBuf> {
    let kept = |path: &PathBuf| path.parent().is_some_and(|parent| parent.ends_with(".tnv-parts"));
    let kinds = ["json", "data", "offset"];
    let is_part =
        |path: &PathBuf| path.extension().is_some_and(|kind| kinds.iter().any(|known| kind == *known));
    files_below(folder).into_iter().filter(|path| kept(path) && is_part(path)).collect()
}

#[test]
fn options_tell_what_is_possible() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let response = web.request("OPTIONS", "/tus/", &[]);
    assert!([200, 204].contains(&response.status), "{response:?}");
    assert_eq!(response.header("tus-version"), Some("1.0.0"));
    let extensions: Vec<&str> = response.header("tus-extension").unwrap().split(',').collect();
    for extension in ["creation", "termination", "checksum", "expiration"] {
        assert!(extensions.contains(&extension), "{extension} in {extensions:?}");
    }
    assert!(response.header("tus-checksum-algorithm").unwrap().contains("sha1"));
    assert!(response.header("tus-max-size").unwrap().parse::<u64>().unwrap() > 1 << 40);
}

#[test]
fn parts_become_a_file() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let contents = Pattern::new(81, 1_000_000).bytes();
    let path = begin(&mut web, 1_000_000, &[METADATA]);
    let head = web.request("HEAD", &path, &[TUS]);
    assert_eq!((head.header("upload-offset"), head.header("upload-length")), (Some("0"), Some("1000000")));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert!(head.header("upload-expires").unwrap().ends_with(" GMT"));
    assert_eq!(head.header("upload-metadata"), Some("filename 6KeGLm1wNA==,filetype dmlkZW8vbXA0"));
    assert_eq!(listed(&mut web), [""; 0], "an upload is no file yet");
    for part in [0..1, 1..400_000, 400_000..400_000, 400_000..1_000_000] {
        let response = patch(&mut web, &path, part.start as u64, &[], &contents[part.clone()]);
        assert_eq!(response.status, 204, "{part:?}: {}", response.text());
        assert_eq!(response.header("upload-offset"), Some(part.end.to_string().as_str()));
    }
    assert_eq!(offset(&mut web, &path), Some(1_000_000), "a complete upload still tells its offset");
    assert_eq!(listed(&mut web), ["视.mp4"]);
    let view = web.get("/api/files", &[]).json()["files"][0].take();
    assert_eq!(view["content_type"], "video/mp4");
    assert_eq!(path.rsplit('/').next(), view["id"].as_str(), "the upload's id is the file's");
    assert_serves(&mut web, &view, &contents);
    assert_no_temps(&lab.path("data"));
}

#[test]
fn the_first_part_may_come_with_the_beginning_and_a_file_may_be_empty() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let response = web.post(
        "/tus/",
        &[TUS, PART, ("Upload-Length", "10"), ("Upload-Metadata", "filename Zg==")],
        b"first",
    );
    assert_eq!((response.status, response.header("upload-offset")), (201, Some("5")), "{}", response.text());
    let path = response.header("location").unwrap().to_owned();
    let refused = patch(&mut Web::connect(&up.http), &path, 0, &[], b"again");
    refused.assert_refused(409, "an offset that was passed");
    assert_eq!(patch(&mut web, &path, 5, &[], b"-last").status, 204);
    assert_eq!(web.get(&path.replace("/tus/", "/files/"), &[]).body, b"first-last");
    let empty = begin(&mut web, 0, &[("Upload-Metadata", "filename ZW1wdHk=")]);
    assert_eq!(web.get(&empty.replace("/tus/", "/files/"), &[]).body, b"");
    assert_eq!(listed(&mut web), ["empty", "f"]);
}

#[test]
fn a_part_that_breaks_off_is_kept_as_far_as_it_came() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let contents = Pattern::new(82, 3_000_000).bytes();
    let path = begin(&mut web, 3_000_000, &[("Upload-Metadata", "filename Zg==")]);
    let mut done = 0;
    for _ in 0..3 {
        let mut cut = Web::connect(&up.http);
        let (at, len) = (done.to_string(), (3_000_000 - done).to_string());
        let headers = [TUS, PART, ("Upload-Offset", &at), ("Content-Length", &len)];
        cut.send(request("PATCH", &path, &headers).as_bytes());
        cut.send(&contents[done as usize..done as usize + 700_000]);
        cut.stream.get_ref().shutdown(Shutdown::Both).unwrap();
        done = eventually("what came to be kept", || offset(&mut web, &path).filter(|offset| *offset > done));
    }
    let rest = patch(&mut web, &path, done, &[], &contents[done as usize..]);
    assert_eq!(rest.status, 204, "{}", rest.text());
    assert_eq!(rest.header("upload-offset"), Some("3000000"));
    assert!(web.get(&path.replace("/tus/", "/files/"), &[]).body == contents);
}

#[test]
fn a_checksum_that_is_wrong_drops_the_part() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let path = begin(&mut web, 10, &[]);
    // printf 'hello' | openssl dgst -sha1 -binary | base64
    let right = ("Upload-Checksum", "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=");
    patch(&mut web, &path, 0, &[right], b"hallo").assert_refused(460, "other bytes");
    assert_eq!(offset(&mut web, &path), Some(0));
    for bad in ["crc32 AAAA", "sha1 ****", "sha1"] {
        let mut web = Web::connect(&up.http);
        patch(&mut web, &path, 0, &[("Upload-Checksum", bad)], b"hello").assert_refused(400, bad);
    }
    assert_eq!(patch(&mut web, &path, 0, &[right], b"hello").status, 204);
    assert_eq!(patch(&mut web, &path, 5, &[right], b"hello").status, 204);
    assert_eq!(web.get(&path.replace("/tus/", "/files/"), &[]).body, b"hellohello");
}

#[test]
fn an_upload_can_be_given_up_and_a_file_removed() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let path = begin(&mut web, 10, &[]);
    assert_eq!(patch(&mut web, &path, 0, &[], b"hello").status, 204);
    assert_eq!(web.send_body("DELETE", &path, &[TUS], b"").status, 204);
    assert_eq!(web.request("HEAD", &path, &[TUS]).status, 404);
    patch(&mut Web::connect(&up.http), &path, 5, &[], b"world").assert_refused(404, "PATCH");
    web.send_body("DELETE", &path, &[TUS], b"").assert_refused(404, "DELETE");
    assert_no_temps(&lab.path("data"));
    let done = begin(&mut web, 0, &[]);
    assert_eq!(web.send_body("DELETE", &done, &[TUS], b"").status, 204);
    assert_eq!(web.get(&done.replace("/tus/", "/files/"), &[]).status, 404);
}

#[test]
fn one_writer_at_a_time() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let contents = Pattern::new(83, 2_000_000).bytes();
    let path = begin(&mut web, 2_000_000, &[]);
    let mut first = Web::connect(&up.http);
    let headers = [TUS, PART, ("Upload-Offset", "0"), ("Content-Length", "2000000")];
    first.send(request("PATCH", &path, &headers).as_bytes());
    first.send(&contents[..1_000_000]);
    eventually("the first to have begun", || {
        let kept = files_below(&lab.path("data/store")).into_iter().filter_map(|path| path.metadata().ok());
        kept.map(|file| file.len()).any(|len| len > 100_000).then_some(())
    });
    assert_eq!(offset(&mut web, &path), Some(0), "what is durable");
    for (at, status) in [(0, 423), (1_000_000, 409), (2_000_000, 409)] {
        let second = patch(&mut Web::connect(&up.http), &path, at, &[], &contents[at as usize..]);
        second.assert_refused(status, &format!("a second writer at {at}"));
    }
    first.send(&contents[1_000_000..]);
    assert_eq!(first.response("PATCH").status, 204);
    assert!(web.get(&path.replace("/tus/", "/files/"), &[]).body == contents);
}

#[test]
fn the_method_may_stand_in_a_header() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let path = begin(&mut web, 5, &[]);
    let headers = [TUS, PART, ("Upload-Offset", "0"), ("X-HTTP-Method-Override", "PATCH")];
    assert_eq!(web.post(&path, &headers, b"hello").status, 204);
    assert_eq!(web.get(&path.replace("/tus/", "/files/"), &[]).body, b"hello");
}

/// As a page does whose visitor changes their mind.
#[test]
fn an_upload_is_given_up_while_a_part_is_on_its_way() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    for _ in 0..5 {
        let path = begin(&mut web, 500_000_000, &[]);
        let mut cut = Web::connect(&up.http);
        let headers = [TUS, PART, ("Upload-Offset", "0"), ("Content-Length", "8388608")];
        cut.send(request("PATCH", &path, &headers).as_bytes());
        cut.send(&[7; 6_000_000]);
        drop(cut);
        assert_eq!(web.request("DELETE", &path, &[TUS]).status, 204);
        eventually("its bytes to be gone", || parts_below(&lab.path("data")).is_empty().then_some(()));
        assert_eq!(web.request("HEAD", &path, &[TUS]).status, 404);
    }
}

/// What a crash between the two leaves.
#[test]
fn a_file_goes_with_the_parts_that_are_left_of_it() {
    let lab = Lab::new();
    let (_up, mut web) = up(&lab);
    let path = begin(&mut web, 10, &[]);
    assert_eq!(patch(&mut web, &path, 0, &[], b"012345678").status, 204);
    let (parts, kept) = (parts_below(&lab.path("data")), lab.path("kept"));
    std::fs::create_dir(&kept).unwrap();
    let copy = |part: &PathBuf| kept.join(part.file_name().unwrap());
    parts.iter().for_each(|part| std::fs::hard_link(part, copy(part)).unwrap());
    assert_eq!(patch(&mut web, &path, 9, &[], b"9").status, 204);
    parts.iter().for_each(|part| std::fs::hard_link(copy(part), part).unwrap());
    assert_eq!(web.request("DELETE", &path, &[TUS]).status, 204);
    assert_eq!(web.request("HEAD", &path, &[TUS]).status, 404);
    assert_eq!(web.get(&path.replace("/tus/", "/files/"), &[]).status, 404);
}

#[test]
fn parts_that_cannot_be_read_can_be_given_up() {
    let lab = Lab::new();
    let (up, mut web) = up(&lab);
    let path = begin(&mut web, 10, &[]);
    assert_eq!(patch(&mut web, &path, 0, &[], b"hello").status, 204);
    let parts = parts_below(&lab.path("data"));
    let data = parts.iter().find(|part| part.extension().is_some_and(|kind| kind == "data")).unwrap();
    std::fs::File::options().write(true).open(data).unwrap().set_len(1).unwrap();
    assert_eq!(web.request("HEAD", &path, &[TUS]).status, 502);
    patch(&mut web, &path, 5, &[], b"x").assert_refused(502, "parts that are damaged");
    let mut web = Web::connect(&up.http);
    assert_eq!(web.request("DELETE", &path, &[TUS]).status, 204);
    assert_eq!(web.request("HEAD", &path, &[TUS]).status, 404);
}

#[test]
fn requests_that_do_not_fit_are_refused_and_change_nothing() {
    let lab = Lab::new();
    let up = lab.up_with(&["--set", "http.max_upload_size=1MiB"]);
    let begin_with = |headers: &[(&str, &str)], status, what: &str| {
        let answer = Web::connect(&up.http).post("/tus/", headers, b"");
        answer.assert_refused(status, what);
        assert_eq!(answer.header("tus-resumable"), Some("1.0.0"), "{what}");
        answer
    };
    assert_eq!(begin_with(&[("Upload-Length", "1")], 412, "no version").header("tus-version"), Some("1.0.0"));
    begin_with(&[("Tus-Resumable", "0.2.2"), ("Upload-Length", "1")], 412, "an old version");
    begin_with(&[TUS], 400, "no length");
    for length in ["-1", "x", "", "+1", "99999999999999999999"] {
        begin_with(&[TUS, ("Upload-Length", length)], 400, length);
    }
    begin_with(&[TUS, ("Upload-Length", "1048577")], 413, "too long");
    begin_with(&[TUS, ("Upload-Defer-Length", "1")], 400, "a length that comes later");
    for metadata in ["filename ****", "filename /w==", "filename YQBi", "filename YQ==,filename YQ=="] {
        begin_with(&[TUS, ("Upload-Length", "1"), ("Upload-Metadata", metadata)], 400, metadata);
    }
    let mut web = Web::connect(&up.http);
    let path = begin(&mut web, 10, &[]);
    let refused = |headers: &[(&str, &str)], body: &[u8], status, what: &str| {
        Web::connect(&up.http).send_body("PATCH", &path, headers, body).assert_refused(status, what);
    };
    let at = |offset| ("Upload-Offset", offset);
    refused(&[PART, at("0")], b"x", 412, "no version");
    refused(&[TUS, PART], b"x", 400, "no offset");
    refused(&[TUS, PART, at("-1")], b"x", 400, "a negative offset");
    refused(&[TUS, PART, at("3")], b"x", 409, "an offset that does not fit");
    refused(&[TUS, at("0")], b"x", 415, "no type");
    refused(&[TUS, at("0"), ("Content-Type", "video/mp4")], b"x", 415, "another type");
    refused(&[TUS, PART, at("0")], b"more than ten bytes", 413, "beyond the end");
    refused(&[TUS, PART, at("9223372036854775807")], b"x", 409, "beyond all ends");
    assert_eq!(offset(&mut web, &path), Some(0));
    assert_eq!(web.request("HEAD", "/tus/none", &[TUS]).status, 404);
    assert_eq!(web.request("GET", &path, &[TUS]).status, 405);
    patch(&mut web, "/tus/none", 0, &[], b"x").assert_refused(404, "an upload that is not there");
}
