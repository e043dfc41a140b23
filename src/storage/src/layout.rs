//! Where a file lies below its store path, and which table its row is in. Pure (docs/protocol.md, "Paths and tables").

use tnv_proto::UserId;

/// Each digit of a number has this many values, so a folder has at most this many entries.
const BASE: i64 = 512;

/// The largest number that a path can be made of.
pub const MAX_NUMBER: i64 = BASE * BASE * BASE * BASE - 1;

/// A place below a store path: `<d3>/<d2>/<d1>/<unix seconds, 8 hex digits>_<d0>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    folder: String,
    name: String,
}

impl Place {
    /// The place for the id server's number, at this second. `None` when the number needs a fifth digit.
    pub fn new(number: i64, unix_seconds: i64) -> Option<Place> {
        if !(0..=MAX_NUMBER).contains(&number) {
            return None;
        }
        let digit = |power: u32| number / BASE.pow(power) % BASE;
        Some(Place {
            folder: format!("{:03}/{:03}/{:03}", digit(3), digit(2), digit(1)),
            name: format!("{unix_seconds:08X}_{:03}", digit(0)),
        })
    }

    /// A place that was written into the catalog. `None` for anything that could lead out of the store path.
    pub fn parse(path: &str) -> Option<Place> {
        let (folder, name) = path.rsplit_once('/')?;
        let harmless = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        let fits = folder.split('/').chain([name]).all(harmless);
        fits.then(|| Place { folder: folder.to_owned(), name: name.to_owned() })
    }

    /// Its folder below the store path.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    /// Below the store path: folder and name.
    pub fn path(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }

    /// The name the bytes have until their row is committed.
    pub fn temp_path(&self) -> String {
        format!("{}/{}{TEMP_SUFFIX}", self.folder, self.name)
    }
}

/// Ends the name of bytes that may not have a row yet.
pub(crate) const TEMP_SUFFIX: &str = ".tmp";

/// The number of the file table that a user's rows are in: 1, 2 or 3.
pub fn table_of(user: &UserId) -> u8 {
    let mut hash: u32 = 0;
    for (index, byte) in user.as_str().bytes().enumerate() {
        // The first implementation added C chars, which are signed.
        let byte = i32::from(byte as i8) as u32;
        hash ^= if index % 2 == 0 {
            (hash << 7) ^ byte ^ (hash >> 3)
        } else {
            !((hash << 11) ^ byte ^ (hash >> 5))
        };
    }
    // At most 3, so it fits.
    ((hash & 0x7fff_ffff) % 3 + 1) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_as_the_older_system_makes_them() {
        let path = |number| Place::new(number, 0x5F6E_7AD2).map(|place| place.path());
        assert_eq!(path(0).as_deref(), Some("000/000/000/5F6E7AD2_000"));
        assert_eq!(path(511).as_deref(), Some("000/000/000/5F6E7AD2_511"));
        assert_eq!(path(512).as_deref(), Some("000/000/001/5F6E7AD2_000"));
        assert_eq!(path(MAX_NUMBER).as_deref(), Some("511/511/511/5F6E7AD2_511"));
        assert_eq!(path(MAX_NUMBER + 1), None);
        assert_eq!(path(-1), None);
    }

    #[test]
    fn nothing_leads_out_of_the_store() {
        for bad in ["", "x", "/etc/passwd", "../x", "a/../../x", "a//b", "a/.", "a/b\0"] {
            assert_eq!(Place::parse(bad), None, "{bad:?}");
        }
        assert!(Place::parse("0A1/000/000/5F6E7AD2_000").is_some());
    }

    // Computed with a C program that uses `char`, `<<` and `>>` on a 32-bit unsigned hash.
    #[test]
    fn tables_as_the_older_system_chooses_them() {
        for (user, table) in TABLES {
            assert_eq!(table_of(&UserId::new(user).unwrap()), *table, "{user}");
        }
    }

    const TABLES: &[(&str, u8)] = &[
        ("tnv001", 2),
        ("tnv002", 3),
        ("tnv003", 1),
        ("a", 2),
        ("会议", 3),
        ("O'Brien", 2),
        ("user@example.com", 1),
        ("ÿ", 3),
    ];

    proptest! {
        #[test]
        fn every_number_has_a_place_of_its_own(a in 0..=MAX_NUMBER, b in 0..=MAX_NUMBER) {
            let place = |n| Place::new(n, 1).unwrap();
            prop_assert_eq!(a == b, place(a) == place(b));
            prop_assert_eq!(Place::parse(&place(a).path()), Some(place(a)));
        }

        #[test]
        fn every_user_has_a_table(user in "[^\0]{1,60}") {
            prop_assert!((1..=3).contains(&table_of(&UserId::new(&user).unwrap())));
        }
    }
}
