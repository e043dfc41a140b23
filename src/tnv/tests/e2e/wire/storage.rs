//! Commands 70 to 75.

use std::net::Shutdown;
use std::thread;

use crate::harness::frames::{
    DELETE, DOWNLOAD, FILESIZE, READ, STAT, UPLOAD, Wire, field, header, key, range,
};
use crate::harness::lab::{APP, Lab, USER, assert_no_temps};
use crate::harness::pattern::Pattern;
use crate::harness::{contents_below, eventually};

#[test]
fn a_file_goes_in_and_comes_out_and_goes_away() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    let contents = Pattern::new(1, 3_000_001).bytes();
    let key = key(APP, USER, "6640c41807ffea386043bad2c6ee25000197");
    assert!(wire.upload(&key, &contents).ok().is_empty());
    assert_eq!(wire.call(FILESIZE, &key).integer(), 3_000_001);
    assert!(wire.download(&key, 0, 0).ok() == contents);
    assert!(wire.download(&key, 1_234_567, 70_000).ok() == contents[1_234_567..1_304_567]);
    assert_eq!(contents_below(&lab.path("data")).len(), 1);
    assert!(wire.call(DELETE, &key).ok().is_empty());
    assert_eq!(wire.call(FILESIZE, &key).refused(), 404);
    assert_eq!(wire.download(&key, 0, 0).refused(), 404);
    assert_eq!(wire.call(DELETE, &key).refused(), 404);
    assert_eq!(contents_below(&lab.path("data")), []);
    assert!(wire.upload(&key, b"again").ok().is_empty());
    assert_eq!(wire.download(&key, 0, 0).ok(), b"again");
}

#[test]
fn bad_fields_are_400_and_the_connection_lives() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    let bad_keys = [
        ("app without NUL", [field("a".repeat(16), 16), field(USER, 256), field("f", 128)].concat()),
        ("user without NUL", [field(APP, 16), field("u".repeat(256), 256), field("f", 128)].concat()),
        ("file without NUL", [field(APP, 16), field(USER, 256), field("f".repeat(128), 128)].concat()),
        ("file not UTF-8", [field(APP, 16), field(USER, 256), field(b"\xc3\x28", 128)].concat()),
        ("empty app", key("", USER, "f")),
        ("empty user", key(APP, "", "f")),
        ("empty file", key(APP, USER, "")),
        ("app with a space", key("tnv video", USER, "f")),
        ("app with a slash", key("../app", USER, "f")),
        ("app in Chinese", key("视频", USER, "f")),
    ];
    for (what, bad) in bad_keys {
        for command in [FILESIZE, DELETE, STAT] {
            assert_eq!(wire.call(command, &bad).refused(), 400, "{what}, command {command}");
        }
        assert_eq!(wire.download(&bad, 0, 0).refused(), 400, "{what}, download");
        assert_eq!(
            wire.call(READ, &[range(&bad, 0, 0), vec![0; 32]].concat()).refused(),
            400,
            "{what}, read"
        );
        assert_eq!(wire.upload(&bad, b"contents").refused(), 400, "{what}, upload");
    }
    assert_eq!(contents_below(&lab.path("data")), []);
}

#[test]
fn an_upload_that_contradicts_itself_is_400() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    let key = key(APP, USER, "f");
    for (in_header, in_body) in
        [(10, 5), (5, 10), (0, 1), (1, 0), (5, -5), (0, -1), (0, i64::MAX), (0, i64::MIN)]
    {
        wire.send(&header(408 + in_header, UPLOAD));
        wire.send(&[&key[..], &i64::to_be_bytes(in_body)].concat());
        wire.send(&vec![0; in_header as usize]);
        assert_eq!(wire.reply().refused(), 400, "{in_header} bytes come, {in_body} are announced");
    }
    assert_eq!(wire.call(FILESIZE, &key).refused(), 404);
}

#[test]
fn a_file_no_disk_could_hold_is_507_before_its_bytes_are_sent() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    wire.begin_upload(&key(APP, USER, "f"), 1 << 55).unwrap();
    assert_eq!(wire.reply().refused(), 507);
    wire.stream.shutdown(Shutdown::Write).unwrap();
    wire.assert_closed();
    assert_no_temps(&lab.path("data"));
}

#[test]
fn a_client_that_leaves_in_mid_upload_leaves_nothing() {
    let lab = Lab::new();
    let up = lab.up();
    let key = key(APP, USER, "f");
    for sent in [0, 1, 100_000, 2_999_999] {
        let mut wire = Wire::connect(&up.storage);
        wire.begin_upload(&key, 3_000_000).unwrap();
        wire.send(&vec![1; sent]);
        drop(wire);
    }
    let data = lab.path("data");
    eventually("the temps to be gone", || crate::harness::temps_below(&data).is_empty().then_some(()));
    assert_eq!(contents_below(&data), []);
    let mut wire = Wire::connect(&up.storage);
    assert_eq!(wire.call(FILESIZE, &key).refused(), 404);
    wire.upload(&key, b"now whole").ok();
}

#[test]
fn an_id_that_exists_is_409_and_its_bytes_stay() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    let taken = key(APP, USER, "f");
    wire.upload(&taken, b"the first").ok();
    assert_eq!(wire.upload(&taken, b"the second").refused(), 409);
    assert_eq!(wire.upload(&taken, b"the first").refused(), 409);
    assert_eq!(wire.download(&taken, 0, 0).ok(), b"the first");
    // Large enough not to be skipped: the reply comes all the same, and nothing is written.
    let mut other = Wire::connect(&up.storage);
    assert_eq!(other.upload(&taken, &vec![2; 5 << 20]).refused(), 409);
    other.assert_closed();
    assert_eq!(wire.download(&taken, 0, 0).ok(), b"the first");
    assert_eq!(contents_below(&lab.path("data")).len(), 1);
    assert_no_temps(&lab.path("data"));
}

#[test]
fn of_two_uploads_of_one_id_at_once_one_wins_whole() {
    let lab = Lab::new();
    let up = lab.up();
    for round in 0..10 {
        let key = key(APP, USER, &format!("race{round}"));
        let contents: Vec<Vec<u8>> = (0..4).map(|n| vec![n; 400_000 + n as usize]).collect();
        let won: Vec<usize> = thread::scope(|scope| {
            let uploads: Vec<_> = contents
                .iter()
                .map(|contents| scope.spawn(|| Wire::connect(&up.storage).upload(&key, contents)))
                .collect();
            let replies = uploads.into_iter().map(|upload| upload.join().unwrap()).enumerate();
            replies
                .filter(|(_, reply)| {
                    assert!(reply.status == 0 || reply.refused() == 409, "{reply:?}");
                    reply.status == 0
                })
                .map(|(n, _)| n)
                .collect()
        });
        assert_eq!(won.len(), 1, "exactly one is acknowledged");
        assert!(Wire::connect(&up.storage).download(&key, 0, 0).ok() == contents[won[0]]);
    }
    assert_eq!(contents_below(&lab.path("data")).len(), 10);
}

#[test]
fn ranges_inside_the_file_are_sent_and_others_are_416() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    let contents = Pattern::new(2, 1000).bytes();
    let key = key(APP, USER, "f");
    wire.upload(&key, &contents).ok();
    for (offset, size, wanted) in [
        (0, 0, 0..1000),
        (0, 1000, 0..1000),
        (0, 1, 0..1),
        (999, 1, 999..1000),
        (999, 0, 999..1000),
        (500, 0, 500..1000),
        (500, 500, 500..1000),
        (1000, 0, 1000..1000),
    ] {
        assert_eq!(wire.download(&key, offset, size).ok(), contents[wanted], "offset {offset}, size {size}");
    }
    for (offset, size) in [
        (1001, 0),
        (1000, 1),
        (0, 1001),
        (500, 501),
        (-1, 0),
        (-1, 1),
        (0, -1),
        (-1, -1),
        (i64::MAX, 0),
        (i64::MAX, 1),
        (1, i64::MAX),
        (i64::MAX, i64::MAX),
        (i64::MIN, 0),
        (i64::MIN, i64::MIN),
    ] {
        assert_eq!(wire.download(&key, offset, size).refused(), 416, "offset {offset}, size {size}");
    }
    assert_eq!(
        wire.download(&super::storage::key(APP, USER, "none"), -1, 0).refused(),
        404,
        "absent comes first"
    );
}

#[test]
fn zero_byte_files_are_files() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    let key = key(APP, USER, "empty");
    assert!(wire.upload(&key, b"").ok().is_empty());
    assert_eq!(wire.call(FILESIZE, &key).integer(), 0);
    assert!(wire.download(&key, 0, 0).ok().is_empty());
    assert_eq!(wire.download(&key, 0, 1).refused(), 416);
    assert_eq!(wire.download(&key, 1, 0).refused(), 416);
    assert_eq!(wire.upload(&key, b"").refused(), 409);
    assert!(wire.call(DELETE, &key).ok().is_empty());
    assert_eq!(wire.call(FILESIZE, &key).refused(), 404);
}

/// A file id names a row. It is never a path, never SQL, never a pattern.
#[test]
fn odd_file_ids_and_users_are_only_names() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    let long = "f".repeat(127);
    let names = [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "a/b",
        "x' OR '1'='1",
        "'; DROP TABLE t_file_01; --",
        "\"quoted\"",
        "`back`",
        "%",
        "_",
        "a%b",
        "视频文件",
        "🎬",
        " ",
        "a b",
        "line\nbreak",
        "\u{7f}",
        "-rf",
        &long,
    ];
    for (n, name) in names.iter().enumerate() {
        let contents = format!("contents {n}").into_bytes();
        wire.upload(&key(APP, USER, name), &contents).ok();
        wire.upload(&key(APP, name, &format!("by user {n}")), &contents).ok();
    }
    for (n, name) in names.iter().enumerate() {
        let contents = format!("contents {n}").into_bytes();
        assert_eq!(wire.download(&key(APP, USER, name), 0, 0).ok(), contents, "{name:?}");
        assert_eq!(wire.download(&key(APP, name, &format!("by user {n}")), 0, 0).ok(), contents, "{name:?}");
    }
    assert_eq!(contents_below(&lab.path("data")).len(), 2 * names.len(), "all inside the store, by number");
    for name in names {
        wire.call(DELETE, &key(APP, USER, name)).ok();
        assert_eq!(wire.call(FILESIZE, &key(APP, USER, name)).refused(), 404, "{name:?}");
    }
    assert_eq!(contents_below(&lab.path("data")).len(), names.len(), "each delete took its own file");
}

#[test]
fn a_file_belongs_to_its_app_and_user() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    wire.upload(&key(APP, USER, "f"), b"mine").ok();
    for stranger in
        [key(APP, "tnv002", "f"), key("other", USER, "f"), key(APP, "TNV001", "f"), key(APP, USER, "F")]
    {
        assert_eq!(wire.call(FILESIZE, &stranger).refused(), 404);
        assert_eq!(wire.download(&stranger, 0, 0).refused(), 404);
        assert_eq!(wire.call(DELETE, &stranger).refused(), 404);
        assert_eq!(wire.call(STAT, &stranger).refused(), 404);
    }
    assert_eq!(wire.download(&key(APP, USER, "f"), 0, 0).ok(), b"mine");
}

#[test]
fn stat_and_read_hold_a_reader_to_one_version() {
    let lab = Lab::new();
    let up = lab.up();
    let mut wire = Wire::connect(&up.storage);
    let key = key(APP, USER, "f");
    wire.upload(&key, b"version one").ok();
    let stat = wire.call(STAT, &key).ok();
    let checksum = blake3::hash(b"version one");
    assert_eq!(stat[..8], 11_u64.to_be_bytes());
    assert_eq!(stat[20..52], *checksum.as_bytes());
    let read =
        |wire: &mut Wire, expected: &[u8]| wire.call(READ, &[&range(&key, 8, 3)[..], expected].concat());
    assert_eq!(read(&mut wire, checksum.as_bytes()).ok(), b"one");
    assert_eq!(read(&mut wire, &[0; 32]).ok(), b"one");
    wire.call(DELETE, &key).ok();
    wire.upload(&key, b"version two").ok();
    assert_eq!(read(&mut wire, checksum.as_bytes()).refused(), 412);
    assert_eq!(read(&mut wire, &[0; 32]).ok(), b"two");
}

#[test]
fn a_download_outlives_the_delete_of_its_file() {
    let lab = Lab::new();
    let up = lab.up();
    let pattern = Pattern::new(3, 64 << 20);
    let key = key(APP, USER, "f");
    Wire::connect(&up.storage).upload(&key, &pattern.bytes()).ok();
    let mut reader = Wire::connect(&up.storage);
    reader.send(&crate::harness::frames::frame(DOWNLOAD, &range(&key, 0, 0)));
    let (len, _, status) = reader.try_reply_header().unwrap();
    assert_eq!((len, status), (pattern.len(), 0));
    Wire::connect(&up.storage).call(DELETE, &key).ok();
    pattern.check(0, len, &mut std::io::Read::take(&mut reader.stream, len));
}
