//! The client as a library's keeper: lists, attributes, whole folders, pipes into players, and transfers that go on
//! after everything has been killed.

mod install;
mod resume;

use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::film::{Index, film};
use crate::harness::installed;
use crate::harness::lab::{APP, Lab, USER};
use crate::harness::pattern::Pattern;
use crate::harness::process::{command, text};
use crate::harness::web::get;

/// Standard output of a command that succeeded.
#[track_caller]
fn ok(output: Output) -> String {
    assert!(output.status.success(), "{:?}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The objects that a command with `--json` prints, one a line.
#[track_caller]
fn objects(output: Output) -> Vec<Value> {
    ok(output).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[track_caller]
fn names(lab: &Lab, args: &[&str]) -> Vec<String> {
    let listed = objects(lab.client(&[args, &["--json"]].concat()));
    listed.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn ls_and_stat_tell_what_was_stored() {
    let lab = Lab::new();
    let up = lab.up();
    let tracker = up.tracker.as_str();
    let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample.mp4");
    let contents = std::fs::read(clip).unwrap();
    let film = ok(lab.client(&[tracker, "upload", APP, USER, "--name", "电影/第一集.mp4", clip]));
    let note = lab.file("note.txt", "a note");
    let note = ok(lab.client(&[tracker, "upload", APP, USER, "--type", "text/markdown", &note]));

    assert_eq!(names(&lab, &[tracker, "ls"]), ["note.txt", "电影/第一集.mp4"], "newest first");
    assert_eq!(names(&lab, &[tracker, "ls", APP, USER, "--limit", "1"]), ["note.txt"]);
    assert_eq!(names(&lab, &[tracker, "ls", APP, USER, "--prefix", "电影/"]), ["电影/第一集.mp4"]);
    assert_eq!(names(&lab, &[tracker, "ls", APP, "nobody"]), [""; 0]);
    let lines = ok(lab.client(&[tracker, "ls"]));
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.contains(film.trim()) && lines.contains("电影/第一集.mp4"), "{lines}");
    let long = ok(lab.client(&[tracker, "ls", "--long"]));
    let blake3 = blake3::hash(&contents).to_hex();
    assert!(
        long.contains(blake3.as_str()) && long.contains("video/mp4") && long.contains("628712"),
        "{long}"
    );

    let stat = objects(lab.client(&[tracker, "stat", APP, USER, film.trim(), "--json"])).remove(0);
    assert_eq!((stat["name"].as_str(), stat["size"].as_u64()), (Some("电影/第一集.mp4"), Some(628_712)));
    assert_eq!(
        (stat["blake3"].as_str(), stat["content_type"].as_str()),
        (Some(blake3.as_str()), Some("video/mp4"))
    );
    assert!(ok(lab.client(&[tracker, "stat", APP, USER, note.trim()])).contains("text/markdown"));
    let gone = lab.client(&[tracker, "stat", APP, USER, "nosuch"]);
    assert_eq!(gone.status.code(), Some(3), "{:?}", text(&gone));
    // What the gateway says of it is the same.
    let served = get(&up.http, &format!("/files/{}", film.trim()), &[]);
    assert!(served.body == contents);
    assert_eq!(served.header("content-type"), Some("video/mp4"));
}

#[test]
fn a_folder_goes_up_and_its_files_come_down() {
    let lab = Lab::new();
    let up = lab.up();
    let tracker = up.tracker.as_str();
    let mut wanted = Vec::new();
    for number in 0..40_u64 {
        let name = format!("films/season {}/第{number:02}集.bin", number % 3);
        let path = lab.path(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let contents = Pattern::new(number, number * 10_000).bytes();
        std::fs::write(&path, &contents).unwrap();
        wanted.push((name, contents));
    }
    let films = lab.arg("films");
    let sent = objects(lab.client(&[tracker, "upload", APP, USER, "-r", &films, "--jobs", "4", "--json"]));
    assert_eq!(sent.len(), 40);
    wanted.sort();
    let listed = names(&lab, &[tracker, "ls", APP, USER, "--order", "name", "--prefix", "films/"]);
    assert_eq!(listed, wanted.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());

    let back = lab.path("back");
    std::fs::create_dir(&back).unwrap();
    let ids: Vec<&str> = sent.iter().map(|file| file["id"].as_str().unwrap()).collect();
    let whither = ["-o", back.to_str().unwrap(), "--jobs", "4"];
    ok(lab.client(&[&[tracker, "download", APP, USER], &ids[..], &whither].concat()));
    let mut fetched: Vec<Vec<u8>> = std::fs::read_dir(&back)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let mut contents: Vec<Vec<u8>> = wanted.into_iter().map(|(_, contents)| contents).collect();
    fetched.sort();
    contents.sort();
    assert!(fetched == contents, "{} files came back", fetched.len());
}

#[test]
fn cat_writes_a_file_or_a_part_of_it() {
    let lab = Lab::new();
    let up = lab.up();
    let tracker = up.tracker.as_str();
    let contents = Pattern::new(111, 3_000_000).bytes();
    let file = lab.file("f", &contents);
    let id = ok(lab.client(&[tracker, "upload", APP, USER, &file]));
    let cat = |args: &[&str]| lab.client(&[&[tracker, "cat", APP, USER, id.trim()], args].concat());
    assert!(cat(&[]).stdout == contents);
    assert!(cat(&["1000000", "4096"]).stdout == contents[1_000_000..1_004_096]);
    assert!(cat(&["2999999", "0"]).stdout == contents[2_999_999..]);
    assert_eq!(cat(&["3000001", "1"]).status.code(), Some(4));

    // A reader that has seen enough ends it quietly.
    let mut client = lab.client_command(&[tracker, "cat", APP, USER, id.trim()]);
    let mut cat = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let head = command("head").args(["-c", "10"]).stdin(cat.stdout.take().unwrap()).output().unwrap();
    assert!(head.stdout == contents[..10]);
    let ended = cat.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended).1.as_str()), (Some(141), ""));
}

#[test]
fn cat_pipes_into_a_player() {
    if !installed(&["ffmpeg"]) {
        return;
    }
    let lab = Lab::new();
    let up = lab.up();
    let local = film(Index::Front);
    let id = ok(lab.client(&[&up.tracker, "upload", APP, USER, local.to_str().unwrap()]));
    let frames = |input: &str, stdin: Stdio| {
        let options = ["-v", "error", "-i", input, "-frames:v", "30", "-an", "-f", "framemd5", "-"];
        let output = command("ffmpeg").args(options).stdin(stdin).output().unwrap();
        assert!(output.status.success(), "{:?}", text(&output));
        text(&output).0
    };
    let mut client = lab.client_command(&[&up.tracker, "cat", APP, USER, id.trim()]);
    let mut cat = client.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let piped = frames("-", cat.stdout.take().unwrap().into());
    cat.wait().unwrap();
    assert!(piped.lines().count() > 30, "{piped}");
    assert_eq!(piped, frames(local.to_str().unwrap(), Stdio::null()));
}
