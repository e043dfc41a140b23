//! Golden frames: the bytes of every request and reply, written down by hand from the layouts of docs/protocol.md.
//! A test here that has to be changed means that older clients and servers no longer understand this one.

#[path = "golden/uploads.rs"]
mod uploads;

use bytes::BytesMut;
use tnv_proto::*;

/// Bytes from hexadecimal digits; spaces are for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Text followed by this many NULs.
fn text(text: &str, nuls: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(bytes.len() + nuls, 0);
    bytes
}

fn join(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// `tnvideo`, `tnv001` and a file id as the client makes them: 16 + 256 + 128 bytes.
fn key_bytes() -> Vec<u8> {
    join(&[text("tnvideo", 9), text("tnv001", 250), text("6640c41807ffea386043bad2c6ee25000197", 92)])
}

fn key() -> FileKey {
    FileKey::new("tnvideo", "tnv001", "6640c41807ffea386043bad2c6ee25000197").unwrap()
}

/// Both directions of a request, whose frame is `header` and `body`.
fn golden<R: Request + PartialEq + std::fmt::Debug>(request: &R, header: &str, body: &[u8]) {
    assert_eq!(request.to_frame(), join(&[hex(header), body.to_vec()]), "{request:?}");
    assert_eq!(&R::decode(body).unwrap(), request);
    let header = Header::decode(hex(header).try_into().unwrap()).unwrap();
    assert_eq!(Command::check(header, R::COMMAND.server()).unwrap(), R::COMMAND);
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.to_vec()
}

#[test]
fn join_frame() {
    let request = Join {
        version: Version::new("1.0").unwrap(),
        group: GroupName::new("group001").unwrap(),
        host: HostName::new("storage-a").unwrap(),
        port: 23000,
        started: 0x6a1b_2c3d,
        joined: 0x6a1b_2c3e,
    };
    let body = join(&[
        text("1.0", 4),
        text("group001", 9),
        text("storage-a", 120),
        hex("59d8 000000006a1b2c3d 000000006a1b2c3e"),
    ]);
    assert_eq!(body.len(), 171);
    golden(&request, "00000000000000ab 0a 00", &body);
}

#[test]
fn beat_frame() {
    let request =
        Beat { group: GroupName::new("group001").unwrap(), host: HostName::new("storage-a").unwrap() };
    let body = join(&[text("group001", 9), text("storage-a", 120)]);
    assert_eq!(body.len(), 146);
    golden(&request, "0000000000000092 0b 00", &body);
}

#[test]
fn saddrs_frame() {
    let FileKey { app, user, file } = key();
    golden(&Saddrs { app, user, file: Some(file) }, "0000000000000190 0c 00", &key_bytes());
}

#[test]
fn saddrs_frame_without_a_file() {
    let FileKey { app, user, .. } = key();
    let body = join(&[text("tnvideo", 9), text("tnv001", 250), text("", 128)]);
    golden(&Saddrs { app, user, file: None }, "0000000000000190 0c 00", &body);
}

#[test]
fn groups_and_state_frames_are_headers_alone() {
    assert_eq!(Header::request(Command::Groups, 0).encode().to_vec(), hex("0000000000000000 0d 00"));
    assert_eq!(Header::request(Command::State, 0).encode().to_vec(), hex("0000000000000000 0f 00"));
}

#[test]
fn report_frame() {
    let request = Report {
        group: GroupName::new("group001").unwrap(),
        host: HostName::new("storage-a").unwrap(),
        port: 23000,
        json: r#"{"id":"x"}"#.to_owned(),
    };
    let body = join(&[text("group001", 9), text("storage-a", 120), hex("59d8"), text(r#"{"id":"x"}"#, 0)]);
    assert_eq!(body.len(), 158);
    golden(&request, "000000000000009e 0e 00", &body);
}

#[test]
fn id_get_frame() {
    golden(&IdGet { key: "../data".to_owned() }, "0000000000000008 28 00", b"../data\0");
}

#[test]
fn id_lease_frame() {
    let request = IdLease { count: 1000, key: "../data".to_owned() };
    golden(&request, "000000000000000c 29 00", &join(&[hex("000003e8"), text("../data", 1)]));
}

#[test]
fn upload_frame_counts_the_contents_in_its_header() {
    let body = join(&[key_bytes(), hex("0000000000000005")]);
    assert_eq!(body.len(), 408);
    golden(&Upload { key: key(), size: 5 }, "000000000000019d 46 00", &body);
}

#[test]
fn file_size_delete_and_stat_frames() {
    for (command, header) in [
        (Command::FileSize, "0000000000000190 47 00"),
        (Command::Delete, "0000000000000190 49 00"),
        (Command::Stat, "0000000000000190 4a 00"),
    ] {
        assert_eq!(key().to_frame(command), join(&[hex(header), key_bytes()]), "{command:?}");
    }
    assert_eq!(FileKey::decode(&key_bytes()).unwrap(), key());
}

#[test]
fn download_frame() {
    let body = join(&[key_bytes(), hex("0000000000000007 0000000000100000")]);
    assert_eq!(body.len(), 416);
    golden(&Download { key: key(), offset: 7, size: 1 << 20 }, "00000000000001a0 48 00", &body);
}

#[test]
fn download_frame_keeps_a_negative_offset() {
    let body = join(&[key_bytes(), hex("ffffffffffffffff fffffffffffffffe")]);
    golden(&Download { key: key(), offset: -1, size: -2 }, "00000000000001a0 48 00", &body);
}

#[test]
fn read_frame() {
    let request =
        Read { download: Download { key: key(), offset: 7, size: 9 }, expected: Checksum([0xa5; 32]) };
    let body = join(&[key_bytes(), hex("0000000000000007 0000000000000009"), vec![0xa5; 32]]);
    assert_eq!(body.len(), 448);
    golden(&request, "00000000000001c0 4b 00", &body);
}

#[test]
fn reply_headers() {
    for (server, success, failure) in [
        (Server::Tracker, "0000000000000008 64 00", "0000000000000008 64 fd"),
        (Server::Id, "0000000000000008 65 00", "0000000000000008 65 fd"),
        (Server::Storage, "0000000000000008 66 00", "0000000000000008 66 fd"),
    ] {
        assert_eq!(Header::success(server, 8).encode().to_vec(), hex(success));
        assert_eq!(Header::failure(server, 8).encode().to_vec(), hex(failure));
    }
}

#[test]
fn failure_reply() {
    let failure = Failure::new(ErrorCode::NOT_FOUND, "no such file");
    let body = join(&[hex("0194"), text("[storage-a] no such file", 1)]);
    assert_eq!(encoded(|out| failure.encode("storage-a", out)), body);
    assert_eq!(Failure::decode(&body).unwrap(), Failure::new(ErrorCode(404), "[storage-a] no such file"));
}

#[test]
fn failure_reply_of_an_older_server_may_be_its_number_alone() {
    assert_eq!(Failure::decode(&hex("ffff")).unwrap(), Failure::new(ErrorCode::UNSPECIFIED, ""));
    assert!(Failure::decode(&hex("ff")).is_err());
}

#[test]
fn failure_text_is_cut_between_characters_at_1023_bytes() {
    // "[h] " and 339 three-byte characters are 1021 bytes; a 340th would end at 1024.
    let body = encoded(|out| Failure::bad_request("长".repeat(2000)).encode("h", out));
    assert_eq!(body, join(&[hex("0190"), text(&format!("[h] {}", "长".repeat(339)), 1)]));
}

#[test]
fn saddrs_reply() {
    let reply = StorageAddresses {
        group: GroupName::new("group001").unwrap(),
        addresses: vec!["10.0.0.1:23000".to_owned(), "10.0.0.2:23001".to_owned()],
    };
    let body = join(&[text("group001", 9), text("10.0.0.1:23000;10.0.0.2:23001;", 1)]);
    assert_eq!(encoded(|out| reply.encode(out)), body);
    assert_eq!(StorageAddresses::decode(&body).unwrap(), reply);
}

#[test]
fn lease_reply() {
    let reply = IdRange { first: 5000, count: 1000 };
    let body = hex("0000000000001388 000003e8");
    assert_eq!(encoded(|out| reply.encode(out)), body);
    assert_eq!(IdRange::decode(&body).unwrap(), reply);
}

#[test]
fn stat_reply() {
    let reply = Attributes {
        size: 12_345_678,
        created_ms: 1_780_000_000_000,
        crc32: 0xcbf4_3926,
        blake3: Checksum([0x5a; 32]),
        content_type: "video/mp4".to_owned(),
        name: "a.mp4".to_owned(),
    };
    let body = join(&[
        hex("0000000000bc614e 0000019e70448800 cbf43926"),
        vec![0x5a; 32],
        hex("0009"),
        text("video/mp4", 0),
        hex("0005"),
        text("a.mp4", 0),
    ]);
    assert_eq!(encoded(|out| reply.encode(out)), body);
    assert_eq!(Attributes::decode(&body).unwrap(), reply);
    let from_a_later_version = join(&[body, hex("00020102")]);
    assert_eq!(Attributes::decode(&from_a_later_version).unwrap(), reply);
}

#[test]
fn groups_text() {
    let storage = StorageText {
        version: "1.0".to_owned(),
        host: "storage-a".to_owned(),
        address: "10.0.0.1:23000".to_owned(),
        started: "Fri Nov 20 10:25:28 2026".to_owned(),
        joined: "Fri Nov 20 10:25:29 2026".to_owned(),
        beat: "Fri Nov 20 10:25:30 2026".to_owned(),
        status: "ACTIVE".to_owned(),
    };
    let idle = StorageText { status: "ONLINE".to_owned(), ..storage.clone() };
    let groups = [
        GroupText { name: "group001".to_owned(), storages: vec![storage, idle] },
        GroupText { name: "group002".to_owned(), storages: vec![] },
    ];
    let wanted = concat!(
        "         COUNT OF GROUPS: 2\n",
        "               GROUPNAME: group001\n",
        "       COUNT OF STORAGES: 2\n",
        "COUNT OF ACTIVE STORAGES: 1\n",
        "                 VERSION: 1.0\n",
        "                HOSTNAME: storage-a\n",
        "                 ADDRESS: 10.0.0.1:23000\n",
        "            STARTUP TIME: Fri Nov 20 10:25:28 2026\n",
        "               JOIN TIME: Fri Nov 20 10:25:29 2026\n",
        "               BEAT TIME: Fri Nov 20 10:25:30 2026\n",
        "                  STATUS: ACTIVE\n",
        "                 VERSION: 1.0\n",
        "                HOSTNAME: storage-a\n",
        "                 ADDRESS: 10.0.0.1:23000\n",
        "            STARTUP TIME: Fri Nov 20 10:25:28 2026\n",
        "               JOIN TIME: Fri Nov 20 10:25:29 2026\n",
        "               BEAT TIME: Fri Nov 20 10:25:30 2026\n",
        "                  STATUS: ONLINE\n",
        "               GROUPNAME: group002\n",
        "       COUNT OF STORAGES: 0\n",
        "COUNT OF ACTIVE STORAGES: 0",
    );
    assert_eq!(render_groups(&groups), wanted);
    assert_eq!(render_groups(&[]), "         COUNT OF GROUPS: 0");
}

/// The numbers that must never move, in one table.
#[test]
fn command_table() {
    let wanted: &[(u8, &str, Server, u64, u64)] = &[
        (10, "Join", Server::Tracker, 171, 171),
        (11, "Beat", Server::Tracker, 146, 146),
        (12, "Saddrs", Server::Tracker, 400, 400),
        (13, "Groups", Server::Tracker, 0, 0),
        (14, "Report", Server::Tracker, 148, 148 + 16384),
        (15, "State", Server::Tracker, 0, 0),
        (16, "Locate", Server::Tracker, 400, 400),
        (40, "IdGet", Server::Id, 2, 65),
        (41, "IdLease", Server::Id, 6, 69),
        (70, "Upload", Server::Storage, 408, i64::MAX as u64),
        (71, "FileSize", Server::Storage, 400, 400),
        (72, "Download", Server::Storage, 416, 416),
        (73, "Delete", Server::Storage, 400, 400),
        (74, "Stat", Server::Storage, 400, 400),
        (75, "Read", Server::Storage, 448, 448),
        (76, "Store", Server::Storage, 444, i64::MAX as u64),
        (77, "List", Server::Storage, 279, 279 + 1024 + 4096),
        (78, "Begin", Server::Storage, 412, 412 + 1024 + 128),
        (79, "Append", Server::Storage, 408, i64::MAX as u64),
        (80, "Progress", Server::Storage, 400, 400),
        (81, "Finish", Server::Storage, 432, 432),
        (82, "Abort", Server::Storage, 400, 400),
        (83, "Fetch", Server::Storage, 448, 448),
        (84, "Notice", Server::Storage, 400, 400),
        (85, "Scrub", Server::Storage, 1, 1),
        (86, "Member", Server::Storage, 5, 4 + 64),
        (88, "Push", Server::Storage, 440, i64::MAX as u64),
        (89, "Keep", Server::Storage, 6, 65536),
    ];
    let table: Vec<_> = Command::ALL
        .iter()
        .map(|command| {
            let body = command.body_len();
            (*command as u8, command.name(), command.server(), *body.start(), *body.end())
        })
        .collect();
    assert_eq!(table, wanted);
}

/// Fields that must be refused, each in an otherwise good FILESIZE body.
#[test]
fn bad_fields_are_refused() {
    let app = |field: Vec<u8>| join(&[field, text("tnv001", 250), text("f", 127)]);
    let user = |field: Vec<u8>| join(&[text("tnvideo", 9), field, text("f", 127)]);
    let file = |field: Vec<u8>| join(&[text("tnvideo", 9), text("tnv001", 250), field]);
    for (body, why) in [
        (app(text("abcdefghijklmnop", 0)), "the app id has no NUL within its 16 bytes"),
        (app(text("", 16)), "the app id must be letters A-Z, a-z and digits only"),
        (app(text("a b", 13)), "the app id must be letters A-Z, a-z and digits only"),
        (app(text("应用", 10)), "the app id must be letters A-Z, a-z and digits only"),
        (user(vec![b'u'; 256]), "the user id has no NUL within its 256 bytes"),
        (user(text("", 256)), "the user id must not be empty"),
        (user(join(&[hex("ff"), text("", 255)])), "the user id is not UTF-8"),
        (file(vec![b'f'; 128]), "the file id has no NUL within its 128 bytes"),
        (file(text("", 128)), "the file id must not be empty"),
        (file(text("f", 126)), "the file id is cut short"),
        (file(text("f", 128)), "1 bytes too many"),
    ] {
        assert_eq!(FileKey::decode(&body).unwrap_err().to_string(), why);
    }
}

/// Older clients leave what was in their memory behind a field's NUL.
#[test]
fn garbage_behind_a_nul_is_ignored() {
    let body = join(&[text("tnvideo", 1), vec![0xee; 8], text("tnv001", 250), text("f", 1), vec![0xee; 126]]);
    assert_eq!(FileKey::decode(&body).unwrap(), FileKey::new("tnvideo", "tnv001", "f").unwrap());
}
