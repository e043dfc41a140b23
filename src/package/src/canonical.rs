//! The one text of a manifest, from which its version is taken.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::{Map, Number, Value};

use crate::file_entry::crc32_digits;
use crate::{ManifestError, Meeting, Member};

/// Counts the layouts of the zip: whoever changes what bytes a manifest becomes must count on, or nodes of two
/// releases would have two packages of one version.
const FORMAT: u32 = 1;

/// The fields stand in the order of their keys, which is the order in which they are written.
#[derive(Serialize)]
struct Canonical<'a> {
    agenda_items: &'a [Value],
    files: Files<'a>,
    format: u32,
    id: &'a str,
    intro: Option<&'a str>,
    time: Option<&'a str>,
    title: &'a str,
}

struct Files<'a>(&'a [Member]);

#[derive(Serialize)]
struct File<'a> {
    checksum: &'a str,
    content_type: &'a str,
    crc32: String,
    id: &'a str,
    path: &'a str,
    size: u64,
}

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Entry))
    }
}

struct Entry<'a>(&'a Member);

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let file = File {
            checksum: &self.0.blake3.to_hex(),
            content_type: &self.0.content_type,
            crc32: crc32_digits(self.0.crc32),
            id: &self.0.id,
            path: self.0.path.as_str(),
            size: self.0.size,
        };
        file.serialize(serializer)
    }
}

/// The canonical form of a meeting and its members, both checked and in order.
pub(crate) fn form(meeting: &Meeting, members: &[Member]) -> Vec<u8> {
    let mut text = Vec::new();
    write(meeting, members, &mut text);
    text
}

/// The BLAKE3 of the canonical form, which is not kept.
pub(crate) fn hash(meeting: &Meeting, members: &[Member]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    // JSON comes in pieces of a few bytes, which a hasher takes slowly.
    write(meeting, members, io::BufWriter::with_capacity(64 << 10, &mut hasher));
    hasher.finalize()
}

fn write(meeting: &Meeting, members: &[Member], out: impl io::Write) {
    let canonical = Canonical {
        agenda_items: &meeting.agenda_items,
        files: Files(members),
        format: FORMAT,
        id: meeting.id.as_str(),
        intro: meeting.intro.as_deref(),
        time: meeting.time.as_deref(),
        title: &meeting.title,
    };
    // Keys are texts, and neither a vector nor a hasher refuses bytes: there is nothing that can fail.
    let written = serde_json::to_writer(out, &canonical);
    debug_assert!(written.is_ok());
}

/// A value with its keys in order, whatever order the map keeps them in, and its integers written in one way.
///
/// # Errors
/// [`ManifestError::NotAnInteger`] with the place of a number that is none.
pub(crate) fn value(value: Value, at: &str) -> Result<Value, ManifestError> {
    Ok(match value {
        Value::Number(number) => {
            Value::Number(integer(&number).ok_or_else(|| ManifestError::NotAnInteger {
                at: at.to_owned(),
                number: number.to_string(),
            })?)
        }
        Value::Array(items) => {
            let items = items.into_iter().enumerate();
            items.map(|(n, item)| self::value(item, &format!("{at}/{n}"))).collect::<Result<_, _>>()?
        }
        Value::Object(map) => {
            let mut fields: Vec<_> = map.into_iter().collect();
            fields.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            let fields = fields.into_iter().map(|(key, field)| {
                let field = self::value(field, &format!("{at}/{key}"))?;
                Ok((key, field))
            });
            Value::Object(fields.collect::<Result<Map<_, _>, ManifestError>>()?)
        }
        plain => plain,
    })
}

/// The integer that a number of JSON is; `None` if it is none. 3.0 is 3, as JSON Schema has it; beyond 2^53 a float may
/// stand for several integers, and is none.
pub fn integer(number: &Number) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT);
    let exact = number.as_u64().map(Number::from).or_else(|| number.as_i64().map(Number::from));
    exact.or_else(|| whole().map(|float| Number::from(float as i64)))
}
