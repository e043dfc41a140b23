//! Commands 10 to 16.

use std::collections::BTreeSet;

use crate::harness::frames::{self, BEAT, JOIN, LOCATE, REPORT, SADDRS, STATE, Wire, beat, field, join, key};
use crate::harness::lab::{APP, Lab, Role, Server, USER, wait_status};

fn tracker(lab: &Lab) -> Server {
    Role::tracker(lab).start(lab)
}

/// A storage that exists only on its connection to the tracker.
fn fake_storage(tracker: &str, group: &str, host: &str, port: u16) -> Wire {
    let mut wire = Wire::connect(tracker);
    assert!(wire.call(JOIN, &join(group, host, port)).ok().is_empty());
    assert!(wire.call(BEAT, &beat(group, host)).ok().is_empty());
    wire
}

fn saddrs(tracker: &str, user: &str) -> (String, Vec<String>) {
    frames::addresses(&Wire::connect(tracker).call(SADDRS, &key(APP, user, "f")).ok())
}

#[test]
fn bad_fields_are_400_and_the_connection_lives() {
    let lab = Lab::new();
    let server = tracker(&lab);
    let mut wire = Wire::connect(&server.address);
    let full = |field_at: usize, len: usize, body: Vec<u8>| {
        let mut body = body;
        body[field_at..field_at + len].fill(b'x');
        body
    };
    let good = || join("group001", "host-a", 23000);
    for (what, command, body) in [
        ("version without NUL", JOIN, full(0, 7, good())),
        ("group without NUL", JOIN, full(7, 17, good())),
        ("host without NUL", JOIN, full(24, 129, good())),
        ("empty group", JOIN, join("", "host-a", 23000)),
        ("group with a dash", JOIN, join("group-1", "host-a", 23000)),
        ("group in Chinese", JOIN, join("组", "host-a", 23000)),
        ("empty host", JOIN, join("group001", "", 23000)),
        ("port 0", JOIN, join("group001", "host-a", 0)),
        ("group without NUL", BEAT, full(0, 17, beat("group001", "host-a"))),
        ("host without NUL", BEAT, full(17, 129, beat("group001", "host-a"))),
        ("app without NUL", SADDRS, full(0, 16, key(APP, USER, "f"))),
        ("user without NUL", SADDRS, full(16, 256, key(APP, USER, "f"))),
        ("file without NUL", SADDRS, full(272, 128, key(APP, USER, "f"))),
        ("empty app", SADDRS, key("", USER, "f")),
        ("app with a dot", SADDRS, key("tnv.video", USER, "f")),
        ("app with a quote", SADDRS, key("tnv'video", USER, "f")),
        ("empty user", SADDRS, key(APP, "", "f")),
        ("user not UTF-8", SADDRS, [field(APP, 16), field(b"\xff\xfe", 256), field("f", 128)].concat()),
        (
            "report that is no JSON",
            REPORT,
            [field("group001", 17), field("host-a", 129), vec![0x59, 0xd8, b'{']].concat(),
        ),
    ] {
        assert_eq!(wire.call(command, &body).refused(), 400, "{what}");
    }
    assert!(wire.call(JOIN, &good()).ok().is_empty());
}

#[test]
fn an_app_that_is_not_configured_is_403() {
    let lab = Lab::new();
    let server = Role::tracker(&lab).set("apps", r#"["tnvideo", "other"]"#).start(&lab);
    let _storage = fake_storage(&server.address, "group001", "host-a", 23000);
    let mut wire = Wire::connect(&server.address);
    assert_eq!(wire.call(SADDRS, &key("stranger", USER, "f")).refused(), 403);
    assert_eq!(wire.call(SADDRS, &key("TNVIDEO", USER, "f")).refused(), 403);
    for app in ["tnvideo", "other"] {
        wire.call(SADDRS, &key(app, USER, "f")).ok();
    }
}

#[test]
fn a_group_must_be_known_unless_groups_are_created() {
    let lab = Lab::new();
    let server = Role::tracker(&lab).set("auto_create_groups", false).start(&lab);
    let mut wire = Wire::connect(&server.address);
    assert_eq!(wire.call(JOIN, &join("nosuch", "host-a", 23000)).refused(), 404);
    assert_eq!(wire.call(BEAT, &beat("nosuch", "host-a")).refused(), 404);
    assert_eq!(frames::groups(&server.address).lines().last(), Some("         COUNT OF GROUPS: 0"));
}

#[test]
fn a_beat_without_a_join_is_404() {
    let lab = Lab::new();
    let server = tracker(&lab);
    let _storage = fake_storage(&server.address, "group001", "host-a", 23000);
    assert_eq!(Wire::connect(&server.address).call(BEAT, &beat("group001", "host-b")).refused(), 404);
}

#[test]
fn a_storage_is_online_then_active_then_offline_then_active_again() {
    let lab = Lab::new();
    let server = Role::tracker(&lab).set("check_interval", "50ms").set("offline_after", "400ms").start(&lab);
    let address = &server.address;
    let mut wire = Wire::connect(address);
    assert_eq!(wire.call(SADDRS, &key(APP, USER, "")).refused(), 503, "no storage at all");
    wire.call(JOIN, &join("group001", "host-a", 23000)).ok();
    wait_status(address, "ONLINE", 1);
    assert_eq!(wire.call(SADDRS, &key(APP, USER, "")).refused(), 503, "none is ACTIVE");
    wire.call(BEAT, &beat("group001", "host-a")).ok();
    assert_eq!(saddrs(address, USER), ("group001".to_owned(), vec!["127.0.0.1:23000".to_owned()]));
    wait_status(address, "OFFLINE", 1);
    assert_eq!(wire.call(SADDRS, &key(APP, USER, "")).refused(), 503, "it is OFFLINE");
    Wire::connect(address).call(BEAT, &beat("group001", "host-a")).ok();
    assert_eq!(saddrs(address, USER).0, "group001", "a beat on another connection is matched by host and ip");
}

#[test]
fn groups_is_laid_out_as_older_clients_print_it() {
    let lab = Lab::new();
    let server = tracker(&lab);
    assert_eq!(frames::groups(&server.address), "         COUNT OF GROUPS: 0");
    let _active = fake_storage(&server.address, "group002", "host-a", 23000);
    Wire::connect(&server.address).call(JOIN, &join("group002", "host-b", 23001)).ok();
    let text = frames::groups(&server.address);
    let lines: Vec<(&str, &str)> = text
        .lines()
        .map(|line| {
            let (label, value) = line.split_at(24);
            (label.trim_start(), value.strip_prefix(": ").expect(line))
        })
        .collect();
    let labels: Vec<&str> = lines.iter().map(|(label, _)| *label).collect();
    let group = ["COUNT OF GROUPS", "GROUPNAME", "COUNT OF STORAGES", "COUNT OF ACTIVE STORAGES"];
    let storage = ["VERSION", "HOSTNAME", "ADDRESS", "STARTUP TIME", "JOIN TIME", "BEAT TIME", "STATUS"];
    assert_eq!(labels, [&group[..], &storage, &storage].concat());
    let values: Vec<&str> = lines.iter().map(|(_, value)| *value).collect();
    assert_eq!(values[..7], ["1", "group002", "2", "1", "1.0", "host-a", "127.0.0.1:23000"]);
    assert_eq!((values[10], values[12], values[17]), ("ACTIVE", "host-b", "ONLINE"));
    // Such as `Fri Nov 20 10:25:28 2026`: 24 characters, the day of the month in two columns.
    for time in [values[7], values[8], values[9]] {
        let words: Vec<&str> = time.split_whitespace().collect();
        assert_eq!((time.len(), words.len()), (24, 5), "{time}");
        assert_eq!(words[3].split(':').map(str::len).collect::<Vec<_>>(), [2, 2, 2], "{time}");
    }
    assert!(values[7].ends_with("2023"), "the start time is the one that JOIN gave: {}", values[7]);
}

#[test]
fn saddrs_gives_up_to_three_active_storages_from_a_random_start() {
    let lab = Lab::new();
    let server = tracker(&lab);
    let _storages: Vec<Wire> =
        (0..5).map(|n| fake_storage(&server.address, "group001", &format!("host-{n}"), 23000 + n)).collect();
    Wire::connect(&server.address).call(JOIN, &join("group001", "online-only", 24000)).ok();
    let mut first = BTreeSet::new();
    for _ in 0..200 {
        let (group, addresses) = saddrs(&server.address, USER);
        assert_eq!((group.as_str(), addresses.len()), ("group001", 3));
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 3, "{addresses:?}");
        first.insert(addresses[0].clone());
    }
    let all: BTreeSet<String> = (23000..23005).map(|port| format!("127.0.0.1:{port}")).collect();
    assert_eq!(first, all, "each comes first now and then, and no other");
}

/// Two storages of one host: told apart by port, and by the connection of their JOIN.
#[test]
fn two_storages_may_share_a_host() {
    let lab = Lab::new();
    let server = tracker(&lab);
    let _a = fake_storage(&server.address, "group001", "host-a", 23000);
    let mut b = Wire::connect(&server.address);
    b.call(JOIN, &join("group001", "host-a", 23001)).ok();
    wait_status(&server.address, "ACTIVE", 1);
    wait_status(&server.address, "ONLINE", 1);
    b.call(BEAT, &beat("group001", "host-a")).ok();
    wait_status(&server.address, "ACTIVE", 2);
}

#[test]
fn odd_users_get_a_group_like_anyone_and_keep_it() {
    let lab = Lab::new();
    let server = tracker(&lab);
    let _storages: Vec<Wire> =
        (0..4).map(|n| fake_storage(&server.address, &format!("group{n}"), "host-a", 23000 + n)).collect();
    let users =
        ["x' OR '1'='1", "'; DROP TABLE t_router; --", "用户", "../../etc", " ", "%s%n", &"u".repeat(255)];
    for user in users {
        let (group, addresses) = saddrs(&server.address, user);
        assert_eq!(addresses.len(), 1);
        for _ in 0..5 {
            assert_eq!(saddrs(&server.address, user).0, group, "{user}");
        }
    }
    let groups: BTreeSet<String> = (0..64).map(|n| saddrs(&server.address, &format!("user{n}")).0).collect();
    assert!(groups.len() > 1, "users are spread over the groups: {groups:?}");
}

#[test]
fn locate_answers_like_saddrs_and_leaves_no_route_behind() {
    let lab = Lab::new();
    let server = tracker(&lab);
    let _storage = fake_storage(&server.address, "group001", "host-a", 23001);
    let mut wire = Wire::connect(&server.address);
    // A reader gets an answer, and leaves nothing: only an upload binds a user to a group.
    let others: Vec<Wire> =
        (2..6).map(|n| fake_storage(&server.address, &format!("group00{n}"), "host-a", 23000 + n)).collect();
    let mut locate = |user| frames::addresses(&wire.call(LOCATE, &key(APP, user, "f")).ok()).0;
    let guesses: BTreeSet<String> = (0..64).map(|_| locate("nobody")).collect();
    assert!(guesses.len() > 1, "one group for all: {guesses:?}");
    drop(others);
    assert_eq!(wire.call(LOCATE, &key("other", "nobody", "f")).refused(), 403);
    let assigned = saddrs(&server.address, USER);
    for _ in 0..8 {
        assert_eq!(frames::addresses(&wire.call(LOCATE, &key(APP, USER, "f")).ok()), assigned);
    }
}

#[test]
fn state_shows_the_cluster_as_json() {
    let lab = Lab::new();
    let up = lab.up();
    let body = Wire::connect(&up.tracker).call(STATE, &[]).ok();
    let state: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let group = &state["groups"][0];
    assert_eq!(group["name"], "group001");
    let storage = &group["storages"][0];
    assert_eq!(storage["status"], "ACTIVE");
    assert_eq!(storage["address"], up.storage.as_str());
    assert!(storage["load"]["free_bytes"].as_u64().unwrap() > 0, "{storage}");
    assert!(storage["load"]["total_bytes"].as_u64() >= storage["load"]["free_bytes"].as_u64(), "{storage}");
    assert!(storage["last_beat"].as_i64().unwrap() > 1_700_000_000, "{storage}");
}
