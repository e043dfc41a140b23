//! Hub and nodes killed again and again while packages are downloaded and a meeting changes. Whatever breaks off goes on
//! elsewhere, every package that arrives is one that there was, and what the hub has acknowledged stays.

mod book;
mod client;
mod editor;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use super::NodeSite;
use crate::harness::lab::{Lab, Role, Server, USER, wait_active};
use crate::harness::pattern::Random;
use crate::harness::process::Process;
use crate::harness::web::get;
use crate::harness::{eventually, say};
use book::{Book, Counts};
use client::{Client, fetch};
use editor::Editor;

const KILLS: usize = 20;
const NODES: usize = 3;
const CLIENTS: usize = 5;
const MEETING: &str = "papers";

#[test]
fn twenty_kills_of_hub_and_nodes_mix_nothing_and_lose_nothing() {
    let seed = Random::seed();
    say(&format!("seed {seed}"));
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let _storage = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]).start(&lab);
    wait_active(&tracker.address, USER);
    // All clients have one address here: they would look like one that always comes back.
    let hub = Role::hub(&lab, &[&tracker.address]).set("probe_interval", "200ms").set("return_window", "0s");
    let mut site = Site::start(&lab, &hub);
    let (hub, random) = (site.hub.server.address.clone(), Mutex::new(Random::new(seed)));
    let draw = || Random::new(random.lock().unwrap().next());
    let (book, is_over) = (Book::default(), AtomicBool::new(false));
    let mut editor = Editor::new(&hub, &book, draw());
    editor.begin();

    thread::scope(|scope| {
        // Also when this thread panics: the others would work on for ever.
        let end = End(&is_over);
        let editing = scope.spawn(|| editor.work(&is_over));
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::new(&hub, &book);
                while !is_over.load(Ordering::Relaxed) {
                    client.download();
                }
            });
        }
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fetch(&lab, &hub, &book);
            }
        });
        let mut random = draw();
        for _ in 0..KILLS {
            site.kill_one(&book, &mut random);
        }
        drop(end);
        editing.join().unwrap();
    });
    editor.check();
    site.wait_until_whole();
    let counts = book.counts();
    say(&format!("seed {seed}: {KILLS} kills; {counts:?}; {} versions of a package", book.versions()));
    let Counts { finished, resumed, from_nodes, from_hub, broken, changes, .. } = counts;
    assert!(
        [finished, resumed, from_nodes, from_hub, broken, changes].iter().all(|count| *count > 0),
        "{counts:?}"
    );
}

/// Ends the work of all threads.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The servers that are killed.
struct Site<'a> {
    nodes: Vec<(NodeSite<'a>, Process)>,
    hub: Hub<'a>,
}

struct Hub<'a> {
    lab: &'a Lab,
    role: &'a Role,
    server: Server,
}

impl<'a> Site<'a> {
    fn start(lab: &'a Lab, hub: &'a Role) -> Site<'a> {
        let hub = Hub { lab, role: hub, server: hub.start(lab) };
        let node = |number: usize| {
            let name = format!("node-{number}");
            let settings = json!({"logging": {"fileEnabled": false}});
            let node = NodeSite::named(lab, &name, &name, &hub.server.address, settings);
            let process = node.start();
            (node, process)
        };
        Site { nodes: (1..=NODES).map(node).collect(), hub }
    }

    /// Kills a server in the middle of its work, waits until that has been felt or not, and starts it again.
    fn kill_one(&mut self, book: &Book, random: &mut Random) {
        let finished = book.counts().finished + 5 + random.below(15) as usize;
        book.wait_for("downloads", |counts| counts.finished > finished);
        // The hub has something to do for everybody, also when it gives nobody bytes.
        let is_hub = random.below(3) == 0;
        let victim = if is_hub { self.hub.server.address.clone() } else { book.anybody_at_work(random) };
        let before = book.counts();
        let Some((node, process)) = self.nodes.iter_mut().find(|(node, _)| node.address == victim) else {
            self.hub.server.process.kill();
            book.wait_for("the hub to be missed", |counts| counts.broken > before.broken);
            self.hub.server = self.hub.role.start(self.hub.lab);
            return;
        };
        process.kill();
        if random.below(2) == 0 {
            book.wait_for("others to go on", |counts| counts.finished > before.finished + 2);
        }
        *process = node.start();
    }

    /// Waits until all nodes have come back by themselves with the newest package, and compares them.
    fn wait_until_whole(&self) {
        let hub = &self.hub.server.address;
        let path = format!("/api/v1/meetings/{MEETING}");
        eventually("all nodes hold the newest package", || {
            (get(hub, &path, &[]).json()["holders"] == NODES).then_some(())
        });
        let newest = get(hub, &format!("{path}/download-package-direct"), &[]);
        assert_eq!(newest.status, 200);
        for (node, _) in &self.nodes {
            let held = get(&node.address, &format!("{path}/download-package"), &[]);
            assert_eq!((held.status, held.header("etag")), (200, newest.header("etag")), "{}", node.name);
            assert!(held.body == newest.body, "{} has other bytes", node.name);
        }
    }
}
