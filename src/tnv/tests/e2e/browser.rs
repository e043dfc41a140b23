//! The page in a real browser: Debian's Chromium, driven by the scripts in `browser/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::film::{Index, film};
use crate::harness::installed;
use crate::harness::lab::{Lab, Role, own_address};
use crate::harness::pattern::Pattern;
use crate::harness::process::Process;
use crate::harness::tools::node;
use crate::harness::web::{Web, get};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../http/page");

/// Where the screenshots go: target/e2e-shots.
pub(crate) fn shots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("e2e-shots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A script with a browser; `None` where something is not installed.
fn script(name: &str, http: &str) -> Option<Command> {
    if !installed(&["chromium", "ffmpeg"]) {
        return None;
    }
    let mut node = node(name)?;
    node.env("GATEWAY", format!("http://{http}")).env("SHOTS", shots());
    Some(node)
}

/// Waits until a script has said this, whose steps may each take a while; its arguments if it has some.
#[track_caller]
pub(crate) fn says(script: &mut Process, word: &str) -> String {
    while let Some(line) = script.line("") {
        if let Some(rest) = line.strip_prefix(word) {
            return rest.trim().to_owned();
        }
    }
    panic!("ended before {word:?}: {}", script.log());
}

#[track_caller]
pub(crate) fn succeeds(mut script: Process) {
    says(&mut script, "done");
    assert!(script.wait().success(), "{}", script.log());
}

/// Stores a film over HTTP under a name.
#[track_caller]
fn store(http: &str, name: &str, contents: &[u8]) {
    store_as(http, name, "application/octet-stream", contents);
}

#[track_caller]
fn store_as(http: &str, name: &str, kind: &str, contents: &[u8]) {
    let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let path = format!("/files?name={encoded}");
    assert_eq!(Web::connect(http).post(&path, &[("Content-Type", kind)], contents).status, 201);
}

#[test]
fn films_are_dropped_resumed_played_and_deleted() {
    let lab = Lab::new();
    let up = lab.up();
    let Some(mut script) = script("browser/library.mjs", &up.http) else { return };
    // One with its index at the end, one with a Chinese name.
    let copy = |index, name: &str| {
        std::fs::copy(film(index), lab.path(name)).unwrap();
        lab.arg(name)
    };
    let (plain, chinese) = (copy(Index::End, "holiday.mp4"), copy(Index::Front, "电影 第一集.mp4"));
    let mut browser = lab.process("browser", script.args([&plain, &chinese]));
    let copied = says(&mut browser, "copied");
    let path = copied.strip_prefix(&format!("http://{}", up.http)).unwrap();
    let status = get(&up.http, path, &[("Range", "bytes=0-1")]).status;
    // The page may have deleted it by now.
    assert!([206, 404].contains(&status), "what was copied is a file's address: {status}");
    succeeds(browser);
    let left = get(&up.http, "/api/files", &[]).json();
    assert_eq!(left["files"].as_array().unwrap().len(), 1);
    assert_eq!(left["files"][0]["name"], "holiday.mp4");
    let stored = get(&up.http, left["files"][0]["url"].as_str().unwrap(), &[]).body;
    assert!(stored == std::fs::read(plain).unwrap(), "what was interrupted is whole");
}

#[test]
fn hostile_names_deletes_and_an_absent_gateway() {
    let lab = Lab::new();
    let address = own_address();
    let mut up = lab.up_at(&address);
    let Some(mut script) = script("browser/hostile.mjs", &address) else { return };
    for name in [
        "<img src=x onerror=\"globalThis.ran=1\">.txt",
        "</title><script>globalThis.ran=1</script>.txt",
        "\u{202e}4pm.txt",
        "' onmouseover='globalThis.ran=1.txt",
        &"long ".repeat(100),
    ] {
        store(&address, name, b"text");
    }
    store(&address, "film.mp4", &std::fs::read(film(Index::End)).unwrap());
    let mut browser = lab.process("browser", script.args([lab.arg("gone"), lab.arg("back")]));
    says(&mut browser, "away");
    assert!(up.process.terminate().success());
    lab.file("gone", "");
    says(&mut browser, "noticed");
    let _up = lab.up_at(&address);
    lab.file("back", "");
    succeeds(browser);
}

#[test]
fn the_page_looks_well_and_is_accessible() {
    let lab = Lab::new();
    let up = lab.up();
    let Some(mut script) = script("browser/looks.mjs", &up.http) else { return };
    let (front, end) = (std::fs::read(film(Index::Front)).unwrap(), std::fs::read(film(Index::End)).unwrap());
    store(&up.http, "notes.txt", b"what to watch");
    store(&up.http, "films/holiday.mp4", &end);
    store(&up.http, "电影 第一集.zh.srt", "1\n00:00:01,000 --> 00:00:04,000\n你好\n".as_bytes());
    store(&up.http, "电影 第一集.mp4", &front);
    succeeds(lab.process("browser", &mut script));
}

#[test]
fn a_page_whose_name_was_made_to_point_here_gets_nothing() {
    let lab = Lab::new();
    let up = lab.up();
    let http = Role::http(&[&up.tracker]).set("hosts", r#"["media.example"]"#).start(&lab);
    let Some(mut script) = script("browser/rebinding.mjs", &http.address) else { return };
    succeeds(lab.process("browser", &mut script));
}

#[test]
fn films_have_their_subtitles_controls_links_and_neighbours() {
    let lab = Lab::new();
    let up = lab.up_with(&["--demo"]);
    let Some(mut script) = script("browser/watching.mjs", &up.http) else { return };
    let (front, end) = (std::fs::read(film(Index::Front)).unwrap(), std::fs::read(film(Index::End)).unwrap());
    let good = "1\n00:00:01,000 --> 00:00:20,000\nciao\n";
    for (name, contents) in [
        ("Rome.mp4", front.as_slice()),
        ("Rome.de.srt", good.as_bytes()),
        ("Rome.srt", good.as_bytes()),
        ("Paris.mp4", &end),
        ("Paris.de.srt", good.as_bytes()),
        ("   ", b"who named this?"),
    ] {
        store(&up.http, name, contents);
    }
    let files = [
        lab.file("bad.srt", "nonsense"),
        lab.file("bad.vtt", "WEBVTT\n\nnonsense\n"),
        lab.file("good.srt", good),
    ];
    succeeds(lab.process("browser", script.args(files)));
}

#[test]
fn uploads_are_chosen_again_cancelled_and_refused() {
    let lab = Lab::new();
    let up = lab.up();
    let Some(mut script) = script("browser/uploading.mjs", &up.http) else { return };
    let contents = std::fs::read(film(Index::Front)).unwrap();
    store(&up.http, "film.mp4", &contents);
    let files = [
        lab.file("large.bin", Pattern::new(1, 24_000_000).bytes()),
        lab.file("small.bin", Pattern::new(2, 300_000).bytes()),
        lab.file("film.mp4", contents),
    ];
    succeeds(lab.process("browser", script.args(files)));
}

#[test]
fn the_page_follows_what_happens_elsewhere() {
    let lab = Lab::new();
    let up = lab.up();
    let Some(mut script) = script("browser/living.mjs", &up.http) else { return };
    for n in 0..37 {
        store(&up.http, &format!("{n}.txt"), b"text");
    }
    let contents = std::fs::read(film(Index::Front)).unwrap();
    for name in ["one.mp4", "two.mp4", "three.mp4"] {
        store(&up.http, name, &contents);
    }
    succeeds(lab.process("browser", &mut script));
}

/// Takes the pictures of docs/img anew, into target/e2e-shots.
#[test]
fn the_page_sits_for_its_portraits() {
    let lab = Lab::new();
    let up = lab.up();
    let Some(mut script) = script("browser/portraits.mjs", &up.http) else { return };
    let clip = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/sample.mp4")).unwrap();
    for (name, kind, size) in [
        ("Lecture notes.pdf", "application/pdf", 2_400_000),
        ("Slides/Opening.png", "image/png", 840_000),
        ("Concert/01 Overture.flac", "audio/flac", 21_300_000),
        ("Concert/02 Nocturne.flac", "audio/flac", 17_800_000),
        ("电影 第一集.zh.srt", "application/x-subrip", 48_200),
        ("电影 第一集.mp4", "video/mp4", 38_600_000),
    ] {
        store_as(&up.http, name, kind, &Pattern::new(size, size).bytes());
    }
    store(&up.http, "Sample clip.mp4", &clip);
    std::fs::copy(film(Index::End), lab.path("Mountain railway.mp4")).unwrap();
    succeeds(lab.process("browser", script.arg(lab.path("Mountain railway.mp4"))));
}

/// Its own code, unpacked; libraries of others, were there any, would lie in a folder of their own.
#[test]
fn the_page_is_small_and_asks_for_nothing_but_itself() {
    const BAR: u64 = 150 * 1000;
    let files = || std::fs::read_dir(PAGE).unwrap().flatten().filter(|entry| entry.path().is_file());
    let size: u64 = files().map(|entry| entry.metadata().unwrap().len()).sum();
    assert!(size < BAR, "{size} bytes, the bar is {BAR}");
    let lab = Lab::new();
    let up = lab.up();
    for entry in files() {
        let name = entry.file_name().into_string().unwrap();
        let path = if name == "index.html" { "/".to_owned() } else { format!("/assets/{name}") };
        let answer = get(&up.http, &path, &[]);
        assert_eq!(answer.status, 200, "{path}");
        let text = answer.text();
        let elsewhere = text.match_indices("http").filter(|(at, _)| {
            let rest = &text[*at..];
            (rest.starts_with("http://") || rest.starts_with("https://"))
                && !rest.starts_with("http://www.w3.org/")
        });
        assert_eq!(elsewhere.count(), 0, "{path} names an address elsewhere");
    }
    let page = get(&up.http, "/", &[]);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
}
