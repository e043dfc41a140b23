//! What the tests stand on: processes, clusters of them, raw clients and contents made from a seed.

pub(crate) mod film;
pub(crate) mod frames;
pub(crate) mod lab;
pub(crate) mod pattern;
pub(crate) mod process;
pub(crate) mod tools;
pub(crate) mod web;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

/// No event these tests wait for takes anywhere near as long, not even on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer, for what announces itself in no other way.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says something past the test runner, which keeps the output of tests that pass to itself.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether these programs are here. If not the test is skipped and says so; in CI that is a failure.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !folders.iter().any(|folder| folder.join(program).is_file()))
        .collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing:?} must be installed in CI");
    say(&format!("skipped: {missing:?} not installed"));
    false
}

/// Many connections need more descriptors than the usual 1,024; servers started after this have the limit as well.
#[track_caller]
pub(crate) fn raise_descriptor_limit(needed: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let most = limit.current;
    assert!(most.is_none_or(|most| most > needed), "at most {most:?} descriptors, {needed} are needed");
}

/// Every regular file below `folder`.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Files below `folder` that an upload was writing when it ended.
pub(crate) fn temps_below(folder: &Path) -> Vec<PathBuf> {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files_below(folder).into_iter().filter(|path| name(path).ends_with(".tmp")).collect()
}

/// Files below `folder` that hold contents, by the number that names them: `.../000/000/001/5F6E7AD2_002` is 514.
pub(crate) fn contents_below(folder: &Path) -> Vec<(u64, PathBuf)> {
    files_below(folder).into_iter().filter_map(|path| Some((number_of(&path)?, path))).collect()
}

fn number_of(path: &Path) -> Option<u64> {
    let mut parts = path.iter().rev().map(|part| part.to_str());
    let (seconds, last) = parts.next()??.split_once('_')?;
    let digit =
        |text: &str| (text.len() == 3).then(|| text.parse::<u64>().ok())?.filter(|digit| *digit < 512);
    let is_time =
        seconds.len() == 8 && seconds.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
    let (d1, d2, d3) = (digit(parts.next()??)?, digit(parts.next()??)?, digit(parts.next()??)?);
    is_time.then_some(((d3 * 512 + d2) * 512 + d1) * 512 + digit(last)?)
}
