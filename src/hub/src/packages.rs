//! What is known of meetings and their packages, so that whoever asks for one waits for no database.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blake3::Hash;
use moka::sync::Cache;
use tnv_common::database::DbError;
use tnv_package::{Layout, Manifest, ManifestError, MeetingId, Member, MemberPath};

use crate::meetings::{AgendaItem, MeetingFile, Meetings, Subject, Whole};

/// How long what was read counts, should somebody else have changed the rows.
const LIFE: Duration = Duration::from_secs(60);
/// What an entry takes, and each file in it, in bytes, about.
const OVERHEAD: usize = 2 * 1024;
const OVERHEAD_OF_FILE: usize = 700;

/// How many meetings can be read at once.
const STRIPES: usize = 64;

/// Why nothing is known of a meeting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackageError {
    #[error(transparent)]
    Database(#[from] DbError),
    /// The rows make no package.
    #[error("the rows of meeting {0} make no package: {1}")]
    Rows(String, String),
}

/// A meeting and its package, as they were at one moment.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) whole: Whole,
    pub(crate) layout: Layout,
}

impl Known {
    /// The package's version.
    pub(crate) fn version(&self) -> Hash {
        self.layout.manifest().version()
    }

    /// The file with this id or, if there is none, this path.
    pub(crate) fn file(&self, name: &str) -> Option<&MeetingFile> {
        let files = &self.whole.files;
        files.iter().find(|file| file.id == name).or_else(|| files.iter().find(|file| file.path == name))
    }

    fn weight(&self) -> u32 {
        let subject = &self.whole.meeting.subject;
        let texts = subject.title.len() + subject.intro.as_ref().map_or(0, String::len);
        let metadata = self.layout.metadata().len();
        let bytes = OVERHEAD + 2 * texts + 3 * metadata + OVERHEAD_OF_FILE * self.whole.files.len();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// Meetings as they are, and versions of packages as they were.
pub(crate) struct Packages {
    meetings: Arc<dyn Meetings>,
    current: Cache<MeetingId, Arc<Known>>,
    versions: Cache<(MeetingId, Hash), Layout>,
    stripes: [Stripe; STRIPES],
    hasher: RandomState,
}

/// What meetings of the same hash share.
#[derive(Default)]
struct Stripe {
    /// Who reads one. Others wait, and find what was read.
    reading: tokio::sync::Mutex<()>,
    /// How often one was changed: what was read before a change is not remembered after it.
    changes: Mutex<u64>,
}

impl Stripe {
    fn changes(&self) -> MutexGuard<'_, u64> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Packages {
    /// `size` is what may be remembered, in bytes; versions that are no more are remembered for `grace`.
    pub(crate) fn new(meetings: Arc<dyn Meetings>, size: u64, grace: Duration) -> Packages {
        let weight_of_layout = |_: &(MeetingId, Hash), layout: &Layout| {
            u32::try_from(OVERHEAD + 3 * layout.metadata().len()).unwrap_or(u32::MAX)
        };
        Packages {
            meetings,
            current: Cache::builder()
                .max_capacity(size / 2)
                .weigher(|_, known: &Arc<Known>| known.weight())
                .time_to_live(LIFE)
                .build(),
            versions: Cache::builder()
                .max_capacity(size / 2)
                .weigher(weight_of_layout)
                .time_to_live(grace.max(LIFE))
                .build(),
            stripes: std::array::from_fn(|_| Stripe::default()),
            hasher: RandomState::new(),
        }
    }

    /// A meeting and its package; `None` if there is no such meeting.
    pub(crate) async fn known(&self, id: &MeetingId) -> Result<Option<Arc<Known>>, PackageError> {
        if let Some(known) = self.current.get(id) {
            return Ok(Some(known));
        }
        let stripe = self.stripe(id);
        let _turn = stripe.reading.lock().await;
        if let Some(known) = self.current.get(id) {
            return Ok(Some(known));
        }
        let before = *stripe.changes();
        let Some(known) = self.read(id).await?.map(Arc::new) else { return Ok(None) };
        self.versions.insert((id.clone(), known.version()), known.layout.clone());
        let changes = stripe.changes();
        if *changes == before {
            self.current.insert(id.clone(), Arc::clone(&known));
        }
        Ok(Some(known))
    }

    /// A version of a meeting's package that is no more, if it is remembered.
    pub(crate) fn version(&self, id: &MeetingId, version: Hash) -> Option<Layout> {
        self.versions.get(&(id.clone(), version))
    }

    /// Forgets a meeting, which was changed or may have been.
    pub(crate) fn forget(&self, id: &MeetingId) {
        let mut changes = self.stripe(id).changes();
        *changes = changes.wrapping_add(1);
        self.current.invalidate(id);
    }

    fn stripe(&self, id: &MeetingId) -> &Stripe {
        // A remainder is below the divisor.
        &self.stripes[(self.hasher.hash_one(id) % STRIPES as u64) as usize]
    }

    async fn read(&self, id: &MeetingId) -> Result<Option<Known>, PackageError> {
        let Some(whole) = self.meetings.find(id.as_str()).await? else { return Ok(None) };
        let broken = |why: String| PackageError::Rows(id.to_string(), why);
        let members = whole.files.iter().map(member).collect::<Result<_, String>>().map_err(broken)?;
        let meeting = describe(id, &whole.meeting.subject);
        let manifest = Manifest::new(meeting, members).map_err(|error| broken(error.to_string()))?;
        Ok(Some(Known { whole, layout: Layout::of(&manifest) }))
    }
}

/// Whether a package can tell this of its meeting.
///
/// # Errors
/// What it cannot tell.
pub(crate) fn check(id: &MeetingId, subject: &Subject) -> Result<(), ManifestError> {
    Manifest::new(describe(id, subject), Vec::new()).map(drop)
}

/// A meeting as its package tells of it.
fn describe(id: &MeetingId, subject: &Subject) -> tnv_package::Meeting {
    let Subject { title, time, intro, agenda } = subject;
    tnv_package::Meeting {
        id: id.clone(),
        title: title.clone(),
        time: time.clone(),
        intro: intro.clone(),
        agenda_items: agenda.iter().map(AgendaItem::to_json).collect(),
    }
}

fn member(file: &MeetingFile) -> Result<Member, String> {
    let path = MemberPath::new(&file.path).map_err(|error| error.to_string())?;
    let blake3 = Hash::from_hex(&file.blake3).map_err(|error| format!("{}: {error}", file.path))?;
    Ok(Member {
        id: file.id.clone(),
        path,
        size: file.size,
        content_type: file.content_type.clone(),
        crc32: file.crc32,
        blake3,
    })
}
