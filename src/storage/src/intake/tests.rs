use std::collections::HashSet;
use std::sync::Condvar;

use tnv_common::cache::CacheConfig;
use tnv_common::database::DbError;
use tnv_proto::{ErrorCode, FileKey, Labels};
use tokio::task::JoinHandle;

use super::*;
use crate::catalog::Scripted;
use crate::rows::RowCache;

/// What was done, in its order. Files go by their number; those of a sync are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Write(i64),
    Sync(Vec<i64>),
    Row(i64),
    Name(i64),
    Remove(i64),
    Reply(i64),
}

/// A shelf that notes what is done, and fails where it is told to.
#[derive(Default)]
struct Notes {
    steps: Mutex<Vec<Step>>,
    lanes: usize,
    max_group: usize,
    /// Writing goes on when it is open.
    gate: (Mutex<bool>, Condvar),
    bad_writes: HashSet<i64>,
    bad_syncs: Mutex<usize>,
}

impl Notes {
    fn new(lanes: usize, max_group: usize) -> Notes {
        Notes { lanes, max_group, gate: (Mutex::new(true), Condvar::new()), ..Notes::default() }
    }

    fn note(&self, step: Step) {
        self.steps.lock().unwrap().push(step);
    }

    fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap().clone()
    }

    fn close(&self, closed: bool) {
        *self.gate.0.lock().unwrap() = !closed;
        self.gate.1.notify_all();
    }

    fn at(&self, step: &Step) -> usize {
        let steps = self.steps();
        steps.iter().position(|done| done == step).unwrap_or_else(|| panic!("{step:?} is not in {steps:?}"))
    }

    async fn until(&self, step: Step) {
        while !self.steps().contains(&step) {
            tokio::task::yield_now().await;
        }
    }
}

fn number(place: &Place) -> i64 {
    (0..512).find(|n| Place::new(*n, 1).as_ref() == Some(place)).expect("a place of these tests")
}

impl Names for Notes {
    fn index(&self) -> u32 {
        0
    }

    fn publish(&self, place: &Place) -> io::Result<()> {
        self.note(Step::Name(number(place)));
        Ok(())
    }

    fn remove(&self, place: &Place) -> io::Result<()> {
        self.note(Step::Remove(number(place)));
        Ok(())
    }
}

impl Shelf for Notes {
    type Written = i64;

    fn written(&self) -> &str {
        "../data"
    }

    fn lanes(&self) -> (usize, usize) {
        (self.lanes, self.max_group)
    }

    fn write(&self, place: &Place, _: &[u8]) -> io::Result<i64> {
        let number = number(place);
        self.note(Step::Write(number));
        drop(self.gate.1.wait_while(self.gate.0.lock().unwrap(), |open| !*open).unwrap());
        if self.bad_writes.contains(&number) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(number) }
    }

    fn sync(&self, files: &[i64]) -> io::Result<()> {
        // Tasks hand in their files in any order.
        let mut numbers = files.to_vec();
        numbers.sort_unstable();
        self.note(Step::Sync(numbers));
        let mut bad = self.bad_syncs.lock().unwrap();
        if *bad == 0 {
            return Ok(());
        }
        *bad -= 1;
        Err(io::Error::other("as told"))
    }

    fn refusal(&self, error: &io::Error) -> Failure {
        let is_full = error.kind() == io::ErrorKind::StorageFull;
        let code = if is_full { ErrorCode::NO_SPACE } else { ErrorCode::INTERNAL };
        Failure::new(code, error.to_string())
    }
}

struct Lab {
    notes: Arc<Notes>,
    intake: Arc<Intake<Notes>>,
    commits: TaskTracker,
}

impl Lab {
    /// An intake whose catalog says this of each file.
    fn new(notes: Notes, insert: impl Fn(i64) -> Result<bool, DbError> + Send + Sync + 'static) -> Lab {
        let notes = Arc::new(notes);
        let noted = notes.clone();
        let catalog = Scripted::new([None]).with_inserts(move |file| {
            let number = number(&Place::parse(&file.path).unwrap());
            noted.note(Step::Row(number));
            insert(number)
        });
        let files = Files::new(Arc::new(catalog), RowCache::open(&CacheConfig::Off, "test"));
        let commits = TaskTracker::new();
        let intake = Intake::new(notes.clone(), Arc::new(files), "group001".to_owned(), commits.clone());
        Lab { notes, intake: Arc::new(intake), commits }
    }

    /// Hands in a file.
    fn store(&self, number: i64) -> JoinHandle<Outcome> {
        self.store_expecting(number, Checksum::UNKNOWN)
    }

    fn store_expecting(&self, number: i64, expected: Checksum) -> JoinHandle<Outcome> {
        let key = FileKey::new("tnvideo", "tnv001", &format!("file {number}")).unwrap();
        let arrived = Arrived {
            new: NewUpload { key, size: 3, labels: Labels::default(), ack_copies: 0 },
            bytes: b"abc".to_vec(),
            share: None,
            expected,
            place: Place::new(number, 1).unwrap(),
            created_ms: 1000,
            reservation: None,
            end: End::Rows(Vec::new()),
        };
        let (intake, notes) = (self.intake.clone(), self.notes.clone());
        tokio::spawn(async move {
            let outcome = intake.store(arrived).await;
            notes.note(Step::Reply(number));
            outcome
        })
    }

    /// File 0 alone, and then these, which come while it is being written: one group, if groups take so many.
    async fn store_together(&self, numbers: std::ops::Range<i64>) -> Vec<Outcome> {
        self.notes.close(true);
        let mut stores = vec![self.store(0)];
        self.notes.until(Step::Write(0)).await;
        stores.extend(numbers.clone().map(|number| self.store(number)));
        while self.intake.shared.queue().waiting.len() < numbers.clone().count() {
            tokio::task::yield_now().await;
        }
        self.notes.close(false);
        let mut outcomes = Vec::new();
        for store in stores {
            outcomes.push(store.await.unwrap());
        }
        outcomes
    }
}

fn code(outcome: &Outcome) -> Option<ErrorCode> {
    match outcome {
        Err(Interrupt::Refused(failure)) => Some(failure.code),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_durable_before_its_rows_and_has_rows_before_names_and_names_before_replies() {
    let lab = Lab::new(Notes::new(1, 256), |_| Ok(true));
    let outcomes = lab.store_together(1..9).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let group: Vec<i64> = (1..9).collect();
    for (number, sync) in [(0, vec![0])].into_iter().chain((1..9).map(|number| (number, group.clone()))) {
        let order = [
            Step::Write(number),
            Step::Sync(sync),
            Step::Row(number),
            Step::Name(number),
            Step::Reply(number),
        ];
        let at = order.each_ref().map(|step| lab.notes.at(step));
        assert!(at.is_sorted(), "{:?}", lab.notes.steps());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_files_go_one_by_one_each_has_a_sync_of_its_own() {
    let lab = Lab::new(Notes::new(1, 1), |_| Ok(true));
    lab.store_together(1..4).await;
    for number in 0..4 {
        assert!(lab.notes.at(&Step::Sync(vec![number])) < lab.notes.at(&Step::Row(number)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_alone_waits_for_no_group() {
    let lab = Lab::new(Notes::new(2, 256), |_| Ok(true));
    lab.notes.close(true);
    let held = lab.store(0);
    lab.notes.until(Step::Write(0)).await;
    let alone = lab.store(1);
    lab.notes.until(Step::Write(1)).await;
    lab.notes.close(false);
    assert!(held.await.unwrap().is_ok() && alone.await.unwrap().is_ok());
    assert!(lab.notes.steps().contains(&Step::Sync(vec![1])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_fails_its_group_and_no_other() {
    let lab = Lab::new(Notes::new(1, 256), |_| Ok(true));
    assert!(lab.store(100).await.unwrap().is_ok());
    *lab.notes.bad_syncs.lock().unwrap() = 2;
    let outcomes = lab.store_together(1..4).await;
    assert!(outcomes.iter().all(|outcome| code(outcome) == Some(ErrorCode::INTERNAL)), "{outcomes:?}");
    let steps = lab.notes.steps();
    for number in 0..4 {
        assert!(!steps.contains(&Step::Row(number)) && !steps.contains(&Step::Name(number)));
        assert!(lab.notes.at(&Step::Remove(number)) < lab.notes.at(&Step::Reply(number)));
    }
    assert!(lab.store(5).await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_written_or_is_not_what_was_meant_fails_alone() {
    let notes = Notes { bad_writes: HashSet::from([2]), ..Notes::new(1, 256) };
    let lab = Lab::new(notes, |_| Ok(true));
    let codes: Vec<_> = lab.store_together(1..4).await.iter().map(code).collect();
    assert_eq!(codes, [None, None, Some(ErrorCode::NO_SPACE), None]);
    let changed = lab.store_expecting(7, Checksum([7; 32])).await.unwrap();
    assert_eq!(code(&changed), Some(ErrorCode::CHANGED));
    assert!(!lab.notes.steps().contains(&Step::Write(7)), "there is no need to write it");
    let meant = Checksum(*blake3::hash(b"abc").as_bytes());
    assert_eq!(lab.store_expecting(8, meant).await.unwrap().unwrap().blake3, meant);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_catalog_refuses_is_removed_and_the_rest_of_the_group_stays() {
    let lab = Lab::new(Notes::new(1, 256), |number| match number {
        1 => Ok(false),
        2 => Err(DbError::Statement { server: String::new(), reason: String::new(), is_full: true }),
        _ => Ok(true),
    });
    let codes: Vec<_> = lab.store_together(1..4).await.iter().map(code).collect();
    assert_eq!(codes, [None, Some(ErrorCode::CONFLICT), Some(ErrorCode::NO_SPACE), None]);
    for number in [1, 2] {
        assert!(lab.notes.at(&Step::Remove(number)) < lab.notes.at(&Step::Reply(number)));
    }
    assert!(!lab.notes.steps().contains(&Step::Remove(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_those_that_were_begun() {
    let lab = Lab::new(Notes::new(1, 256), |_| Ok(true));
    lab.notes.close(true);
    let store = lab.store(1);
    lab.notes.until(Step::Write(1)).await;
    // The connection is cut off.
    store.abort();
    assert!(store.await.unwrap_err().is_cancelled());
    lab.commits.close();
    lab.notes.close(false);
    lab.commits.wait().await;
    lab.notes.at(&Step::Name(1));
}
