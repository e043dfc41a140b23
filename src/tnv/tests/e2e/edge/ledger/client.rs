//! Those who download packages: through the hub, on at a node where it broke off, and to the hub again.

use std::io::{self, Read};
use std::time::Duration;

use serde_json::Value;

use super::MEETING;
use super::book::Book;
use crate::harness::lab::Lab;
use crate::harness::process::text;
use crate::harness::web::{Response, Web, request};

/// What is taken at once, and the pause behind it: slow enough for a kill to fall into a download.
const PIECE: usize = 256 * 1024;
const PAUSE: Duration = Duration::from_millis(10);

/// What has come of a package.
#[derive(Default)]
struct Part {
    etag: String,
    bytes: Vec<u8>,
    /// Answers that its bytes came from.
    pieces: usize,
}

pub(super) struct Client<'a> {
    hub: &'a str,
    book: &'a Book,
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a str, book: &'a Book) -> Client<'a> {
        Client { hub, book }
    }

    /// Downloads the package, in as many pieces as it takes.
    pub(super) fn download(&mut self) {
        let mut part = Part::default();
        loop {
            match self.go_on(&mut part) {
                Ok(true) => break,
                // Another version is to be had by now, or somebody asks for a pause.
                Ok(false) => std::thread::sleep(PAUSE),
                Err(_) => {
                    self.book.count(|counts| counts.broken += 1);
                    std::thread::sleep(PAUSE);
                }
            }
        }
        let was_resumed = part.pieces > 1;
        self.book.check(&part.etag, part.bytes);
        self.book.count(|counts| {
            counts.finished += 1;
            counts.resumed += usize::from(was_resumed);
        });
    }

    /// Asks the hub for what is missing, and goes where it says: whether all of it is here then.
    fn go_on(&self, part: &mut Part) -> io::Result<bool> {
        let path = format!("/api/v1/meetings/{MEETING}/download-package");
        let (mut web, mut answer) = self.ask(self.hub, &path, part)?;
        let mut server = self.hub.to_owned();
        if answer.status == 302 {
            let to = answer.header("location").unwrap().strip_prefix("http://").unwrap().to_owned();
            let (node, path) = to.split_once('/').unwrap();
            (web, answer) = self.ask(node, &format!("/{path}"), part)?;
            server = node.to_owned();
        }
        let begins = match answer.status {
            200 => 0,
            206 => from(&answer),
            409 => {
                self.book.count(|counts| counts.conflicts += 1);
                return Ok(false);
            }
            // A node that has just started knows no package yet, a hub no storage.
            503 => return Ok(false),
            status => panic!("status {status} from {server}"),
        };
        let _at_work = self.book.at_work(&server);
        let is_of_node = server != self.hub;
        self.book
            .count(|counts| *(if is_of_node { &mut counts.from_nodes } else { &mut counts.from_hub }) += 1);
        self.take(&mut web, &answer, begins, part)
    }

    fn ask(&self, server: &str, path: &str, part: &Part) -> io::Result<(Web, Response)> {
        let range = format!("bytes={}-", part.bytes.len());
        let headers = [("Range", range.as_str()), ("If-Range", part.etag.as_str())];
        let headers = if part.bytes.is_empty() { &[][..] } else { &headers[..] };
        let mut web = Web::try_connect(server)?;
        io::Write::write_all(web.stream.get_mut(), request("GET", path, headers).as_bytes())?;
        let answer = web.head()?;
        Ok((web, answer))
    }

    fn take(&self, web: &mut Web, answer: &Response, begins: usize, part: &mut Part) -> io::Result<bool> {
        let etag = answer.header("etag").unwrap();
        if begins == 0 {
            let is_anew = !part.bytes.is_empty();
            self.book.count(|counts| counts.anew += usize::from(is_anew));
            *part = Part { etag: etag.to_owned(), ..Part::default() };
        }
        assert_eq!((begins, etag), (part.bytes.len(), part.etag.as_str()), "another range or version");
        part.pieces += 1;
        let whole = begins + answer.len() as usize;
        let mut piece = vec![0; PIECE];
        while part.bytes.len() < whole {
            let most = PIECE.min(whole - part.bytes.len());
            let read = web.stream.read(&mut piece[..most])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            part.bytes.extend_from_slice(&piece[..read]);
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }
}

/// Where the bytes of an answer with a part of the package begin; they end where it ends.
fn from(answer: &Response) -> usize {
    let range = answer.header("content-range").unwrap().strip_prefix("bytes ").unwrap();
    let (from, rest) = range.split_once('-').unwrap();
    let (last, size) = rest.split_once('/').unwrap();
    assert_eq!(last.parse::<u64>().unwrap() + 1, size.parse::<u64>().unwrap(), "{range}");
    from.parse().unwrap()
}

/// The same with `client fetch`.
pub(super) fn fetch(lab: &Lab, hub: &str, book: &Book) {
    let (url, out) = (format!("http://{hub}/api/v1/meetings/{MEETING}/download-package"), lab.arg("fetched"));
    let output = lab.client(&["fetch", &url, "-o", &out, "--json", "--retries", "1000", "--timeout", "50"]);
    let (events, complaint) = text(&output);
    let last: Value =
        events.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    match (output.status.code(), last["status"].as_str()) {
        (Some(0), _) => {
            let etag = last["etag"].as_str().unwrap_or_else(|| panic!("no etag in {last}"));
            book.check(etag, std::fs::read(&out).unwrap());
            std::fs::remove_file(&out).unwrap();
            book.count(|counts| counts.fetched += 1);
        }
        // It changed more often than the client puts up with, or the pauses have become too long.
        (Some(8 | 9), Some("changed" | "timeout")) => book.count(|counts| counts.not_fetched += 1),
        (code, status) => panic!("client fetch ended with {code:?}, {status:?}: {complaint}"),
    }
}
