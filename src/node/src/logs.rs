//! The end of the log file, for the page.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use hyper::{Response, StatusCode};
use serde_json::json;
use tnv_web::answer::json;
use tnv_web::{Body, Refusal};

use crate::config;
use crate::node::Node;

/// Lines that are shown where nobody says how many, and at most.
const LINES: usize = 200;
const MAX_LINES: usize = 2000;
/// Bytes that are looked at, at most.
const MAX_BYTES: u64 = 512 * 1024;

/// `GET /api/logs?lines=200`
pub(crate) async fn answer(node: &Node, query: &str) -> Result<Response<Body>, Refusal> {
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("lines="));
    let lines = match asked.map(str::parse::<usize>) {
        None => LINES,
        Some(Ok(lines)) if lines <= MAX_LINES => lines,
        Some(_) => return Err(Refusal::bad(format!("lines: expected a number up to {MAX_LINES}"))),
    };
    let config = node.config();
    if !config.logging.file_enabled {
        return json(&json!({"file": null, "lines": []}));
    }
    let path = config::resolve(&node.supply.file.folder(), &config.logging.file_path);
    let shown = path.display().to_string();
    let read = tokio::task::spawn_blocking(move || tail(&path, lines)).await;
    match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(lines) => json(&json!({"file": shown, "lines": lines})),
        // Another one is written until the next start.
        Err(error) if error.kind() == io::ErrorKind::NotFound => json(&json!({"file": shown, "lines": []})),
        Err(error) => {
            let detail = format!("the log file cannot be read: {error}");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail))
        }
    }
}

/// The last lines of a file, the oldest first.
fn tail(path: &Path, lines: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let start = len.saturating_sub(MAX_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first one was cut.
    let whole = text.lines().skip(usize::from(start > 0));
    let mut found: Vec<String> = whole.map(str::to_owned).collect();
    Ok(found.split_off(found.len().saturating_sub(lines)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_file_is_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        assert_eq!(tail(&path, 5).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, "一\n二\n三\n").unwrap();
        assert_eq!(tail(&path, 2).unwrap(), ["二", "三"]);
        assert_eq!(tail(&path, 9).unwrap().len(), 3);
        assert!(tail(&path, 0).unwrap().is_empty());
        let long: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, long).unwrap();
        let lines = tail(&path, MAX_LINES).unwrap();
        assert_eq!((lines.len(), lines.last().unwrap().as_str()), (MAX_LINES, "line 99999"));
        assert_eq!(tail(&path, usize::MAX).unwrap()[0].split(' ').next(), Some("line"));
    }
}
