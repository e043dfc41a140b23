//! What people play and fetch with, each against the gateway and compared with the local file. Here is ffmpeg, which is
//! inside many others.

mod fetchers;
mod mpv;
mod vlc;

use std::process::Output;

use crate::harness::film::{Index, film};
use crate::harness::frames::{Wire, key};
use crate::harness::installed;
use crate::harness::lab::{APP, Lab, USER, Up};
use crate::harness::process::{run, text};

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample.mp4");

fn with_file(lab: &Lab, contents: &[u8]) -> (Up, String) {
    let up = lab.up();
    Wire::connect(&up.storage).upload(&key(APP, USER, "f"), contents).ok();
    let url = format!("http://{}/files/f", up.http);
    (up, url)
}

/// A cluster with a film whose index is at the end, its URL, and the film's path.
fn with_film(lab: &Lab) -> (Up, String, String) {
    let local = film(Index::End);
    let (up, url) = with_file(lab, &std::fs::read(&local).unwrap());
    (up, url, local.into_os_string().into_string().unwrap())
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
fn ffmpeg_seeks_in_a_film_with_its_index_at_the_end() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let lab = Lab::new();
    let (_up, url, local) = with_film(&lab);
    for position in ["28.5", "0.3", "14.9"] {
        let (seek, some) = (["-ss", position], ["-frames:v", "20", "-an"]);
        assert_eq!(frames(&seek, &url, &some), frames(&seek, &local, &some), "at {position} s");
    }
}
