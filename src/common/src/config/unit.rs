//! Sizes and durations as people write them.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

const DURATIONS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)];

/// Bytes from `65536` or `64KiB`; a bare `K` is refused, for it means 1000 to some and 1024 to others.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text);
    let number: u64 = number.parse().ok()?;
    if unit.is_empty() {
        return Some(number);
    }
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// A duration from `500ms`, `1.5h` or, in seconds, `10`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let number: f64 = number.parse().ok()?;
    let unit = if unit.is_empty() { "s" } else { unit };
    let (_, seconds) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// The number and the unit after it, which may be empty.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// Bytes in the largest binary unit that needs no fraction.
pub(super) fn show_size(bytes: u64) -> String {
    let binary = SIZES.iter().rev().filter(|(name, _)| name.ends_with("iB"));
    match binary.into_iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// A duration in the largest unit that needs no fraction.
pub(super) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 || seconds == 0 {
        return format!("{duration:?}");
    }
    let whole = [("d", 86400), ("h", 3600), ("m", 60)]
        .into_iter()
        .find(|(_, factor)| seconds.is_multiple_of(*factor));
    let (unit, factor) = whole.unwrap_or(("s", 1));
    format!("{}{unit}", seconds / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_an_exact_unit() {
        for (text, bytes) in
            [("0", 0), ("65536", 65536), ("64KiB", 65536), ("10 MB", 10_000_000), ("1gib", 1 << 30)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "KiB", "64K", "1.5GiB", "-1", "12 parsecs", "99999999999TiB", "18446744073709551616"]
        {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        let millis = Duration::from_millis;
        for (text, duration) in [
            ("500ms", millis(500)),
            ("10s", millis(10_000)),
            ("10", millis(10_000)),
            ("0.25", millis(250)),
            ("2 m", millis(120_000)),
            ("1.5h", millis(5_400_000)),
            ("7d", millis(604_800_000)),
        ] {
            assert_eq!(parse_duration(text), Some(duration), "{text}");
        }
        for text in ["", "s", "-1s", "1M", "1 year", "1h30m", "inf", "1.2.3s", "999999999999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_back(bytes: u64, millis in 0u64..1 << 50) {
            prop_assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
            let seconds = Duration::from_secs(millis / 1000);
            prop_assert_eq!(parse_duration(&show_duration(seconds)), Some(seconds));
        }

        #[test]
        fn nothing_panics(text: String) {
            parse_size(&text);
            parse_duration(&text);
        }
    }
}
