//! What people play and fetch with: ffmpeg, curl and wget against the gateway, compared with the local file.

use std::path::Path;
use std::process::Output;

use crate::harness::frames::{Wire, key};
use crate::harness::installed;
use crate::harness::lab::{APP, Lab, USER, Up};
use crate::harness::pattern::Pattern;
use crate::harness::process::{run, text};

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample.mp4");

fn with_file(lab: &Lab, contents: &[u8]) -> (Up, String) {
    let up = lab.up();
    Wire::connect(&up.storage).upload(&key(APP, USER, "f"), contents).ok();
    let url = format!("http://{}/files/f", up.http);
    (up, url)
}

#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{:?}", text(&output));
    assert!(output.stderr.is_empty(), "{:?}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// An MD5 per decoded frame.
#[track_caller]
fn frames(options: &[&str], input: &str, output: &[&str]) -> String {
    let args =
        [&["-nostdin", "-v", "error"], options, &["-i", input], output, &["-f", "framemd5", "-"]].concat();
    let frames = ok(run("ffmpeg", &args));
    assert!(frames.lines().filter(|line| !line.starts_with('#')).count() > 10, "{frames}");
    frames
}

#[test]
fn ffmpeg_decodes_the_clip_frame_by_frame() {
    if !installed(&["ffmpeg", "ffprobe"]) {
        return;
    }
    let lab = Lab::new();
    let (_up, url) = with_file(&lab, &std::fs::read(CLIP).unwrap());
    let probe = |input: &str| ok(run("ffprobe", &["-v", "error", "-show_streams", "-of", "json", input]));
    assert_eq!(probe(&url), probe(CLIP));
    assert_eq!(frames(&[], &url, &[]), frames(&[], CLIP, &[]));
}

#[test]
fn ffmpeg_seeks_to_the_same_pictures() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let lab = Lab::new();
    let (_up, url) = with_file(&lab, &std::fs::read(CLIP).unwrap());
    for position in ["0.5", "3", "7.777", "13.04", "18.9"] {
        let (seek, some) = (["-ss", position], ["-frames:v", "20", "-an"]);
        assert_eq!(frames(&seek, &url, &some), frames(&seek, CLIP, &some), "at {position} s");
    }
    // From the end, backwards, as one does with the slider.
    let (seek, some) = (["-sseof", "-2"], ["-an"]);
    assert_eq!(frames(&seek, &url, &some), frames(&seek, CLIP, &some), "2 s before the end");
}

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
