//! What is written down of a file that is not whole yet, so that a later process goes on with it.

use serde::{Deserialize, Serialize};
use tnv_metalink::Hash;

use crate::ranges::Ranges;
use crate::version::Version;

/// The form of this note; one of another form is not read.
const FORMAT: u32 = 1;

/// A note about a file under way, bound to what it is of: nothing of it counts for any other file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    format: u32,
    /// Where it was to come from.
    pub(crate) sources: Vec<String>,
    /// Which version it is.
    pub(crate) version: Version,
    /// What is known of its hashes.
    pub(crate) hashes: Vec<String>,
    /// What is in the file, and has been synced.
    pub(crate) written: Ranges,
    /// Which file has it.
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Saved {
    pub(crate) fn new(sources: Vec<String>, version: Version, hashes: &[Hash], written: Ranges) -> Saved {
        let hashes = hashes.iter().map(Hash::to_string).collect();
        Saved { format: FORMAT, sources, version, hashes, written, device: 0, inode: 0 }
    }

    /// The first byte that is missing; the last one where none is, for somebody must be asked for something to tell
    /// whether it is still the same file.
    pub(crate) fn reach(&self) -> u64 {
        self.written.reach(0).min(self.version.size.saturating_sub(1))
    }

    /// Leaves out the byte that is asked for where none is missing.
    pub(crate) fn hold_back(&mut self) {
        if self.written.reach(0) >= self.version.size {
            self.written.remove(self.reach()..self.version.size);
        }
    }

    /// Reads a note; `None` if it is none.
    pub(crate) fn read(text: &[u8]) -> Option<Saved> {
        let saved: Saved = serde_json::from_slice(text).ok()?;
        (saved.format == FORMAT).then_some(saved)
    }

    /// Why it is not about what is to be fetched now, if it is not: that is from one of the same places, or with the same
    /// hash; and of a version that can be told from others. `size` and `hashes` are what is known of the file beforehand.
    pub(crate) fn objection(&self, sources: &[String], size: Option<u64>, hashes: &[Hash]) -> Option<String> {
        let known: Vec<Hash> = self.hashes.iter().filter_map(|hash| hash.parse().ok()).collect();
        let same = |hash: &Hash| {
            known.iter().find(|known| known.algorithm() == hash.algorithm()).map(|known| known == hash)
        };
        let (proved, contradicted) = hashes
            .iter()
            .filter_map(same)
            .fold((false, false), |(proved, against), same| (proved || same, against || !same));
        let known_place = self.sources.iter().any(|source| sources.contains(source));
        let can_be_told = !self.version.validators.is_empty() || proved;
        let had = self.version.size;
        if contradicted {
            Some("what is there is of a file with another hash".to_owned())
        } else if let Some(size) = size.filter(|size| *size != had) {
            Some(format!("what is there is of a file of {had} bytes, not {size}"))
        } else if !known_place && !proved {
            let from = self.sources.first().map(|source| format!(", {source}")).unwrap_or_default();
            Some(format!(
                "what is there came from another address{from}, and no hash tells that it is the same file"
            ))
        } else if !can_be_told {
            Some("the server gave neither a strong ETag nor a date, so nothing tells what is there from another version".to_owned())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tnv_metalink::Algorithm;

    use super::*;
    use crate::version::Validators;

    fn hash(byte: u8) -> Hash {
        Hash::new(Algorithm::Sha256, [byte; 32]).unwrap()
    }

    fn saved(etag: Option<&str>, hashes: &[Hash]) -> Saved {
        let validators = Validators { etag: etag.map(str::to_owned), modified: None };
        Saved::new(
            vec!["http://a/f".to_owned()],
            Version { size: 9, validators },
            hashes,
            vec![(0, 5)].into(),
        )
    }

    #[test]
    fn it_counts_for_the_same_file_alone() {
        let (a, b) = (["http://a/f".to_owned(), "http://c/f".to_owned()], ["http://b/f".to_owned()]);
        let is_about = |saved: &Saved, sources: &[String], size, hashes: &[Hash]| {
            saved.objection(sources, size, hashes).is_none()
        };
        let plain = saved(Some("\"x\""), &[]);
        assert!(is_about(&plain, &a, None, &[]) && is_about(&plain, &a, Some(9), &[hash(1)]));
        assert!(!is_about(&plain, &b, None, &[]) && !is_about(&plain, &a, Some(8), &[]));
        let proved = saved(None, &[hash(1)]);
        assert!(is_about(&proved, &b, None, &[hash(1)]));
        assert!(!is_about(&proved, &a, None, &[hash(2)]) && !is_about(&proved, &a, None, &[]));
        assert!(!is_about(&saved(None, &[]), &a, Some(9), &[]));
    }

    #[test]
    fn what_is_said_of_it_is_so() {
        let (a, b) = (["http://a/f".to_owned()], ["http://b/f".to_owned()]);
        let (plain, bare) = (saved(Some("\"x\""), &[hash(1)]), saved(None, &[]));
        for (objection, part) in [
            (plain.objection(&a, None, &[hash(2)]), "another hash"),
            (plain.objection(&a, Some(8), &[]), "9 bytes, not 8"),
            (plain.objection(&b, None, &[]), "another address, http://a/f"),
            (bare.objection(&a, None, &[]), "neither a strong ETag nor a date"),
        ] {
            assert!(objection.as_ref().is_some_and(|text| text.contains(part)), "{objection:?}");
        }
    }

    #[test]
    fn only_notes_are_read() {
        let note = saved(Some("\"x\""), &[hash(1)]);
        let text = serde_json::to_string(&note).unwrap();
        assert_eq!(Saved::read(text.as_bytes()), Some(note));
        for wrong in ["", "{}", &text.replace("\"format\":1", "\"format\":2"), &text[1..]] {
            assert_eq!(Saved::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
