//! Passwords: kept as hashes that are slow to make, compared in constant time.

use pbkdf2::pbkdf2_hmac_array;
use sha2::Sha256;

/// How a hash begins; a text that does not is the password itself.
const SCHEME: &str = "pbkdf2-sha256";
/// Rounds for new hashes.
const ROUNDS: u32 = 210_000;
/// Rounds that are still tried, so that a hash from elsewhere cannot stop the node.
const MAX_ROUNDS: u32 = 10_000_000;

/// What is kept of a password; a hash stays as it is.
pub(crate) fn hash(password: &str) -> String {
    if Hash::parse(password).is_some() {
        return password.to_owned();
    }
    let salt: [u8; 16] = rand::random();
    Hash::new(password, salt.to_vec(), ROUNDS).write()
}

/// Whether `given` is the password that was kept. Takes its time: for a blocking thread.
pub(crate) fn matches(kept: &str, given: &str) -> bool {
    match Hash::parse(kept) {
        Some(hash) => {
            let other = Hash::new(given, hash.salt.clone(), hash.rounds);
            // Comparing two hashes of blake3 takes the same time wherever they differ.
            blake3::hash(&hash.key) == blake3::hash(&other.key)
        }
        None => blake3::hash(kept.as_bytes()) == blake3::hash(given.as_bytes()),
    }
}

struct Hash {
    rounds: u32,
    salt: Vec<u8>,
    key: [u8; 32],
}

impl Hash {
    fn new(password: &str, salt: Vec<u8>, rounds: u32) -> Hash {
        let key = pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, rounds);
        Hash { rounds, salt, key }
    }

    fn parse(text: &str) -> Option<Hash> {
        let mut parts = text.split('$');
        if parts.next() != Some(SCHEME) {
            return None;
        }
        let rounds = parts.next()?.parse().ok().filter(|rounds| (1..=MAX_ROUNDS).contains(rounds))?;
        let salt = unhex(parts.next()?)?;
        let key = unhex(parts.next()?)?.try_into().ok()?;
        parts.next().is_none().then_some(Hash { rounds, salt, key })
    }

    fn write(&self) -> String {
        format!("{SCHEME}${}${}${}", self.rounds, hex(&self.salt), hex(&self.key))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_knows_its_password() {
        let kept = hash("geheim 密码");
        assert!(kept.starts_with("pbkdf2-sha256$210000$") && !kept.contains("geheim"), "{kept}");
        assert!(matches(&kept, "geheim 密码"));
        assert!(!matches(&kept, "geheim"));
        assert_eq!(hash(&kept), kept);
        assert_ne!(hash("geheim 密码"), kept, "salted");
    }

    #[test]
    fn a_password_may_be_kept_as_it_is() {
        for kept in ["geheim", "pbkdf2-sha256$0$00$00", "pbkdf2-sha256$99999999$00$00", "pbkdf2-sha256"] {
            assert!(matches(kept, kept), "{kept}");
            assert!(!matches(kept, "x"), "{kept}");
        }
    }

    #[test]
    fn hashes_are_those_of_other_programs() {
        // python3 -c 'import hashlib; print(hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 2).hex())'
        let kept =
            "pbkdf2-sha256$2$73616c74$ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43";
        assert!(matches(kept, "password") && !matches(kept, "passwort"));
    }
}
