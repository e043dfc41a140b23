//! docs/protocol.md is held to the code: its hexadecimal blocks decode to what it says and encode to the same bytes, its
//! tables have the numbers and lengths of the code, and every command has a request and a reply.

#[path = "documented/page.rs"]
mod page;

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::BytesMut;
use tnv_proto::state::{ClusterState, GroupState, Load, StorageReport, StorageState};
use tnv_proto::*;

use self::page::{PAGE, blocks, cells, frame, length};

const BLAKE3_OF_HELLO: &str = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f";

/// The body of a command's request.
fn request_body(command: Command) -> Vec<u8> {
    let (header, body) = frame(&format!("{} request", command.name()));
    assert_eq!((header.status, Command::check(header, command.server())), (0, Ok(command)));
    body
}

/// The body of a command's reply.
fn reply_body(command: Command) -> Vec<u8> {
    let (header, body) = frame(&format!("{} reply", command.name()));
    assert_eq!(header, Header::success(command.server(), body.len() as u64), "{}", command.name());
    body
}

fn check_request<R: Request + PartialEq + Debug>(request: &R) {
    let body = request_body(R::COMMAND);
    assert_eq!(&R::decode(&body).unwrap(), request);
    assert_eq!(request.to_frame()[HEADER_LEN..], body);
}

fn check_reply(command: Command, encode: impl FnOnce(&mut BytesMut)) {
    let mut body = BytesMut::new();
    encode(&mut body);
    assert_eq!(reply_body(command), body, "{}", command.name());
}

fn key() -> FileKey {
    FileKey::new("tnvideo", "tnv001", "6640c41807ffea386043bad2c6ee25000197").unwrap()
}

fn group() -> GroupName {
    GroupName::new("group001").unwrap()
}

fn host() -> HostName {
    HostName::new("storage-a").unwrap()
}

fn load() -> Load {
    Load {
        total_bytes: 4_000_000_000_000,
        free_bytes: 3_000_000_000_000,
        connections: 12,
        uploads: 345,
        downloads: 6789,
        deletes: 1,
        bytes_in: 1_000_000_000,
        bytes_out: 20_000_000_000,
    }
}

fn report() -> StorageReport {
    StorageReport {
        id: "8b209875-08fe-4353-a8c1-07588c6dadc3".to_owned(),
        version: "0.1.0".to_owned(),
        advertise: String::new(),
        load: load(),
    }
}

fn state() -> ClusterState {
    let storage = StorageState {
        id: report().id,
        host: "storage-a".to_owned(),
        address: "10.0.0.1:23000".to_owned(),
        version: "0.1.0".to_owned(),
        status: "ACTIVE".to_owned(),
        started: 1_780_000_000,
        joined: 1_780_000_001,
        last_beat: 1_780_000_011,
        load: Some(load()),
    };
    ClusterState {
        version: "0.1.0".to_owned(),
        host: "tracker-a".to_owned(),
        now: 1_780_000_012,
        groups: vec![GroupState { name: "group001".to_owned(), storages: vec![storage] }],
    }
}

#[test]
fn requests_to_trackers() {
    let version = Version::new("0.1.0").unwrap();
    let (started, joined) = (1_780_000_000, 1_780_000_001);
    check_request(&Join { version, group: group(), host: host(), port: 23000, started, joined });
    check_request(&Beat { group: group(), host: host() });
    let FileKey { app, user, .. } = key();
    let saddrs = Saddrs { app, user, file: None };
    check_request(&saddrs);
    assert_eq!(saddrs.to_locate_frame()[HEADER_LEN..], request_body(Command::Locate));
    let json = serde_json::to_string(&report()).unwrap();
    check_request(&Report { group: group(), host: host(), port: 23000, json });
    assert!(request_body(Command::Groups).is_empty());
    assert!(request_body(Command::State).is_empty());
}

#[test]
fn requests_to_id_servers() {
    check_request(&IdGet { key: "../data".to_owned() });
    check_request(&IdLease { count: 100, key: "../data".to_owned() });
}

#[test]
fn requests_to_storages() {
    for command in [Command::FileSize, Command::Delete, Command::Stat] {
        let body = request_body(command);
        assert_eq!(FileKey::decode(&body).unwrap(), key());
        assert_eq!(key().to_frame(command)[HEADER_LEN..], body);
    }
    let download = Download { key: key(), offset: 1, size: 3 };
    check_request(&download);
    check_request(&Read { download, expected: Checksum::from_hex(BLAKE3_OF_HELLO).unwrap() });

    let upload = Upload { key: key(), size: 5 };
    let (header, body) = frame("Upload request");
    assert_eq!(Command::check(header, Server::Storage), Ok(Command::Upload));
    let (fixed, contents) = body.split_at(Upload::LEN);
    assert_eq!(Upload::decode(fixed).unwrap(), upload);
    assert_eq!(upload.to_frame(), [&header.encode(), fixed].concat());
    assert_eq!(contents, b"hello");
}

#[test]
fn replies_of_trackers() {
    for command in [Command::Join, Command::Beat, Command::Report] {
        assert!(reply_body(command).is_empty());
    }
    for (command, addresses) in
        [(Command::Saddrs, &["10.0.0.2:23000", "10.0.0.1:23000"][..]), (Command::Locate, &["10.0.0.1:23000"])]
    {
        let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
        let serving = StorageAddresses { group: group(), addresses };
        check_reply(command, |out| serving.encode(out));
        assert_eq!(StorageAddresses::decode(&reply_body(command)).unwrap(), serving);
    }

    let storage = StorageText {
        version: "0.1.0".to_owned(),
        host: "storage-a".to_owned(),
        address: "10.0.0.1:23000".to_owned(),
        started: "Thu May 28 20:26:40 2026".to_owned(),
        joined: "Thu May 28 20:26:41 2026".to_owned(),
        beat: "Thu May 28 20:26:51 2026".to_owned(),
        status: "ACTIVE".to_owned(),
    };
    let text = render_groups(&[GroupText { name: "group001".to_owned(), storages: vec![storage] }]);
    check_reply(Command::Groups, |out| out.extend_from_slice(format!("{text}\0").as_bytes()));
    assert!(PAGE.contains(&format!("```\n{text}\n```")), "the text stands there for people too");

    let json = reply_body(Command::State);
    assert_eq!(serde_json::from_slice::<ClusterState>(&json).unwrap(), state());
    assert_eq!(serde_json::to_vec(&state()).unwrap(), json);
}

#[test]
fn replies_of_id_servers() {
    check_reply(Command::IdGet, |out| out.extend_from_slice(&4711_i64.to_be_bytes()));
    let range = IdRange { first: 5000, count: 100 };
    check_reply(Command::IdLease, |out| range.encode(out));
    assert_eq!(IdRange::decode(&reply_body(Command::IdLease)).unwrap(), range);
}

#[test]
fn replies_of_storages() {
    for command in [Command::Upload, Command::Delete] {
        assert!(reply_body(command).is_empty());
    }
    check_reply(Command::FileSize, |out| out.extend_from_slice(&12_345_678_i64.to_be_bytes()));
    for command in [Command::Download, Command::Read] {
        assert_eq!(reply_body(command), b"ell");
    }
    let attributes = Attributes {
        size: 5,
        created_ms: 1_780_000_002_345,
        crc32: 0x3610_a686,
        blake3: Checksum::from_hex(BLAKE3_OF_HELLO).unwrap(),
        content_type: "text/markdown".to_owned(),
        name: "hello.txt".to_owned(),
    };
    check_reply(Command::Stat, |out| attributes.encode(out));
    assert_eq!(Attributes::decode(&reply_body(Command::Stat)).unwrap(), attributes);
}

#[test]
fn failures() {
    let (header, body) = frame("Failure reply");
    assert_eq!(header, Header::failure(Server::Storage, body.len() as u64));
    let failure = Failure::new(ErrorCode::NOT_FOUND, "there is no file tnvideo/tnv001/x");
    let mut encoded = BytesMut::new();
    failure.encode("storage-a", &mut encoded);
    assert_eq!(encoded, body);
    assert_eq!(Failure::decode(&body).unwrap().code, ErrorCode::NOT_FOUND);

    let (header, body) = frame("Failure reply without text");
    assert_eq!(header, Header::failure(Server::Tracker, 2));
    assert_eq!(Failure::decode(&body).unwrap(), Failure::new(ErrorCode::UNSPECIFIED, ""));
}

#[test]
fn every_command_has_a_request_and_a_reply_and_nothing_else_has() {
    let of_commands =
        Command::ALL.iter().flat_map(|c| ["request", "reply"].map(|kind| format!("{} {kind}", c.name())));
    let mut wanted: BTreeSet<String> = of_commands.collect();
    wanted.extend(["Failure reply".to_owned(), "Failure reply without text".to_owned()]);
    let found: BTreeSet<String> = blocks("hex ").into_keys().map(str::to_owned).collect();
    assert_eq!(found, wanted);
}

#[test]
fn the_json_for_people_is_that_of_the_frames() {
    let shown: Vec<String> = PAGE
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap().replace('\n', ""))
        .collect();
    let of_frames = [serde_json::to_string(&report()).unwrap(), serde_json::to_string(&state()).unwrap()];
    assert_eq!(shown, of_frames);
}

#[test]
fn the_table_of_commands() {
    let rows = PAGE.lines().filter_map(|line| match cells(line)[..] {
        [number, _, name, server, body] if name.starts_with('`') && number.parse::<u8>().is_ok() => {
            Some((number.parse().unwrap(), name.trim_matches('`'), server.to_owned(), length(body)))
        }
        _ => None,
    });
    let limit = |end: u64| (end < i64::MAX as u64).then_some(end);
    let of_code = Command::ALL.iter().map(|command| {
        let body = command.body_len();
        (*command as u8, command.name(), command.server().to_string(), (*body.start(), limit(*body.end())))
    });
    assert_eq!(rows.collect::<Vec<_>>(), of_code.collect::<Vec<_>>());
}

#[test]
fn the_table_of_errors() {
    let section = PAGE.split("\n## ").find(|section| section.starts_with("Error numbers")).unwrap();
    let rows = section.lines().filter_map(|line| match cells(line)[..] {
        [number, means, _] => number.parse().ok().map(|number| (ErrorCode(number), means)),
        _ => None,
    });
    assert_eq!(
        rows.collect::<Vec<_>>(),
        ErrorCode::ALL.iter().map(|c| (*c, c.meaning())).collect::<Vec<_>>()
    );
}

/// Fields follow each other without a gap, and a request's add up to the lengths of the code.
#[test]
fn the_tables_of_layouts() {
    for command in Command::ALL {
        let title = format!("### {} ", *command as u8);
        let section = PAGE.split(&title).nth(1).unwrap_or_else(|| panic!("no {title}"));
        let section = section.split("\n### ").next().unwrap().split("\n## ").next().unwrap();
        let mut tables = section.split("| offset | size | field |\n|---|---|---|\n");
        let before_tables = tables.next().unwrap();
        let lengths: Vec<_> = tables.map(|table| layout(command.name(), table)).collect();
        let body = command.body_len();
        let limit = (*body.end() < i64::MAX as u64).then_some(*body.end());
        match lengths.first() {
            Some(request) => assert_eq!(*request, (*body.start(), limit), "{}", command.name()),
            None => assert!(before_tables.contains("No body.") && body == (0..=0), "{}", command.name()),
        }
    }
}

fn layout(name: &str, table: &str) -> (u64, Option<u64>) {
    let rows = table.lines().map(cells).take_while(|cells| !cells.is_empty());
    rows.fold((0, Some(0)), |(low, high), row| {
        let (least, most) = length(row[1]);
        assert_eq!((row[0].parse(), Some(low)), (Ok(low), high), "{name}: {row:?}");
        (low + least, most.map(|most| low + most))
    })
}
