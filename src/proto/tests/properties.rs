//! Properties of every codec: what is encoded decodes to itself, and no bytes whatever make a decoder panic.

#[path = "properties/uploads.rs"]
mod uploads;

use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use tnv_proto::*;

prop_compose! {
    fn app_id()(text in "[A-Za-z0-9]{1,15}") -> AppId { AppId::new(&text).unwrap() }
}

prop_compose! {
    fn group_name()(text in "[A-Za-z0-9]{1,16}") -> GroupName { GroupName::new(&text).unwrap() }
}

/// Any text of 1 to `max` bytes without NUL.
fn any_text(max: usize) -> impl Strategy<Value = String> {
    vec(any::<char>().prop_filter("no NUL", |c| *c != '\0'), 1..=max)
        .prop_map(move |chars| {
            let mut text = String::new();
            chars
                .into_iter()
                .take_while(|c| {
                    let fits = text.len() + c.len_utf8() <= max;
                    if fits {
                        text.push(*c)
                    }
                    fits
                })
                .for_each(drop);
            text
        })
        .prop_filter("not empty", |text| !text.is_empty())
}

fn user_id() -> impl Strategy<Value = UserId> {
    any_text(255).prop_map(|text| UserId::new(&text).unwrap())
}

fn file_id() -> impl Strategy<Value = FileId> {
    any_text(127).prop_map(|text| FileId::new(&text).unwrap())
}

fn host_name() -> impl Strategy<Value = HostName> {
    any_text(128).prop_map(|text| HostName::new(&text).unwrap())
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(String::new()), any_text(6)].prop_map(|text| Version::new(&text).unwrap())
}

prop_compose! {
    fn file_key()(app in app_id(), user in user_id(), file in file_id()) -> FileKey { FileKey { app, user, file } }
}

prop_compose! {
    fn download()(key in file_key(), offset in any::<i64>(), size in any::<i64>()) -> Download {
        Download { key, offset, size }
    }
}

/// A request survives its frame, and its header passes the check of the server it is meant for and of no other.
fn survives<R: Request + PartialEq + std::fmt::Debug>(request: &R) -> Result<(), TestCaseError> {
    let frame = request.to_frame();
    let (header, body) = frame.split_first_chunk::<HEADER_LEN>().unwrap();
    let header = Header::decode(*header).unwrap();
    prop_assert_eq!(header.body_len, body.len() as u64 + request.trailing_len());
    for server in [Server::Tracker, Server::Id, Server::Storage] {
        let checked = Command::check(header, server);
        if server == R::COMMAND.server() {
            prop_assert_eq!(checked.unwrap(), R::COMMAND);
        } else {
            prop_assert_eq!(checked.unwrap_err().code, ErrorCode::BAD_REQUEST);
        }
    }
    prop_assert_eq!(&R::decode(body).unwrap(), request);
    Ok(())
}

/// What is accepted encodes to a body that decodes to the same again.
fn stable<R: Request + PartialEq + std::fmt::Debug>(body: &[u8]) {
    if let Ok(request) = R::decode(body) {
        let frame = request.to_frame();
        assert_eq!(R::decode(&frame[HEADER_LEN..]).unwrap(), request);
    }
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn headers(body_len in 0..=i64::MAX as u64, command: u8, status: u8) {
        let header = Header { body_len, command, status };
        prop_assert_eq!(Header::decode(header.encode()).unwrap(), header);
    }

    #[test]
    fn any_header_is_decoded_or_refused(bytes: [u8; HEADER_LEN]) {
        let decoded = Header::decode(bytes);
        prop_assert_eq!(decoded.is_err(), bytes[0] & 0x80 != 0);
        if let Ok(header) = decoded {
            prop_assert_eq!(header.encode(), bytes);
            for server in [Server::Tracker, Server::Id, Server::Storage] {
                if let Ok(command) = Command::check(header, server) {
                    prop_assert!(command.body_len().contains(&header.body_len));
                    prop_assert_eq!(command as u8, header.command);
                }
            }
        }
    }

    #[test]
    fn joins(
        version in version(), group in group_name(), host in host_name(), port in 1..=u16::MAX,
        started: i64, joined: i64,
    ) {
        survives(&Join { version, group, host, port, started, joined })?;
    }

    #[test]
    fn beats(group in group_name(), host in host_name()) {
        survives(&Beat { group, host })?;
    }

    #[test]
    fn saddrs(app in app_id(), user in user_id(), file in proptest::option::of(file_id())) {
        survives(&Saddrs { app, user, file })?;
    }

    #[test]
    fn reports(group in group_name(), host in host_name(), port in 1..=u16::MAX, json in any_text(2000)) {
        survives(&Report { group, host, port, json })?;
    }

    #[test]
    fn id_gets(key in any_text(64)) {
        survives(&IdGet { key })?;
    }

    #[test]
    fn id_leases(count in 1..=u32::MAX, key in any_text(64)) {
        survives(&IdLease { count, key })?;
    }

    #[test]
    fn uploads(key in file_key(), size in 0..=i64::MAX as u64 - 408) {
        survives(&Upload { key, size })?;
    }

    #[test]
    fn downloads(download in download()) {
        survives(&download)?;
    }

    #[test]
    fn reads(download in download(), expected: [u8; 32]) {
        survives(&Read { download, expected: Checksum(expected) })?;
    }

    #[test]
    fn file_keys(key in file_key()) {
        for command in [Command::FileSize, Command::Delete, Command::Stat, Command::Progress, Command::Abort, Command::Notice] {
            let frame = key.to_frame(command);
            prop_assert_eq!(&FileKey::decode(&frame[HEADER_LEN..]).unwrap(), &key);
        }
    }

    #[test]
    fn address_lists(group in group_name(), addresses in vec("[a-z0-9.]{1,20}:[0-9]{1,5}", 1..=3)) {
        let reply = StorageAddresses { group, addresses };
        prop_assert_eq!(StorageAddresses::decode(&encoded(|out| reply.encode(out))).unwrap(), reply);
    }

    #[test]
    fn id_ranges(first in 0..=i64::MAX - i64::from(u32::MAX), count in 1..=u32::MAX) {
        let range = IdRange { first, count };
        prop_assert_eq!(IdRange::decode(&encoded(|out| range.encode(out))).unwrap(), range);
    }

    #[test]
    fn attributes(
        size in 0..=i64::MAX as u64, created_ms: i64, crc32: u32, blake3: [u8; 32],
        content_type in "[a-z]{0,10}/[a-z0-9+.-]{0,20}", name in any_text(300),
    ) {
        let reply = Attributes { size, created_ms, crc32, blake3: Checksum(blake3), content_type, name };
        prop_assert_eq!(Attributes::decode(&encoded(|out| reply.encode(out))).unwrap(), reply);
    }

    #[test]
    fn failures(code: u16, text: String) {
        let body = encoded(|out| Failure::new(ErrorCode(code), text.as_str()).encode("h", out));
        prop_assert!(body.len() <= 2 + 1024);
        prop_assert_eq!(body.iter().skip(2).position(|byte| *byte == 0), Some(body.len() - 3));
        let failure = Failure::decode(&body).unwrap();
        prop_assert_eq!(failure.code, ErrorCode(code));
        let sent = format!("[h] {}", text.replace('\0', " "));
        prop_assert!(sent.starts_with(&failure.text));
        prop_assert!(failure.text.len() == sent.len() || failure.text.len() > MAX_FAILURE_TEXT - 4);
    }

    #[test]
    fn checksums(bytes: [u8; 32]) {
        let checksum = Checksum(bytes);
        prop_assert_eq!(Checksum::from_hex(&checksum.to_string()), Some(checksum));
    }

    /// One wrong character among 64 digits, `+` and `-` among them, is noticed wherever it stands.
    #[test]
    fn only_64_digits_are_a_checksum(digits in "[0-9a-fA-F]{64}", place in 0..64_usize, wrong in prop_oneof!["[+-]", "[^0-9a-fA-F]"]) {
        let checksum = Checksum::from_hex(&digits).unwrap();
        prop_assert_eq!(checksum.to_string(), digits.to_lowercase());
        prop_assert_eq!(Checksum::from_hex(&digits[1..]), None);
        prop_assert_eq!(Checksum::from_hex(&format!("{}{wrong}{}", &digits[..place], &digits[place + 1..])), None);
    }

    #[test]
    fn text_fields_take_what_fits_and_nothing_else(text: String) {
        prop_assert_eq!(UserId::new(&text).is_ok(), (1..256).contains(&text.len()) && !text.contains('\0'));
        prop_assert_eq!(FileId::new(&text).is_ok(), (1..128).contains(&text.len()) && !text.contains('\0'));
        let letters = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
        prop_assert_eq!(AppId::new(&text).is_ok(), letters && text.len() < 16);
        prop_assert_eq!(GroupName::new(&text).is_ok(), letters && text.len() < 17);
    }

    /// Whatever is accepted encodes to a body that decodes to the same again.
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in body_like()) {
        stable::<Join>(&bytes);
        stable::<Beat>(&bytes);
        stable::<Saddrs>(&bytes);
        stable::<Report>(&bytes);
        stable::<IdGet>(&bytes);
        stable::<IdLease>(&bytes);
        stable::<Upload>(&bytes);
        stable::<Download>(&bytes);
        stable::<Read>(&bytes);
        let _ = FileKey::decode(&bytes);
        let _ = StorageAddresses::decode(&bytes);
        let _ = IdRange::decode(&bytes);
        let _ = Attributes::decode(&bytes);
        let _ = Failure::decode(&bytes);
    }
}

/// Bytes that reach deep into the decoders: noise, mostly NULs, and lengths at which a layout is full.
fn body_like() -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop_oneof![
        Just(146),
        Just(171),
        Just(400),
        Just(408),
        Just(416),
        Just(432),
        Just(448),
        0..600_usize
    ];
    let byte = prop_oneof![4 => Just(0_u8), 4 => b'a'..=b'z', 1 => any::<u8>()];
    lengths.prop_flat_map(move |len| vec(byte.clone(), len))
}
