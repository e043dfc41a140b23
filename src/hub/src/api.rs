//! What each address does, a file for each kind of thing.

pub(crate) mod admin;
pub(crate) mod files;
pub(crate) mod meetings;
pub(crate) mod metalink;
pub(crate) mod nodes;
pub(crate) mod packages;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use tnv_web::inflow::Inflow;

use crate::refusal::Refusal;

/// The longest JSON that is taken, in bytes: the packages of a node, or an agenda.
const MAX_JSON: usize = 8 * 1024 * 1024;

/// Reads a body that is JSON; nothing at all is an empty object.
async fn read_json<T: DeserializeOwned>(mut body: Inflow) -> Result<T, Refusal> {
    let text = body.whole(MAX_JSON).await?;
    let text = if text.iter().all(u8::is_ascii_whitespace) { &b"{}"[..] } else { &text[..] };
    serde_json::from_slice(text)
        .map_err(|error| Refusal::bad(format!("the body is not what it should be: {error}")))
}

/// Reads an integer, or nothing. 3.0 is one as well: there are languages that write every quotient so.
fn integer<'de, D: Deserializer<'de>, T: TryFrom<i128>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let value = tnv_package::integer(&number).and_then(|integer| T::try_from(integer.as_i128()?).ok());
    value.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is no integer that can stand here")))
}
