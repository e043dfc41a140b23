//! Several clients that upload, read and delete without end, whatever becomes of the servers, and keep the ledger.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::DEADLINE;
use crate::harness::frames::{DELETE, FILESIZE, ID_GET, Reply, SADDRS, STAT, Wire, id_key, key};
use crate::harness::lab::{APP, USER};
use crate::harness::pattern::Random;
use crate::kill::ledger::{Entry, Ledger, State};

use super::site::Site;

const CLIENTS: u64 = 4;
/// How long a client that was refused waits before it asks for something else.
const BACK_OFF: Duration = Duration::from_millis(20);
/// Between two requests of a client: the files are to be read again at the end.
const REST: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Upload,
    Delete,
    Read,
    /// A number of the id server.
    Number,
    /// A group for a user who has none yet.
    Route,
}

pub(super) const ALL: &[Kind] = &[Kind::Upload, Kind::Delete, Kind::Read, Kind::Number, Kind::Route];
pub(super) const WRITES: &[Kind] = &[Kind::Upload, Kind::Delete];
pub(super) const FILES: &[Kind] = &[Kind::Upload, Kind::Delete, Kind::Read];

/// What the clients have seen so far.
#[derive(Default)]
pub(super) struct Gauge {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    is_over: bool,
    successes: Vec<(Instant, Kind)>,
    refusals: BTreeMap<(Kind, u16), usize>,
    /// The latest reason.
    reason: String,
    /// Connections that ended without an answer.
    broken: usize,
    numbers: Vec<i64>,
}

/// Works on the cluster while `during` runs, which is told what the clients see.
#[track_caller]
pub(super) fn under_load<T>(
    site: &Site,
    ledger: &mut Ledger,
    seed: u64,
    during: impl FnOnce(&Gauge) -> T,
) -> (T, Gauge) {
    let (shared, gauge) = (Mutex::new(std::mem::take(ledger)), Gauge::default());
    let mut random = Random::new(seed);
    let outcome = thread::scope(|scope| {
        let _end = End(&gauge);
        for n in 0..CLIENTS {
            let client = Client::new(&site.storage.address, &gauge, Random::new(random.next()));
            let (shared, names) = (&shared, format!("s{seed}c{n}"));
            scope.spawn(move || {
                client.run(|wire, random, n| work(wire, shared, random, &format!("{names}n{n}")))
            });
        }
        let numbers = Client::new(&site.id.address, &gauge, Random::new(0));
        scope.spawn(|| numbers.run(|wire, _, _| draw(wire, &gauge)));
        let routes = Client::new(&site.tracker.address, &gauge, Random::new(0));
        scope.spawn(move || routes.run(|wire, _, n| route(wire, &format!("s{seed}u{n}"))));
        during(&gauge)
    });
    *ledger = shared.into_inner().unwrap();
    (outcome, gauge)
}

/// Ends the load, also where the test fails.
struct End<'a>(&'a Gauge);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.seen().is_over = true;
    }
}

impl Gauge {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until `count` more requests of these kinds have succeeded.
    #[track_caller]
    pub(super) fn await_successes(&self, kinds: &[Kind], count: usize) {
        let done = |seen: &Seen| seen.successes.iter().filter(|(_, kind)| kinds.contains(kind)).count();
        let wanted = done(&self.seen()) + count;
        self.wait(&format!("{count} successes of {kinds:?}"), |seen| done(seen) >= wanted);
    }

    /// Waits until `count` more requests of these kinds have been refused.
    #[track_caller]
    pub(super) fn await_refusals(&self, kinds: &[Kind], count: usize) {
        let done = |seen: &Seen| seen.refused(kinds);
        let wanted = done(&self.seen()) + count;
        self.wait(&format!("{count} refusals of {kinds:?}"), |seen| done(seen) >= wanted);
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&Seen) -> bool) {
        let waiting = self.changed.wait_timeout_while(self.seen(), DEADLINE, |seen| !is_so(seen));
        let (seen, waited) = waiting.unwrap_or_else(std::sync::PoisonError::into_inner);
        assert!(!waited.timed_out(), "still waiting for {what}; {}", seen.summary());
    }

    pub(super) fn refusals(&self, kinds: &[Kind]) -> usize {
        self.seen().refused(kinds)
    }

    /// Connections that ended without an answer.
    pub(super) fn broken(&self) -> usize {
        self.seen().broken
    }

    /// The numbers that came.
    pub(super) fn numbers(&self) -> Vec<i64> {
        self.seen().numbers.clone()
    }

    /// The longest time without a success of one of these kinds.
    pub(super) fn longest_pause(&self, kinds: &[Kind]) -> Duration {
        let mut times: Vec<Instant> = self
            .seen()
            .successes
            .iter()
            .filter(|(_, kind)| kinds.contains(kind))
            .map(|(at, _)| *at)
            .collect();
        times.sort();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    pub(super) fn summary(&self) -> String {
        self.seen().summary()
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_all();
    }
}

impl Seen {
    fn refused(&self, kinds: &[Kind]) -> usize {
        self.refusals.iter().filter(|((kind, _), _)| kinds.contains(kind)).map(|(_, count)| count).sum()
    }

    fn summary(&self) -> String {
        let counts: Vec<String> = ALL
            .iter()
            .map(|kind| (kind, self.successes.iter().filter(|(_, done)| done == kind).count()))
            .map(|(kind, count)| format!("{kind:?} {count}"))
            .collect();
        format!(
            "done: {}; refused: {:?}, lately with \"{}\"; {} broken off",
            counts.join(", "),
            self.refusals,
            self.reason,
            self.broken
        )
    }
}

/// What came of a request.
enum Outcome {
    Done(Kind),
    Refused(Kind, Reply),
    /// There was nothing to ask for.
    Idle,
}

struct Client<'a> {
    address: &'a str,
    gauge: &'a Gauge,
    random: Random,
}

impl<'a> Client<'a> {
    fn new(address: &'a str, gauge: &'a Gauge, random: Random) -> Client<'a> {
        Client { address, gauge, random }
    }

    /// Asks for one thing after the other, on a new connection where the old one broke, until the load ends.
    fn run(mut self, mut ask: impl FnMut(&mut Wire, &mut Random, u64) -> io::Result<Outcome>) {
        let mut wire = None;
        for n in 0.. {
            if self.gauge.seen().is_over {
                return;
            }
            let mut connected = match wire.take().map_or_else(|| Wire::try_connect(self.address), Ok) {
                Ok(connected) => connected,
                Err(_) => {
                    thread::sleep(BACK_OFF);
                    continue;
                }
            };
            match ask(&mut connected, &mut self.random, n) {
                Ok(Outcome::Done(kind)) => {
                    self.gauge.note(|seen| seen.successes.push((Instant::now(), kind)));
                    wire = Some(connected);
                    thread::sleep(REST);
                }
                Ok(Outcome::Refused(kind, reply)) => {
                    let code = reply.refused();
                    assert!([503, 507].contains(&code), "{kind:?}: {}", reply.reason(code));
                    self.gauge.note(|seen| {
                        *seen.refusals.entry((kind, code)).or_default() += 1;
                        seen.reason = reply.reason(code);
                    });
                    // A connection with a body that was not taken ends.
                    thread::sleep(BACK_OFF);
                }
                Ok(Outcome::Idle) => wire = Some(connected),
                Err(_) => self.gauge.note(|seen| seen.broken += 1),
            }
        }
    }
}

fn outcome(kind: Kind, reply: Reply) -> Outcome {
    if reply.status == 0 { Outcome::Done(kind) } else { Outcome::Refused(kind, reply) }
}

fn draw(wire: &mut Wire, gauge: &Gauge) -> io::Result<Outcome> {
    let reply = wire.try_call(ID_GET, &id_key("drawn"))?;
    if let (0, Ok(number)) = (reply.status, reply.body.as_slice().try_into()) {
        gauge.note(|seen| seen.numbers.push(i64::from_be_bytes(number)));
    }
    Ok(outcome(Kind::Number, reply))
}

fn route(wire: &mut Wire, user: &str) -> io::Result<Outcome> {
    Ok(outcome(Kind::Route, wire.try_call(SADDRS, &key(APP, user, ""))?))
}

fn work(wire: &mut Wire, ledger: &Mutex<Ledger>, random: &mut Random, file: &str) -> io::Result<Outcome> {
    match random.below(10) {
        0..4 => upload(wire, ledger, random, file),
        4..6 => delete(wire, ledger, random),
        6..8 => look(wire, ledger, random),
        _ => download(wire, ledger, random),
    }
}

fn upload(wire: &mut Wire, ledger: &Mutex<Ledger>, random: &mut Random, file: &str) -> io::Result<Outcome> {
    let len = match random.below(16) {
        0 => 0,
        1 => random.below(600_000),
        _ => random.below(20_000),
    };
    let entry = Entry { seed: random.next(), len, state: State::Uploading };
    ledger.lock().unwrap().files.insert(file.to_owned(), entry);
    let reply = wire.try_upload(&key(APP, USER, file), &entry.contents())?;
    // Refused is not there, and does not come later.
    set(ledger, file, if reply.status == 0 { State::Present } else { State::Gone });
    Ok(outcome(Kind::Upload, reply))
}

fn delete(wire: &mut Wire, ledger: &Mutex<Ledger>, random: &mut Random) -> io::Result<Outcome> {
    let Some((file, _)) = pick(ledger, random, Some(State::Deleting)) else { return Ok(Outcome::Idle) };
    let key = key(APP, USER, &file);
    let reply = wire.try_call(DELETE, &key)?;
    if reply.status == 0 {
        set(ledger, &file, State::Gone);
        // Whoever asks from now on hears that, whatever a cache knows.
        let command = if random.below(2) == 0 { FILESIZE } else { STAT };
        let after = wire.try_call(command, &key)?;
        assert!(after.status != 0 && after.refused() != 200, "{file} is deleted and seen");
        assert!([404, 503].contains(&after.refused()), "{file}: {}", after.reason(404));
    }
    Ok(outcome(Kind::Delete, reply))
}

fn look(wire: &mut Wire, ledger: &Mutex<Ledger>, random: &mut Random) -> io::Result<Outcome> {
    let Some((file, entry)) = pick(ledger, random, None) else { return Ok(Outcome::Idle) };
    let reply = wire.try_call(FILESIZE, &key(APP, USER, &file))?;
    if reply.status == 0 {
        assert_eq!(reply.body, entry.len.to_be_bytes(), "{file}");
    }
    Ok(seen(ledger, &file, reply))
}

fn download(wire: &mut Wire, ledger: &Mutex<Ledger>, random: &mut Random) -> io::Result<Outcome> {
    let Some((file, entry)) = pick(ledger, random, None) else { return Ok(Outcome::Idle) };
    let reply = wire.try_download(&key(APP, USER, &file))?;
    assert!(reply.status != 0 || reply.body == entry.contents(), "{file} is damaged");
    Ok(seen(ledger, &file, reply))
}

/// What came of reading a file that was present before.
fn seen(ledger: &Mutex<Ledger>, file: &str, reply: Reply) -> Outcome {
    if reply.status == 0 || reply.refused() != 404 {
        return outcome(Kind::Read, reply);
    }
    // Another client may have deleted it meanwhile.
    assert_ne!(ledger.lock().unwrap().files[file].state, State::Present, "{file} is lost");
    Outcome::Done(Kind::Read)
}

/// A file that is present; with `claim` its state becomes that, so that no one else deletes it.
fn pick(ledger: &Mutex<Ledger>, random: &mut Random, claim: Option<State>) -> Option<(String, Entry)> {
    let mut ledger = ledger.lock().unwrap();
    let present = ledger.files.iter().filter(|(_, entry)| entry.state == State::Present);
    let nth = random.below(ledger.count(State::Present).max(1) as u64) as usize;
    let file = present.map(|(file, _)| file).nth(nth)?.clone();
    let entry = ledger.files.get_mut(&file)?;
    entry.state = claim.unwrap_or(entry.state);
    Some((file, *entry))
}

fn set(ledger: &Mutex<Ledger>, file: &str, state: State) {
    ledger.lock().unwrap().files.get_mut(file).unwrap().state = state;
}
