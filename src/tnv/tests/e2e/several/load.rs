//! Clients at work: uploads, deletes and reads at storages and at gateways, and numbers from the id servers.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::client::Client;
use super::ledger::{Entry, Ledger, State};
use super::site::Site;
use crate::harness::DEADLINE;
use crate::harness::pattern::Random;

const WORKERS: usize = 6;
/// Who only draw numbers.
const DRAWERS: usize = 2;

/// What the clients did.
pub(super) struct Load {
    pub(super) requests: usize,
    pub(super) retried: usize,
    pub(super) numbers: usize,
}

impl Load {
    /// Works while `meanwhile` runs. It gets a function that waits for so many acknowledged operations.
    #[track_caller]
    pub(super) fn on(
        site: &Site,
        ledger: &mut Ledger,
        random: &mut Random,
        meanwhile: impl FnOnce(&dyn Fn(usize)),
    ) -> Load {
        let (shared, stop) = (Mutex::new(ledger), AtomicBool::new(false));
        let (sender, acknowledged) = channel();
        thread::scope(|scope| {
            let _stop = StopOnDrop(&stop);
            let workers: Vec<_> = (0..WORKERS)
                .map(|worker| {
                    let (shared, stop, sender) = (&shared, &stop, sender.clone());
                    let mut random = Random::new(random.next());
                    scope.spawn(move || {
                        let mut client = Client::of(site);
                        while !stop.load(Ordering::Relaxed) {
                            operate(&mut client, shared, &mut random);
                            let _ = sender.send(worker);
                        }
                        client
                    })
                })
                .collect();
            let drawers: Vec<_> = (WORKERS..WORKERS + DRAWERS)
                .map(|worker| {
                    let (stop, sender) = (&stop, sender.clone());
                    scope.spawn(move || {
                        let tell = || {
                            let _ = sender.send(worker);
                        };
                        draw(site, stop, &tell)
                    })
                })
                .collect();
            drop::<Sender<usize>>(sender);
            meanwhile(&|operations| wait(&acknowledged, operations));
            stop.store(true, Ordering::Relaxed);
            let clients: Vec<Client> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
            let mut numbers = HashSet::new();
            let mut load = Load { requests: 0, retried: 0, numbers: 0 };
            for (client, drawn) in drawers.into_iter().map(|drawer| drawer.join().unwrap()) {
                load.add(&client);
                for number in drawn {
                    assert!(numbers.insert(number), "number {number} was given twice");
                }
            }
            clients.iter().for_each(|client| load.add(client));
            load.numbers = numbers.len();
            load
        })
    }

    fn add(&mut self, client: &Client) {
        self.requests += client.requests;
        self.retried += client.retried;
    }
}

/// Ends the clients also when the test fails, or it would wait for them for ever.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for so many acknowledged operations, and until everybody has begun one and come to its end: nobody meets two
/// kills with one request, however slow it is.
#[track_caller]
fn wait(acknowledged: &Receiver<usize>, operations: usize) {
    // What was sent before now says nothing about what follows.
    while acknowledged.try_recv().is_ok() {}
    let mut ended = [0; WORKERS + DRAWERS];
    // The first one that ends may have begun before.
    while ended.iter().any(|n| *n < 2) || ended[..WORKERS].iter().sum::<usize>() < operations {
        ended[acknowledged.recv_timeout(DEADLINE).expect("the clients go on")] += 1;
    }
}

fn draw(site: &Site, stop: &AtomicBool, tell: &impl Fn()) -> (Client, Vec<i64>) {
    let (mut client, mut numbers) = (Client::of(site), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        numbers.push(client.number("several"));
        tell();
    }
    (client, numbers)
}

/// One operation of one client.
fn operate(client: &mut Client, ledger: &Mutex<&mut Ledger>, random: &mut Random) {
    match random.below(10) {
        0..3 => {
            let entry = begin(ledger, random);
            client.upload(&entry.user, &entry.file, &entry.contents());
            keep(ledger, Entry { state: State::Present, ..entry });
        }
        3..5 => {
            let entry = begin(ledger, random);
            let (file, may_be_twice) = client.post(&entry.user, &entry.contents());
            ledger.lock().unwrap().strays += usize::from(may_be_twice);
            keep(ledger, Entry { file, state: State::Present, ..entry });
        }
        5..7 => {
            let Some(entry) = pick(ledger, random, Some(State::Deleting)) else { return };
            client.delete(&entry.user, &entry.file);
            keep(ledger, Entry { state: State::Gone, ..entry });
        }
        kind => {
            let Some(entry) = pick(ledger, random, None) else { return };
            let found = match kind {
                7 => client.download(&entry.user, &entry.file),
                _ => client.get(&entry.user, &entry.file),
            };
            match found {
                Some(bytes) => {
                    assert!(bytes == entry.contents(), "{entry:?} is damaged: {} bytes", bytes.len())
                }
                // Another client may delete it meanwhile.
                None => {
                    let now = ledger.lock().unwrap().files[&entry.file].state;
                    assert_ne!(now, State::Present, "{entry:?} is lost");
                }
            }
        }
    }
}

/// A new file, of any user.
fn begin(ledger: &Mutex<&mut Ledger>, random: &mut Random) -> Entry {
    let ledger = ledger.lock().unwrap();
    let user = &ledger.users[random.below(ledger.users.len() as u64) as usize];
    Entry::new(user, random)
}

fn keep(ledger: &Mutex<&mut Ledger>, entry: Entry) {
    ledger.lock().unwrap().files.insert(entry.file.clone(), entry);
}

/// A file that is present; with `claim` its state becomes that, so that no one else deletes it.
fn pick(ledger: &Mutex<&mut Ledger>, random: &mut Random, claim: Option<State>) -> Option<Entry> {
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
    Some(entry.clone())
}
