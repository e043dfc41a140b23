//! The one who changes the meeting, and holds the hub to what it has acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::MEETING;
use super::book::{Book, Files, contents};
use crate::harness::eventually;
use crate::harness::pattern::Random;
use crate::harness::web::{Response, Web};

const FILES: u64 = 12;
/// Between two attempts while the hub is away.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Editor<'a> {
    hub: &'a str,
    book: &'a Book,
    random: Random,
    /// What the meeting consists of.
    files: Files,
    /// All meetings that were acknowledged.
    meetings: BTreeSet<String>,
}

impl<'a> Editor<'a> {
    pub(super) fn new(hub: &'a str, book: &'a Book, random: Random) -> Editor<'a> {
        Editor { hub, book, random, files: Files::new(), meetings: BTreeSet::new() }
    }

    /// Makes the meeting with all its files, and lets it run.
    pub(super) fn begin(&mut self) {
        self.make(MEETING);
        for _ in 0..FILES {
            self.put(&format!("{:02}.pdf", self.files.len()));
        }
        let start = self.until_answered("POST", &format!("/api/v1/meetings/{MEETING}/start"), b"{}");
        assert_eq!(start.status, 200, "{}", start.text());
        self.check();
    }

    /// Changes a file whenever some have downloaded what there is, and makes meetings besides.
    pub(super) fn work(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let seen = self.book.counts().finished;
            let until = seen + 10 + self.random.below(30) as usize;
            while self.book.counts().finished < until && !is_over.load(Ordering::Relaxed) {
                sleep(PAUSE);
            }
            let number = self.random.below(FILES);
            self.put(&format!("{number:02}.pdf"));
            if self.random.below(3) == 0 {
                self.make(&format!("extra-{}", self.meetings.len()));
            }
            self.check();
        }
    }

    fn make(&mut self, id: &str) {
        let body = json!({"id": id, "title": id}).to_string();
        let made = self.until_answered("POST", "/api/v1/meetings", body.as_bytes());
        // It was made, in this attempt or in one that was cut off.
        assert!([201, 409].contains(&made.status), "{id}: {}", made.text());
        self.meetings.insert(id.to_owned());
    }

    fn put(&mut self, name: &str) {
        let seed = self.random.next();
        let mut files = self.files.clone();
        files.insert(name.to_owned(), seed);
        self.book.may_be(files.clone());
        let path = format!("/api/v1/meetings/{MEETING}/files/{name}");
        match self.attempt("PUT", &path, &contents(seed)) {
            Ok(answer) if answer.status == 201 => {
                self.book.count(|counts| counts.changes += 1);
                self.files = files;
            }
            // A hub that has just started may not know its storages yet.
            Ok(answer) => assert_eq!(answer.status, 503, "{name}: {}", answer.text()),
            // One or the other, and from now on the same for ever.
            Err(_) => {
                self.book
                    .count(|counts| (counts.doubts, counts.broken) = (counts.doubts + 1, counts.broken + 1));
                if self.checksums() != sums(&self.files) {
                    self.files = files;
                }
            }
        }
        self.book.may_be(self.files.clone());
    }

    /// Whether the hub has all that it has acknowledged.
    pub(super) fn check(&self) {
        assert_eq!(self.checksums(), sums(&self.files), "the files of the meeting");
        let list = self.until_answered("GET", "/api/v1/meetings?limit=1000", b"").json();
        let found: BTreeSet<String> = values(&list["meetings"]).map(|meeting| field(meeting, "id")).collect();
        assert_eq!(found, self.meetings, "the meetings");
    }

    /// The BLAKE3 of each file, as the hub tells it to nodes.
    fn checksums(&self) -> BTreeMap<String, String> {
        let manifest = self.until_answered("GET", &format!("/api/v1/sync/meetings/{MEETING}"), b"").json();
        values(&manifest["files"]).map(|file| (field(file, "path"), field(file, "checksum"))).collect()
    }

    #[track_caller]
    fn until_answered(&self, method: &str, path: &str, body: &[u8]) -> Response {
        eventually("an answer of the hub", || self.attempt(method, path, body).ok())
    }

    fn attempt(&self, method: &str, path: &str, body: &[u8]) -> io::Result<Response> {
        Web::try_connect(self.hub)?.attempt(method, path, body)
    }
}

fn sums(files: &Files) -> BTreeMap<String, String> {
    let sum = |seed: &u64| blake3::hash(&contents(*seed)).to_string();
    files.iter().map(|(name, seed)| (name.clone(), sum(seed))).collect()
}

fn values(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().unwrap().iter()
}

fn field(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}
