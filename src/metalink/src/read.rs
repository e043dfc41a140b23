//! Reads Metalinks.

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};

use crate::document::{File, Metalink, Mirror, Pieces};
use crate::{Algorithm, Hash};

pub(crate) const NAMESPACE: &str = "urn:ietf:params:xml:ns:metalink";

/// The longest document worth reading, in bytes: the piece hashes of a large file fit.
pub const MAX_DOCUMENT: usize = 16 * 1024 * 1024;

/// Files, and addresses of each, that are read at most.
const MAX_ENTRIES: usize = 1000;

/// Why a text is no Metalink.
#[derive(Debug, thiserror::Error)]
#[error("not a Metalink: {0}")]
pub struct MetalinkError(String);

/// Reads a document (RFC 5854). Elements that are not known are passed over, and so are hashes of unknown functions; of
/// several sets of piece hashes the strongest stays.
///
/// # Errors
/// If it is not well-formed, has no file, or says something that cannot be.
pub fn read(document: &[u8]) -> Result<Metalink, MetalinkError> {
    if document.len() > MAX_DOCUMENT {
        return Err(MetalinkError(format!("longer than {MAX_DOCUMENT} bytes")));
    }
    let document = std::str::from_utf8(document).map_err(|_| MetalinkError("not UTF-8".to_owned()))?;
    let mut reader = NsReader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut metalink = Metalink::default();
    let mut state = State::default();
    loop {
        let failed = |error: quick_xml::Error| MetalinkError(error.to_string());
        let (namespace, event) = reader.read_resolved_event().map_err(failed)?;
        let ours = matches!(namespace, ResolveResult::Bound(Namespace(name)) if name == NAMESPACE);
        match event {
            Event::Start(element) => state.enter(&element, ours, &mut metalink)?,
            Event::Text(text) => state.text.push_str(&text.xml10_content()),
            Event::CData(text) => state.text.push_str(&text.xml10_content()),
            Event::GeneralRef(reference) => state.text.push(character(&reference)?),
            Event::End(_) => state.leave(&mut metalink)?,
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if !state.path.is_empty() {
        return Err(MetalinkError("it ends too early".to_owned()));
    }
    match metalink.files.is_empty() {
        true => Err(MetalinkError("there is no file in it".to_owned())),
        false => Ok(metalink),
    }
}

/// Where in the document the reader is.
#[derive(Default)]
struct State {
    /// The elements around, `None` for those that are not known.
    path: Vec<Option<Element>>,
    /// The text of the innermost one.
    text: String,
    /// The pieces that are being read.
    pieces: Option<Pieces>,
}

#[derive(Debug, Clone)]
enum Element {
    Metalink,
    File,
    Size,
    Hash(Option<Algorithm>),
    Pieces,
    PieceHash,
    Url(Mirror),
}

impl State {
    fn enter(
        &mut self,
        element: &BytesStart<'_>,
        ours: bool,
        metalink: &mut Metalink,
    ) -> Result<(), MetalinkError> {
        self.text.clear();
        let name = element.local_name();
        let found = match (self.path.last(), name.as_ref()) {
            _ if !ours => None,
            (None, "metalink") => Some(Element::Metalink),
            (Some(Some(Element::Metalink)), "file") => {
                let name = attribute(element, "name")?
                    .ok_or_else(|| MetalinkError("a file without a name".to_owned()))?;
                if metalink.files.len() >= MAX_ENTRIES {
                    return Err(MetalinkError(format!("more than {MAX_ENTRIES} files")));
                }
                metalink.files.push(File { name, ..File::default() });
                Some(Element::File)
            }
            (Some(Some(Element::File)), "size") => Some(Element::Size),
            (Some(Some(Element::File)), "hash") => {
                let function = attribute(element, "type")?.unwrap_or_default();
                Some(Element::Hash(Algorithm::named(&function)))
            }
            (Some(Some(Element::File)), "pieces") => {
                self.pieces = pieces(element)?;
                Some(Element::Pieces)
            }
            (Some(Some(Element::Pieces)), "hash") => Some(Element::PieceHash),
            (Some(Some(Element::File)), "url") => Some(Element::Url(mirror(element)?)),
            _ => None,
        };
        if self.path.is_empty() && found.is_none() {
            return Err(MetalinkError(format!("its root is not <metalink> of {NAMESPACE}")));
        }
        self.path.push(found);
        Ok(())
    }

    fn leave(&mut self, metalink: &mut Metalink) -> Result<(), MetalinkError> {
        let element = self.path.pop().flatten();
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        let (Some(element), Some(file)) = (element, metalink.files.last_mut()) else { return Ok(()) };
        match element {
            Element::Size => {
                let size = text.parse().map_err(|_| MetalinkError(format!("{text:?} is no size")))?;
                file.size = Some(size);
            }
            Element::Hash(Some(algorithm)) => file.hashes.push(hash(algorithm, text)?),
            Element::PieceHash => {
                if let Some(pieces) = &mut self.pieces {
                    pieces.push(&hash(pieces.algorithm(), text)?);
                }
            }
            Element::Pieces => take_pieces(self.pieces.take(), file),
            Element::Url(mirror) if !text.is_empty() && file.mirrors.len() < MAX_ENTRIES => {
                file.mirrors.push(Mirror { url: text.to_owned(), ..mirror });
            }
            Element::File => {
                file.mirrors.sort_by_key(|mirror| mirror.priority);
                check(file)?;
            }
            Element::Metalink | Element::Hash(None) | Element::Url(_) => {}
        }
        Ok(())
    }
}

/// Keeps the stronger ones.
fn take_pieces(pieces: Option<Pieces>, file: &mut File) {
    let Some(pieces) = pieces else { return };
    let better = file.pieces.as_ref().is_none_or(|known| pieces.algorithm() < known.algorithm());
    if better {
        file.pieces = Some(pieces);
    }
}

fn check(file: &File) -> Result<(), MetalinkError> {
    match (&file.pieces, file.size) {
        (Some(pieces), Some(size)) if !pieces.fits(size) => {
            let (count, length) = (pieces.count(), pieces.length());
            Err(MetalinkError(format!("{count} pieces of {length} bytes do not make {size} bytes")))
        }
        _ => Ok(()),
    }
}

fn hash(algorithm: Algorithm, text: &str) -> Result<Hash, MetalinkError> {
    Hash::from_hex(algorithm, text).map_err(|error| MetalinkError(error.to_string()))
}

fn pieces(element: &BytesStart<'_>) -> Result<Option<Pieces>, MetalinkError> {
    let length = attribute(element, "length")?.unwrap_or_default();
    let length = match length.trim().parse::<u64>() {
        Ok(length) if length > 0 => length,
        _ => return Err(MetalinkError(format!("pieces of {length:?} bytes"))),
    };
    let function = attribute(element, "type")?.unwrap_or_default();
    Ok(Algorithm::named(&function).map(|algorithm| Pieces::new(algorithm, length)))
}

fn mirror(element: &BytesStart<'_>) -> Result<Mirror, MetalinkError> {
    let priority = attribute(element, "priority")?.and_then(|text| text.trim().parse().ok());
    Ok(Mirror {
        url: String::new(),
        priority: priority.unwrap_or(Mirror::LOWEST).clamp(1, Mirror::LOWEST),
        location: attribute(element, "location")?,
    })
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, MetalinkError> {
    let failed = |error: String| MetalinkError(error);
    let found = element.try_get_attribute(name).map_err(|error| failed(error.to_string()))?;
    let value =
        found.map(|found| found.normalized_value(XmlVersion::Implicit1_0).map(|value| value.into_owned()));
    value.transpose().map_err(|error| failed(error.to_string()))
}

/// The one character of a reference; documents may not bring entities of their own.
fn character(reference: &quick_xml::events::BytesRef<'_>) -> Result<char, MetalinkError> {
    let unknown = |what: &str| MetalinkError(format!("the reference {what:?} is not known"));
    match reference.resolve_char_ref() {
        Ok(Some(character)) => return Ok(character),
        Ok(None) => {}
        Err(error) => return Err(MetalinkError(error.to_string())),
    }
    let name = reference.xml10_content();
    match &*name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        name => Err(unknown(name)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::write;

    const EXAMPLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<m:metalink xmlns:m="urn:ietf:params:xml:ns:metalink" xmlns:x="urn:other">
  <m:generator>somebody</m:generator>
  <m:file name="a&amp;b.iso">
    <m:size> 300 </m:size>
    <x:size>7</x:size>
    <m:hash type="md5">00112233445566778899aabbccddeeff</m:hash>
    <m:hash type="tiger">zz</m:hash>
    <m:hash type="sha-1">00112233445566778899AABBCCDDEEFF00112233</m:hash>
    <m:pieces length="200" type="sha-1">
      <m:hash>00112233445566778899aabbccddeeff00112233</m:hash>
      <m:hash>0011223344556677889900bbccddeeff00112233</m:hash>
    </m:pieces>
    <m:pieces length="200" type="md5">
      <m:hash>00112233445566778899aabbccddeeff</m:hash>
      <m:hash>00112233445566778899aabbccddeeff</m:hash>
    </m:pieces>
    <m:url location="de" priority="2">http://two/?a=1&#38;b=<![CDATA[2&]]></m:url>
    <m:url priority="1">http://one/</m:url>
    <m:metaurl mediatype="torrent">http://torrent/</m:metaurl>
  </m:file>
</m:metalink>"#;

    #[test]
    fn an_example_is_read() {
        let metalink = read(EXAMPLE.as_bytes()).unwrap();
        let [file] = &metalink.files[..] else { panic!("{metalink:?}") };
        assert_eq!((file.name.as_str(), file.size), ("a&b.iso", Some(300)));
        assert_eq!(file.strongest().unwrap().algorithm(), Algorithm::Sha1);
        let pieces = file.pieces.as_ref().unwrap();
        assert_eq!((pieces.algorithm(), pieces.length(), pieces.count()), (Algorithm::Sha1, 200, 2));
        let urls: Vec<&str> = file.mirrors.iter().map(|mirror| mirror.url.as_str()).collect();
        assert_eq!(urls, ["http://one/", "http://two/?a=1&b=2&"]);
        assert_eq!(file.mirrors[1].location.as_deref(), Some("de"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let wrong = |from: &str, to: &str| {
            let changed = EXAMPLE.replace(from, to);
            assert_ne!(changed, EXAMPLE);
            assert!(read(changed.as_bytes()).is_err(), "{from} -> {to}");
        };
        wrong("urn:ietf:params:xml:ns:metalink", "http://www.metalinker.org/");
        wrong(" 300 ", "-1");
        wrong(" 300 ", "100");
        wrong("0011223344556677889900bb", "00112233445566778899zzbb");
        wrong("length=\"200\"", "length=\"0\"");
        wrong("&#38;", "&bomb;");
        wrong(" name=\"a&amp;b.iso\"", "");
        wrong("</m:metalink>", "");
        for document in
            [&b""[..], b"plain", b"<a/>", b"\xff", b"<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\"/>"]
        {
            assert!(read(document).is_err());
        }
    }

    fn hashes(algorithm: Algorithm) -> impl Strategy<Value = Hash> {
        prop::collection::vec(any::<u8>(), algorithm.size())
            .prop_map(move |bytes| Hash::new(algorithm, bytes).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in "[^\\p{Cc}\u{fffe}\u{ffff}]{1,20}",
            whole in hashes(Algorithm::Sha256),
            pieces in prop::collection::vec(hashes(Algorithm::Sha256), 1..5),
            url in "[!-~]{1,30}",
            priority in 1_u32..=999_999,
        ) {
            let mut known = Pieces::new(Algorithm::Sha256, 10);
            for piece in &pieces {
                known.push(piece);
            }
            let file = File {
                name: name.clone(),
                size: Some(pieces.len() as u64 * 10),
                hashes: vec![whole],
                pieces: Some(known),
                mirrors: vec![Mirror { url, priority, location: Some("cn".to_owned()) }],
            };
            let metalink = Metalink { files: vec![file] };
            let mut again = read(write(&metalink).as_bytes()).unwrap();
            // Spaces at the ends of an attribute are its own business.
            again.files[0].name = name;
            prop_assert_eq!(again, metalink);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_damaged_document_is_read_or_refused(at in 0..EXAMPLE.len(), byte: u8) {
            let mut damaged = EXAMPLE.as_bytes().to_vec();
            damaged[at] = byte;
            let _ = read(&damaged);
        }
    }
}
