//! docs/protocol.md is held to the code: its hexadecimal blocks decode to what it says and encode to the same bytes, its
//! tables have the numbers and lengths of the code, and every command has a request and a reply.

#[path = "documented/page.rs"]
mod page;
#[path = "documented/values.rs"]
mod values;

use std::collections::BTreeSet;
use std::fmt::Debug;

use bytes::BytesMut;
use tnv_proto::state::{ClusterState, ScrubPass, ScrubState};
use tnv_proto::*;

use self::page::{PAGE, blocks, cells, frame, layout, length};
use self::values::{attributes, blake3_of_hello, group, host, key, new_upload, place, report, state};

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
    for command in [
        Command::FileSize,
        Command::Delete,
        Command::Stat,
        Command::Progress,
        Command::Abort,
        Command::Notice,
    ] {
        let body = request_body(command);
        assert_eq!(FileKey::decode(&body).unwrap(), key());
        assert_eq!(key().to_frame(command)[HEADER_LEN..], body);
    }
    let download = Download { key: key(), offset: 1, size: 3 };
    check_request(&download);
    let read = Read { download, expected: blake3_of_hello() };
    check_request(&read);
    assert_eq!(read.to_fetch_frame()[HEADER_LEN..], request_body(Command::Fetch));

    let FileKey { app, user, .. } = key();
    let (order, prefix, cursor) = (ListOrder::Newest, "he".to_owned(), String::new());
    check_request(&List { app, user, order, limit: 1, prefix, cursor });
    check_request(&Begin(new_upload()));
    check_request(&Finish { key: key(), expected: blake3_of_hello() });
    check_request(&Keep { places: vec![place()] });
    assert_eq!(request_body(Command::Scrub), [1]);
    check_request(&MemberRequest { action: MemberAction::Drain, force: false, storage: report().id });
}

/// A request whose header counts what comes behind its fixed part.
fn check_bulk<R: Request + PartialEq + Debug>(request: &R, decoded: &R, bulk: &[u8]) {
    let body = request_body(R::COMMAND);
    let (fixed, behind) = body.split_at(body.len() - bulk.len());
    assert_eq!(behind, bulk);
    assert_eq!(request.trailing_len(), bulk.len() as u64);
    assert_eq!(&R::decode(fixed).unwrap(), decoded);
    let header = Header::request(R::COMMAND, body.len() as u64).encode();
    assert_eq!(request.to_frame(), [&header, fixed].concat());
}

#[test]
fn requests_with_contents() {
    let upload = Upload { key: key(), size: 5 };
    check_bulk(&upload, &upload, b"hello");
    let store = Store(new_upload());
    check_bulk(&store, &store, &[b"hello".as_slice(), &blake3_of_hello().0].concat());
    let part = Append { key: key(), offset: 2, len: 3 };
    check_bulk(&part, &Append { len: 0, ..part.clone() }, b"llo");
    let push = Push(upload);
    check_bulk(&push, &push, &[b"hello".as_slice(), &blake3_of_hello().0].concat());
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
    for command in [Command::Upload, Command::Delete, Command::Abort, Command::Notice, Command::Keep] {
        assert!(reply_body(command).is_empty());
    }
    let pass = ScrubPass {
        started: 1_780_000_000,
        ended: 1_780_000_060,
        files: 2,
        bytes: 7,
        damaged: 1,
        ..Default::default()
    };
    let scrub = ScrubState { running: false, pass: pass.clone(), last: pass };
    check_reply(Command::Scrub, |out| out.extend_from_slice(&serde_json::to_vec(&scrub).unwrap()));
    check_reply(Command::FileSize, |out| out.extend_from_slice(&12_345_678_i64.to_be_bytes()));
    for command in [Command::Download, Command::Read, Command::Fetch] {
        assert_eq!(reply_body(command), b"ell");
    }
    check_reply(Command::Stat, |out| attributes().encode(out));
    assert_eq!(Attributes::decode(&reply_body(Command::Stat)).unwrap(), attributes());
    for command in [Command::Store, Command::Finish] {
        let stored = Acknowledged { attributes: attributes(), copies: 2 };
        check_reply(command, |out| stored.encode(out));
        assert_eq!(Acknowledged::decode(&reply_body(command)).unwrap(), stored);
    }
    // As an older storage answers.
    let told_no_copies = Acknowledged { attributes: attributes(), copies: 0 };
    assert_eq!(Acknowledged::decode(&reply_body(Command::Stat)).unwrap(), told_no_copies);
    let pushed = Pushed { storage: "two".to_owned(), place: place() };
    check_reply(Command::Push, |out| pushed.encode(out));
    assert_eq!(Pushed::decode(&reply_body(Command::Push)).unwrap(), pushed);
    let status =
        MemberStatus { state: Membership::Draining, is_itself: true, uploads: 1, only_here: 12, backlog: 3 };
    check_reply(Command::Member, |out| status.encode(out));
    assert_eq!(MemberStatus::decode(&reply_body(Command::Member)).unwrap(), status);
    let progress = |offset| UploadProgress { offset, size: 5, expires_ms: 1_780_086_402_345 };
    let known = KnownUpload { progress: progress(2), labels: Some(new_upload().labels) };
    check_reply(Command::Progress, |out| known.encode(out));
    assert_eq!(KnownUpload::decode(&reply_body(Command::Progress)).unwrap(), known);
    for (command, offset) in [(Command::Begin, 0), (Command::Append, 5)] {
        let progress = progress(offset);
        check_reply(command, |out| progress.encode(out));
        assert_eq!(UploadProgress::decode(&reply_body(command)).unwrap(), progress);
    }
    let files = vec![(key().file, attributes())];
    let page = FileList { files, next: "1780000002345:6640c41807ffea386043bad2c6ee25000197".to_owned() };
    check_reply(Command::List, |out| page.encode(out));
    assert_eq!(FileList::decode(&reply_body(Command::List)).unwrap(), page);
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

#[test]
fn the_table_of_text_fields() {
    let section = PAGE.split("\n### ").find(|section| section.starts_with("Text fields")).unwrap();
    let rows = section.lines().filter_map(|line| match cells(line)[..] {
        [field, size, _] => size.parse().ok().map(|size: usize| (field, size)),
        _ => None,
    });
    let of_code = [
        ("app id", AppId::SIZE),
        ("user id", UserId::SIZE),
        ("file id", FileId::SIZE),
        ("group", GroupName::SIZE),
        ("host", HostName::SIZE),
        ("version", Version::SIZE),
    ];
    assert_eq!(rows.collect::<Vec<_>>(), of_code);
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
