//! Sizes as people write them.

use std::ops::RangeInclusive;

/// What a part may measure, in bytes.
const PART: RangeInclusive<u64> = 1 << 10..=1 << 30;

/// What may go through in a second, in bytes.
const RATE: RangeInclusive<u64> = 1 << 10..=1 << 40;

/// Reads the length of a part: bytes, or with K, M or G behind it 1024, 1024² or 1024³ of them.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let size = number(text)?;
    if PART.contains(&size) { Ok(size) } else { Err("it must be 1K to 1G".to_owned()) }
}

/// Reads bytes a second in the same way.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let rate = number(text)?;
    if RATE.contains(&rate) { Ok(rate) } else { Err("it must be 1K to 1024G a second".to_owned()) }
}

/// Reads a number of bytes in the same way.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>());
    match number {
        Some(Ok(number)) => number.checked_mul(unit).ok_or_else(|| "it is too large".to_owned()),
        _ => Err("it must be a number of bytes, or one with K, M or G behind it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::bytes;

    #[test]
    fn units_are_powers_of_1024() {
        assert_eq!(bytes("1024"), Ok(1024));
        assert_eq!(bytes("16M"), Ok(16 << 20));
        assert_eq!(bytes("1g"), Ok(1 << 30));
        for wrong in [
            "",
            "M",
            "0",
            "1023",
            "2G",
            "1.5M",
            "-1M",
            "+2K",
            "16MiB",
            "99999999999999999999",
            "18014398509481985K",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,8}|[0-9]{0,22}[kKmMgG]?") {
            if let Ok(size) = bytes(&text) {
                prop_assert!(super::PART.contains(&size));
            }
        }
    }
}
