//! GET over HTTP/1.1 with connections kept alive, as lean as the client of tnv's own frames.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, bail};
use bytes::BytesMut;

use crate::contents;
use crate::load::Exchange;
use crate::socket::Socket;
use crate::wire::any_of;

/// GET, each time of any of some files, whole.
pub(crate) struct Gets {
    socket: Socket,
    requests: Arc<[BytesMut]>,
    size: u64,
    /// Which of the bytes are those of [`contents`].
    contents: Range<u64>,
    /// Whether the bytes have been compared; after that only their number is.
    is_checked: bool,
}

impl Gets {
    /// `size` is what all files have.
    pub(crate) async fn connect(
        server: SocketAddr,
        requests: Arc<[BytesMut]>,
        size: u64,
    ) -> anyhow::Result<Gets> {
        let socket = Socket::connect(server).await?;
        Ok(Gets { socket, requests, size, contents: 0..size, is_checked: false })
    }

    /// Of files in which the usual contents lie only here.
    pub(crate) fn holding(self, contents: Range<u64>) -> Gets {
        Gets { contents, ..self }
    }

    /// The requests for these paths, each beginning with a slash.
    pub(crate) fn requests(paths: &[String]) -> Arc<[BytesMut]> {
        paths.iter().map(|path| BytesMut::from(request(path, None).as_bytes())).collect()
    }
}

impl Exchange for Gets {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        self.socket.send(any_of(&self.requests)).await?;
        let head = self.socket.head(parse).await?;
        head.expect(200, self.size)?;
        if self.is_checked {
            self.socket.body(head.length, |_, _| Ok(())).await
        } else {
            self.is_checked = true;
            let contents = &self.contents;
            self.socket.body(head.length, |offset, bytes| check(contents, offset, bytes)).await
        }
    }
}

/// Compares those of the bytes that lie within `contents`.
fn check(contents: &Range<u64>, offset: u64, bytes: &[u8]) -> anyhow::Result<()> {
    let within = |at: u64| (at.clamp(offset, offset + bytes.len() as u64) - offset) as usize;
    let (start, end) = (within(contents.start), within(contents.end));
    if start == end {
        Ok(())
    } else {
        contents::check(offset + start as u64 - contents.start, &bytes[start..end])
    }
}

/// GET of parts of one file, each time from anywhere in it, all of the same length.
pub(crate) struct Parts {
    socket: Socket,
    path: String,
    size: u64,
    part: u64,
    /// As for [`Gets`].
    is_checked: bool,
}

impl Parts {
    /// `size` is that of the file, `part` what is asked for each time and at most as much.
    pub(crate) async fn connect(
        server: SocketAddr,
        path: String,
        size: u64,
        part: u64,
    ) -> anyhow::Result<Parts> {
        Ok(Parts { socket: Socket::connect(server).await?, path, size, part, is_checked: false })
    }
}

impl Exchange for Parts {
    async fn exchange(&mut self) -> anyhow::Result<()> {
        let begin = rand::random_range(0..=self.size - self.part);
        let request = request(&self.path, Some(begin..begin + self.part));
        self.socket.send(request.as_bytes()).await?;
        self.socket.head(parse).await?.expect(206, self.part)?;
        if self.is_checked {
            self.socket.body(self.part, |_, _| Ok(())).await
        } else {
            self.is_checked = true;
            self.socket.body(self.part, |offset, bytes| contents::check(begin + offset, bytes)).await
        }
    }
}

/// A GET of a path, which begins with a slash: of the whole, or of these bytes.
pub(crate) fn request(path: &str, range: Option<Range<u64>>) -> String {
    let range =
        range.map_or_else(String::new, |range| format!("Range: bytes={}-{}\r\n", range.start, range.end - 1));
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{range}\r\n")
}

/// What counts of the head of an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Content-Length.
    pub(crate) length: u64,
}

impl Head {
    /// # Errors
    /// If it is another status or length.
    pub(crate) fn expect(&self, status: u16, length: u64) -> anyhow::Result<()> {
        if (self.status, self.length) != (status, length) {
            bail!("status {} with {} bytes, not {status} with {length}", self.status, self.length);
        }
        Ok(())
    }
}

/// The head of an answer and its length with the empty line; None while that has not come.
///
/// # Errors
/// If it is no head, or the length of what follows does not stand in it.
pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Option<(Head, usize)>> {
    let Some((head, end)) = text(bytes)? else { return Ok(None) };
    let length = header(head, "content-length").and_then(|length| length.parse().ok());
    match (status(head), length) {
        (Some(status), Some(length)) => Ok(Some((Head { status, length }, end))),
        _ => bail!("not an answer with a length: {head}"),
    }
}

/// The text of a head, and its length with the empty line; None while that has not come.
///
/// # Errors
/// If it is no text.
pub(crate) fn text(bytes: &[u8]) -> anyhow::Result<Option<(&str, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).context("the head of an answer is no text")?;
    Ok(Some((head, end + 4)))
}

/// The status in the text of a head.
pub(crate) fn status(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// The value of a header, of which there is one.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (this, value) = line.split_once(':')?;
        this.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let answer = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:  42 \r\n\r\nbody";
        assert_eq!(parse(&answer[..answer.len() - 5]).unwrap(), None);
        assert_eq!(parse(answer).unwrap(), Some((Head { status: 200, length: 42 }, answer.len() - 4)));
    }

    #[test]
    fn a_range_names_its_last_byte() {
        let head = "GET /a HTTP/1.1\r\nHost: localhost\r\n";
        assert_eq!(request("/a", None), format!("{head}\r\n"));
        assert_eq!(request("/a", Some(5..7)), format!("{head}Range: bytes=5-6\r\n\r\n"));
    }

    #[test]
    fn what_lies_around_the_contents_is_not_compared() {
        let bytes = [&[7; 5], contents::piece(0, 10), &[8; 3]].concat();
        for (offset, piece) in [(0, 0..18), (0, 0..4), (4, 4..9), (16, 16..18), (5, 5..15)] {
            check(&(5..15), offset, &bytes[piece]).unwrap();
        }
        assert!(check(&(4..14), 0, &bytes).is_err() && check(&(5..16), 10, &bytes[10..]).is_err());
    }

    #[test]
    fn a_header_is_found_by_its_name() {
        let answer = b"HTTP/1.1 302 Found\r\nLOCATION: http://a:1/b \r\n\r\nrest";
        let (head, end) = text(answer).unwrap().unwrap();
        assert_eq!((status(head), header(head, "location")), (Some(302), Some("http://a:1/b")));
        assert_eq!(&answer[end..], b"rest");
        assert_eq!(header(head, "etag"), None);
    }

    #[test]
    fn without_a_length_it_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert!(parse(b"SSH-2.0\r\nContent-Length: 1\r\n\r\n").is_err());
    }
}
