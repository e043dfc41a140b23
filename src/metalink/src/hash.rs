//! Hashes and what they are called.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// A hash function, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// BLAKE3 with 32 bytes.
    Blake3,
    /// SHA-512.
    Sha512,
    /// SHA-256.
    Sha256,
    /// SHA-1: finds damage, proves nothing against malice.
    Sha1,
    /// MD5: as SHA-1.
    Md5,
}

impl Algorithm {
    /// All of them, the strongest first.
    pub const ALL: [Algorithm; 5] =
        [Algorithm::Blake3, Algorithm::Sha512, Algorithm::Sha256, Algorithm::Sha1, Algorithm::Md5];

    /// Its name in the IANA registry of hash functions, as Metalinks and headers have it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Blake3 => "blake3",
            Algorithm::Sha512 => "sha-512",
            Algorithm::Sha256 => "sha-256",
            Algorithm::Sha1 => "sha-1",
            Algorithm::Md5 => "md5",
        }
    }

    /// The length of its hashes, in bytes.
    pub fn size(self) -> usize {
        match self {
            Algorithm::Blake3 | Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
            Algorithm::Sha1 => 20,
            Algorithm::Md5 => 16,
        }
    }

    /// The function of this name, in any case and with or without the hyphen.
    pub fn named(name: &str) -> Option<Algorithm> {
        let plain = |name: &str| name.replace('-', "").to_ascii_lowercase();
        let name = plain(name.trim());
        match name.as_str() {
            // As the older registry of digests calls it.
            "sha" => Some(Algorithm::Sha1),
            name => Algorithm::ALL.into_iter().find(|algorithm| plain(algorithm.name()) == name),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A hash: the function and its bytes, of the right number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    algorithm: Algorithm,
    bytes: Box<[u8]>,
}

/// Why a text is no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// No function is called so.
    #[error(
        "no hash function that is known here is called {0:?}; known are blake3, sha-512, sha-256, sha-1, md5"
    )]
    Algorithm(String),
    /// Not so many bytes, or not in this notation.
    #[error("{text:?} is no {algorithm} of {} bytes", algorithm.size())]
    Value {
        /// The function.
        algorithm: Algorithm,
        /// What should be its value.
        text: String,
    },
    /// No colon between function and value.
    #[error("a hash is written ALGORITHM:HEX, as in sha-256:9f86d0...")]
    Form,
}

impl Hash {
    /// The hash of these bytes.
    ///
    /// # Errors
    /// If there are too many or too few.
    pub fn new(algorithm: Algorithm, bytes: impl Into<Box<[u8]>>) -> Result<Hash, HashError> {
        let bytes = bytes.into();
        match bytes.len() == algorithm.size() {
            true => Ok(Hash { algorithm, bytes }),
            false => Err(HashError::Value { algorithm, text: hex(&bytes) }),
        }
    }

    pub(crate) fn sha256(bytes: [u8; 32]) -> Hash {
        Hash { algorithm: Algorithm::Sha256, bytes: bytes.into() }
    }

    /// Reads hexadecimal digits in either case.
    ///
    /// # Errors
    /// If it is anything else, or not so many.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Result<Hash, HashError> {
        let invalid = || HashError::Value { algorithm, text: shortened(text) };
        let bytes = unhex(text.trim()).ok_or_else(invalid)?;
        Hash::new(algorithm, bytes).map_err(|_| invalid())
    }

    /// Reads Base64.
    ///
    /// # Errors
    /// If it is anything else, or not so many bytes.
    pub fn from_base64(algorithm: Algorithm, text: &str) -> Result<Hash, HashError> {
        let invalid = || HashError::Value { algorithm, text: shortened(text) };
        let bytes = BASE64_STANDARD.decode(text.trim()).map_err(|_| invalid())?;
        Hash::new(algorithm, bytes).map_err(|_| invalid())
    }

    /// The function.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// In hexadecimal digits, without the function's name.
    pub fn hex(&self) -> String {
        hex(&self.bytes)
    }

    /// In Base64.
    pub fn base64(&self) -> String {
        BASE64_STANDARD.encode(&self.bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `sha-256:HEX`, as people write it.
impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Hash, HashError> {
        let (name, value) = text.split_once([':', '=']).ok_or(HashError::Form)?;
        let algorithm = Algorithm::named(name).ok_or_else(|| HashError::Algorithm(shortened(name)))?;
        Hash::from_hex(algorithm, value)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// What a message quotes of a text that may be of any length.
fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found_as_people_write_them() {
        for (name, algorithm) in [
            ("sha-256", Algorithm::Sha256),
            ("SHA256", Algorithm::Sha256),
            ("sha1", Algorithm::Sha1),
            ("SHA", Algorithm::Sha1),
            ("BLAKE3", Algorithm::Blake3),
            ("MD5", Algorithm::Md5),
        ] {
            assert_eq!(Algorithm::named(name), Some(algorithm), "{name}");
        }
        assert_eq!(Algorithm::named("sha-3"), None);
    }

    #[test]
    fn wrong_values_are_refused() {
        for text in
            ["sha-256", "sha-256:", "sha-256:zz", "crc:00", "md5:0011", &format!("md5:{}", "é".repeat(16))]
        {
            assert!(text.parse::<Hash>().is_err(), "{text}");
        }
        assert!(Hash::from_base64(Algorithm::Md5, "AAAA").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in prop::collection::vec(any::<u8>(), 32)) {
            let hash = Hash::new(Algorithm::Sha256, bytes).unwrap();
            prop_assert_eq!(&hash.to_string().parse::<Hash>().unwrap(), &hash);
            prop_assert_eq!(&Hash::from_base64(Algorithm::Sha256, &hash.base64()).unwrap(), &hash);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}|md5:[0-9a-fA-F]{30,34}") {
            let _ = text.parse::<Hash>();
        }
    }
}
