//! Uploads with labels and in parts, and lists.

use super::*;

/// What STORE and BEGIN begin with: key, size 5, the lengths of two labels, the labels.
fn new_upload_bytes() -> Vec<u8> {
    join(&[key_bytes(), hex("0000000000000005 000a 0009"), text("会议.mp4", 0), text("video/mp4", 0)])
}

fn new_upload() -> NewUpload {
    NewUpload { key: key(), size: 5, labels: Labels::new("会议.mp4", "video/mp4").unwrap(), ack_copies: 0 }
}

#[test]
fn store_frame_counts_contents_and_checksum_in_its_header() {
    let body = new_upload_bytes();
    assert_eq!(body.len(), 431);
    golden(&Store(new_upload()), "00000000000001d4 4c 00", &body);
    assert_eq!(Store(new_upload()).trailing_len(), 5 + 32);
}

#[test]
fn store_frame_without_labels() {
    let body = join(&[key_bytes(), hex("0000000000000000 0000 0000")]);
    let new = NewUpload { key: key(), size: 0, labels: Labels::default(), ack_copies: 0 };
    golden(&Store(new), "00000000000001bc 4c 00", &body);
}

#[test]
fn store_and_begin_are_read_in_two_steps() {
    let body = new_upload_bytes();
    let (fixed, labels) = body.split_at(412);
    assert_eq!(NewUploadFixed::LEN, 412);
    let fixed = NewUploadFixed::decode(fixed).unwrap();
    assert_eq!(fixed.labels_len(), 19);
    assert_eq!(fixed.clone().with_labels(labels).unwrap(), new_upload());

    for (labels, why) in [
        (&labels[..9], "the name is cut short"),
        (&labels[..18], "the content type is cut short"),
        (b"0123456789video/mp4+", "the content type is cut short"),
        (b"012345678\xffvideo/mp4", "the name is not UTF-8"),
        (b"0123456789video/mp\xff", "the content type is not UTF-8"),
        (b"012345678\nvideo/mp4", "the file name has a control character"),
    ] {
        assert_eq!(fixed.clone().with_labels(labels).unwrap_err().to_string(), why);
    }
}

#[test]
fn bad_uploads_are_refused_before_their_labels_are_read() {
    for (numbers, why) in [
        ("ffffffffffffffff 0000 0000", "a size of -1 is negative"),
        ("0000000000000000 0000 00", "the content type's length is cut short"),
        ("0000000000000000 0000 0000 00", "1 bytes too many"),
        (
            "0000000000000000 0401 0000",
            "a name of 1025 bytes and a content type of 0: at most 1024 and 128 fit",
        ),
        (
            "0000000000000000 0000 0081",
            "a name of 0 bytes and a content type of 129: at most 1024 and 128 fit",
        ),
    ] {
        let body = join(&[key_bytes(), hex(numbers)]);
        assert_eq!(NewUploadFixed::decode(&body).unwrap_err().to_string(), why);
    }
    let longest = join(&[key_bytes(), hex("7fffffffffffffff 0400 0080")]);
    assert_eq!(NewUploadFixed::decode(&longest).unwrap().labels_len(), 1152);
}

#[test]
fn labels() {
    let (name, kind) = ("n".repeat(1024), format!("video/{}", "x".repeat(122)));
    for (name, kind) in [
        ("", ""),
        (name.as_str(), kind.as_str()),
        ("../会议 <b>.mp4", "text/plain; charset=utf-8"),
        ("\u{a0}", "a/b/c"),
    ] {
        let labels = Labels::new(name, kind).unwrap();
        assert_eq!((labels.name(), labels.content_type()), (name, kind));
    }
    for (name, kind, why) in [
        (format!("{name}n"), String::new(), "the file name has 1025 bytes, at most 1024 fit"),
        (String::new(), format!("{kind}x"), "the content type has 129 bytes, at most 128 fit"),
    ] {
        assert_eq!(Labels::new(&name, &kind).unwrap_err().to_string(), why);
    }
    for name in ["\0", "a\n", "\x1b[2J", "\x7f", "\u{85}"] {
        let why = Labels::new(name, "").unwrap_err().to_string();
        assert_eq!(why, "the file name has a control character", "{name:?}");
    }
    for kind in ["video", "/mp4", "video/", "/", "video/mp4\r\n", "vidéo/mp4", "text/plain\0"] {
        let why = Labels::new("", kind).unwrap_err().to_string();
        assert_eq!(why, "the content type does not read like type/subtype", "{kind:?}");
    }
}

#[test]
fn list_frame() {
    let FileKey { app, user, .. } = key();
    let request = List {
        app,
        user,
        order: ListOrder::Name,
        limit: 1000,
        prefix: "会/".into(),
        cursor: "4:next".into(),
    };
    let owner = join(&[text("tnvideo", 9), text("tnv001", 250)]);
    let body = join(&[owner.clone(), hex("01 03e8 0004 e4bc9a2f 0006"), text("4:next", 0)]);
    assert_eq!(body.len(), 289);
    golden(&request, "0000000000000121 4d 00", &body);

    let first =
        List { order: ListOrder::Newest, limit: 1, prefix: String::new(), cursor: String::new(), ..request };
    golden(&first, "0000000000000117 4d 00", &join(&[owner, hex("00 0001 0000 0000")]));
}

#[test]
fn bad_lists_are_refused() {
    for (rest, why) in [
        ("02 0001 0000 0000", "there is no order 2"),
        ("00 0000 0000 0000", "a limit of 0 is not 1 to 1000"),
        ("00 03e9 0000 0000", "a limit of 1001 is not 1 to 1000"),
        ("00 0001 0001 ff 0000", "the prefix is not UTF-8"),
        ("00 0001 0000 0001", "the cursor is cut short"),
        ("00 0001 0000 0000 00", "1 bytes too many"),
    ] {
        let body = join(&[text("tnvideo", 9), text("tnv001", 250), hex(rest)]);
        assert_eq!(List::decode(&body).unwrap_err().to_string(), why);
    }
}

#[test]
fn list_reply() {
    let attributes = Attributes {
        size: 5,
        created_ms: 1_780_000_000_000,
        crc32: 0xcbf4_3926,
        blake3: Checksum([0x5a; 32]),
        content_type: "a/b".to_owned(),
        name: "n".to_owned(),
    };
    let of_an_older_server = Attributes {
        size: 6,
        created_ms: 0,
        crc32: 0,
        blake3: Checksum::UNKNOWN,
        content_type: String::new(),
        name: String::new(),
    };
    let reply = FileList {
        files: vec![("x".parse().unwrap(), attributes), ("yz".parse().unwrap(), of_an_older_server)],
        next: "0:yz".to_owned(),
    };
    let first = join(&[
        hex("0001 78 0000000000000005 0000019e70448800 cbf43926"),
        vec![0x5a; 32],
        hex("0003 612f62 0001 6e"),
    ]);
    let second = join(&[hex("0002 797a 0000000000000006 0000000000000000 00000000"), vec![0; 36]]);
    assert_eq!((first.len(), second.len()), (63, 60));
    let head = hex("0004 303a797a 0002");
    let body = join(&[head.clone(), hex("0000003f"), first.clone(), hex("0000003c"), second.clone()]);
    assert_eq!(encoded(|out| reply.encode(out)), body);
    assert_eq!(FileList::decode(&body).unwrap(), reply);

    // A later version may add to each entry.
    let later = join(&[head, hex("00000041"), first, hex("aabb 0000003d"), second, hex("cc")]);
    assert_eq!(FileList::decode(&later).unwrap(), reply);
    assert_eq!(FileList::decode(&hex("0000 0000")).unwrap(), FileList::default());
}

#[test]
fn bad_lists_in_replies_are_refused() {
    for (body, why) in [
        ("0000", "the count is cut short"),
        ("0000 0001", "the entry's length is cut short"),
        ("0000 ffff 00000001", "an entry is cut short"),
        ("0000 0001 ffffffff 0001 78", "an entry is cut short"),
        ("0000 0001 00000002 0000", "the file id must not be empty"),
        ("0000 0001 00000003 0001 78", "the size is cut short"),
        ("0000 0000 00", "1 bytes too many"),
    ] {
        assert_eq!(FileList::decode(&hex(body)).unwrap_err().to_string(), why);
    }
}

#[test]
fn begin_frame() {
    golden(&Begin(new_upload()), "00000000000001af 4e 00", &new_upload_bytes());
}

#[test]
fn append_frame_counts_the_part_in_its_header() {
    let body = join(&[key_bytes(), hex("0000000000100000")]);
    assert_eq!(body.len(), 408);
    golden(&Append { key: key(), offset: 1 << 20, len: 0 }, "0000000000000198 4f 00", &body);
    let part = Append { key: key(), offset: 1 << 20, len: 3 };
    assert_eq!(part.to_frame(), join(&[hex("000000000000019b 4f 00"), body]));

    let negative = join(&[key_bytes(), hex("ffffffffffffffff")]);
    assert_eq!(Append::decode(&negative).unwrap_err().to_string(), "an offset of -1 is negative");
}

#[test]
fn progress_and_abort_frames() {
    for (command, header) in
        [(Command::Progress, "0000000000000190 50 00"), (Command::Abort, "0000000000000190 52 00")]
    {
        assert_eq!(key().to_frame(command), join(&[hex(header), key_bytes()]), "{command:?}");
    }
}

#[test]
fn finish_frame() {
    let body = join(&[key_bytes(), vec![0xa5; 32]]);
    assert_eq!(body.len(), 432);
    golden(&Finish { key: key(), expected: Checksum([0xa5; 32]) }, "00000000000001b0 51 00", &body);
}

#[test]
fn progress_reply() {
    let reply = UploadProgress { offset: 2, size: 5, expires_ms: 1_780_000_000_000 };
    let body = hex("0000000000000002 0000000000000005 0000019e70448800");
    assert_eq!(encoded(|out| reply.encode(out)), body);
    assert_eq!(UploadProgress::decode(&body).unwrap(), reply);
    let from_a_later_version = join(&[body, hex("01")]);
    assert_eq!(UploadProgress::decode(&from_a_later_version).unwrap(), reply);

    for (body, why) in [
        ("0000000000000006 0000000000000005 0000000000000000", "6 of 5 bytes is no progress"),
        ("ffffffffffffffff 0000000000000005 0000000000000000", "-1 of 5 bytes is no progress"),
        ("0000000000000000 ffffffffffffffff 0000000000000000", "0 of -1 bytes is no progress"),
        ("0000000000000000 0000000000000005 00000000000000", "the expiry is cut short"),
    ] {
        assert_eq!(UploadProgress::decode(&hex(body)).unwrap_err().to_string(), why);
    }
}

#[test]
fn known_upload_reply() {
    let progress = UploadProgress { offset: 2, size: 5, expires_ms: 1_780_000_000_000 };
    let of_an_older_server = hex("0000000000000002 0000000000000005 0000019e70448800");
    let known = KnownUpload { progress, labels: Some(Labels::new("a.md", "text/x").unwrap()) };
    let body = join(&[of_an_older_server.clone(), hex("0006 746578742f78 0004 612e6d64")]);
    assert_eq!(encoded(|out| known.encode(out)), body);
    assert_eq!(KnownUpload::decode(&body).unwrap(), known);
    assert_eq!(UploadProgress::decode(&body).unwrap(), progress, "older clients read on");
    let from_a_later_version = join(&[body, hex("01")]);
    assert_eq!(KnownUpload::decode(&from_a_later_version).unwrap(), known);
    let bare = KnownUpload { progress, labels: None };
    assert_eq!(KnownUpload::decode(&of_an_older_server).unwrap(), bare);
    assert_eq!(encoded(|out| bare.encode(out)), of_an_older_server);

    for (behind, why) in [
        ("00", "the content type is cut short"),
        ("0000 0001", "the name is cut short"),
        ("0000 0001 0a", "the file name has a control character"),
        ("0001 61 0000", "the content type does not read like type/subtype"),
    ] {
        let body = join(&[of_an_older_server.clone(), hex(behind)]);
        assert_eq!(KnownUpload::decode(&body).unwrap_err().to_string(), why);
    }
}
