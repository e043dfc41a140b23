//! How many storages have an upload when it is answered, in the words of HTTP.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use tnv_client::Client;
use tnv_web::Refusal;

use crate::service::Gateway;

/// Of a request: how many storages are to have the file, durable.
const WANTED: HeaderName = HeaderName::from_static("tnv-ack-copies");
/// Of an answer: how many have it.
const THERE: HeaderName = HeaderName::from_static("tnv-copies");
/// The most that may be asked for.
const MOST: u8 = 16;

/// The cluster, for an upload with these headers.
///
/// # Errors
/// 400 for a number of copies that is none.
pub(crate) fn client(gateway: &Gateway, headers: &HeaderMap) -> Result<Client, Refusal> {
    let Some(wanted) = headers.get(&WANTED) else { return Ok(gateway.client.clone()) };
    let copies = wanted.to_str().ok().and_then(|digits| digits.parse().ok());
    match copies.filter(|copies| (1..=MOST).contains(copies)) {
        Some(copies) => Ok(gateway.client.clone().with_ack_copies(copies)),
        None => Err(Refusal::bad(format!("Tnv-Ack-Copies must be a number from 1 to {MOST}"))),
    }
}

/// Tells how many storages have a file; 0 = not known.
pub(crate) fn tell(headers: &mut HeaderMap, copies: u8) {
    if copies > 0 {
        headers.insert(THERE, HeaderValue::from(u16::from(copies)));
    }
}
