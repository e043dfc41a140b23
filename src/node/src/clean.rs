//! Which packages go. Pure.

use tnv_package::MeetingId;

/// A package as cleaning sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) meeting: MeetingId,
    /// Bytes on the disk.
    pub(crate) size: u64,
    /// When it was last asked for, in milliseconds since 1970.
    pub(crate) used_ms: i64,
    /// Somebody reads it, or a newer version is on its way.
    pub(crate) busy: bool,
    /// Its meeting runs, as far as is known.
    pub(crate) active: bool,
    /// It was there when the node started, and its meeting has not run since.
    pub(crate) inherited: bool,
}

/// How full the storage may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    /// Above this many bytes packages go,
    pub(crate) high: u64,
    /// until there are at most so many.
    pub(crate) low: u64,
}

/// Whose wish it is that there be room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// The node's own: packages of meetings that run stay, or they would push each other out for ever.
    Sync,
    /// A client's, who asked for a package.
    Client,
}

/// Packages to remove so that `need` more bytes fit below the high mark: those of meetings that do not run first, and of
/// each kind the one that was not asked for the longest time first. Nothing that is busy.
pub(crate) fn surplus(held: &[Held], marks: Marks, need: u64, whose: For) -> Vec<MeetingId> {
    let mut total = held.iter().map(|package| package.size).sum::<u64>().saturating_add(need);
    if total <= marks.high {
        return Vec::new();
    }
    let mut candidates: Vec<&Held> =
        held.iter().filter(|package| !package.busy && (whose == For::Client || !package.active)).collect();
    candidates.sort_by_key(|package| (package.active, package.used_ms));
    let mut removed = Vec::new();
    for package in candidates {
        if total <= marks.low {
            break;
        }
        total = total.saturating_sub(package.size);
        removed.push(package.meeting.clone());
    }
    removed
}

/// Packages whose meetings may have ended: the hub is to be asked about each.
pub(crate) fn doubtful(held: &[Held], clean_inherited: bool) -> Vec<MeetingId> {
    let doubtful =
        |package: &&Held| !package.active && !package.busy && (clean_inherited || !package.inherited);
    held.iter().filter(doubtful).map(|package| package.meeting.clone()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(name: &str, size: u64, used_ms: i64) -> Held {
        let meeting = MeetingId::new(name).unwrap();
        Held { meeting, size, used_ms, busy: false, active: false, inherited: false }
    }

    fn names(meetings: Vec<MeetingId>) -> Vec<String> {
        meetings.iter().map(MeetingId::to_string).collect()
    }

    const MARKS: Marks = Marks { high: 90, low: 70 };

    #[test]
    fn the_longest_unused_go_down_to_the_low_mark() {
        let all = [held("a", 30, 3), held("b", 30, 1), held("c", 30, 2)];
        assert!(surplus(&all, MARKS, 0, For::Sync).is_empty(), "the mark is not passed");
        assert_eq!(names(surplus(&all, MARKS, 1, For::Sync)), ["b"]);
        assert_eq!(names(surplus(&all, MARKS, 20, For::Sync)), ["b", "c"]);
        assert_eq!(names(surplus(&all, MARKS, 1000, For::Sync)), ["b", "c", "a"]);
    }

    #[test]
    fn what_is_read_stays_and_what_runs_goes_last_and_only_for_clients() {
        let all = [
            Held { busy: true, ..held("read", 40, 1) },
            Held { active: true, ..held("runs", 40, 2) },
            held("idle", 40, 9),
        ];
        assert_eq!(names(surplus(&all, MARKS, 0, For::Sync)), ["idle"]);
        assert_eq!(names(surplus(&all, MARKS, 0, For::Client)), ["idle", "runs"]);
    }

    #[test]
    fn ended_is_asked_only_of_what_does_not_run_and_is_not_read() {
        let all = [
            held("a", 1, 1),
            Held { active: true, ..held("b", 1, 1) },
            Held { busy: true, ..held("c", 1, 1) },
            Held { inherited: true, ..held("d", 1, 1) },
        ];
        assert_eq!(names(doubtful(&all, true)), ["a", "d"]);
        assert_eq!(names(doubtful(&all, false)), ["a"]);
    }

    proptest! {
        #[test]
        fn no_more_goes_than_must(
            sizes in prop::collection::vec((0u64..50, 0i64..9, any::<bool>(), any::<bool>()), 0..20),
            need in 0u64..100,
        ) {
            let all: Vec<Held> = sizes
                .into_iter()
                .enumerate()
                .map(|(n, (size, used, busy, active))| Held { busy, active, ..held(&format!("m{n}"), size, used) })
                .collect();
            for whose in [For::Sync, For::Client] {
                let gone = surplus(&all, MARKS, need, whose);
                let left: u64 = all.iter().filter(|h| !gone.contains(&h.meeting)).map(|h| h.size).sum();
                let total: u64 = all.iter().map(|h| h.size).sum();
                prop_assert!(total + need > MARKS.high || gone.is_empty());
                for held in all.iter().filter(|held| gone.contains(&held.meeting)) {
                    prop_assert!(!held.busy && (whose == For::Client || !held.active));
                }
                // Without the last one it would still have been too much.
                if let Some(last) = gone.last() {
                    let last = all.iter().find(|held| held.meeting == *last).unwrap();
                    prop_assert!(left + need + last.size > MARKS.low);
                }
            }
        }
    }
}
