//! A form with a file in it (multipart/form-data, RFC 7578). The file is streamed, so its length must be known before
//! its bytes: it is what the request's length leaves behind the fields before it, if nothing but the form's end
//! follows. That is how browsers and curl send a form with one file; a form of another shape is refused. The line break
//! at its very end may be missing in a form that is short enough to be looked at as a whole.

mod header;
mod parts;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use hyper::StatusCode;
use memchr::memmem;
use tokio::io::{AsyncRead, ReadBuf};

use header::Scanner;
pub use header::{Boundary, PartHeader, file_name};
pub use parts::FormParts;

use crate::inflow::{Fault, Inflow, refusal};
use crate::refusal::Refusal;

/// The most that may come before the file's bytes, in bytes: other fields and the part's header.
pub const MAX_HEAD: usize = 64 * 1024;

const FILE_LAST: &str = "send one file, as the last part of the form, with the field name \"file\"";

const BAD_END: &str = "the form does not end with its boundary and a line break";

/// The file of a form: its bytes are still to be read.
pub struct FormFile {
    /// What the client calls it; empty if it does not say.
    pub name: String,
    /// What the client says that it is; empty if it does not.
    pub content_type: String,
    /// How many bytes it must have for the form to end where the request does.
    pub size: u64,
    /// Its bytes.
    pub reader: FormReader,
}

impl FormFile {
    /// Reads a form of `length` bytes up to its file.
    ///
    /// # Errors
    /// 400 for a form without a file, or with too much before it.
    pub async fn open(mut inflow: Inflow, boundary: &Boundary, length: u64) -> Result<FormFile, Refusal> {
        let mut window = BytesMut::new();
        let mut read = 0;
        let mut scanner = Scanner::new(boundary);
        // A short form is there as a whole before its file is looked at, so that its end tells how it ends.
        let whole = length <= MAX_HEAD as u64;
        let (part, start) = loop {
            match scanner.scan(&window).map_err(bad_form)? {
                Some(found) if read == length || !whole => break found,
                None if window.len() > MAX_HEAD => return Err(bad_form(FILE_LAST)),
                _ => {}
            }
            let chunk = inflow.chunk().await.map_err(|error| refusal(&error))?;
            if chunk.is_empty() {
                return Err(bad_form("the form ends before its file begins"));
            }
            read += chunk.len() as u64;
            window.extend_from_slice(&chunk);
        };
        window.advance(start);
        let bare = whole && window.ends_with(boundary.bare_tail());
        let tail = if bare { boundary.bare_tail() } else { boundary.tail() }.len();
        let left = length.checked_sub(read - window.len() as u64 + tail as u64);
        let left = left.ok_or_else(|| bad_form("the form ends before its file does"))?;
        let PartHeader { name, content_type, .. } = part;
        let mut reader = FormReader { inflow, window, searched: 0, boundary: boundary.clone(), tail, left };
        if left == 0 {
            // Nobody reads an empty file, so its end is looked at here.
            std::future::poll_fn(|cx| reader.poll_end(cx)).await.map_err(|error| refusal(&error))?;
            if name.is_empty() {
                return Err(bad_form("no file was chosen in the form"));
            }
        }
        Ok(FormFile { name, content_type, size: left, reader })
    }
}

fn bad_form(sentence: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, sentence.into())
}

/// The file's bytes. The last of them are given only when the form has ended as it should, so that a file cut short
/// or glued to another part is never stored.
pub struct FormReader {
    inflow: Inflow,
    /// What came and was not given yet; the form's end is held back in it.
    window: BytesMut,
    /// How much of the window holds no delimiter.
    searched: usize,
    boundary: Boundary,
    /// The length of the form's end.
    tail: usize,
    /// Bytes of the file that were not given yet.
    left: u64,
}

impl FormReader {
    /// How many bytes of the window can be given.
    fn releasable(&mut self) -> io::Result<usize> {
        let delimiter = self.boundary.delimiter();
        let from = self.searched.saturating_sub(delimiter.len() - 1);
        let found = memmem::find(&self.window[from..], delimiter).map(|at| from + at);
        if found.is_some_and(|at| (at as u64) < self.left) {
            return Err(Fault::error(FILE_LAST));
        }
        self.searched = self.window.len();
        let whole = self.left + self.tail as u64;
        if (self.window.len() as u64) < whole {
            return Ok(self.window.len().saturating_sub(self.tail));
        }
        // All of it is here: `left` fits.
        let left = self.left as usize;
        let tail = &self.window[left..];
        if tail.len() != self.tail || !self.boundary.tail().starts_with(tail) {
            return Err(Fault::error(BAD_END));
        }
        Ok(left)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let chunk = ready!(self.inflow.poll_chunk(cx))?;
        if chunk.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.window.extend_from_slice(&chunk);
        Poll::Ready(Ok(()))
    }

    /// Waits for the end of the form behind a file of no bytes.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.window.len() < self.tail {
            ready!(self.poll_fill(cx))?;
        }
        Poll::Ready(self.releasable().map(drop))
    }
}

impl AsyncRead for FormReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let reader = &mut *self;
        while reader.left > 0 {
            let len = reader.releasable()?.min(buf.remaining());
            if len > 0 {
                buf.put_slice(&reader.window[..len]);
                reader.window.advance(len);
                reader.searched -= len;
                reader.left -= len as u64;
                break;
            }
            ready!(reader.poll_fill(cx))?;
        }
        Poll::Ready(Ok(()))
    }
}
