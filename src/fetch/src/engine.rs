//! Where everything meets: one task that hears of sources, disk and time, and has the core decide.

mod arrival;
mod ending;
mod learn;
mod outcome;
mod watch;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tnv_metalink::Hash;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::{self, Event, Limits};
use crate::disk::{self, Done, Job};
use crate::error::FetchError;
use crate::fetch::{Fetch, Fetched, Known};
use crate::map::PieceMap;
use crate::meter::{Meter, Throttle};
use crate::options::Options;
use crate::place::Place;
use crate::report::{Note, Phase, Watcher};
use crate::roster::{Condition, Patience, Roster, SourceId};
use crate::saved::Saved;
use crate::schedule::{Order, RunId, Schedule};
use crate::source::{Guide, Source, Wanted};
use crate::version::Version;

/// How often the time is looked at, and progress told.
const TICK: Duration = Duration::from_millis(200);

/// Chunks that may wait for the disk, of all sources together.
const EVENTS: usize = 16;

pub(crate) struct Engine<'a> {
    options: Options,
    guide: Option<Arc<dyn Guide>>,
    watcher: &'a mut dyn Watcher,
    target: PathBuf,
    /// What makes a name of one that is told, until it is clear what the file is called.
    naming: Option<fn(&str) -> String>,
    /// Why it cannot be called so.
    misnamed: Option<FetchError>,
    sources: Vec<Arc<dyn Source>>,
    roster: Roster,
    schedule: Schedule,
    /// What the caller knows, and what was learnt of this version.
    given: Known,
    learned: Known,
    /// Whether it was looked for what answers say of further sources and hashes.
    has_looked: bool,
    /// The same for what those say who lead to an answer, and whether a Metalink of theirs was of use.
    has_looked_ahead: bool,
    is_described: bool,
    version: Option<Version>,
    /// There once the size is known.
    map: Option<PieceMap>,
    /// What an earlier process has left, until the map has it.
    saved: Option<Saved>,
    resumed: u64,
    /// Who gave what has come.
    givers: BTreeSet<SourceId>,
    /// Whether all of it must come from one source, so that it is known whose a bad whole is.
    alone: bool,
    changes: u32,
    phase: Phase,
    tasks: HashMap<RunId, AbortOnDropHandle<()>>,
    listener: mpsc::Sender<(RunId, Event)>,
    events: mpsc::Receiver<(RunId, Event)>,
    jobs: mpsc::Sender<Job>,
    done: mpsc::Receiver<Done>,
    /// Jobs that the disk has no place for yet. While there are any, no more bytes are taken.
    outbox: VecDeque<Job>,
    /// Jobs that were not answered yet and will be.
    unanswered: usize,
    /// Answers of the disk about bytes before this are about bytes that were given up.
    epoch: u64,
    started: Instant,
    meter: Meter,
    throttle: Option<Throttle>,
    /// When the next bytes may be taken.
    pass_at: Instant,
    save_at: Instant,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(fetch: Fetch, mut place: Place, watcher: &'a mut dyn Watcher) -> Engine<'a> {
        let now = Instant::now();
        let Fetch { options, known, sources, guide, naming } = fetch;
        let mut roster = Roster::default();
        for (_, priority) in &sources {
            roster.add(*priority, rand::random(), now);
        }
        let sources: Vec<Arc<dyn Source>> = sources.into_iter().map(|(source, _)| source).collect();
        let (target, found) = (place.target().to_owned(), place.take_saved());
        let identities: Vec<String> = sources.iter().map(|source| source.identity()).collect();
        let saved = found.filter(|saved| {
            // Of what has nothing yet there is nothing to say.
            let is_empty = saved.written.total() == 0;
            let objection = saved.objection(&identities, known.size, &known.hashes);
            if let Some(why) = objection.as_ref().filter(|_| options.resume && !is_empty) {
                watcher.note(&Note::NotResumed(why.clone()));
            }
            options.resume && objection.is_none()
        });
        let (jobs, done) = disk::start(place);
        let (listener, events) = mpsc::channel(EVENTS);
        Engine {
            guide,
            watcher,
            target,
            naming,
            misnamed: None,
            sources,
            roster,
            schedule: Schedule::new(options.parallel, options.min_split, options.skip_limit),
            given: known,
            learned: Known::default(),
            has_looked: false,
            has_looked_ahead: false,
            is_described: false,
            version: saved.as_ref().map(|saved| saved.version.clone()),
            map: None,
            saved,
            resumed: 0,
            givers: BTreeSet::new(),
            alone: false,
            changes: 0,
            phase: Phase::Fetching,
            tasks: HashMap::new(),
            listener,
            events,
            jobs,
            done,
            outbox: VecDeque::new(),
            unanswered: 0,
            epoch: 0,
            started: now,
            meter: Meter::new(now),
            throttle: options.limit_rate.map(|rate| Throttle::new(rate, now)),
            pass_at: now,
            save_at: now,
            options,
        }
    }

    /// Works until it is done or cannot be.
    pub(crate) async fn drive(&mut self, cancel: &CancellationToken) -> Result<Fetched, FetchError> {
        let deadline = self.options.timeout.map(|limit| self.started + limit);
        let (mut tick, jobs) = (interval(TICK), self.jobs.clone());
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Some(size) = self.given.size {
            self.begin(size);
        }
        loop {
            self.settle()?;
            let (now, pass_at) = (Instant::now(), self.pass_at);
            let may_take = self.outbox.is_empty() && pass_at <= now;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(FetchError::Cancelled),
                () = at(deadline) => return Err(self.timed_out()),
                Some(done) = self.done.recv() => {
                    if let Some(fetched) = self.hear(done)? {
                        return Ok(fetched);
                    }
                }
                Ok(place) = jobs.reserve(), if !self.outbox.is_empty() => {
                    if let Some(job) = self.outbox.pop_front() {
                        place.send(job);
                    }
                }
                Some((run, event)) = self.events.recv(), if may_take => {
                    tokio::select! {
                        biased;
                        () = cancel.cancelled() => return Err(FetchError::Cancelled),
                        () = at(deadline) => return Err(self.timed_out()),
                        () = self.take(run, event) => {}
                    }
                }
                () = sleep_until(pass_at.into()), if pass_at > now => {}
                _ = tick.tick() => self.look(),
            }
        }
    }

    /// Does whatever can be done without waiting.
    fn settle(&mut self) -> Result<(), FetchError> {
        if let Some(error) = self.misnamed.take() {
            return Err(error);
        }
        if self.phase != Phase::Fetching {
            return Ok(());
        }
        if self.map.as_ref().is_some_and(PieceMap::is_complete) {
            if Instant::now() < self.pass_at {
                return Ok(());
            }
            self.stop_all();
            self.phase = Phase::Verifying;
            self.tell();
            self.push(Job::Compare);
            return Ok(());
        }
        while let Some(order) = self.next_order() {
            self.start(order);
        }
        let is_stuck = self.schedule.is_idle() && self.unanswered == 0 && self.roster.next_ready().is_none();
        if is_stuck { self.conclude() } else { Ok(()) }
    }

    fn next_order(&mut self) -> Option<Order> {
        let now = Instant::now();
        if self.map.is_none() {
            let from = self.saved.as_ref().map_or(0, Saved::reach);
            return self.schedule.scout(from, &mut self.roster, now);
        }
        if self.alone && self.schedule.is_idle() {
            let next = self.roster.next(now)?;
            self.roster.hold_to(Some(next));
            if self.givers.iter().any(|giver| *giver != next) {
                self.give_up_all();
                return self.next_order();
            }
        }
        let order = self.schedule.order(self.map.as_mut()?, &mut self.roster, now)?;
        if order.anew {
            self.forget_all();
        }
        Some(order)
    }

    fn start(&mut self, order: Order) {
        if let Some(loser) = order.instead_of {
            self.tasks.remove(&loser);
        }
        let Some(source) = self.sources.get(order.source.0) else { return };
        let wanted = Wanted {
            from: order.range.start,
            until: (order.range.end < u64::MAX).then_some(order.range.end),
            size: self.map.as_ref().map(PieceMap::size),
            version: self.roster.get(order.source).and_then(|standing| standing.version.clone()),
            skip_limit: self.options.skip_limit,
        };
        let (connect, idle) = (self.options.connect_timeout, self.options.idle_timeout);
        let limits = Limits { answer: connect + idle, idle };
        let work = connection::run(Arc::clone(source), wanted, limits, order.run, self.listener.clone());
        self.tasks.insert(order.run, AbortOnDropHandle::new(tokio::spawn(work)));
    }

    /// Begins to fill a map, now that the size is known.
    fn begin(&mut self, size: u64) {
        let pieces = self.given.pieces.clone().or_else(|| self.learned.pieces.clone());
        let mut map = PieceMap::new(size, pieces);
        let restored = self.saved.take().filter(|saved| saved.version.size == size).map(|mut saved| {
            saved.hold_back();
            let checks = map.restore(&saved.written);
            (map.written().clone(), checks)
        });
        self.resumed = map.come();
        self.map = Some(map);
        let (note, whole) = (Box::new(self.note(size)), self.whole_hashes());
        self.push(Job::Begin { note, size, whole });
        if let Some((written, checks)) = restored.filter(|_| self.resumed > 0) {
            self.watcher.note(&Note::Resumed(self.resumed));
            self.givers.insert(SourceId::EARLIER);
            let hashed = self.map.as_ref().is_some_and(PieceMap::has_hashes);
            let settled = if hashed { Default::default() } else { written };
            self.push(Job::Restore { epoch: self.epoch, settled, checks });
        }
        self.save_at = Instant::now() + self.options.save_every;
    }

    /// What is written down now.
    fn note(&self, size: u64) -> Saved {
        let identities = self.sources.iter().map(|source| source.identity()).collect();
        let version = self.version.clone().unwrap_or(Version { size, validators: Default::default() });
        let written = self.map.as_ref().map(|map| map.written().clone()).unwrap_or_default();
        Saved::new(identities, version, &self.hashes(), written)
    }

    fn push(&mut self, job: Job) {
        self.unanswered += usize::from(job.is_answered());
        self.outbox.push_back(job);
    }

    /// All hashes of the whole that are known.
    fn hashes(&self) -> Vec<Hash> {
        let mut hashes = self.given.hashes.clone();
        hashes.extend(self.learned.hashes.iter().cloned());
        hashes
    }

    /// Those that are compared: all that the caller gave, and the strongest.
    fn whole_hashes(&self) -> Vec<Hash> {
        let mut hashes = self.given.hashes.clone();
        let strongest = self.learned.hashes.iter().min_by_key(|hash| hash.algorithm());
        hashes.extend(
            strongest
                .filter(|hash| !hashes.iter().any(|known| known.algorithm() <= hash.algorithm()))
                .cloned(),
        );
        hashes
    }

    fn patience(&self) -> Patience {
        Patience { retries: self.options.retries, max_retry_after: self.options.max_retry_after }
    }

    fn name(&self, id: SourceId) -> String {
        self.sources.get(id.0).map(|source| source.name().to_owned()).unwrap_or_default()
    }

    fn stop_all(&mut self) {
        let runs: Vec<RunId> = self.schedule.iter().map(|(run, _)| run).collect();
        for run in runs {
            self.stop(run);
        }
    }

    /// Ends a run without a reproach.
    fn stop(&mut self, run: RunId) {
        self.tasks.remove(&run);
        self.schedule.end(run, &mut self.roster, Instant::now());
    }

    fn timed_out(&self) -> FetchError {
        FetchError::Timeout(self.options.timeout.unwrap_or_default().as_secs_f64())
    }

    fn drop_source(&mut self, id: SourceId) {
        if let Some(standing) = self.roster.get_mut(id) {
            standing.condition = Condition::Dropped;
        }
    }
}

/// Waits until then; for ever if there is no such time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
