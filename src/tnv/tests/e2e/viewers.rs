//! Two hundred people watch one film at 4 Mbit/s each and seek at random. Each has a socket of its own, reads no
//! faster than a player with a small buffer would, and notes how far the film fell behind its schedule. Half of them
//! ask for one part after another, as browsers do; the others for all the rest, and hang up when they seek.

use std::io::Read;
use std::ops::Range;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::harness::frames::{Wire, key};
use crate::harness::lab::{APP, Lab, USER};
use crate::harness::pattern::{Pattern, Random};
use crate::harness::say;
use crate::harness::web::{Web, request};

const VIEWERS: u64 = 200;
const FILM: u64 = 400 << 20;
/// 4 Mbit/s, in bytes a second.
const RATE: u64 = 500_000;
/// What is watched between two seeks.
const PART: Range<u64> = 1 << 20..3 << 20;
/// How far a player reads ahead of what it shows.
const AHEAD: Duration = Duration::from_secs(2);
const WATCHING: Duration = Duration::from_secs(20);
/// The longest stall that is well.
const BAR: Duration = Duration::from_secs(1);
/// What fails the test: the machine it runs on may have other things to do as well.
const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn two_hundred_viewers_seek_at_random_and_none_waits() {
    let seed = Random::seed();
    let lab = Lab::new();
    let up = lab.up();
    let film = Pattern::new(61, FILM);
    store(&up.storage, &film);
    let together = Barrier::new(VIEWERS as usize);
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let viewers: Vec<_> = (0..VIEWERS)
            .map(|number| {
                let (film, together, http) = (&film, &together, &up.http);
                let random = Random::new(seed ^ (number << 32));
                let (web, hangs_up) = (Web::connect(http), number % 2 == 1);
                scope.spawn(move || Viewer { film, random, http, web, hangs_up }.watch(together))
            })
            .collect();
        viewers.into_iter().map(|viewer| viewer.join().unwrap()).collect()
    });
    let worst = seen.iter().map(|seen| seen.stall).max().unwrap();
    let stalled = seen.iter().filter(|seen| seen.stall > BAR).count();
    let (bytes, seeks): (u64, u64) =
        seen.iter().fold((0, 0), |(bytes, seeks), seen| (bytes + seen.bytes, seeks + seen.seeks));
    say(&format!(
        "seed {seed}: {VIEWERS} viewers, {seeks} seeks, {:.0} Mbit/s; worst stall {} ms; {stalled} viewers over {} ms",
        bytes as f64 * 8e-6 / WATCHING.as_secs_f64(),
        worst.as_millis(),
        BAR.as_millis(),
    ));
    assert!(worst < LIMIT, "a viewer waited {worst:?}");
    // Nobody who never waits longer than that can have got less.
    let due = VIEWERS * RATE * (WATCHING - LIMIT).as_secs();
    assert!(bytes > due, "{bytes} bytes, {due} were due");
}

fn store(storage: &str, film: &Pattern) {
    let mut wire = Wire::connect(storage);
    wire.begin_upload(&key(APP, USER, "film"), film.len()).unwrap();
    std::io::copy(&mut film.reader(0), &mut wire.stream).unwrap();
    assert!(wire.reply().ok().is_empty());
}

struct Viewer<'a> {
    film: &'a Pattern,
    random: Random,
    http: &'a str,
    web: Web,
    hangs_up: bool,
}

/// What one viewer went through.
struct Seen {
    bytes: u64,
    seeks: u64,
    /// The longest time the film stood still, the time from a seek to its first bytes included.
    stall: Duration,
}

impl Viewer<'_> {
    fn watch(mut self, together: &Barrier) -> Seen {
        let mut seen = Seen { bytes: 0, seeks: 0, stall: Duration::ZERO };
        together.wait();
        let end = Instant::now() + WATCHING;
        while Instant::now() < end {
            let part = PART.start + self.random.below(PART.end - PART.start);
            let offset = self.random.below(FILM - part);
            self.play(offset, part, end, &mut seen);
            seen.seeks += 1;
        }
        seen
    }

    /// Asks for a part of the film and shows it: the byte at `n` is due `n / RATE` after the request, later by all
    /// stalls before it.
    fn play(&mut self, offset: u64, len: u64, end: Instant, seen: &mut Seen) {
        let mut schedule = Instant::now();
        self.ask(offset, len);
        let mut buffer = vec![0; 64 * 1024];
        let mut done = 0;
        while done < len && Instant::now() < end {
            let most = buffer.len().min((len - done) as usize);
            let count = self.web.stream.read(&mut buffer[..most]).unwrap();
            assert!(count > 0, "cut off after {done} of {len} bytes");
            assert!(self.film.has(offset + done, &buffer[..count]), "wrong bytes at {}", offset + done);
            let late = Instant::now().saturating_duration_since(schedule + shown_after(done));
            seen.stall = seen.stall.max(late);
            schedule += late;
            done += count as u64;
            seen.bytes += count as u64;
            let full = schedule + shown_after(done);
            std::thread::sleep(full.saturating_duration_since(Instant::now() + AHEAD));
        }
        // A seek comes when this part has been seen.
        std::thread::sleep((schedule + shown_after(done)).min(end).saturating_duration_since(Instant::now()));
    }

    fn ask(&mut self, offset: u64, len: u64) {
        let range = if self.hangs_up {
            self.web = Web::connect(self.http);
            format!("bytes={offset}-")
        } else {
            format!("bytes={offset}-{}", offset + len - 1)
        };
        self.web.send(request("GET", "/files/film", &[("Range", &range)]).as_bytes());
        assert_eq!(self.web.head().unwrap().status, 206);
    }
}

fn shown_after(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / RATE as f64)
}
