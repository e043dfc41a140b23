//! Text fields of fixed size: NUL-padded, with at least one NUL.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use crate::Malformed;

/// Takes a fixed-size text field off `body`: what stands before its first NUL. Bytes behind that NUL are ignored,
/// for older clients leave garbage there.
fn take_text<'a>(body: &mut &'a [u8], size: usize, what: &str) -> Result<&'a str, Malformed> {
    let (field, rest) =
        body.split_at_checked(size).ok_or_else(|| Malformed::new(format!("the {what} is cut short")))?;
    *body = rest;
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .ok_or_else(|| Malformed::new(format!("the {what} has no NUL within its {size} bytes")))?;
    let text = field.get(..end).unwrap_or_default();
    std::str::from_utf8(text).map_err(|_| Malformed::new(format!("the {what} is not UTF-8")))
}

fn put_text(text: &str, size: usize, out: &mut impl BufMut) {
    out.put_slice(text.as_bytes());
    out.put_bytes(0, size.saturating_sub(text.len()));
}

pub(crate) fn take_i64(body: &mut &[u8], what: &str) -> Result<i64, Malformed> {
    body.try_get_i64().map_err(|_| Malformed::new(format!("the {what} is cut short")))
}

pub(crate) fn take_u16(body: &mut &[u8], what: &str) -> Result<u16, Malformed> {
    body.try_get_u16().map_err(|_| Malformed::new(format!("the {what} is cut short")))
}

pub(crate) fn take_u8(body: &mut &[u8], what: &str) -> Result<u8, Malformed> {
    body.try_get_u8().map_err(|_| Malformed::new(format!("the {what} is cut short")))
}

pub(crate) fn take_u32(body: &mut &[u8], what: &str) -> Result<u32, Malformed> {
    body.try_get_u32().map_err(|_| Malformed::new(format!("the {what} is cut short")))
}

fn any_text(_: &str) -> Result<(), &'static str> {
    Ok(())
}

fn not_empty(text: &str) -> Result<(), &'static str> {
    if text.is_empty() { Err("must not be empty") } else { Ok(()) }
}

fn letters_and_digits(text: &str) -> Result<(), &'static str> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err("must be letters A-Z, a-z and digits only")
    }
}

macro_rules! text_fields {
    ($( $(#[$doc:meta])* $name:ident, $size:literal, $what:literal, $check:path; )*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The field's size on the wire in bytes, its NUL included.
            pub const SIZE: usize = $size;

            /// Checks and wraps a text.
            ///
            /// # Errors
            /// [`Malformed`] if it is too long, holds a NUL, or has characters this field does not take.
            pub fn new(text: &str) -> Result<Self, Malformed> {
                if text.len() >= Self::SIZE {
                    return Err(Malformed::new(format!(
                        concat!("the ", $what, " has {} bytes, at most {} fit"), text.len(), $size - 1)));
                }
                if text.contains('\0') {
                    return Err(Malformed::new(concat!("the ", $what, " holds a NUL")));
                }
                $check(text).map_err(|why| Malformed::new(format!(concat!("the ", $what, " {}"), why)))?;
                Ok($name(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub(crate) fn take(body: &mut &[u8]) -> Result<Self, Malformed> {
                Self::new(take_text(body, Self::SIZE, $what)?)
            }

            pub(crate) fn put(&self, out: &mut impl BufMut) {
                put_text(&self.0, Self::SIZE, out);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::new(text)
            }
        }
    )* };
}

text_fields! {
    /// An application's id: letters and digits, 1 to 15.
    AppId, 16, "app id", letters_and_digits;
    /// A user's id: any text of 1 to 255 bytes without NUL.
    UserId, 256, "user id", not_empty;
    /// A file's id: any text of 1 to 127 bytes without NUL. It names a row, never a path.
    FileId, 128, "file id", not_empty;
    /// A group's name: letters and digits, 1 to 16.
    GroupName, 17, "group name", letters_and_digits;
    /// A storage's host name, 1 to 128 bytes.
    HostName, 129, "host name", not_empty;
    /// A storage's version, up to 6 bytes.
    Version, 7, "version", any_text;
}

/// Reads a SADDRS file id, which may be empty: the tracker answers by user alone.
pub(crate) fn take_optional_file(body: &mut &[u8]) -> Result<Option<FileId>, Malformed> {
    match take_text(body, FileId::SIZE, "file id")? {
        "" => Ok(None),
        text => FileId::new(text).map(Some),
    }
}

pub(crate) fn put_optional_file(file: Option<&FileId>, out: &mut impl BufMut) {
    put_text(file.map_or("", FileId::as_str), FileId::SIZE, out);
}

/// Reads text that runs up to a NUL at the very end of `body`.
pub(crate) fn whole_text<'a>(body: &'a [u8], what: &str) -> Result<&'a str, Malformed> {
    let mut rest = body;
    let text = take_text(&mut rest, body.len(), what)?;
    if text.len().saturating_add(1) == body.len() {
        Ok(text)
    } else {
        Err(Malformed::new(format!("the {what} does not end at its NUL")))
    }
}

/// A text after its length in two bytes.
pub(crate) fn take_counted(body: &mut &[u8], what: &str) -> Result<String, Malformed> {
    let len = usize::from(take_u16(body, what)?);
    let (text, rest) =
        body.split_at_checked(len).ok_or_else(|| Malformed::new(format!("the {what} is cut short")))?;
    *body = rest;
    String::from_utf8(text.to_vec()).map_err(|_| Malformed::new(format!("the {what} is not UTF-8")))
}

/// Writes a text after its length. Texts over 65,535 bytes do not occur: what is put here has been checked or came
/// from a column of at most 1,024; the cut only keeps the frame whole.
pub(crate) fn put_counted(text: &str, out: &mut BytesMut) {
    let text = text.as_bytes().get(..usize::from(u16::MAX)).unwrap_or(text.as_bytes());
    out.put_u16(text.len() as u16);
    out.put_slice(text);
}
