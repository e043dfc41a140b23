//! Content types: which one a file has, what a browser may show, and the name a file is saved under. Pure.

use crate::disposition::Disposition;

/// What is said of a file that nothing is known of.
const UNKNOWN: &str = "application/octet-stream";

/// The extension of each type that is stored often. The tables of `mime_guess` give all of a type, in
/// alphabetical order: `jfif` for a JPEG.
const EXTENSIONS: &[(&str, &str)] = &[
    ("application/pdf", "pdf"),
    ("application/zip", "zip"),
    ("audio/flac", "flac"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/webp", "webp"),
    ("text/plain", "txt"),
    ("video/mp2t", "ts"),
    ("video/mp4", "mp4"),
    ("video/mpeg", "mpg"),
    ("video/ogg", "ogv"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("video/x-flv", "flv"),
    ("video/x-matroska", "mkv"),
    ("video/x-msvideo", "avi"),
];

/// A file's content type: as stored, else guessed from its name, else from its id. Something that is no type,
/// would not fit in a header, or says only that nothing is known, does not count.
pub fn content_type(stored: &str, name: &str, file: &str) -> String {
    if is_type(stored) && stored != UNKNOWN {
        return stored.to_owned();
    }
    guess(name).or_else(|| guess(file)).unwrap_or(UNKNOWN).to_owned()
}

/// The type that a name's extension stands for.
fn guess(name: &str) -> Option<&'static str> {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let common = EXTENSIONS.iter().find(|(_, known)| known.eq_ignore_ascii_case(extension));
    common.map(|(kind, _)| *kind).or_else(|| mime_guess::from_path(name).first_raw())
}

/// Whether a text reads `type/subtype`, parameters allowed, in printable ASCII.
pub fn is_type(text: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let printable = text.len() <= 255 && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    printable
        && essence(text).split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// A type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// What browsers play, or show without running anything in it, is inline. An SVG can hold scripts.
pub fn disposition(content_type: &str) -> Disposition {
    let essence = essence(content_type).to_ascii_lowercase();
    let shown = match essence.split_once('/') {
        Some(("video" | "audio", _)) => true,
        Some(("image", subtype)) => !subtype.starts_with("svg"),
        _ => matches!(essence.as_str(), "application/pdf" | "text/plain"),
    };
    if shown { Disposition::Inline } else { Disposition::Attachment }
}

/// The name to save a file under: its own, else its id with an extension that fits its type.
pub fn file_name(name: &str, file: &str, content_type: &str) -> String {
    if !name.is_empty() {
        return name.to_owned();
    }
    let essence = essence(content_type).to_ascii_lowercase();
    match EXTENSIONS.iter().find(|(kind, _)| *kind == essence) {
        Some((_, extension)) if mime_guess::from_path(file).is_empty() => format!("{file}.{extension}"),
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_type_comes_first_if_it_is_one() {
        assert_eq!(content_type("video/webm", "a.mp4", "b.mkv"), "video/webm");
        assert_eq!(content_type("text/plain; charset=utf-8", "", ""), "text/plain; charset=utf-8");
        for not_a_type in
            ["", "video", "video/", "/mp4", "video/mp4\r\nX: y", "vid eo/mp4", "视频/mp4", "a/b/c"]
        {
            assert_eq!(content_type(not_a_type, "a.mp4", ""), "video/mp4", "{not_a_type:?}");
        }
        assert_eq!(content_type(&format!("a/{}", "b".repeat(300)), "", ""), UNKNOWN);
    }

    #[test]
    fn else_name_and_id_are_asked() {
        assert_eq!(content_type("", "clip.MP4", "x"), "video/mp4");
        assert_eq!(content_type("", "clip", "x.jpg"), "image/jpeg");
        assert_eq!(content_type(UNKNOWN, "film.ts", "x"), "video/mp2t");
        assert_eq!(content_type(UNKNOWN, "film", "x"), UNKNOWN);
        assert_eq!(content_type("", "", "6640c41807ffea386043bad2c6ee25000197"), UNKNOWN);
    }

    #[test]
    fn only_what_is_harmless_is_shown() {
        for shown in ["video/mp4", "AUDIO/mpeg", "image/png", "application/pdf", "text/plain; charset=utf-8"]
        {
            assert_eq!(disposition(shown), Disposition::Inline, "{shown}");
        }
        for saved in
            ["image/svg+xml", "image/SVG", "text/html", "text/xml", "application/zip", UNKNOWN, "", "video"]
        {
            assert_eq!(disposition(saved), Disposition::Attachment, "{saved}");
        }
    }

    #[test]
    fn a_file_without_a_name_is_saved_under_its_id() {
        assert_eq!(file_name("mine.mov", "abc", "video/mp4"), "mine.mov");
        assert_eq!(file_name("", "abc", "video/mp4"), "abc.mp4");
        assert_eq!(file_name("", "abc", "Image/JPEG; q=1"), "abc.jpg");
        assert_eq!(file_name("", "abc.m4v", "video/mp4"), "abc.m4v");
        assert_eq!(file_name("", "abc", UNKNOWN), "abc");
    }

    #[test]
    fn every_extension_leads_back_to_something_known() {
        for (kind, extension) in EXTENSIONS {
            assert!(!mime_guess::from_ext(extension).is_empty(), "{kind}: {extension}");
        }
    }
}
