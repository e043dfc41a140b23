//! File ids, as clients make them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tnv_proto::{FileId, UserId};

/// Makes a new file id of 36 characters: unix seconds (8 hex digits), microseconds (6 hex digits), the middle 16 hex
/// digits of an MD5 over user, process, thread and a random number, a counter (4 digits), 2 random digits. Two calls
/// never give the same id in practice; a storage refuses an id that is taken (409).
pub fn new_file_id(user: &UserId) -> FileId {
    static COUNTER: AtomicU32 = AtomicU32::new(0);

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let origin =
        format!("{user}@{},{:?},{}", std::process::id(), std::thread::current().id(), rand::random::<u64>());
    let digest = format!("{:x}", md5::compute(origin));
    let id = format!(
        "{:08x}{:06x}{}{:04}{:02}",
        now.as_secs() & 0xffff_ffff,
        now.subsec_micros(),
        &digest[8..24],
        COUNTER.fetch_add(1, Ordering::Relaxed) % 10_000,
        rand::random_range(0..100_u32),
    );
    FileId::new(&id).expect("36 letters and digits are a file id")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_has_its_fields_at_their_places(user in "[^\\x00]{1,60}") {
            let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let id = new_file_id(&UserId::new(&user).unwrap());
            let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();

            let id = id.as_str();
            prop_assert_eq!(id.len(), 36);
            prop_assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{}", id);
            let seconds = u64::from_str_radix(&id[..8], 16).unwrap();
            prop_assert!((before..=after).contains(&seconds), "{}", id);
            prop_assert!(u32::from_str_radix(&id[8..14], 16).unwrap() < 1_000_000, "{}", id);
            prop_assert!(id[30..].bytes().all(|byte| byte.is_ascii_digit()), "{}", id);
        }
    }

    #[test]
    fn ids_do_not_repeat_across_threads() {
        let user = UserId::new("tnv001").unwrap();
        let make = || (0..5_000).map(|_| new_file_id(&user)).collect::<Vec<_>>();
        let ids: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(make)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let different: HashSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }
}
