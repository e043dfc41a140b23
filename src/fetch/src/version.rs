//! Which version of a file an answer is of, and whether two answers are of the same. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};
use tnv_metalink::Hash;

/// By what a server tells versions of a file apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// A strong entity tag, with its quotes.
    pub etag: Option<String>,
    /// When it was last changed, as the server writes it; only where that is certain to change with the bytes.
    pub modified: Option<String>,
}

/// A version of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its length in bytes.
    pub size: u64,
    /// What the server calls it.
    pub validators: Validators,
}

/// What a source says of its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its length in bytes.
    pub size: Option<u64>,
    /// What the server calls this version.
    pub validators: Validators,
    /// Hashes of the whole.
    pub hashes: Vec<Hash>,
    /// Whether parts can be had; `None` if that is not said.
    pub ranges: Option<bool>,
}

/// What an answer is to the version that is being fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relation {
    /// Of the same version, for all that servers say.
    Same,
    /// Nothing says so, and nothing says otherwise: a hash must decide.
    Unproven(String),
    /// Another one.
    Different(String),
}

impl Facts {
    /// The version, with the size that is known from elsewhere where the source does not tell.
    pub(crate) fn version(&self, known: Option<u64>) -> Option<Version> {
        let size = self.size.or(known)?;
        Some(Version { size, validators: self.validators.clone() })
    }

    /// What these are to a version, whose hashes are known as far as they are.
    pub(crate) fn relation(&self, version: &Version, hashes: &[Hash]) -> Relation {
        if let Some(size) = self.size.filter(|size| *size != version.size) {
            return Relation::Different(format!("it has {size} bytes there, not {}", version.size));
        }
        let mut proved = false;
        for hash in &self.hashes {
            match hashes.iter().find(|known| known.algorithm() == hash.algorithm()) {
                Some(known) if known != hash => {
                    return Relation::Different(format!("its hash is {hash} there, not {}", known.hex()));
                }
                known => proved |= known.is_some(),
            }
        }
        if proved { Relation::Same } else { self.validators.relation(&version.validators) }
    }
}

impl Validators {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.etag.is_none() && self.modified.is_none()
    }

    fn relation(&self, other: &Validators) -> Relation {
        match (&self.etag, &other.etag) {
            (Some(this), Some(that)) if this == that => return Relation::Same,
            (Some(this), Some(that)) => {
                return Relation::Unproven(format!("its ETag is {this} there, not {that}"));
            }
            _ => {}
        }
        match (&self.modified, &other.modified) {
            (Some(this), Some(that)) if this == that => Relation::Same,
            (Some(this), Some(that)) => {
                Relation::Unproven(format!("it was last changed {this} there, not {that}"))
            }
            _ => Relation::Unproven("nothing there tells whether it is the same version".to_owned()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size)?;
        match (&self.validators.etag, &self.validators.modified) {
            (Some(etag), _) => write!(f, ", ETag {etag}"),
            (None, Some(modified)) => write!(f, ", last changed {modified}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tnv_metalink::Algorithm;

    use super::*;

    fn facts(size: u64, etag: &str, modified: &str) -> Facts {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let validators = Validators { etag: text(etag), modified: text(modified) };
        Facts { size: Some(size), validators, ..Facts::default() }
    }

    fn relation(one: &Facts, other: &Facts) -> Relation {
        one.relation(&other.version(None).unwrap(), &other.hashes)
    }

    #[test]
    fn size_and_validators_decide() {
        let known = facts(9, "\"a\"", "monday");
        assert_eq!(relation(&facts(9, "\"a\"", "tuesday"), &known), Relation::Same);
        assert_eq!(relation(&facts(9, "", "monday"), &known), Relation::Same);
        for unproven in [facts(9, "\"b\"", "monday"), facts(9, "", "tuesday"), facts(9, "", "")] {
            assert!(matches!(relation(&unproven, &known), Relation::Unproven(_)), "{unproven:?}");
        }
        assert!(matches!(relation(&facts(8, "\"a\"", "monday"), &known), Relation::Different(_)));
        let bare = facts(9, "", "");
        assert!(matches!(relation(&bare, &bare), Relation::Unproven(_)));
    }

    #[test]
    fn hashes_count_more_than_validators() {
        let hash = |byte: u8| Hash::new(Algorithm::Sha256, [byte; 32]).unwrap();
        let mut known = facts(9, "\"a\"", "");
        known.hashes.push(hash(1));
        let mut other = facts(9, "\"b\"", "");
        other.hashes.push(hash(1));
        assert_eq!(relation(&other, &known), Relation::Same);
        other.hashes = vec![hash(2)];
        other.validators = known.validators.clone();
        assert!(matches!(relation(&other, &known), Relation::Different(_)));
        other.hashes = vec![Hash::new(Algorithm::Md5, [2; 16]).unwrap()];
        assert_eq!(relation(&other, &known), Relation::Same);
    }
}
