//! Three storages with folders of their own, and what they need.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::harness::frames::{Reply, STATE, Wire, key, range};
use crate::harness::lab::{APP, Lab, Role, Server, USER};
use crate::harness::{contents_below, eventually};

pub(crate) const STORAGES: usize = 3;
const FETCH: u8 = 83;

pub(crate) struct Group {
    roles: Vec<Role>,
    storages: Vec<Server>,
    /// Tracker and id server, and how they are started.
    others: [(Role, Server); 2],
    /// Last, so that it is there until all others are gone.
    pub(crate) lab: Lab,
}

impl Group {
    pub(crate) fn start() -> Group {
        Group::start_with(|tracker| tracker, |storage| storage)
    }

    /// Whose storages answer uploads when two of them have the file, or refuse them.
    pub(crate) fn acknowledging_two() -> Group {
        Group::start_with(
            |tracker| tracker,
            |storage| storage.set("ack_copies", "2").set("ack_strict", "true"),
        )
    }

    /// With a tracker that notices within a second who is gone.
    pub(crate) fn watched() -> Group {
        let quick = |tracker: Role| tracker.set("check_interval", "50ms").set("offline_after", "1s");
        Group::start_with(quick, |storage| storage)
    }

    fn start_with(of_tracker: impl FnOnce(Role) -> Role, of_storage: impl Fn(Role) -> Role) -> Group {
        let lab = Lab::new();
        let others = [of_tracker(Role::tracker(&lab)), Role::id(&lab)].map(|role| {
            let server = role.start(&lab);
            (role, server)
        });
        let [(_, tracker), (_, id)] = &others;
        let role = |n: usize| {
            let role = Role::storage(&lab, &store(n), &[&tracker.address], &[&id.address])
                .set("replication", "copies")
                .set("heartbeat_interval", "200ms")
                .set("row_lease", "1s")
                .named(&store(n));
            of_storage(role)
        };
        let roles: Vec<_> = (0..STORAGES).map(role).collect();
        let storages = roles.iter().map(|role| role.start(&lab)).collect();
        wait_serving(&tracker.address, STORAGES);
        Group { roles, storages, others, lab }
    }

    pub(crate) fn tracker(&self) -> &str {
        &self.others[0].1.address
    }

    pub(crate) fn address(&self, storage: usize) -> &str {
        &self.storages[storage].address
    }

    pub(crate) fn store(&self, storage: usize) -> PathBuf {
        self.lab.path(&store(storage))
    }

    pub(crate) fn kill(&mut self, storage: usize) {
        self.storages[storage].process.kill();
    }

    pub(crate) fn signal(&self, storage: usize, signal: Signal) {
        self.storages[storage].process.signal(signal);
    }

    pub(crate) fn restart(&mut self, storage: usize) {
        self.storages[storage] = self.roles[storage].start(&self.lab);
    }

    /// Kills the tracker (0) or the id server (1), and starts it again once `meanwhile` has come to its end.
    pub(crate) fn without(&mut self, other: usize, meanwhile: impl FnOnce()) {
        self.others[other].1.process.kill();
        meanwhile();
        self.others[other].1 = self.others[other].0.start(&self.lab);
    }

    #[track_caller]
    pub(crate) fn wire(&self, storage: usize) -> Wire {
        Wire::connect(self.address(storage))
    }

    #[track_caller]
    pub(crate) fn upload(&self, storage: usize, file: &str, contents: &[u8]) {
        self.wire(storage).upload(&key(APP, USER, file), contents).ok();
    }

    #[track_caller]
    pub(crate) fn download(&self, storage: usize, file: &str) -> Reply {
        self.wire(storage).download(&key(APP, USER, file), 0, 0)
    }

    /// What lies on this storage itself.
    #[track_caller]
    pub(crate) fn fetch(&self, storage: usize, file: &str) -> Reply {
        let body = [range(&key(APP, USER, file), 0, 0), vec![0; 32]].concat();
        self.wire(storage).call(FETCH, &body)
    }

    /// What the tracker was told by this storage.
    #[track_caller]
    pub(crate) fn load_of(&self, storage: usize) -> Option<serde_json::Value> {
        let state = Wire::connect(self.tracker()).call(STATE, &[]).ok();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        let storages = state["groups"][0]["storages"].as_array()?;
        let found = storages.iter().find(|found| found["address"] == self.address(storage))?;
        Some(found["load"].clone()).filter(|load| !load.is_null())
    }

    /// Waits until this storage has the bytes of so many files.
    #[track_caller]
    pub(crate) fn wait_bytes(&self, storage: usize, count: usize) {
        eventually(&format!("{count} files at {storage}"), || {
            (contents_below(&self.store(storage)).len() == count).then_some(())
        });
    }

    /// Waits until every storage has the bytes of so many files, and no others.
    #[track_caller]
    pub(crate) fn wait_bytes_at_all(&self, count: usize) {
        (0..STORAGES).for_each(|storage| self.wait_bytes(storage, count));
    }
}

/// Waits until clients are sent to so many storages: those that fill as well.
#[track_caller]
fn wait_serving(tracker: &str, count: usize) {
    eventually(&format!("{count} storages that serve"), || {
        let state = Wire::connect(tracker).call(STATE, &[]).ok();
        let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
        let storages = state["groups"][0]["storages"].as_array()?;
        let serving = storages.iter().filter(|storage| storage["status"] == "ACTIVE").count();
        (serving == count).then_some(())
    });
}

fn store(n: usize) -> String {
    format!("storage-{n}")
}
