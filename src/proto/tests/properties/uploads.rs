//! Uploads with labels and in parts, and lists.

use proptest::sample::Index;

use super::*;

/// A name: any text without control characters, at times as long as one may be.
fn name() -> impl Strategy<Value = String> {
    let fitting = any_text(MAX_NAME_LEN).prop_map(|text| text.replace(char::is_control, "_"));
    prop_oneof![Just(String::new()), fitting]
}

fn content_type() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[!-.0-~]{1,40}/[ -~]{1,87}"]
}

prop_compose! {
    fn labels()(name in name(), content_type in content_type()) -> Labels {
        Labels::new(&name, &content_type).unwrap()
    }
}

prop_compose! {
    fn new_upload()(key in file_key(), size in 0..=i64::MAX as u64 - 2048, labels in labels(), ack_copies: u8) -> NewUpload {
        NewUpload { key, size, labels, ack_copies }
    }
}

prop_compose! {
    fn list()(
        app in app_id(), user in user_id(), by_name: bool, limit in 1..=List::MAX_LIMIT, prefix in name(),
        cursor in prop_oneof![Just(String::new()), any_text(MAX_CURSOR_LEN)],
    ) -> List {
        let order = if by_name { ListOrder::Name } else { ListOrder::Newest };
        List { app, user, order, limit, prefix, cursor }
    }
}

prop_compose! {
    fn attributes()(
        size in 0..=i64::MAX as u64, created_ms: i64, crc32: u32, blake3: [u8; 32],
        content_type in content_type(), name in name(),
    ) -> Attributes {
        Attributes { size, created_ms, crc32, blake3: Checksum(blake3), content_type, name }
    }
}

prop_compose! {
    fn file_list()(
        files in vec((file_id(), attributes()), 0..4),
        next in prop_oneof![Just(String::new()), any_text(MAX_CURSOR_LEN)],
    ) -> FileList {
        FileList { files, next }
    }
}

prop_compose! {
    fn progress()(size in 0..=i64::MAX as u64, part: Index, expires_ms: i64) -> UploadProgress {
        let offset = part.index(usize::MAX) as u64 % (size + 1);
        UploadProgress { offset, size, expires_ms }
    }
}

/// A good body of one of these requests and replies, of which some bytes are wrong and perhaps the end is missing.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let body = |request: BytesMut| request[HEADER_LEN..].to_vec();
    let good = prop_oneof![
        new_upload().prop_map(move |new| body(Begin(new).to_frame())),
        list().prop_map(move |list| body(list.to_frame())),
        file_list().prop_map(|list| encoded(|out| list.encode(out)).to_vec()),
        progress().prop_map(|progress| encoded(|out| progress.encode(out)).to_vec()),
        file_key().prop_map(move |key| body(Append { key, offset: 7, len: 0 }.to_frame())),
        file_key().prop_map(move |key| body(Finish { key, expected: Checksum([7; 32]) }.to_frame())),
    ];
    let cut = proptest::option::of(any::<Index>());
    // The first bytes are lengths in some of them, and those behind the key's texts in others.
    let place = prop_oneof![
        any::<Index>().prop_map(|place| (place, 0, usize::MAX)),
        any::<Index>().prop_map(|place| (place, 0, 8)),
        any::<Index>().prop_map(|place| (place, 272, 280)),
        any::<Index>().prop_map(|place| (place, 400, 412)),
    ];
    (good, vec((place, any::<u8>()), 0..4), cut).prop_map(|(mut bytes, wrong, cut)| {
        for ((place, from, to), byte) in wrong {
            let reachable = bytes.get_mut(from..).unwrap_or_default();
            if !reachable.is_empty() {
                let range = reachable.len().min(to - from);
                reachable[place.index(range)] = byte;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stores(new in new_upload()) {
        survives(&Store(new))?;
    }

    #[test]
    fn begins(new in new_upload()) {
        survives(&Begin(new))?;
    }

    /// As servers read them: the fixed part, then as many bytes as that says.
    #[test]
    fn labels_follow_their_lengths(new in new_upload(), other in -3..3_isize) {
        let frame = Begin(new.clone()).to_frame();
        let (fixed, labels) = frame[HEADER_LEN..].split_at(NewUploadFixed::LEN);
        let fixed = NewUploadFixed::decode(fixed).unwrap();
        prop_assert_eq!(fixed.labels_len(), labels.len());
        let mut of_another_length = labels.to_vec();
        of_another_length.resize(labels.len().saturating_add_signed(other), b'x');
        let as_long = of_another_length.len() == labels.len();
        prop_assert_eq!(fixed.clone().with_labels(&of_another_length).is_ok(), as_long);
        prop_assert_eq!(fixed.with_labels(labels).unwrap(), new);
    }

    /// A name and a content type are good or bad each for itself, and good ones are kept as they are.
    #[test]
    fn labels_take_what_they_should(name in any_label(MAX_NAME_LEN), kind in any_label(MAX_CONTENT_TYPE_LEN)) {
        let good_name = name.len() <= MAX_NAME_LEN && !name.chars().any(char::is_control);
        let slash = kind.char_indices().skip(1).find(|(_, c)| *c == '/').map(|(at, _)| at);
        let typed = !kind.starts_with('/') && slash.is_some_and(|at| at + 1 < kind.len());
        let good_kind = kind.is_empty()
            || typed && kind.len() <= MAX_CONTENT_TYPE_LEN && kind.chars().all(|c| (' '..='~').contains(&c));
        prop_assert_eq!(Labels::new(&name, "").is_ok(), good_name);
        prop_assert_eq!(Labels::new("", &kind).is_ok(), good_kind);
        match Labels::new(&name, &kind) {
            Ok(labels) => {
                prop_assert!(good_name && good_kind);
                prop_assert_eq!((labels.name(), labels.content_type()), (name.as_str(), kind.as_str()));
            }
            Err(_) => prop_assert!(!good_name || !good_kind),
        }
    }

    #[test]
    fn appends(key in file_key(), offset in 0..=i64::MAX as u64, len in 0..=i64::MAX as u64 - 408) {
        survives(&Append { key: key.clone(), offset, len: 0 })?;
        let frame = Append { key, offset, len }.to_frame();
        let header = Header::decode(*frame.first_chunk().unwrap()).unwrap();
        prop_assert_eq!(Command::check(header, Server::Storage).unwrap(), Command::Append);
        prop_assert_eq!(header.body_len, 408 + len);
    }

    #[test]
    fn finishes(key in file_key(), expected: [u8; 32]) {
        survives(&Finish { key, expected: Checksum(expected) })?;
    }

    #[test]
    fn lists(list in list()) {
        survives(&list)?;
    }

    #[test]
    fn pages(list in file_list()) {
        prop_assert_eq!(FileList::decode(&encoded(|out| list.encode(out))).unwrap(), list);
    }

    #[test]
    fn progresses(progress in progress()) {
        prop_assert_eq!(UploadProgress::decode(&encoded(|out| progress.encode(out))).unwrap(), progress);
    }

    #[test]
    fn known_uploads(progress in progress(), labels in proptest::option::of(labels())) {
        let known = KnownUpload { progress, labels };
        prop_assert_eq!(KnownUpload::decode(&encoded(|out| known.encode(out))).unwrap(), known);
    }

    /// Whatever is accepted is within its limits and encodes to what decodes to the same again.
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop_oneof![body_like(), damaged()], labels in any_bytes()) {
        stable::<Store>(&bytes);
        stable::<Begin>(&bytes);
        stable::<Append>(&bytes);
        stable::<Finish>(&bytes);
        stable::<List>(&bytes);
        if let Ok(list) = FileList::decode(&bytes) {
            prop_assert_eq!(FileList::decode(&encoded(|out| list.encode(out))).unwrap(), list);
        }
        if let Ok(progress) = UploadProgress::decode(&bytes) {
            prop_assert!(progress.offset <= progress.size);
            prop_assert_eq!(encoded(|out| progress.encode(out)), &bytes[..24]);
        }
        if let Ok(known) = KnownUpload::decode(&bytes) {
            prop_assert_eq!(KnownUpload::decode(&encoded(|out| known.encode(out))).unwrap(), known);
        }
        let fixed = bytes.get(..NewUploadFixed::LEN).map(NewUploadFixed::decode);
        if let Some(Ok(fixed)) = fixed {
            prop_assert!(fixed.labels_len() <= MAX_LABELS_LEN);
            let _ = fixed.clone().with_labels(&labels);
            if let Ok(new) = fixed.clone().with_labels(&bytes[NewUploadFixed::LEN..]) {
                prop_assert_eq!(new.labels.name().len() + new.labels.content_type().len(), fixed.labels_len());
            }
        }
        let _ = NewUploadFixed::decode(&bytes);
    }
}

/// Texts around what a label of at most `max` bytes takes.
fn any_label(max: usize) -> impl Strategy<Value = String> {
    let long = (max - 3..max + 3).prop_map(|len| format!("a/{}", "x".repeat(len - 2)));
    prop_oneof![any::<String>(), "[ -~]{0,20}", "[/a-c]{0,4}", "[ -~]{0,4}/[ -~é\n\0]{0,4}", long]
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![b'a'..=b'z', Just(b'/'), any::<u8>()], 0..64)
}
