//! `stat`: what is known of a file.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tnv_proto::{Attributes, FileId};

use crate::args::FileArgs;
use crate::console::{Console, one_line};
use crate::error::Error;
use crate::session::Context;

/// Show what is known of a file
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client TRACKERS stat [OPTIONS] APP USER FILE",
    after_help = "\
What the storage does not know, for the file came from an older server or client, is shown as -.

Examples, where $id is what upload printed:
  client 127.0.0.1:21000 stat tnvideo tnv001 $id
  client 127.0.0.1:21000 stat tnvideo tnv001 $id --json | jq -r .blake3"
)]
pub(crate) struct Stat {
    #[command(flatten)]
    file: FileArgs,
}

pub(crate) async fn run(stat: Stat, context: &Context, console: &mut Console) -> Result<(), Error> {
    let key = stat.file.key();
    let attributes = context.client.stat(&key).await.map_err(|error| Error::from(error).about(&key.file))?;
    console.result(&text(&key.file, &attributes), &describe(&key.file, &attributes))
}

fn text(id: &FileId, attributes: &Attributes) -> String {
    let known = |is_known: bool, text: String| if is_known { text } else { "-".to_owned() };
    let checked = attributes.blake3.is_known();
    [
        ("id", one_line(id.as_str())),
        ("name", known(!attributes.name.is_empty(), one_line(&attributes.name))),
        ("size", attributes.size.to_string()),
        ("stored", local_time(attributes.created_ms, "%Y-%m-%d %H:%M:%S %z")),
        ("type", known(!attributes.content_type.is_empty(), one_line(&attributes.content_type))),
        ("blake3", known(checked, attributes.blake3.to_string())),
        ("crc32", known(checked, format!("{:08x}", attributes.crc32))),
    ]
    .map(|(label, value)| format!("{label:>7}: {value}"))
    .join("\n")
}

/// What is known of a file as `--json` gives it; `null` is what is not known.
pub(crate) fn describe(id: &FileId, attributes: &Attributes) -> Value {
    let known = |is_known: bool, text: String| if is_known { Value::from(text) } else { Value::Null };
    let checked = attributes.blake3.is_known();
    let stored = Timestamp::from_millisecond(attributes.created_ms).map(|time| time.to_string());
    json!({
        "id": id.as_str(),
        "name": attributes.name,
        "size": attributes.size,
        "content_type": attributes.content_type,
        "created": known(attributes.created_ms > 0, stored.unwrap_or_default()),
        "created_ms": attributes.created_ms,
        "blake3": known(checked, attributes.blake3.to_string()),
        "crc32": known(checked, format!("{:08x}", attributes.crc32)),
    })
}

/// A time in milliseconds since 1970 where the user is; `-` if it is not known.
pub(crate) fn local_time(millis: i64, format: &str) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) if millis > 0 => time.to_zoned(TimeZone::system()).strftime(format).to_string(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tnv_proto::Checksum;

    use super::*;

    #[test]
    fn what_is_not_known_is_told_as_such() {
        let id = FileId::new("f1").unwrap();
        let mut attributes = Attributes {
            size: 5,
            created_ms: 0,
            crc32: 0,
            blake3: Checksum::UNKNOWN,
            content_type: String::new(),
            name: String::new(),
        };
        assert_eq!(
            text(&id, &attributes),
            "     id: f1\n   name: -\n   size: 5\n stored: -\n   type: -\n blake3: -\n  crc32: -"
        );
        assert_eq!(describe(&id, &attributes)["created"], Value::Null);
        attributes.created_ms = i64::MAX;
        assert_eq!(local_time(attributes.created_ms, "%Y"), "-");
        attributes.created_ms = 1_700_000_000_123;
        assert_eq!(describe(&id, &attributes)["created"], "2023-11-14T22:13:20.123Z");
        assert!(local_time(attributes.created_ms, "%Y-%m-%d").starts_with("2023-11-1"));
    }

    #[test]
    fn names_do_not_steer_the_terminal() {
        let attributes = Attributes {
            size: 5,
            created_ms: 0,
            crc32: 1,
            blake3: Checksum([1; 32]),
            content_type: String::new(),
            name: "a\nb\u{1b}[2J".to_owned(),
        };
        let text = text(&FileId::new("f1").unwrap(), &attributes);
        assert_eq!(text.lines().count(), 7);
        assert!(text.contains("a\\nb\\u{1b}[2J"), "{text}");
    }
}
