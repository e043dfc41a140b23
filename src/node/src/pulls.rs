//! Packages on their way, one pull for each meeting however many ask for it.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tnv_package::MeetingId;
use tokio::runtime::Handle;
use tokio::sync::{RwLock, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::clean::{self, For, Held, Marks};
use crate::config::Storage;
use crate::draft::Draft;
use crate::hub::{HubError, Manifested, Told};
use crate::metrics::NodeMetrics;
use crate::package::Package;
use crate::pull::{self, Means, Progress, PullError};
use crate::store::Store;
use crate::supply::Supply;

/// Meetings that the node itself brings up to date at once. What clients ask for does not wait for them.
const MAX_SYNCS: usize = 4;
/// The pause behind a pull that failed, doubled with each in a row, until the node tries again by itself.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// For so long, clients are told of a failure without another try.
const FRESH: Duration = Duration::from_secs(2);

/// A pull as those see it who wait for it.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// The hub is asked what the package is to be.
    Asking,
    /// It is on its way.
    Pulling(Arc<Draft>),
    /// It is there.
    Done(Arc<Package>),
    /// It has not come.
    Failed(Arc<PullError>),
}

/// One pull.
#[derive(Debug)]
pub(crate) struct Job {
    stage: watch::Sender<Stage>,
    pub(crate) progress: Arc<Progress>,
}

impl Job {
    fn new(stage: Stage) -> Arc<Job> {
        Arc::new(Job { stage: watch::Sender::new(stage), progress: Arc::default() })
    }

    /// What is known of it, once the hub has been asked.
    pub(crate) async fn known(&self) -> Stage {
        self.until(|stage| !matches!(stage, Stage::Asking)).await
    }

    /// How it ended.
    pub(crate) async fn ended(&self) -> Result<Arc<Package>, Arc<PullError>> {
        match self.until(|stage| matches!(stage, Stage::Done(_) | Stage::Failed(_))).await {
            Stage::Done(package) => Ok(package),
            Stage::Failed(error) => Err(error),
            Stage::Asking | Stage::Pulling(_) => Err(Arc::new(PullError::Cancelled)),
        }
    }

    /// What it is at now.
    pub(crate) fn stage(&self) -> Stage {
        self.stage.borrow().clone()
    }

    async fn until(&self, is: impl FnMut(&Stage) -> bool) -> Stage {
        let mut stage = self.stage.subscribe();
        // The sender is in `self`.
        stage.wait_for(is).await.map_or(Stage::Asking, |stage| stage.clone())
    }
}

/// A pull that failed, as long as it is not tried again.
#[derive(Debug, Clone)]
pub(crate) struct Trouble {
    pub(crate) error: Arc<PullError>,
    since: Instant,
    failures: u32,
}

impl Trouble {
    fn new(error: Arc<PullError>, failures: u32) -> Trouble {
        Trouble { error, since: Instant::now(), failures }
    }

    /// One that no pull has met yet is mended at once.
    fn pause(&self) -> Duration {
        if self.failures == 0 {
            return Duration::ZERO;
        }
        FIRST_PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(10)).min(MAX_PAUSE)
    }
}

/// All pulls into one storage.
pub(crate) struct Pulls {
    pub(crate) store: Arc<Store>,
    supply: Arc<Supply>,
    state: Mutex<State>,
    /// Read while a package is begun, written while one is removed: so neither is in the other's way.
    folders: RwLock<()>,
    syncs: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Where pulls run: never on the reactor of a client who has asked for one.
    runtime: Handle,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<MeetingId, Arc<Job>>,
    /// Meetings whose turn to be brought up to date comes.
    queued: HashSet<MeetingId>,
    troubles: BTreeMap<MeetingId, Trouble>,
    /// Meetings that run, by the last list that came whole.
    active: HashSet<MeetingId>,
}

impl Pulls {
    /// Pulls into this storage, each with what is configured when it begins; they run on `runtime`.
    pub(crate) fn new(
        store: Arc<Store>,
        supply: Arc<Supply>,
        tasks: TaskTracker,
        runtime: Handle,
    ) -> Arc<Pulls> {
        Arc::new(Pulls {
            store,
            supply,
            state: Mutex::default(),
            folders: RwLock::new(()),
            syncs: Arc::new(Semaphore::new(MAX_SYNCS)),
            tasks,
            runtime,
        })
    }

    /// Joins the pull of a package for a client, or begins it.
    pub(crate) fn join(self: &Arc<Pulls>, meeting: &MeetingId) -> Arc<Job> {
        self.begin(meeting, For::Client)
    }

    /// Brings a package up to date when its turn comes, unless it failed a moment ago.
    pub(crate) fn sync(self: &Arc<Pulls>, meeting: &MeetingId) {
        let mut state = self.lock();
        let waits =
            state.troubles.get(meeting).is_some_and(|trouble| trouble.since.elapsed() < trouble.pause());
        if waits || state.jobs.contains_key(meeting) || !state.queued.insert(meeting.clone()) {
            return;
        }
        drop(state);
        let (pulls, meeting) = (self.clone(), meeting.clone());
        let syncing = async move {
            let permit = pulls.syncs.clone().acquire_owned().await;
            pulls.lock().queued.remove(&meeting);
            // Its failure was told by the pull itself.
            let _ = pulls.begin(&meeting, For::Sync).ended().await;
            drop(permit);
        };
        self.tasks.spawn_on(syncing, &self.runtime);
    }

    /// Notes which meetings run.
    pub(crate) fn note_active(&self, meetings: &[MeetingId]) {
        for meeting in meetings {
            if let Some(package) = self.store.peek(meeting) {
                package.seen_active();
            }
        }
        let mut state = self.lock();
        state.active = meetings.iter().cloned().collect();
        let (active, jobs) = (state.active.clone(), state.jobs.keys().cloned().collect::<HashSet<_>>());
        // Nobody will try these again.
        state.troubles.retain(|meeting, trouble| {
            active.contains(meeting) || jobs.contains(meeting) || trouble.since.elapsed() < MAX_PAUSE
        });
    }

    /// All pulls that run.
    pub(crate) fn running(&self) -> Vec<(MeetingId, Arc<Job>)> {
        self.lock().jobs.iter().map(|(meeting, job)| (meeting.clone(), job.clone())).collect()
    }

    /// What does not come, and why.
    pub(crate) fn troubles(&self) -> Vec<(MeetingId, Trouble)> {
        self.lock().troubles.iter().map(|(meeting, trouble)| (meeting.clone(), trouble.clone())).collect()
    }

    /// All packages as cleaning sees them.
    pub(crate) fn held(&self) -> Vec<Held> {
        let packages = self.store.all();
        let state = self.lock();
        let held = packages.into_iter().map(|(meeting, package)| Held {
            size: package.layout.len(),
            used_ms: package.used_ms(),
            busy: package.is_read() || state.jobs.contains_key(&meeting),
            active: state.active.contains(&meeting),
            inherited: package.is_inherited(),
            meeting,
        });
        held.collect()
    }

    /// Meetings of which there is something, but no package, and that do not run.
    pub(crate) async fn leftovers(&self) -> Vec<MeetingId> {
        let store = self.store.clone();
        let found = pull::blocking(move || store.without_package()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the storage folder cannot be listed");
            Vec::new()
        });
        let state = self.lock();
        found.into_iter().filter(|meeting| !state.active.contains(meeting)).collect()
    }

    /// Bytes that packages on their way will have.
    pub(crate) fn coming(&self) -> u64 {
        let stages: Vec<Stage> = self.lock().jobs.values().map(|job| job.stage()).collect();
        let drafts = stages.iter().map(|stage| match stage {
            Stage::Pulling(draft) => draft.layout.len(),
            _ => 0,
        });
        drafts.sum()
    }

    /// Removes packages, but none that is read or on its way: how many went.
    pub(crate) async fn remove(&self, meetings: Vec<MeetingId>, reason: &str) -> usize {
        let mut removed = 0;
        for meeting in meetings {
            let _folders = self.folders.write().await;
            if self.lock().jobs.contains_key(&meeting) {
                continue;
            }
            let (store, gone) = (self.store.clone(), meeting.clone());
            match pull::blocking(move || store.remove(&gone)).await {
                Ok(true) => {
                    removed += 1;
                    tracing::info!("已清理会议文件: {meeting} ({reason})");
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "清理会议文件出错: {meeting}"),
            }
        }
        removed
    }

    /// Takes a package that is damaged out of what is served, and pulls it again. What is right in it is not fetched.
    pub(crate) async fn give_up(
        self: &Arc<Pulls>,
        meeting: &MeetingId,
        package: &Arc<Package>,
        reason: &std::io::Error,
    ) {
        // No draft is begun before it is set aside.
        let folders = self.folders.write().await;
        package.seen_damaged();
        let is_coming = {
            let mut state = self.lock();
            if !self.store.take_out(meeting, package) {
                return;
            }
            let trouble = Trouble::new(Arc::new(PullError::Damaged(reason.to_string())), 0);
            state.troubles.insert(meeting.clone(), trouble);
            state.jobs.contains_key(meeting)
        };
        tracing::error!(%reason, "会议包已损坏，停止提供并重新同步: {meeting}");
        // A pull that runs has the package as a source already, and puts its own in the same place.
        if !is_coming {
            let (folder, layout) = (self.store.folder(meeting), package.layout.clone());
            let aside = pull::blocking(move || folder.set_package_aside(&layout)).await;
            if let Err(error) = aside {
                tracing::warn!(%error, %meeting, "nothing of the damaged package can be used again");
            }
        }
        drop(folders);
        self.begin(meeting, For::Sync);
    }

    fn begin(self: &Arc<Pulls>, meeting: &MeetingId, whose: For) -> Arc<Job> {
        let mut state = self.lock();
        if let Some(job) = state.jobs.get(meeting) {
            return job.clone();
        }
        let is_fresh = |trouble: &&Trouble| trouble.since.elapsed() < FRESH.min(trouble.pause());
        if let Some(trouble) = state.troubles.get(meeting).filter(is_fresh) {
            return Job::new(Stage::Failed(trouble.error.clone()));
        }
        let job = Job::new(Stage::Asking);
        state.jobs.insert(meeting.clone(), job.clone());
        drop(state);
        let (pulls, meeting, running) = (self.clone(), meeting.clone(), job.clone());
        let pulling = async move {
            let pulled = pulls.pull(&meeting, &running, whose).await;
            NodeMetrics::global().pulled(&pulled);
            pulls.settle(&meeting, &running, pulled);
        };
        self.tasks.spawn_on(pulling, &self.runtime);
        job
    }

    async fn pull(&self, meeting: &MeetingId, job: &Job, whose: For) -> Result<Arc<Package>, Arc<PullError>> {
        let (means, storage) = (self.supply.means(), self.supply.config().storage.clone());
        let before = self.store.peek(meeting);
        let held = before.as_ref().map(|package| package.version());
        let mut asked = ask(&means, meeting, held).await?;
        // Found out meanwhile: it is only a source now.
        if matches!(asked, Manifested::Same) && before.as_ref().is_some_and(|package| package.is_damaged()) {
            asked = ask(&means, meeting, None).await?;
        }
        let told = match (asked, &before) {
            (Manifested::Same, Some(package)) => return Ok(package.clone()),
            (Manifested::Same, None) => {
                return Err(PullError::from(HubError::Nonsense("304 for nothing".to_owned())).into());
            }
            (Manifested::Now(told), _) => told,
        };
        let version = told.layout.manifest().version();
        let is_here = |package: &&Arc<Package>| package.version() == version && !package.is_damaged();
        if let Some(package) = before.as_ref().filter(is_here) {
            return Ok(package.clone());
        }
        tracing::info!("开始同步会议数据: {}", pull::describe(meeting, &version));
        self.make_room(told.layout.len(), &storage, whose).await?;
        let draft = self.draft(meeting, &told).await?;
        job.stage.send_replace(Stage::Pulling(draft.clone()));
        let completed = tokio::select! {
            biased;
            completed = pull::complete(&draft, &told, before, &means, &job.progress) => completed,
            () = means.cancel.cancelled() => Err(PullError::Cancelled),
        };
        match completed {
            Ok(package) => {
                let package = Arc::new(package);
                self.store.put(meeting.clone(), package.clone());
                draft.verified.finish();
                tracing::info!(
                    fetched = job.progress.fetched.load(Ordering::Relaxed),
                    "会议 {meeting} 同步完成，包大小: {} 字节",
                    package.layout.len()
                );
                Ok(package)
            }
            Err(error) => {
                let error = Arc::new(error);
                draft.verified.fail(error.clone());
                Err(error)
            }
        }
    }

    async fn draft(&self, meeting: &MeetingId, told: &Told) -> Result<Arc<Draft>, PullError> {
        let _folders = self.folders.read().await;
        let (folder, layout) = (self.store.folder(meeting), told.layout.clone());
        let disk = self.store.disk().clone();
        pull::blocking(move || Draft::begin(folder, layout, &disk)).await.map(Arc::new)
    }

    /// Removes what must go so that `need` bytes fit.
    async fn make_room(&self, need: u64, storage: &Storage, whose: For) -> Result<(), PullError> {
        if need > storage.max_size {
            return Err(PullError::Full { need, reason: "the package is larger than storage.maxSize" });
        }
        let wanted = need.saturating_add(self.coming());
        if storage.auto_cleanup {
            let marks = Marks { high: storage.high_mark(), low: storage.low_mark() };
            let surplus = clean::surplus(&self.held(), marks, wanted, whose);
            self.remove(surplus, "存储空间不足").await;
        }
        if self.store.bytes().saturating_add(wanted) > storage.max_size {
            return Err(PullError::Full {
                need,
                reason: "storage.maxSize is reached by packages that must stay",
            });
        }
        Ok(())
    }

    fn settle(&self, meeting: &MeetingId, job: &Job, pulled: Result<Arc<Package>, Arc<PullError>>) {
        let mut state = self.lock();
        state.jobs.remove(meeting);
        let stage = match pulled {
            Ok(package) => {
                state.troubles.remove(meeting);
                Stage::Done(package)
            }
            Err(error) => {
                if !matches!(*error, PullError::Cancelled) {
                    tracing::error!(%error, "会议 {meeting} 同步失败");
                    let failures = state.troubles.get(meeting).map_or(0, |trouble| trouble.failures) + 1;
                    state.troubles.insert(meeting.clone(), Trouble::new(error.clone(), failures));
                }
                Stage::Failed(error)
            }
        };
        drop(state);
        job.stage.send_replace(stage);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(
    means: &Means,
    meeting: &MeetingId,
    held: Option<blake3::Hash>,
) -> Result<Manifested, PullError> {
    tokio::select! {
        asked = means.hub.manifest(meeting, held) => Ok(asked?),
        () = means.cancel.cancelled() => Err(PullError::Cancelled),
    }
}
