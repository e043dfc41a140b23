//! Two storages of a group on one volume, a folder or GlusterFS mounted twice: the same files at both, whatever becomes
//! of one of them.

use std::path::{Path, PathBuf};

use tnv_testbed::{Gluster, installed};

use crate::harness::frames::{
    APPEND, BEGIN, DELETE, FILESIZE, FINISH, PROGRESS, STATE, Wire, append, begin, finish, header, key,
    progress,
};
use crate::harness::lab::{APP, Lab, Role, Server, USER, list, wait_status};
use crate::harness::pattern::Pattern;
use crate::harness::{contents_below, eventually, temps_below, web};

#[test]
fn both_have_every_file_and_count_its_room_once() {
    every_file_at_both(&Cluster::on_folder());
}

#[test]
fn a_kill_touches_nothing_of_the_living_and_leaves_nothing() {
    a_kill(Cluster::on_folder());
}

#[test]
fn parts_are_written_at_one_storage_at_a_time_and_outlive_it() {
    parts(Cluster::on_folder());
}

#[test]
fn all_of_it_on_glusterfs() {
    if !installed(Gluster::PROGRAMS) {
        return;
    }
    let Some(gluster) = Gluster::start() else { return };
    let on = |folder: &str| Cluster::start(Lab::new(), gluster.mounts().map(|mount| mount.join(folder)));
    every_file_at_both(&on("files"));
    a_kill(on("kill"));
    parts(on("parts"));
}

struct Cluster {
    roles: [Role; 2],
    storages: [Server; 2],
    tracker: Server,
    store: PathBuf,
    _id: Server,
    /// Last, so that it is there until all others are gone.
    lab: Lab,
}

impl Cluster {
    fn on_folder() -> Cluster {
        let lab = Lab::new();
        let store = lab.path("store");
        Cluster::start(lab, [store.clone(), store])
    }

    /// With a storage for each way to the volume.
    fn start(lab: Lab, stores: [PathBuf; 2]) -> Cluster {
        let (tracker, id) = (Role::tracker(&lab).start(&lab), Role::id(&lab).start(&lab));
        let role = |name: &str, store: &Path| {
            Role::storage(&lab, "unused", &[&tracker.address], &[&id.address])
                .set("store_paths", list(&[store.to_str().unwrap()]))
                .set("replication", "shared-volume")
                .set("heartbeat_interval", "200ms")
                .named(name)
        };
        let roles = [role("storage-a", &stores[0]), role("storage-b", &stores[1])];
        let storages = [roles[0].start(&lab), roles[1].start(&lab)];
        wait_status(&tracker.address, "ACTIVE", 2);
        let [store, _] = stores;
        Cluster { roles, storages, tracker, store, _id: id, lab }
    }

    fn wire(&self, storage: usize) -> Wire {
        Wire::connect(&self.storages[storage].address)
    }

    fn upload(&self, storage: usize, file: &str, contents: &[u8]) {
        self.wire(storage).upload(&key(APP, USER, file), contents).ok();
    }

    /// Sends the first half of an upload and waits until it lies in the volume beside `others`.
    fn half_an_upload(&self, storage: usize, file: &str, contents: &[u8], others: usize) -> Wire {
        let mut wire = self.wire(storage);
        wire.begin_upload(&key(APP, USER, file), contents.len() as u64).unwrap();
        wire.send(&contents[..contents.len() / 2]);
        eventually("half an upload", || (temps_below(&self.store).len() == others + 1).then_some(()));
        wire
    }

    #[track_caller]
    fn assert_absent(&self, file: &str) {
        for storage in 0..2 {
            assert_eq!(self.wire(storage).call(FILESIZE, &key(APP, USER, file)).refused(), 404, "{file}");
        }
    }

    #[track_caller]
    fn assert_whole(&self, file: &str, contents: &[u8]) {
        for storage in 0..2 {
            let found = self.wire(storage).download(&key(APP, USER, file), 0, 0).ok();
            assert!(found == contents, "{file} at {storage}: {} bytes", found.len());
        }
    }
}

fn every_file_at_both(cluster: &Cluster) {
    let contents = Pattern::new(1, 3_000_000).bytes();
    cluster.upload(0, "film", &contents);
    cluster.assert_whole("film", &contents);
    cluster.wire(1).call(DELETE, &key(APP, USER, "film")).ok();
    cluster.assert_absent("film");
    assert!(contents_below(&cluster.store).is_empty());

    let http = Role::http(&[&cluster.tracker.address]).start(&cluster.lab);
    let state = Wire::connect(&cluster.tracker.address).call(STATE, &[]).ok();
    let by_gateway = web::get(&http.address, "/api/cluster", &[]).body;
    for json in [state, by_gateway] {
        let state: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let group = &state["groups"][0];
        let storages = group["storages"].as_array().unwrap();
        assert_eq!(storages.len(), 2, "{group}");
        assert_eq!(storages[0]["id"], storages[1]["id"]);
        assert_ne!(storages[0]["address"], storages[1]["address"]);
        assert_eq!(group["total_bytes"], storages[0]["load"]["total_bytes"], "{group}");
        assert!(group["free_bytes"].as_u64() <= group["total_bytes"].as_u64(), "{group}");
    }
}

fn a_kill(mut cluster: Cluster) {
    let contents = |seed: u64| Pattern::new(seed, 2_000_000).bytes();
    cluster.upload(0, "before", &contents(1));
    // Killed and started again, it settles what it left, and not what the other is writing.
    let _lost = cluster.half_an_upload(0, "lost", &contents(2), 0);
    let mut kept = cluster.half_an_upload(1, "kept", &contents(3), 1);
    cluster.storages[0].process.kill();
    cluster.storages[0] = cluster.roles[0].start(&cluster.lab);
    assert_eq!(temps_below(&cluster.store).len(), 1, "that of the living");
    kept.send(&contents(3)[1_000_000..]);
    kept.reply().ok();
    cluster.assert_whole("kept", &contents(3));
    cluster.assert_absent("lost");

    // Killed for good, the other one settles it while it goes on with its own.
    let _lost = cluster.half_an_upload(0, "lost", &contents(4), 0);
    let mut last = cluster.half_an_upload(1, "last", &contents(5), 1);
    cluster.storages[0].process.kill();
    eventually("the other settles it", || (temps_below(&cluster.store).len() == 1).then_some(()));
    last.send(&contents(5)[1_000_000..]);
    last.reply().ok();
    assert!(temps_below(&cluster.store).is_empty());
    cluster.storages[0] = cluster.roles[0].start(&cluster.lab);
    for (file, seed) in [("before", 1), ("kept", 3), ("last", 5)] {
        cluster.assert_whole(file, &contents(seed));
    }
    cluster.assert_absent("lost");
    assert_eq!(contents_below(&cluster.store).len(), 3);
}

fn parts(mut cluster: Cluster) {
    const LEN: u64 = 6_000_000;
    let (contents, file) = (Pattern::new(6, LEN).bytes(), key(APP, USER, "parts"));
    cluster.wire(0).call(BEGIN, &begin(&file, LEN)).ok();
    cluster.wire(0).call(APPEND, &append(&file, 0, &contents[..2_000_001])).ok();
    // A part that does not come to its end.
    let mut slow = cluster.wire(0);
    let fixed = append(&file, 2_000_001, &[]);
    slow.send(&header((fixed.len() + 3_000_000) as i64, APPEND));
    slow.send(&fixed);
    slow.send(&contents[2_000_001..3_000_000]);
    let parts = cluster.store.join(".tnv-parts");
    let data = || {
        let mut files = std::fs::read_dir(&parts).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|kind| kind == "data")).unwrap()
    };
    eventually("some of the part", || (data().metadata().unwrap().len() > 2_000_001).then_some(()));
    for (command, body) in [
        (APPEND, append(&file, 2_000_001, &contents[2_000_001..])),
        (FINISH, finish(&file)),
        (BEGIN, begin(&file, LEN)),
    ] {
        assert_eq!(cluster.wire(1).call(command, &body).refused(), 423, "command {command}");
    }

    cluster.storages[0].process.kill();
    let durable = eventually("the lock to go with its process", || {
        let reply = cluster.wire(1).call(BEGIN, &begin(&file, LEN));
        if reply.status != 0 {
            assert_eq!(reply.refused(), 423);
        }
        (reply.status == 0).then(|| progress(&reply.body).0)
    });
    assert!((2_000_001..3_000_000).contains(&durable), "{durable}");
    cluster.wire(1).call(APPEND, &append(&file, durable, &contents[durable as usize..5_000_000])).ok();
    cluster.storages[0] = cluster.roles[0].start(&cluster.lab);
    assert_eq!(progress(&cluster.wire(0).call(PROGRESS, &file).ok()), (5_000_000, LEN));
    cluster.wire(0).call(APPEND, &append(&file, 5_000_000, &contents[5_000_000..])).ok();
    cluster.wire(1).call(FINISH, &finish(&file)).ok();
    cluster.wire(0).call(FINISH, &finish(&file)).ok();
    cluster.assert_whole("parts", &contents);
    assert_eq!(std::fs::read_dir(parts).unwrap().count(), 0);
}
