//! Servers as separate processes that share one SQLite file: any order, several of a kind, restarts.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use crate::harness::frames::{ID_GET, ID_LEASE, Wire, groups, id_key, key};
use crate::harness::lab::{APP, Lab, Role, Server, USER, own_address, wait_active, wait_status};
use crate::harness::pattern::Pattern;
use crate::harness::{contents_below, eventually, web};

/// Waits until the gateway answers for this file as expected.
fn wait_gateway(http: &str, path: &str, contents: &[u8]) {
    eventually("the file through the gateway", || {
        let response = web::get(http, path, &[]);
        (response.status == 200).then(|| assert!(response.body == contents))
    });
}

#[test]
fn the_four_servers_start_in_any_order() {
    for order in [
        ["tracker", "id", "storage", "http"],
        ["http", "storage", "id", "tracker"],
        ["storage", "http", "tracker", "id"],
    ] {
        let lab = Lab::new();
        let (tracker, id) = (own_address(), own_address());
        let mut servers: Vec<(&str, Server)> = Vec::new();
        for role in order {
            let role_of = match role {
                "tracker" => Role::tracker(&lab).listen(&tracker),
                "id" => Role::id(&lab).listen(&id),
                "storage" => {
                    Role::storage(&lab, "store", &[&tracker], &[&id]).set("heartbeat_interval", "200ms")
                }
                _ => Role::http(&[&tracker]),
            };
            servers.push((role, role_of.start(&lab)));
        }
        let (group, addresses) = wait_active(&tracker, USER);
        assert_eq!(group, "group001");
        let address_of = |role: &str| &servers.iter().find(|(name, _)| *name == role).unwrap().1.address;
        assert_eq!(addresses, [address_of("storage").clone()]);
        let contents = Pattern::new(5, 700_000).bytes();
        // The storage may still be looking for its id server.
        eventually("an upload", || {
            let reply = Wire::connect(address_of("storage")).upload(&key(APP, USER, "f"), &contents);
            if reply.status != 0 {
                assert_eq!(reply.refused(), 503);
            }
            (reply.status == 0).then_some(())
        });
        wait_gateway(address_of("http"), "/files/f", &contents);
    }
}

#[test]
fn a_storage_is_active_at_every_tracker_and_one_tracker_is_enough() {
    let lab = Lab::new();
    let mut a = Role::tracker(&lab).named("tracker-a").start(&lab);
    let b = Role::tracker(&lab).named("tracker-b").start(&lab);
    let id = Role::id(&lab).start(&lab);
    let trackers = [a.address.as_str(), b.address.as_str()];
    let _storage = Role::storage(&lab, "store", &trackers, &[&id.address]).start(&lab);
    for tracker in trackers {
        wait_active(tracker, USER);
    }
    let http = Role::http(&trackers).start(&lab);
    let both = trackers.join(";");
    let clip = lab.file("clip", b"through two trackers");
    let upload = lab.client(&[&both, "upload", APP, USER, &clip]);
    assert!(upload.status.success(), "{upload:?}");
    let file = String::from_utf8(upload.stdout).unwrap();
    wait_gateway(&http.address, &format!("/files/{}", file.trim()), b"through two trackers");
    a.process.kill();
    wait_gateway(&http.address, &format!("/files/{}", file.trim()), b"through two trackers");
    let size = lab.client(&[&both, "filesize", APP, USER, file.trim()]);
    assert_eq!(String::from_utf8(size.stdout).unwrap().trim(), "20");
}

#[test]
fn two_trackers_give_a_user_one_group_even_at_once() {
    let lab = Lab::new();
    let a = Role::tracker(&lab).named("tracker-a").start(&lab);
    let b = Role::tracker(&lab).named("tracker-b").start(&lab);
    let id = Role::id(&lab).start(&lab);
    let trackers = [a.address.as_str(), b.address.as_str()];
    let storage = |n: usize| {
        let role = Role::storage(&lab, &format!("store{n}"), &trackers, &[&id.address]);
        role.set("group", format!("group00{n}")).named(&format!("storage-{n}")).start(&lab)
    };
    let _storages = [storage(1), storage(2), storage(3)];
    for tracker in trackers {
        wait_status(tracker, "ACTIVE", 3);
    }
    let mut seen = BTreeSet::new();
    for n in 0..40 {
        let user = format!("user{n}");
        let asked: Vec<String> = thread::scope(|scope| {
            let askers: Vec<_> = [trackers, trackers]
                .concat()
                .into_iter()
                .map(|t| scope.spawn(|| wait_active(t, &user).0))
                .collect();
            askers.into_iter().map(|asker| asker.join().unwrap()).collect()
        });
        assert!(asked.iter().all(|group| *group == asked[0]), "{user}: {asked:?}");
        seen.insert(asked[0].clone());
    }
    assert!(seen.len() > 1, "users are spread over groups: {seen:?}");
}

#[test]
fn a_user_keeps_its_group_over_restarts_and_while_its_storage_is_away() {
    let lab = Lab::new();
    let tracker_role = Role::tracker(&lab).set("check_interval", "50ms").set("offline_after", "1s");
    let mut tracker = tracker_role.start(&lab);
    let id = Role::id(&lab).start(&lab);
    let role = |n: usize| {
        Role::storage(&lab, &format!("store{n}"), &[&tracker.address], &[&id.address])
            .set("group", format!("group00{n}"))
            .set("heartbeat_interval", "100ms")
            .named(&format!("storage-{n}"))
    };
    let roles = [role(1), role(2)];
    let mut storages: Vec<Server> = roles.iter().map(|role| role.start(&lab)).collect();
    wait_status(&tracker.address, "ACTIVE", 2);
    let group = wait_active(&tracker.address, USER).0;
    tracker.process.kill();
    tracker = tracker_role.start(&lab);
    wait_status(&tracker.address, "ACTIVE", 2);
    assert_eq!(wait_active(&tracker.address, USER).0, group, "after a restart of the tracker");
    let own = usize::from(group == "group002");
    storages[own].process.kill();
    wait_status(&tracker.address, "OFFLINE", 1);
    let reply = Wire::connect(&tracker.address).call(12, &key(APP, USER, ""));
    assert_eq!(reply.refused(), 503, "no other group takes over");
    let _again = roles[own].start(&lab);
    assert_eq!(wait_active(&tracker.address, USER).0, group, "after its storage came back");
}

#[test]
fn two_storages_of_a_group_share_a_host() {
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let role = |name: &str| Role::storage(&lab, name, &[&tracker.address], &[&id.address]).named(name);
    let servers = [role("store-a").start(&lab), role("store-b").start(&lab)];
    wait_status(&tracker.address, "ACTIVE", 2);
    let (group, mut addresses) = wait_active(&tracker.address, USER);
    assert_eq!(group, "group001");
    addresses.sort();
    let mut wanted: Vec<String> = servers.iter().map(|server| server.address.clone()).collect();
    wanted.sort();
    assert_eq!(addresses, wanted);
    assert!(groups(&tracker.address).contains("       COUNT OF STORAGES: 2\nCOUNT OF ACTIVE STORAGES: 2\n"));
}

#[test]
fn storages_of_one_process_have_each_file_each() {
    let lab = Lab::new();
    let up = lab.up_with(&["--storages", "3"]);
    let (_, storages) = wait_active(&up.tracker, USER);
    assert_eq!(storages.len(), 3, "{storages:?}");
    let contents = Pattern::new(5, 300_000).bytes();
    let key = key(APP, USER, "film");
    Wire::connect(&storages[0]).upload(&key, &contents).ok();
    for storage in &storages {
        assert!(Wire::connect(storage).download(&key, 0, 0).ok() == contents, "{storage}");
    }
    for folder in ["data/store", "data/store-2", "data/store-3"] {
        eventually("a copy", || (contents_below(&lab.path(folder)).len() == 1).then_some(()));
    }
}

#[test]
fn files_outlive_restarts_of_everything() {
    let lab = Lab::new();
    let contents = Pattern::new(6, 2_000_000).bytes();
    let key = key(APP, USER, "f");
    let mut up = lab.up();
    Wire::connect(&up.storage).upload(&key, &contents).ok();
    assert!(up.process.terminate().success());
    let mut up = lab.up();
    assert!(Wire::connect(&up.storage).download(&key, 0, 0).ok() == contents);
    assert!(web::get(&up.http, "/files/f", &[]).body == contents);
    up.process.kill();
    let up = lab.up();
    assert!(Wire::connect(&up.storage).download(&key, 0, 0).ok() == contents);
    assert_eq!(Wire::connect(&up.storage).upload(&key, b"x").refused(), 409);
}

/// Its mark says whose a store path is: another group's storage must not serve it.
#[test]
fn a_store_path_of_another_group_is_refused_at_start() {
    let lab = Lab::new();
    let tracker = Role::tracker(&lab).start(&lab);
    let id = Role::id(&lab).start(&lab);
    let role = Role::storage(&lab, "store", &[&tracker.address], &[&id.address]);
    assert!(role.start(&lab).process.terminate().success());
    let moved = role.set("group", "group002");
    let output = crate::harness::process::run(crate::harness::process::tnv(), &moved.args());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("group001"), "{output:?}");
}

/// Two id servers on one database, asked by many at once, killed and started again: no number comes twice.
#[test]
fn ids_never_repeat_under_load_and_kills() {
    let lab = Lab::new();
    let roles = [Role::id(&lab).named("id-a").set("step", 10), Role::id(&lab).named("id-b").set("step", 10)];
    let mut servers: Vec<Server> = roles.iter().map(|role| role.start(&lab)).collect();
    let addresses: Vec<String> = servers.iter().map(|server| server.address.clone()).collect();
    let stop = AtomicBool::new(false);
    let (sender, numbers) = channel::<i64>();
    thread::scope(|scope| {
        for n in 0..6 {
            let (address, stop, sender) = (&addresses[n % 2], &stop, sender.clone());
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let _ = draw_numbers(address, n, stop, &sender);
                }
            });
        }
        drop(sender);
        let mut seen = HashSet::new();
        let mut take = |count: usize| {
            for number in numbers.iter().take(count) {
                assert!(seen.insert(number), "{number} twice");
            }
        };
        for round in 0..8 {
            take(1500);
            let victim = round % 2;
            servers[victim].process.kill();
            servers[victim] = roles[victim].start(&lab);
        }
        take(1500);
        stop.store(true, Ordering::Relaxed);
        take(usize::MAX);
        println!("{} numbers, none twice, over 8 kills", seen.len());
        assert!(seen.len() > 9 * 1500);
    });
}

/// Asks until the connection breaks; every other asker takes leases as well.
fn draw_numbers(
    address: &str,
    asker: usize,
    stop: &AtomicBool,
    sender: &std::sync::mpsc::Sender<i64>,
) -> std::io::Result<()> {
    let mut wire = Wire::try_connect(address)?;
    while !stop.load(Ordering::Relaxed) {
        let reply = wire.try_call(ID_GET, &id_key("../data"))?;
        if reply.status == 0 {
            let _ = sender.send(reply.integer());
        }
        if asker.is_multiple_of(2) {
            let reply = wire.try_call(ID_LEASE, &[&7_u32.to_be_bytes()[..], &id_key("../data")].concat())?;
            if reply.status == 0 {
                let first = i64::from_be_bytes(reply.body[..8].try_into().unwrap());
                let count = u32::from_be_bytes(reply.body[8..12].try_into().unwrap());
                for number in first..first + i64::from(count) {
                    let _ = sender.send(number);
                }
            }
        }
    }
    Ok(())
}
