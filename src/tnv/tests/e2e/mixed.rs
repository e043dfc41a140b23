//! Five hundred clients of every kind at one cluster at once: they store, read, seek, delete, break off in the middle and
//! take their time. Afterwards what was acknowledged is there, and nothing else.

mod books;
mod client;
mod site;

use std::sync::{Barrier, Mutex};
use std::time::Instant;

use self::books::Books;
use self::client::Client;
use self::site::Site;
use crate::harness::pattern::Random;
use crate::harness::{raise_descriptor_limit, say};

const CLIENTS: u64 = 500;
/// What each of them does, one after the other.
const OPERATIONS: u64 = 10;

/// Keys of the servers and their values, beside those that every run has.
#[derive(Default)]
struct Settings {
    storage: &'static [(&'static str, &'static str)],
    http: &'static [(&'static str, &'static str)],
}

#[test]
fn five_hundred_mixed_clients_get_what_was_acknowledged() {
    run(&Settings::default());
}

#[test]
fn the_same_with_sendfile_alone_and_each_upload_synced_by_itself() {
    run(&Settings { storage: &[("send_mode", "sendfile"), ("sync", "always")], ..Settings::default() });
}

#[test]
fn the_same_with_copies_alone_and_nothing_synced() {
    run(&Settings { storage: &[("send_mode", "copy"), ("sync", "none")], ..Settings::default() });
}

fn run(settings: &Settings) {
    raise_descriptor_limit(4 * CLIENTS);
    let seed = Random::seed();
    let mut site = Site::start(settings);
    let before = site.descriptors();
    let books = Mutex::new(Books::default());
    let start = Instant::now();
    let together = Barrier::new(CLIENTS as usize);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (site, books, together) = (site.addresses(), &books, &together);
            let client = Client::new(number, site, books, Random::new(seed ^ (number << 32)));
            scope.spawn(move || client.work(OPERATIONS, together));
        }
    });
    let took = start.elapsed();
    let mut books = books.into_inner().unwrap();
    books.check(&site);
    site.assert_descriptors(&before);
    let (present, gone, (whole, absent)) = books.counts();
    say(&format!(
        "seed {seed}: {CLIENTS} clients, {} operations in {:.1} s; {present} files present and whole, {gone} gone or never \
         finished; of those in doubt {whole} were whole and {absent} absent",
        CLIENTS * OPERATIONS,
        took.as_secs_f64(),
    ));
}
