//! What a Metalink says.

use crate::{Algorithm, Hash};

/// A Metalink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metalink {
    /// Its files, at least one in a document that was read.
    pub files: Vec<File>,
}

/// A file of a Metalink.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// What it is called. Nobody has checked that it is safe to create.
    pub name: String,
    /// Its length in bytes, where it is told.
    pub size: Option<u64>,
    /// Its hashes as a whole.
    pub hashes: Vec<Hash>,
    /// The hashes of its pieces, those of the strongest function.
    pub pieces: Option<Pieces>,
    /// Where it can be had, the best first.
    pub mirrors: Vec<Mirror>,
}

/// One address of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The URL, as it stands there.
    pub url: String,
    /// 1 (the best) to 999999.
    pub priority: u32,
    /// A country, as two letters.
    pub location: Option<String>,
}

/// The hashes of a file's pieces: all of one length, but for a shorter last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pieces {
    algorithm: Algorithm,
    length: u64,
    digests: Vec<u8>,
}

impl File {
    /// The strongest of the hashes of the whole.
    pub fn strongest(&self) -> Option<&Hash> {
        self.hashes.iter().min_by_key(|hash| hash.algorithm())
    }
}

impl Mirror {
    /// An address of no particular priority.
    pub fn new(url: impl Into<String>) -> Mirror {
        Mirror { url: url.into(), priority: Mirror::LOWEST, location: None }
    }

    /// The priority of what has none.
    pub const LOWEST: u32 = 999_999;
}

impl Pieces {
    /// No pieces yet, of `length` bytes each, which is above 0.
    pub fn new(algorithm: Algorithm, length: u64) -> Pieces {
        Pieces { algorithm, length: length.max(1), digests: Vec::new() }
    }

    /// Adds the hash of the next piece. One of another function is not taken.
    pub fn push(&mut self, hash: &Hash) -> bool {
        let fits = hash.algorithm() == self.algorithm;
        if fits {
            self.digests.extend_from_slice(hash.bytes());
        }
        fits
    }

    /// The hash function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The length of a piece in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        (self.digests.len() / self.algorithm.size()) as u64
    }

    /// The hash of a piece, counted from 0.
    pub fn get(&self, index: u64) -> Option<Hash> {
        let len = self.algorithm.size();
        let start = usize::try_from(index).ok()?.checked_mul(len)?;
        let bytes = self.digests.get(start..start.checked_add(len)?)?;
        Hash::new(self.algorithm, bytes).ok()
    }

    /// Whether there are as many as a file of this size needs.
    pub fn fits(&self, size: u64) -> bool {
        self.count() == size.div_ceil(self.length)
    }
}
