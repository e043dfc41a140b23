//! The client under its own name: the lines people type, what scripts read, and the exit codes.

use std::process::Output;

use serde_json::Value;

use crate::harness::frames::{Wire, key};
use crate::harness::lab::{APP, Lab, USER, wait_active};
use crate::harness::pattern::Pattern;
use crate::harness::process::{run, text, tnv};

const NOT_FOUND: i32 = 3;
const REFUSED: i32 = 4;
const UNREACHABLE: i32 = 5;

/// Standard output of a command that succeeded.
#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{:?}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A failure with this exit code: standard output is empty, standard error has a sentence.
#[track_caller]
fn fails(output: &Output, code: i32) {
    let (out, err) = text(output);
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert_eq!(out, "");
    assert!(err.trim().len() > 10 && !err.contains("panicked"), "{err}");
}

#[test]
fn the_lines_of_the_tour_work_as_they_stand() {
    let lab = Lab::new();
    let up = lab.up();
    let tracker = up.tracker.as_str();
    let contents = Pattern::new(11, 1_500_000).bytes();
    let clip = lab.file("003.mp4", &contents);

    let groups = ok(lab.client(&[tracker, "groups"]));
    assert!(groups.contains("GROUPNAME: group001") && groups.contains("STATUS: ACTIVE"), "{groups}");

    let uploaded = ok(lab.client(&[tracker, "upload", APP, USER, &clip, "0", "0"]));
    let file = uploaded.strip_suffix('\n').unwrap();
    assert_eq!(file.len(), 36, "the file id alone on a line: {uploaded:?}");
    assert!(file.bytes().all(|byte| byte.is_ascii_hexdigit()), "{file}");

    assert_eq!(ok(lab.client(&[tracker, "filesize", APP, USER, file])), "1500000\n");

    let out = lab.arg("out.mp4");
    assert_eq!(ok(lab.client(&[tracker, "download", APP, USER, file, "-o", &out])), "");
    assert!(std::fs::read(&out).unwrap() == contents);

    let part = lab.arg("part");
    ok(lab.client(&[tracker, "download", APP, USER, file, "1000000", "4096", "-o", &part]));
    assert!(std::fs::read(&part).unwrap() == contents[1_000_000..1_004_096]);

    let piped = lab.client(&[tracker, "download", APP, USER, file, "-o", "-"]);
    assert!(piped.status.success() && piped.stdout == contents);

    assert_eq!(ok(lab.client(&[tracker, "delete", APP, USER, file])).lines().count(), 0);
    fails(&lab.client(&[tracker, "filesize", APP, USER, file]), NOT_FOUND);
}

#[test]
fn a_part_of_a_file_can_be_uploaded() {
    let lab = Lab::new();
    let up = lab.up();
    let contents = Pattern::new(12, 10_000).bytes();
    let clip = lab.file("clip", &contents);
    for (offset, size, wanted) in
        [("100", "50", 100..150), ("9000", "0", 9000..10_000), ("0", "0", 0..10_000)]
    {
        let file = ok(lab.client(&[&up.tracker, "upload", APP, USER, &clip, offset, size]));
        let stored = Wire::connect(&up.storage).download(&key(APP, USER, file.trim()), 0, 0).ok();
        assert!(stored == contents[wanted], "{offset} {size}");
    }
}

#[test]
fn several_files_give_several_ids_with_their_paths() {
    let lab = Lab::new();
    let up = lab.up();
    let (a, b, c) = (lab.file("a", "first"), lab.file("b", "second"), lab.file("c", ""));
    let ids = ok(lab.client(&[&up.tracker, "upload", APP, USER, &a, &b, &c]));
    let ids: Vec<(&str, &str)> = ids.lines().map(|line| line.split_once('\t').unwrap()).collect();
    assert_eq!(ids.len(), 3);
    for (path, contents) in [(&a, &b"first"[..]), (&b, b"second"), (&c, b"")] {
        let (id, _) = ids.iter().find(|(_, of)| of == path).unwrap();
        assert_eq!(Wire::connect(&up.storage).download(&key(APP, USER, id), 0, 0).ok(), contents);
    }
}

#[test]
fn trackers_that_do_not_answer_are_passed_over() {
    let lab = Lab::new();
    let up = lab.up();
    let clip = lab.file("clip", "contents");
    for trackers in [format!("127.0.0.1:1;{}", up.tracker), format!("{},127.0.0.1:1", up.tracker)] {
        ok(lab.client(&[&trackers, "groups"]));
        ok(lab.client(&[&trackers, "upload", APP, USER, &clip]));
    }
}

#[test]
fn exit_codes_tell_the_kinds_of_failure_apart() {
    let lab = Lab::new();
    let up = lab.up();
    let tracker = up.tracker.as_str();
    let clip = lab.file("clip", "contents");
    fails(&lab.client(&[tracker, "filesize", APP, USER, "nosuch"]), NOT_FOUND);
    fails(&lab.client(&[tracker, "delete", APP, USER, "nosuch"]), NOT_FOUND);
    fails(&lab.client(&[tracker, "download", APP, USER, "nosuch", "-o", &lab.arg("out")]), NOT_FOUND);
    fails(&lab.client(&[tracker, "upload", "stranger", USER, &clip]), REFUSED);
    fails(&lab.client(&["127.0.0.1:1", "groups"]), UNREACHABLE);
    fails(&lab.client(&["127.0.0.1:1", "upload", APP, USER, &clip]), UNREACHABLE);
    fails(&lab.client(&[tracker, "upload", APP, USER, &lab.arg("absent")]), 1);
    fails(&lab.client(&[tracker, "no-such-command"]), 2);
    ok(lab.client(&[tracker, "upload", APP, USER, "--id", "mine", &clip]));
    fails(&lab.client(&[tracker, "upload", APP, USER, "--id", "mine", &clip]), REFUSED);
    fails(&lab.client(&[tracker, "download", APP, USER, "mine", "9", "1", "-o", &lab.arg("out")]), REFUSED);
    assert!(!lab.path("out").exists(), "a failed download leaves no file");
}

#[test]
fn a_download_never_overwrites_by_itself_and_leaves_no_temp() {
    let lab = Lab::new();
    let up = lab.up();
    let clip = lab.file("clip", "new");
    let file = ok(lab.client(&[&up.tracker, "upload", APP, USER, &clip]));
    let out = lab.file("out", "precious");
    fails(&lab.client(&[&up.tracker, "download", APP, USER, file.trim(), "-o", &out]), 1);
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    ok(lab.client(&[&up.tracker, "download", APP, USER, file.trim(), "-o", &out, "--force"]));
    assert_eq!(std::fs::read(&out).unwrap(), b"new");
    let entries = std::fs::read_dir(lab.path("out").parent().unwrap()).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["client", "clip", "data", "out", "up.err", "up.out"]);
}

#[test]
fn json_is_one_object_per_result() {
    let lab = Lab::new();
    let up = lab.up();
    let clip = lab.file("clip", "contents");
    let json = |args: &[&str]| -> Value { serde_json::from_str(&ok(lab.client(args))).unwrap() };
    let uploaded = json(&[&up.tracker, "upload", APP, USER, &clip, "--json"]);
    assert_eq!(uploaded["size"], 8);
    assert_eq!(uploaded["blake3"], blake3::hash(b"contents").to_hex().as_str());
    let id = uploaded["id"].as_str().unwrap();
    assert_eq!(json(&[&up.tracker, "filesize", APP, USER, id, "--json"])["size"], 8);
    let groups = json(&[&up.tracker, "groups", "--json"]);
    assert_eq!(groups["groups"][0]["storages"][0]["status"], "ACTIVE");
    let failed = lab.client(&[&up.tracker, "filesize", APP, USER, "nosuch", "--json"]);
    let error: Value = serde_json::from_slice(&failed.stderr).unwrap();
    assert_eq!((&error["exit"], &error["code"]), (&NOT_FOUND.into(), &404.into()), "{error}");
}

#[test]
fn help_and_version_are_there_for_every_name() {
    let lab = Lab::new();
    let help = ok(lab.client(&["--help"]));
    for word in ["groups", "upload", "filesize", "download", "delete", "Examples", "127.0.0.1:21000"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(ok(lab.client(&["--version"])).contains(version));
    assert!(ok(run(tnv(), &["--version"])).contains(version));
    for role in ["tracker", "id", "storage", "http"] {
        assert!(ok(run(tnv(), &[role, "--version"])).contains(version), "{role}");
        assert!(ok(run(tnv(), &[role, "--help"])).contains("--set"), "{role}");
        let link = lab.path(role);
        std::os::unix::fs::symlink(tnv(), &link).unwrap();
        assert!(ok(run(link, &["--help"])).contains("--config"), "{role} by its own name");
    }
    assert!(ok(run(tnv(), &["up", "--help"])).contains("--data"));
}

#[test]
fn the_demo_stores_its_clip_once() {
    let lab = Lab::new();
    let mut up = lab.up_with(&["--demo"]);
    wait_active(&up.tracker, USER);
    let stored = |lab: &Lab| crate::harness::contents_below(&lab.path("data"));
    crate::harness::eventually("the clip to be stored", || (stored(&lab).len() == 1).then_some(()));
    let clip = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample.mp4")).unwrap();
    crate::harness::eventually("the clip to be whole", || {
        (std::fs::read(&stored(&lab)[0].1).ok()? == clip).then_some(())
    });
    assert!(up.process.terminate().success());
    let mut up = lab.up_with(&["--demo"]);
    assert!(up.process.terminate().success());
    assert_eq!(stored(&lab).len(), 1, "the second start finds it there");
}
