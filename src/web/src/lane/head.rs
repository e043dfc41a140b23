//! Status line and headers as bytes, as hyper writes them.

use std::cell::RefCell;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use hyper::http::response::Parts;
use hyper::{Method, StatusCode};

/// What most heads fit in, in bytes.
const CAPACITY: usize = 768;

/// The head of the answer to a request of this method, whose body has `len` bytes.
pub(super) fn encode(head: &Parts, method: &Method, len: u64) -> BytesMut {
    let mut out = BytesMut::with_capacity(CAPACITY);
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(head.status.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(head.status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.put_slice(b"\r\n");
    for (name, value) in &head.headers {
        put_line(&mut out, name.as_str(), value.as_bytes());
    }
    let told = head.headers.contains_key(hyper::header::CONTENT_LENGTH);
    let has_length = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !told && has_length && (len > 0 || method != Method::HEAD) {
        put_line(&mut out, "content-length", len.to_string().as_bytes());
    }
    put_date(&mut out, SystemTime::now());
    out.put_slice(b"\r\n");
    out
}

fn put_line(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// A date as headers have it, and the second it tells.
struct Date {
    second: u64,
    text: [u8; 29],
}

thread_local! {
    static DATE: RefCell<Date> = const { RefCell::new(Date { second: u64::MAX, text: [0; 29] }) };
}

/// Written once in a second; the years that HTTP dates can tell end with 9999.
fn put_date(out: &mut BytesMut, now: SystemTime) {
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    DATE.with_borrow_mut(|date| {
        if date.second != second {
            let told = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
            // It has exactly as many bytes.
            let _ = write!(&mut date.text[..], "{told}");
            date.second = second;
        }
        put_line(out, "date", &date.text);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_told_to_the_second() {
        for (second, text) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            let mut out = BytesMut::new();
            put_date(&mut out, UNIX_EPOCH + Duration::from_millis(second * 1000 + 999));
            assert_eq!(out, format!("date: {text}\r\n"));
        }
    }
}
