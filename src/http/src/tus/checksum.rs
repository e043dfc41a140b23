//! The Upload-Checksum header (tus, "Checksum"). Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::Digest as _;

/// What Tus-Checksum-Algorithm says.
pub(super) const ALGORITHMS: &str = "sha1,sha256,md5";

/// The checksum that a part should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartChecksum {
    algorithm: Algorithm,
    expected: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
    Md5,
}

impl PartChecksum {
    /// Reads a header: an algorithm and a digest in Base64.
    ///
    /// # Errors
    /// A sentence for the client.
    pub(super) fn parse(header: &str) -> Result<PartChecksum, String> {
        let (algorithm, digest) = header.trim().split_once(' ').unwrap_or((header, ""));
        let (algorithm, len) = match algorithm {
            "sha1" => (Algorithm::Sha1, 20),
            "sha256" => (Algorithm::Sha256, 32),
            "md5" => (Algorithm::Md5, 16),
            _ => return Err(format!("Upload-Checksum: the algorithm is none of {ALGORITHMS}")),
        };
        match BASE64_STANDARD.decode(digest.trim()) {
            Ok(expected) if expected.len() == len => Ok(PartChecksum { algorithm, expected }),
            _ => Err(format!("Upload-Checksum: the digest is not {len} bytes in Base64")),
        }
    }

    /// Takes the checksum of what comes, to be compared.
    pub(super) fn digest(&self) -> Digest<'_> {
        let state = match self.algorithm {
            Algorithm::Sha1 => State::Sha1(Default::default()),
            Algorithm::Sha256 => State::Sha256(Default::default()),
            Algorithm::Md5 => State::Md5(md5::Context::new()),
        };
        Digest { state, expected: &self.expected }
    }
}

/// The checksum of what has come so far.
pub(super) struct Digest<'a> {
    state: State,
    expected: &'a [u8],
}

enum State {
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Md5(md5::Context),
}

impl Digest<'_> {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha1(sha1) => sha1.update(bytes),
            State::Sha256(sha256) => sha256.update(bytes),
            State::Md5(md5) => md5.consume(bytes),
        }
    }

    /// Whether all of it has the checksum that it should have.
    pub(super) fn matches(self) -> bool {
        match self.state {
            State::Sha1(sha1) => sha1.finalize()[..] == *self.expected,
            State::Sha256(sha256) => sha256.finalize()[..] == *self.expected,
            State::Md5(md5) => md5.finalize().0[..] == *self.expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_compared() {
        // printf 'hello' | openssl dgst -sha1 -binary | base64, and so on.
        for header in [
            "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=",
            "sha256 LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
            "md5 XUFAKrxLKna5cZ2REBfFkg==",
        ] {
            let checksum = PartChecksum::parse(header).unwrap();
            for (chunks, right) in [(["he", "llo"], true), (["hello", ""], true), (["ha", "llo"], false)] {
                let mut digest = checksum.digest();
                chunks.iter().for_each(|chunk| digest.update(chunk.as_bytes()));
                assert_eq!(digest.matches(), right, "{header} {chunks:?}");
            }
        }
    }

    #[test]
    fn mistakes_are_told() {
        for header in
            ["", "sha1", "sha1 ", "crc32 AAAA", "SHA1 qvTGHdzF6KLavt4PO0gs2a6pQ00=", "sha1 AAAA", "md5 ****"]
        {
            assert!(PartChecksum::parse(header).is_err(), "{header}");
        }
    }
}
