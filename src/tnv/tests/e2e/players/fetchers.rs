//! What people fetch with: curl, wget, wget2 and aria2, whole, in parts, resumed and in parallel.

use std::path::Path;

use super::{ok, with_file};
use crate::harness::installed;
use crate::harness::lab::Lab;
use crate::harness::pattern::Pattern;
use crate::harness::process::{run, text};

#[test]
fn curl_fetches_ranges_and_resumes() {
    if !installed(&["curl"]) {
        return;
    }
    let lab = Lab::new();
    let contents = Pattern::new(31, 3_000_000).bytes();
    let (_up, url) = with_file(&lab, &contents);
    let curl = |args: &[&str]| run("curl", &[&["-sS", "--fail"], args, &[url.as_str()]].concat());
    assert!(curl(&[]).stdout == contents);
    for (range, part) in [
        ("0-0", 0..1),
        ("1000-1999", 1000..2000),
        ("-10", 2_999_990..3_000_000),
        ("2999999-", 2_999_999..3_000_000),
    ] {
        assert!(curl(&["-r", range]).stdout == contents[part], "{range}");
    }
    let multipart = curl(&["-i", "-r", "0-9,100-109"]);
    assert!(String::from_utf8_lossy(&multipart.stdout).contains("multipart/byteranges"));
    let part = lab.file("part", &contents[..1_234_567]);
    ok(curl(&["-C", "-", "-o", &part]));
    assert!(std::fs::read(&part).unwrap() == contents);
    let missing = run("curl", &["-sS", "--fail", &format!("{url}-none")]);
    assert_eq!(missing.status.code(), Some(22), "{missing:?}");
    let etag = lab.arg("etag");
    ok(curl(&["--etag-save", &etag, "-o", "/dev/null"]));
    let unchanged = curl(&["--etag-compare", &etag, "-o", "/dev/null", "-w", "%{http_code}"]);
    assert_eq!(String::from_utf8_lossy(&unchanged.stdout), "304");
}

#[test]
fn wget_fetches_and_continues() {
    if !installed(&["wget"]) {
        return;
    }
    let lab = Lab::new();
    let contents = Pattern::new(32, 3_000_000).bytes();
    let (_up, url) = with_file(&lab, &contents);
    let wget = |args: &[&str]| run("wget", &[&["--tries=2", "--no-verbose"], args, &[url.as_str()]].concat());
    let fetched = |path: &str| std::fs::read(Path::new(path)).unwrap() == contents;
    let whole = lab.arg("whole");
    assert!(wget(&["-O", &whole]).status.success());
    assert!(fetched(&whole));
    // What an interrupted wget leaves behind, then `wget -c`; at the end once more with the whole file.
    let part = lab.file("f", &contents[..1_111_111]);
    let folder = Path::new(&part).parent().unwrap().to_str().unwrap();
    for round in ["interrupted", "complete"] {
        let output = wget(&["-c", "-P", folder]);
        assert!(output.status.success(), "{round}: {:?}", text(&output));
        assert!(fetched(&part), "{round}");
    }
}

#[test]
fn wget2_fetches_continues_and_takes_pieces_in_parallel() {
    if !installed(&["wget2"]) {
        return;
    }
    let lab = Lab::new();
    let contents = Pattern::new(33, 3_000_000).bytes();
    let (_up, url) = with_file(&lab, &contents);
    let wget2 = |args: &[&str]| {
        let output = run("wget2", &[&["--tries=2", "--quiet"], args, &[url.as_str()]].concat());
        assert!(output.status.success(), "{args:?}: {:?}", text(&output));
    };
    let fetched = |path: &str| std::fs::read(path).unwrap() == contents;
    for (name, options) in [("whole", &[][..]), ("pieces", &["--chunk-size=100k", "--max-threads=5"])] {
        let path = lab.arg(name);
        wget2(&[options, &["-O", &path]].concat());
        assert!(fetched(&path), "{name}");
    }
    let part = lab.file("f", &contents[..1_111_111]);
    let folder = Path::new(&part).parent().unwrap().to_str().unwrap();
    for round in ["interrupted", "complete"] {
        wget2(&["-c", "-P", folder]);
        assert!(fetched(&part), "{round}");
    }
}

#[test]
fn aria2_fetches_in_eight_pieces_and_continues() {
    if !installed(&["aria2c"]) {
        return;
    }
    let lab = Lab::new();
    let contents = Pattern::new(34, 20_000_000).bytes();
    let (_up, url) = with_file(&lab, &contents);
    let part = lab.file("part", &contents[..7_654_321]);
    let folder = Path::new(&part).parent().unwrap().to_str().unwrap();
    let aria2 = |name: &str, options: &[&str]| {
        let whither = ["--no-conf", "--quiet", "--file-allocation=none", "-d", folder, "-o", name];
        let output = run("aria2c", &[&whither, options, &[url.as_str()]].concat());
        assert!(output.status.success(), "{name}: {:?}", text(&output));
        assert!(std::fs::read(lab.path(name)).unwrap() == contents, "{name}");
    };
    aria2("whole", &["-x", "8", "-s", "8", "-k", "1M"]);
    aria2("part", &["-c", "-x", "1"]);
    aria2("part", &["-c"]);
}
