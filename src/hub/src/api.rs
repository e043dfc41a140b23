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

/// Reads a body that is a JSON object; nothing at all is an empty one.
async fn read_json<T: DeserializeOwned>(mut body: Inflow) -> Result<T, Refusal> {
    let text = body.whole(MAX_JSON).await?;
    let text = match text.trim_ascii_start() {
        b"" => &b"{}"[..],
        text => text,
    };
    // A list would be taken for an object's fields in their order.
    if !text.starts_with(b"{") {
        return Err(Refusal::bad("the body is not a JSON object, such as {\"title\": \"...\"}"));
    }
    serde_json::from_slice(text)
        .map_err(|error| Refusal::bad(format!("the body is not what it should be: {error}")))
}

/// Reads an integer, or nothing. 3.0 is one as well: there are languages that write every quotient so.
fn integer<'de, D: Deserializer<'de>, T: TryFrom<i128>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let value = tnv_package::integer(&number).and_then(|integer| T::try_from(integer.as_i128()?).ok());
    value.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is no integer that can stand here")))
}
