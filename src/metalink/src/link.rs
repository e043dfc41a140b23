//! Link headers (RFC 8288), as far as mirrors are concerned (RFC 6249).

/// One link of a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Where it leads, perhaps relative to what it came with.
    pub target: String,
    /// What it is to the file, in lower case, separated by spaces: `duplicate`, `describedby`.
    pub rel: String,
    /// The media type of what is there.
    pub media_type: Option<String>,
    /// The priority of a mirror, 1 the best.
    pub priority: Option<u32>,
    /// A country, as two letters.
    pub location: Option<String>,
}

/// Links of a header that are read at most.
const MAX_LINKS: usize = 1000;

impl Link {
    /// Whether this is among what the link is to the file.
    pub fn is(&self, rel: &str) -> bool {
        self.rel.split(' ').any(|found| found == rel)
    }
}

/// The links of a header's value; what cannot be read ends the list.
pub fn parse_links(value: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut rest = value;
    while let Some((link, behind)) = take_link(rest) {
        links.push(link);
        match behind.trim_start().strip_prefix(',') {
            Some(behind) if links.len() < MAX_LINKS => rest = behind,
            _ => break,
        }
    }
    links
}

fn take_link(text: &str) -> Option<(Link, &str)> {
    let (target, mut rest) = text.trim_start_matches([' ', '\t', ',']).strip_prefix('<')?.split_once('>')?;
    let mut link = Link { target: target.trim().to_owned(), ..Link::default() };
    while let Some(parameter) = rest.trim_start().strip_prefix(';') {
        let end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let name = parameter[..end].trim().to_ascii_lowercase();
        let Some(behind) = parameter[end..].strip_prefix('=') else {
            rest = &parameter[end..];
            continue;
        };
        let (value, behind) = take_value(behind.trim_start())?;
        link.set(&name, value);
        rest = behind;
    }
    Some((link, rest))
}

/// A token or a quoted text, and what is behind it.
fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return Some((text[..end].trim().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            character => value.push(character),
        }
    }
    None
}

impl Link {
    /// The first one counts where a parameter comes twice.
    fn set(&mut self, name: &str, value: String) {
        match name {
            "rel" if self.rel.is_empty() => self.rel = value.to_ascii_lowercase(),
            "type" if self.media_type.is_none() => self.media_type = Some(value.to_ascii_lowercase()),
            "pri" if self.priority.is_none() => self.priority = value.parse().ok(),
            "geo" if self.location.is_none() => self.location = Some(value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let links = parse_links(
            "<http://www2.example.com/example.ext>; rel=duplicate; pri=1; geo=gb; depth=2, \
             <ftp://ftp.example.com/a,b>; rel=\"Duplicate other\"; x,\
             <example.ext.meta4>; rel=describedby;type=\"application/metalink4+xml\"",
        );
        assert_eq!(links.len(), 3);
        assert_eq!(links[0].target, "http://www2.example.com/example.ext");
        assert_eq!((links[0].priority, links[0].location.as_deref()), (Some(1), Some("gb")));
        assert!(links[1].is("duplicate") && links[1].is("other") && !links[1].is("dup"));
        assert_eq!(links[1].target, "ftp://ftp.example.com/a,b");
        assert_eq!(links[2].media_type.as_deref(), Some(crate::MEDIA_TYPE));
    }

    #[test]
    fn what_cannot_be_read_ends_the_list() {
        for (value, count) in
            [("", 0), ("x", 0), ("<a", 0), ("<a>", 1), ("<a>; rel=\"b", 0), ("<a>,,<b>, c", 2)]
        {
            assert_eq!(parse_links(value).len(), count, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read(value in "[ -~]{0,60}|(<[a-z]{0,3}>;?,? ?(rel=\"?[a-z\\\\]{0,4}\"?)?){0,5}|\\PC{0,20}") {
            let _ = parse_links(&value);
        }
    }
}
