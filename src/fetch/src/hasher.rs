//! Hashes of bytes that come one after the other.

use sha2::Digest as _;
use tnv_metalink::{Algorithm, Hash};

/// A hash function at work.
pub(crate) enum Hasher {
    Blake3(Box<blake3::Hasher>),
    Sha512(Box<sha2::Sha512>),
    Sha256(Box<sha2::Sha256>),
    Sha1(Box<sha1::Sha1>),
    Md5(Box<md5::Context>),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Hasher {
        match algorithm {
            Algorithm::Blake3 => Hasher::Blake3(Box::default()),
            Algorithm::Sha512 => Hasher::Sha512(Box::default()),
            Algorithm::Sha256 => Hasher::Sha256(Box::default()),
            Algorithm::Sha1 => Hasher::Sha1(Box::default()),
            Algorithm::Md5 => Hasher::Md5(Box::new(md5::Context::new())),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Blake3(hasher) => drop(hasher.update(bytes)),
            Hasher::Sha512(hasher) => hasher.update(bytes),
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha1(hasher) => hasher.update(bytes),
            Hasher::Md5(hasher) => hasher.consume(bytes),
        }
    }

    /// Whether the bytes so far have this hash, which must be one of the same function.
    pub(crate) fn matches(self, hash: &Hash) -> bool {
        match self {
            Hasher::Blake3(hasher) => hasher.finalize().as_bytes() == hash.bytes(),
            Hasher::Sha512(hasher) => hasher.finalize().as_slice() == hash.bytes(),
            Hasher::Sha256(hasher) => hasher.finalize().as_slice() == hash.bytes(),
            Hasher::Sha1(hasher) => hasher.finalize().as_slice() == hash.bytes(),
            Hasher::Md5(context) => context.finalize().as_slice() == hash.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        for answer in [
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "sha-1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "sha-256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "sha-512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        ] {
            let hash: Hash = answer.parse().unwrap();
            let mut hasher = Hasher::new(hash.algorithm());
            hasher.update(b"a");
            hasher.update(b"bc");
            assert!(hasher.matches(&hash), "{answer}");
            assert!(!Hasher::new(hash.algorithm()).matches(&hash));
        }
    }
}
