//! Members of a group of copies that an administrator drains, brings back and removes, under load.

use std::process::Output;

use serde_json::Value;

use crate::harness::eventually;
use crate::harness::frames::{STATE, Wire, groups};
use crate::harness::lab::{APP, USER};
use crate::harness::pattern::Pattern;
use crate::harness::process::text;
use crate::peers::group::{Group, STORAGES};
use crate::peers::work::{Counts, Worker, under_load};

const REFUSED: i32 = 4;

impl Group {
    /// Who the storage is, as trackers know it, once they do.
    #[track_caller]
    pub(crate) fn identity(&self, storage: usize) -> String {
        eventually("its identity", || {
            let state = Wire::connect(self.tracker()).call(STATE, &[]).ok();
            let state: Value = serde_json::from_slice(&state).ok()?;
            let mut storages = state["groups"][0]["storages"].as_array()?.iter();
            let found = storages.find(|found| found["address"] == self.address(storage))?;
            found["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
        })
    }

    fn client(&self, words: &[&str]) -> Output {
        self.lab.client(&[&[self.tracker(), "--json"], words].concat())
    }

    /// What a command says that succeeds.
    #[track_caller]
    pub(crate) fn client_ok(&self, words: &[&str]) -> Value {
        let output = self.client(words);
        assert!(output.status.success(), "{words:?}: {:?}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[track_caller]
    fn client_fails(&self, words: &[&str], code: i32) -> String {
        let output = self.client(words);
        let (out, err) = text(&output);
        assert_eq!((output.status.code(), out.as_str()), (Some(code), ""), "{words:?}: {err}");
        err
    }

    /// What trackers know of the storage at this address.
    fn state_of(&self, address: &str) -> Value {
        let state = Wire::connect(self.tracker()).call(STATE, &[]).ok();
        let state: Value = serde_json::from_slice(&state).unwrap();
        let storages = state["groups"][0]["storages"].as_array().unwrap();
        storages.iter().find(|storage| storage["address"] == address).unwrap().clone()
    }

    /// Files that this member is known to lack.
    fn backlog(&self, address: &str) -> u64 {
        self.client_ok(&["undrain", address])["backlog"].as_u64().unwrap()
    }
}

#[test]
fn a_storage_that_was_drained_under_load_may_be_wiped() {
    let mut group = Group::start();
    let workers = (0..3).map(|n| Worker::new(n, &group, n as u64 + 40)).collect();
    let workers = under_load(workers, |wait| {
        wait(60);
        let address = group.address(0).to_owned();
        let drained = group.client_ok(&["drain", &address, "--wait"]);
        assert_eq!((&drained["may_be_switched_off"], &drained["only_here"]), (&true.into(), &0.into()));
        // Nobody waits for an interval: trackers are told at once.
        eventually("trackers know", || (group.state_of(&address)["membership"] == "draining").then_some(()));
        assert!(groups(group.tracker()).contains("STATUS: DRAINING"));
        group.kill(0);
        std::fs::remove_dir_all(group.store(0)).unwrap();
        wait(40);
        let id = drained["id"].as_str().unwrap();
        assert_eq!(group.client_ok(&["remove", id])["membership"], "removed");
        wait(20);
        // Another one with empty paths takes its place.
        group.restart(0);
        eventually("it is a new member", || (group.state_of(group.address(0))["id"] != id).then_some(()));
    });
    let count = workers.iter().map(|worker| worker.count(&group)).sum();
    group.wait_bytes_at_all(count);
    let mut counts = Counts::default();
    workers.iter().for_each(|worker| worker.check(&group, &mut counts));
    assert!(counts.present > 0 && counts.gone > 0, "{counts:?}");
}

#[test]
fn a_dead_member_is_removed_with_its_orders_when_nothing_is_lost_by_it() {
    let mut group = Group::start();
    let contents = Pattern::new(1, 40_000).bytes();
    group.upload(2, "first", &contents);
    group.wait_bytes_at_all(1);
    let address = group.address(2).to_owned();
    let id = group.state_of(&address)["id"].as_str().unwrap().to_owned();
    // What only it has is not given up without force.
    group.kill(0);
    group.kill(1);
    group.upload(2, "second", &contents);
    group.kill(2);
    group.restart(0);
    group.restart(1);
    assert!(group.client_fails(&["remove", &id], REFUSED).contains("1 files"));
    group.restart(2);
    group.wait_bytes_at_all(2);
    group.kill(2);
    group.upload(0, "third", &contents);
    let removed = group.client_ok(&["remove", &id]);
    assert_eq!((&removed["membership"], &removed["backlog"]), (&"removed".into(), &0.into()));
    assert!(group.client_fails(&["drain", &id], REFUSED).contains("removed"));
    group.upload(1, "fourth", &contents);
    group.wait_bytes(0, 4);
    for storage in 0..2 {
        assert_eq!(group.backlog(group.address(storage)), 0);
    }
    assert!(
        group.wire(0).upload(&crate::harness::frames::key(APP, USER, "fifth"), &contents).ok().is_empty()
    );
}

#[test]
fn who_was_drained_takes_uploads_again_and_the_last_one_is_not_drained() {
    let group = Group::start();
    let contents = Pattern::new(2, 10_000).bytes();
    for storage in 0..STORAGES - 1 {
        group.client_ok(&["drain", group.address(storage)]);
    }
    group.client_fails(&["drain", group.address(STORAGES - 1)], REFUSED);
    let key = crate::harness::frames::key(APP, USER, "refused");
    assert_eq!(group.wire(0).upload(&key, &contents).refused(), 503);
    // The client finds the one that is left.
    let path = group.lab.file("film", &contents);
    group.client_ok(&["upload", APP, USER, &path]);
    group.wait_bytes_at_all(1);
    assert_eq!(group.client_ok(&["undrain", group.address(0)])["membership"], "active");
    group.upload(0, "again", &contents);
    group.wait_bytes_at_all(2);
}
