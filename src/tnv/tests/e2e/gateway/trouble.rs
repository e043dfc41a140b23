//! What is not there, makes no sense, goes away or is broken.

use std::io::Read;

use super::{assert_whole, with_file};
use crate::harness::frames::{DELETE, FILESIZE, Wire, key};
use crate::harness::lab::{APP, Lab, Role, USER};
use crate::harness::pattern::Pattern;
use crate::harness::web::{Web, get, request};

#[test]
fn what_is_not_there_is_404_and_mistakes_are_never_500() {
    let lab = Lab::new();
    let (up, _) = with_file(&lab);
    let nul_and_more = "/files/a%00b";
    for (path, wanted) in [
        ("/files/none", 404),
        ("/files/tnvideo/nobody/f", 404),
        ("/files/..%2f..%2fetc%2fpasswd", 404),
        ("/files/%27%20OR%201%3D1", 404),
        ("/files/%E8%A7%86%E9%A2%91", 404),
        ("/nosuchpage", 404),
        ("/files/", 404),
        ("/files/bad-app/u/f", 400),
        (nul_and_more, 400),
        ("/files/%zz", 400),
        ("/files/%ff%fe", 400),
        (&format!("/files/{}", "f".repeat(128)), 400),
    ] {
        let response = get(&up.http, path, &[]);
        assert_eq!(response.status, wanted, "{path}");
        assert!((1..1000).contains(&response.body.len()), "a short body: {path}");
    }
    let response = get(&up.http, "/files/stranger/u/f", &[]);
    assert!([403, 404].contains(&response.status), "{response:?}");
}

#[test]
fn other_methods_are_405() {
    let lab = Lab::new();
    let (up, _) = with_file(&lab);
    for method in ["PUT", "PATCH", "BREW"] {
        let response = Web::connect(&up.http).request(method, "/files/f", &[("Content-Length", "0")]);
        assert_eq!(response.status, 405, "{method}");
        assert!(response.header("allow").unwrap().contains("GET"), "{method}");
    }
    assert_eq!(Wire::connect(&up.storage).call(FILESIZE, &key(APP, USER, "f")).integer(), 100_000);
}

#[test]
fn a_cluster_that_is_away_is_503_with_retry_after() {
    let lab = Lab::new();
    let http = Role::http(&["127.0.0.1:1"]).start(&lab);
    let response = get(&http.address, "/files/f", &[]);
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);

    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let mut storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).start(&lab);
    crate::harness::lab::wait_active(&tracker.address, USER);
    Wire::connect(&storage.address).upload(&key(APP, USER, "f"), b"contents").ok();
    let http = Role::http(&[&tracker.address]).named("http-b").start(&lab);
    assert_eq!(get(&http.address, "/files/f", &[]).status, 200);
    storage.process.kill();
    let response = get(&http.address, "/files/f", &[]);
    assert_eq!(response.status, 503, "every storage is down");
    assert!(response.header("retry-after").is_some());
}

#[test]
fn garbage_is_refused_and_harms_nobody() {
    let lab = Lab::new();
    let (up, contents) = with_file(&lab);
    for garbage in
        [&b"\0\0\0\0\0\0\0\0\x46\0"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n\r\n\xff\xff\xff"]
    {
        let mut web = Web::connect(&up.http);
        web.send(garbage);
        let _ = web.stream.get_ref().shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = web.stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4") || answer.starts_with(b"HTTP/1.0 4"));
    }
    let huge = "x".repeat(2 << 20);
    let mut web = Web::connect(&up.http);
    let _ = std::io::Write::write_all(
        web.stream.get_mut(),
        request("GET", "/files/f", &[("X", &huge)]).as_bytes(),
    );
    let head = web.head();
    assert!(head.is_err() || [400, 431].contains(&head.unwrap().status));
    assert_whole(&get(&up.http, "/files/f", &[]), &contents);
}

#[test]
fn a_running_answer_outlives_the_delete_of_its_file() {
    let lab = Lab::new();
    let up = lab.up();
    let pattern = Pattern::new(22, 64 << 20);
    let file = key(APP, USER, "large");
    Wire::connect(&up.storage).upload(&file, &pattern.bytes()).ok();
    let mut web = Web::connect(&up.http);
    web.send(request("GET", "/files/large", &[]).as_bytes());
    let head = web.head().unwrap();
    assert_eq!(head.len(), pattern.len());
    Wire::connect(&up.storage).call(DELETE, &file).ok();
    pattern.check(0, pattern.len(), &mut web.stream.by_ref().take(pattern.len()));
    assert_eq!(web.get("/files/large", &[]).status, 404);
}

/// What is cut short on disk is never sent as if it were whole.
#[test]
fn a_truncated_file_is_aborted_not_ended() {
    let lab = Lab::new();
    let up = lab.up();
    let pattern = Pattern::new(23, 8 << 20);
    Wire::connect(&up.storage).upload(&key(APP, USER, "f"), &pattern.bytes()).ok();
    let (_, path) = crate::harness::contents_below(&lab.path("data")).remove(0);
    std::fs::File::options().write(true).open(path).unwrap().set_len(3 << 20).unwrap();
    let mut web = Web::connect(&up.http);
    web.send(request("GET", "/files/f", &[]).as_bytes());
    if let Ok(head) = web.head().map(|head| head.status)
        && head < 400
    {
        let mut body = Vec::new();
        let outcome = web.stream.by_ref().take(pattern.len()).read_to_end(&mut body);
        assert!(
            outcome.is_err() || (body.len() as u64) < pattern.len(),
            "an answer as long as the file once was"
        );
    }
}
