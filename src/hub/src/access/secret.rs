//! A key or a password.

use std::fmt;

/// What somebody must know. Kept as a hash, so that it is in no log and no answer, and compared in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(blake3::Hash);

impl Secret {
    /// This text; `None` if it is empty, which is no secret.
    pub fn new(text: &str) -> Option<Secret> {
        (!text.is_empty()).then(|| Secret(blake3::hash(text.as_bytes())))
    }

    /// Whether this is it. Takes as long whatever differs, for hashes are compared, and as a whole.
    pub fn is(&self, shown: &str) -> bool {
        self.0 == blake3::hash(shown.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
