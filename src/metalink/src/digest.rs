//! Digests of a file in the headers of an answer.

use crate::{Algorithm, Hash};

/// The hashes of a `Repr-Digest` header (RFC 9530): `sha-256=:BASE64:`, several separated by commas. Those that make no
/// sense are passed over.
pub fn parse_repr_digest(value: &str) -> Vec<Hash> {
    let entry = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let value = value.split(';').next()?.trim().strip_prefix(':')?.strip_suffix(':')?;
        Hash::from_base64(Algorithm::named(name)?, value).ok()
    };
    value.split(',').filter_map(entry).collect()
}

/// The hashes of a `Digest` header (RFC 3230), which newer servers no longer send: `SHA-256=BASE64`.
pub fn parse_digest(value: &str) -> Vec<Hash> {
    let entry = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        Hash::from_base64(Algorithm::named(name)?, value).ok()
    };
    value.split(',').filter_map(entry).collect()
}

/// The value of a `Repr-Digest` header with this hash.
pub fn repr_digest(hash: &Hash) -> String {
    format!("{}=:{}:", hash.algorithm(), hash.base64())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_notations_are_read() {
        let hash = Hash::new(Algorithm::Sha256, [7; 32]).unwrap();
        let base64 = hash.base64();
        assert_eq!(parse_repr_digest(&repr_digest(&hash)), std::slice::from_ref(&hash));
        assert_eq!(
            parse_repr_digest(&format!("id=:AA==:, sha-256=:{base64}: ;x=1,")),
            std::slice::from_ref(&hash)
        );
        assert_eq!(parse_digest(&format!("unixsum=30637, SHA-256={base64}")), [hash]);
        assert!(parse_repr_digest(&format!("sha-256={base64}")).is_empty());
        assert!(parse_digest("sha-256=AAAA").is_empty());
    }

    proptest! {
        #[test]
        fn any_value_is_read(value in "\\PC{0,40}") {
            parse_digest(&value);
            parse_repr_digest(&value);
        }
    }
}
