//! What the film comes from: a gateway or a storage.

use std::net::SocketAddr;

use tnv_proto::{Download, FileKey, Request, STATUS_OK};

use super::FILM;
use crate::http;
use crate::wire::header;

/// A server that has the film.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) server: SocketAddr,
    /// A gateway, not a storage.
    pub(super) is_http: bool,
    pub(super) film: FileKey,
}

/// What the head of an answer says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) is_success: bool,
    /// Of what follows, in bytes.
    pub(super) length: u64,
}

impl Source {
    /// A request for the film from `offset` on, to its end.
    pub(super) fn request(&self, offset: u64) -> Vec<u8> {
        if self.is_http {
            let range = (offset > 0).then_some(offset..FILM);
            return http::request(&crate::gateway::path(&self.film), range).into_bytes();
        }
        Download { key: self.film.clone(), offset: offset as i64, size: 0 }.to_frame().to_vec()
    }

    /// The head of an answer and how long it is itself; None while that has not come.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn parse(&self, bytes: &[u8]) -> anyhow::Result<Option<(Answer, usize)>> {
        let answer = |is_success, length| Answer { is_success, length };
        if self.is_http {
            let head = http::parse(bytes)?;
            return Ok(head.map(|(head, end)| (answer(matches!(head.status, 200 | 206), head.length), end)));
        }
        Ok(header(bytes)?.map(|(header, end)| (answer(header.status == STATUS_OK, header.body_len), end)))
    }
}
