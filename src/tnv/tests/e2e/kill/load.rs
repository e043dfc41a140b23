//! SIGKILL again and again under a mixed load of uploads, deletes and downloads.

use std::collections::HashSet;
use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use super::ledger::{Entry, Ledger, State};
use crate::harness::frames::{DELETE, ID_GET, Wire, id_key, key};
use crate::harness::lab::{APP, Lab, USER, Up};
use crate::harness::pattern::Random;
use crate::harness::say;

const ROUNDS: u64 = 12;
const WORKERS: u64 = 6;

#[test]
fn twelve_kills_under_load_lose_nothing() {
    let seed = Random::seed();
    let lab = Lab::new();
    let mut random = Random::new(seed);
    let mut ledger = Ledger::default();
    let mut numbers = HashSet::new();
    let mut operations = 0;
    for round in 0..ROUNDS {
        let mut up = lab.up();
        ledger.check(&up.storage, &lab.path("data"));
        let until = 30 + random.below(200) as usize;
        operations += until;
        let drawn = under_load(&mut up, &mut ledger, &mut random, round, until);
        for number in drawn {
            assert!(numbers.insert(number), "number {number} was given twice; seed {seed}");
        }
    }
    let mut up = lab.up();
    ledger.check(&up.storage, &lab.path("data"));
    let (present, gone, (whole, absent)) =
        (ledger.count(State::Present), ledger.count(State::Gone), ledger.doubts);
    say(&format!(
        "seed {seed}: {ROUNDS} kills, {operations} acknowledged operations and more, {present} files present and whole, \
         {gone} gone; of those in doubt {whole} were whole and {absent} absent; {} numbers, none twice",
        numbers.len()
    ));
    assert!(up.process.terminate().success());
}

/// Works on the cluster until so many operations are acknowledged, then kills it. The numbers drawn meanwhile.
fn under_load(up: &mut Up, ledger: &mut Ledger, random: &mut Random, round: u64, until: usize) -> Vec<i64> {
    let shared = Mutex::new(std::mem::take(ledger));
    let (sender, acknowledged) = channel();
    let (storage, id) = (up.storage.clone(), up.id.clone());
    let drawn = thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (shared, storage, sender) = (&shared, &storage, sender.clone());
            let random = Random::new(random.next());
            let names = format!("r{round}w{worker}");
            scope.spawn(move || {
                // Ends with the connection, that is with the kill.
                let _ = work(storage, shared, &sender, random, &names);
            });
        }
        drop(sender);
        let numbers = scope.spawn(|| draw(&id));
        let done = acknowledged.iter().take(until).count();
        up.process.kill();
        drop(acknowledged);
        assert_eq!(done, until, "the workers gave up before the kill");
        numbers.join().unwrap()
    });
    *ledger = shared.into_inner().unwrap();
    drawn
}

fn draw(id: &str) -> Vec<i64> {
    let mut numbers = Vec::new();
    if let Ok(mut wire) = Wire::try_connect(id) {
        while let Ok(reply) = wire.try_call(ID_GET, &id_key("ledger")) {
            numbers.push(reply.integer());
        }
    }
    numbers
}

/// One client: uploads, deletes and downloads at random until the connection breaks.
fn work(
    storage: &str,
    ledger: &Mutex<Ledger>,
    acknowledged: &Sender<()>,
    mut random: Random,
    names: &str,
) -> io::Result<()> {
    let mut wire = Wire::try_connect(storage)?;
    for n in 0.. {
        match random.below(10) {
            0..5 => upload(&mut wire, ledger, &mut random, &format!("{names}n{n}"))?,
            5..7 => delete(&mut wire, ledger, &mut random)?,
            _ => download(&mut wire, ledger, &mut random)?,
        }
        let _ = acknowledged.send(());
    }
    Ok(())
}

fn upload(wire: &mut Wire, ledger: &Mutex<Ledger>, random: &mut Random, file: &str) -> io::Result<()> {
    let len = match random.below(8) {
        0 => 0,
        1 => random.below(2_000_000),
        _ => random.below(40_000),
    };
    let entry = Entry { seed: random.next(), len, state: State::Uploading };
    ledger.lock().unwrap().files.insert(file.to_owned(), entry);
    wire.try_upload(&key(APP, USER, file), &entry.contents())?.ok();
    set(ledger, file, State::Present);
    Ok(())
}

fn delete(wire: &mut Wire, ledger: &Mutex<Ledger>, random: &mut Random) -> io::Result<()> {
    let Some((file, _)) = pick(ledger, random, Some(State::Deleting)) else { return Ok(()) };
    wire.try_call(DELETE, &key(APP, USER, &file))?.ok();
    set(ledger, &file, State::Gone);
    Ok(())
}

fn download(wire: &mut Wire, ledger: &Mutex<Ledger>, random: &mut Random) -> io::Result<()> {
    let Some((file, entry)) = pick(ledger, random, None) else { return Ok(()) };
    let reply = wire.try_download(&key(APP, USER, &file))?;
    if reply.status == 0 {
        assert!(reply.body == entry.contents(), "{file} is damaged");
    } else {
        // Another worker may delete it meanwhile.
        assert_eq!(reply.refused(), 404, "{file}");
        assert_ne!(ledger.lock().unwrap().files[&file].state, State::Present, "{file} is lost");
    }
    Ok(())
}

/// A file that is present; with `claim` its state becomes that, so that no one else deletes it.
fn pick(ledger: &Mutex<Ledger>, random: &mut Random, claim: Option<State>) -> Option<(String, Entry)> {
    let mut ledger = ledger.lock().unwrap();
    let mut present: Vec<&String> = ledger
        .files
        .iter()
        .filter(|(_, entry)| entry.state == State::Present)
        .map(|(file, _)| file)
        .collect();
    present.sort();
    let file = present.get(random.below(present.len().max(1) as u64) as usize).map(|file| (*file).clone())?;
    let entry = ledger.files.get_mut(&file)?;
    if let Some(state) = claim {
        entry.state = state;
    }
    Some((file.clone(), *entry))
}

fn set(ledger: &Mutex<Ledger>, file: &str, state: State) {
    ledger.lock().unwrap().files.get_mut(file).unwrap().state = state;
}
