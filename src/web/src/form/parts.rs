//! A form with any number of files in it, one after the other. How long a file is shows only at its end.

use std::io::{self, ErrorKind};

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::MAX_HEAD;
use super::header::{Boundary, NO_FILE, PartHeader, Scanner};
use crate::inflow::{Inflow, refusal};
use crate::refusal::Refusal;

/// The parts of a form that are named `file`.
pub struct FormParts {
    inflow: Inflow,
    boundary: Boundary,
    /// What came and was not given yet.
    window: BytesMut,
    /// How much of the window holds no delimiter.
    searched: usize,
    /// Whether the bytes of a part are being read.
    is_inside: bool,
    is_first: bool,
}

impl FormParts {
    /// Those of a form that has not been read yet.
    pub fn new(inflow: Inflow, boundary: Boundary) -> FormParts {
        FormParts { inflow, boundary, window: BytesMut::new(), searched: 0, is_inside: false, is_first: true }
    }

    /// The next file's name and type; `None` at the form's end. What was not read of the one before is passed over.
    ///
    /// # Errors
    /// 400 for what is no form.
    pub async fn next(&mut self) -> Result<Option<PartHeader>, Refusal> {
        while self.is_inside {
            self.chunk().await.map_err(|error| refusal(&error))?;
        }
        if !self.is_first && self.is_over().await? {
            return Ok(None);
        }
        let boundary = self.boundary.clone();
        let mut scanner = Scanner::new(&boundary);
        loop {
            match scanner.scan(&self.window) {
                Ok(Some((part, start))) => {
                    let _ = self.window.split_to(start);
                    (self.searched, self.is_inside, self.is_first) = (0, true, false);
                    return Ok(Some(part));
                }
                Ok(None) if self.window.len() > MAX_HEAD && self.is_first && scanner.passed_a_file() => {
                    return Err(Refusal::bad(NO_FILE));
                }
                Ok(None) if self.window.len() > MAX_HEAD => {
                    return Err(Refusal::bad("the form has more than 64 KiB before a file"));
                }
                Ok(None) => {}
                // Other fields may follow the last file.
                Err(_) if !self.is_first => return Ok(None),
                Err(sentence) => return Err(Refusal::bad(sentence)),
            }
            self.fill("the form ends before its file begins").await?;
        }
    }

    /// Whether the delimiter that the window begins with is the last one.
    async fn is_over(&mut self) -> Result<bool, Refusal> {
        let end = self.boundary.delimiter().len();
        loop {
            match self.window.get(end..end + 2) {
                Some(behind) => return Ok(behind == b"--"),
                None => self.fill("the form does not end with its boundary").await?,
            }
        }
    }

    async fn fill(&mut self, missing: &'static str) -> Result<(), Refusal> {
        let chunk = self.inflow.chunk().await.map_err(|error| refusal(&error))?;
        if chunk.is_empty() {
            return Err(Refusal::bad(missing));
        }
        self.window.extend_from_slice(&chunk);
        Ok(())
    }

    /// The next bytes of the file; none at its end.
    ///
    /// # Errors
    /// If the body ends or stands still before the file has ended.
    pub async fn chunk(&mut self) -> io::Result<Bytes> {
        while self.is_inside {
            let delimiter = self.boundary.delimiter();
            let from = self.searched.saturating_sub(delimiter.len() - 1);
            if let Some(at) = self.window.get(from..).and_then(|window| memmem::find(window, delimiter)) {
                self.is_inside = false;
                return Ok(self.window.split_to(from + at).freeze());
            }
            self.searched = self.window.len();
            // What may be the beginning of a delimiter is held back.
            let releasable = self.window.len().saturating_sub(delimiter.len() - 1);
            if releasable > 0 {
                self.searched -= releasable;
                return Ok(self.window.split_to(releasable).freeze());
            }
            let chunk = self.inflow.chunk().await?;
            if chunk.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.window.extend_from_slice(&chunk);
        }
        Ok(Bytes::new())
    }
}
