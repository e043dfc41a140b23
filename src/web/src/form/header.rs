//! The text around a form's parts: boundary, part headers, file names. Pure.

use memchr::memmem;
use percent_encoding::percent_decode_str;

/// What separates the parts of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary {
    /// Line break, two hyphens, boundary, two hyphens, line break.
    tail: Vec<u8>,
}

/// The longest boundary, in bytes (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;

impl Boundary {
    /// The boundary of a Content-Type; `None` if that is no form.
    ///
    /// # Errors
    /// A sentence for the client if it is a form without a boundary.
    pub fn of(content_type: &str) -> Result<Option<Boundary>, String> {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Ok(None);
        }
        let boundary = parameter(parameters, "boundary").unwrap_or_default();
        let printable = boundary.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY || !printable {
            return Err("the Content-Type has no boundary that could be one".to_owned());
        }
        Ok(Some(Boundary { tail: format!("\r\n--{boundary}--\r\n").into_bytes() }))
    }

    /// What ends the form, line breaks before and after it included.
    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The same without the line break after it, which some clients leave out.
    pub(crate) fn bare_tail(&self) -> &[u8] {
        &self.tail[..self.tail.len() - 2]
    }

    /// What ends a part's contents, the line break before it included.
    pub(crate) fn delimiter(&self) -> &[u8] {
        &self.tail[..self.tail.len() - 4]
    }
}

/// What a part says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartHeader {
    field: String,
    /// The file name; empty if there is none.
    pub name: String,
    /// The content type; empty if there is none.
    pub content_type: String,
}

/// The file's part of a form, and where its contents begin.
pub(crate) type Found = (PartHeader, usize);

/// Looks for the part `file` in the start of a form, as it comes; other parts are passed over. What was looked through
/// is not looked through again.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    boundary: &'a Boundary,
    wanted: Wanted,
    /// Where that may begin at the earliest.
    from: usize,
    /// A part that was passed over is a file.
    passed_a_file: bool,
}

/// What is said where no part is named `file`.
pub(crate) const NO_FILE: &str = "the form has no file; its field must be called \"file\"";

#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// The first delimiter.
    First,
    /// What follows a delimiter.
    LineEnd,
    /// The end of the part's header that begins here.
    HeaderEnd { start: usize },
    /// The delimiter behind a part that is passed over.
    Next,
}

impl Scanner<'_> {
    pub(crate) fn new(boundary: &Boundary) -> Scanner<'_> {
        Scanner { boundary, wanted: Wanted::First, from: 0, passed_a_file: false }
    }

    /// Goes on in a form that begins with what it began with at the last call. `None`: the file's part has not begun.
    ///
    /// # Errors
    /// A sentence for the client.
    pub(crate) fn scan(&mut self, form: &[u8]) -> Result<Option<Found>, String> {
        let delimiter = self.boundary.delimiter();
        loop {
            (self.wanted, self.from) = match self.wanted {
                Wanted::First => match self.first(form) {
                    Some(end) => (Wanted::LineEnd, end),
                    None => return Ok(None),
                },
                Wanted::LineEnd => match form.get(self.from..self.from + 2) {
                    None => return Ok(None),
                    // From the line break on, so that a part without a header ends at once.
                    Some(b"\r\n") => (Wanted::HeaderEnd { start: self.from + 2 }, self.from),
                    Some(b"--") => {
                        return Err(NO_FILE.to_owned());
                    }
                    Some(_) => return Err("the form has a boundary without a line break".to_owned()),
                },
                Wanted::HeaderEnd { start } => match self.find(form, b"\r\n\r\n") {
                    None => return Ok(None),
                    Some(at) => {
                        let part = part_header(&form[start..at + 2])?;
                        if part.field == "file" {
                            return Ok(Some((part, at + 4)));
                        }
                        self.passed_a_file |= !part.name.is_empty();
                        // An empty part's line break is that of its header's end.
                        (Wanted::Next, at + 2)
                    }
                },
                Wanted::Next => match self.find(form, delimiter) {
                    Some(at) => (Wanted::LineEnd, at + delimiter.len()),
                    None => return Ok(None),
                },
            };
        }
    }

    /// Whether there was a file under another name so far.
    pub(crate) fn passed_a_file(&self) -> bool {
        self.passed_a_file
    }

    /// The end of the first delimiter. It has no line break before it, unless there is a preamble.
    fn first(&mut self, form: &[u8]) -> Option<usize> {
        let delimiter = self.boundary.delimiter();
        let bare = &delimiter[2..];
        if form.starts_with(bare) {
            return Some(bare.len());
        }
        self.find(form, delimiter).map(|at| at + delimiter.len())
    }

    fn find(&mut self, form: &[u8], needle: &[u8]) -> Option<usize> {
        let found = memmem::find(form.get(self.from..)?, needle).map(|at| self.from + at);
        if found.is_none() {
            // The needle may have come in part.
            self.from = self.from.max((form.len() + 1).saturating_sub(needle.len()));
        }
        found
    }
}

fn part_header(lines: &[u8]) -> Result<PartHeader, String> {
    let lines = std::str::from_utf8(lines).map_err(|_| "the header of a part is not UTF-8".to_owned())?;
    let mut part = PartHeader::default();
    for line in lines.split("\r\n") {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.trim().eq_ignore_ascii_case("content-type") {
            part.content_type = value.trim().to_owned();
        } else if name.trim().eq_ignore_ascii_case("content-disposition") {
            let parameters = value.split_once(';').map_or("", |(_, parameters)| parameters);
            part.field = parameter(parameters, "name").unwrap_or_default();
            part.name = file_name(value).unwrap_or_default();
        }
    }
    Ok(part)
}

/// The file name in a Content-Disposition; `filename*` wins over `filename`.
pub fn file_name(disposition: &str) -> Option<String> {
    let parameters = disposition.split_once(';')?.1;
    let extended = parameter(parameters, "filename*").and_then(|value| {
        let (charset, rest) = value.split_once('\'')?;
        let encoded = rest.split_once('\'')?.1;
        let utf8 = charset.eq_ignore_ascii_case("utf-8");
        utf8.then(|| percent_decode_str(encoded).decode_utf8().ok().map(|name| name.into_owned()))?
    });
    // Browsers escape what would end the text like this, and nothing else.
    let plain = || {
        let name = parameter(parameters, "filename")?;
        Some(name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
    };
    extended.or_else(plain)
}

/// The value of a parameter in `a=b; c="d"`.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        let (found, value) = rest.split_once('=')?;
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, behind) = value.split_once(';').unwrap_or((value, ""));
                (value.trim().to_owned(), behind)
            }
        };
        if found.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = behind;
    }
}

/// The text up to the closing quote, and what is behind it. A backslash escapes a quote or a backslash; before
/// anything else it stands for itself, as in the paths that some clients send.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' if chars.peek().is_some_and(|(_, next)| matches!(next, '"' | '\\')) => {
                text.extend(chars.next().map(|(_, escaped)| escaped));
            }
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boundary(text: &str) -> Boundary {
        Boundary::of(&format!("multipart/form-data; boundary={text}")).unwrap().unwrap()
    }

    #[test]
    fn a_boundary_is_found_in_forms_only() {
        assert_eq!(Boundary::of("video/mp4; boundary=x"), Ok(None));
        assert_eq!(Boundary::of(""), Ok(None));
        assert_eq!(boundary("X").tail(), b"\r\n--X--\r\n");
        assert_eq!(boundary("\"a b\"").delimiter(), b"\r\n--a b");
        assert_eq!(Boundary::of("Multipart/Form-Data ;charset=utf-8; BOUNDARY=X"), Ok(Some(boundary("X"))));
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for bad in
            ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; b=c", &long]
        {
            assert!(Boundary::of(bad).is_err(), "{bad}");
        }
    }

    fn scan(form: &[u8], boundary: &Boundary) -> Result<Option<Found>, String> {
        Scanner::new(boundary).scan(form)
    }

    const FORM: &str = "--X\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nholiday\r\n\
                        --X\r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n\
                        --X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"视 1.mp4\"\r\n\
                        Content-Type: video/mp4\r\n\r\nBYTES";

    #[test]
    fn the_file_is_found_behind_other_fields() {
        let wanted = PartHeader {
            field: "file".to_owned(),
            name: "视 1.mp4".to_owned(),
            content_type: "video/mp4".to_owned(),
        };
        let start = FORM.len() - 5;
        assert_eq!(scan(FORM.as_bytes(), &boundary("X")), Ok(Some((wanted.clone(), start))));
        let preamble = format!("hello\r\n{FORM}");
        assert_eq!(scan(preamble.as_bytes(), &boundary("X")), Ok(Some((wanted, start + 7))));
        for end in 0..start {
            let cut = scan(&FORM.as_bytes()[..end], &boundary("X"));
            assert_eq!(cut, Ok(None), "{end}");
        }
    }

    #[test]
    fn nothing_is_looked_through_twice() {
        let boundary = boundary("X");
        let mut scanner = Scanner::new(&boundary);
        let mut form = b"--X\r\nContent-Disposition: form-data; name=title\r\n\r\n".to_vec();
        for _ in 0..1000 {
            form.extend_from_slice(b"holiday\r");
            assert_eq!(scanner.scan(&form), Ok(None));
            assert!(form.len() - scanner.from < boundary.delimiter().len(), "{scanner:?}");
        }
        form.extend_from_slice(&FORM.as_bytes()[FORM.find("\r\n--X").unwrap()..]);
        assert_eq!(scanner.scan(&form).unwrap().unwrap().1, form.len() - 5);
    }

    #[test]
    fn a_form_without_a_file_is_refused() {
        for form in [
            "--X--\r\n",
            "--X\r\nContent-Disposition: form-data; name=other\r\n\r\nx\r\n--X--\r\n",
            "--X\r\n\r\nx\r\n--X--\r\n",
            "--Xyz\r\n",
        ] {
            assert!(scan(form.as_bytes(), &boundary("X")).is_err(), "{form}");
        }
    }

    #[test]
    fn names_are_read_as_clients_write_them() {
        for (disposition, name) in [
            ("form-data; name=\"file\"; filename=\"a.mp4\"", Some("a.mp4")),
            ("attachment; filename=a.mp4", Some("a.mp4")),
            ("attachment; filename=\"a;b=c.mp4\"; x=y", Some("a;b=c.mp4")),
            ("form-data; filename=\"say %22hi%22.mp4\"", Some("say \"hi\".mp4")),
            ("form-data; filename=\"say \\\"hi\\\".mp4\"", Some("say \"hi\".mp4")),
            ("form-data; filename=\"C:\\films\\a.mp4\"", Some("C:\\films\\a.mp4")),
            ("attachment; filename=\"__.mp4\"; filename*=UTF-8''%E8%A7%86.mp4", Some("视.mp4")),
            ("attachment; filename=b; filename*=latin1''%E8.mp4", Some("b")),
            ("form-data; name=\"filename\"", None),
            ("form-data; filename=\"open", None),
            ("inline", None),
        ] {
            assert_eq!(file_name(disposition).as_deref(), name, "{disposition}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_scanned(form in prop::collection::vec(any::<u8>(), 0..200), prefix in 0..FORM.len()) {
            let _ = scan(&form, &boundary("X"));
            let _ = scan(&[&FORM.as_bytes()[..prefix], &form].concat(), &boundary("X"));
        }

        #[test]
        fn a_form_in_chunks_is_scanned_as_a_whole_one(
            parts in prop::collection::vec("(--X|--X--|\r\n|\r|\n|[^-]|: |Content-Disposition: x; name=(file|other))", 0..20),
            chunk in 1..10usize,
        ) {
            let (form, boundary) = (parts.concat(), boundary("X"));
            let mut scanner = Scanner::new(&boundary);
            let mut outcome = Ok(None);
            for end in (0..form.len()).step_by(chunk).chain([form.len()]) {
                outcome = scanner.scan(&form.as_bytes()[..end]);
                if outcome != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(outcome, scan(form.as_bytes(), &boundary));
        }

        #[test]
        fn any_disposition_is_read(text: String) {
            let _ = file_name(&text);
            let _ = Boundary::of(&text);
        }
    }
}
