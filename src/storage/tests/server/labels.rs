//! Files with names and content types, and lists of them.

use tnv_proto::{
    Attributes, Checksum, ErrorCode, Failure, FileList, Labels, List, ListOrder, NewUpload, Request, Store,
};

use crate::lab::{Lab, Running, key, pattern};

/// Sends a STORE.
async fn store(
    storage: &Running,
    file: &str,
    labels: (&str, &str),
    bytes: &[u8],
    told: Checksum,
) -> Result<Attributes, Failure> {
    let labels = Labels::new(labels.0, labels.1).unwrap();
    let frame =
        Store(NewUpload { key: key(file), size: bytes.len() as u64, labels, ack_copies: 0 }).to_frame();
    let mut wire = storage.connect().await;
    wire.send(&[&frame, bytes, &told.0].concat()).await;
    Ok(Attributes::decode(&wire.reply().await?).unwrap())
}

async fn list(
    storage: &Running,
    order: ListOrder,
    prefix: &str,
    limit: u16,
    cursor: &str,
) -> Result<FileList, Failure> {
    let owner = key("any");
    let (prefix, cursor) = (prefix.to_owned(), cursor.to_owned());
    let request = List { app: owner.app, user: owner.user, order, limit, prefix, cursor };
    let mut wire = storage.connect().await;
    wire.send(&request.to_frame()).await;
    Ok(FileList::decode(&wire.reply().await?).unwrap())
}

#[tokio::test]
async fn labels_are_kept_and_a_file_without_a_type_is_sniffed() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    let bytes = pattern(300_000, 3);
    let blake3 = Checksum(*blake3::hash(&bytes).as_bytes());
    let stored = store(&storage, "1", ("会议/记录 <b>.mp4", "video/x-thing"), &bytes, blake3).await.unwrap();
    assert_eq!((stored.name.as_str(), stored.content_type.as_str()), ("会议/记录 <b>.mp4", "video/x-thing"));
    assert_eq!((stored.size, stored.blake3), (300_000, blake3));
    assert_eq!(storage.stat("1").await.unwrap(), stored);
    assert_eq!(storage.download("1").await.unwrap(), bytes);

    let stored = store(&storage, "2", ("", ""), b"WEBVTT\n\n", Checksum::UNKNOWN).await.unwrap();
    assert_eq!((stored.name.as_str(), stored.content_type.as_str()), ("", "text/vtt"));
    let again = store(&storage, "2", ("other", ""), b"", Checksum::UNKNOWN).await.unwrap_err();
    assert_eq!(again.code, ErrorCode::CONFLICT);
    assert_eq!(storage.stat("2").await.unwrap(), stored);
}

#[tokio::test]
async fn bytes_that_are_not_those_that_were_meant_leave_nothing() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    for len in [0, 10, 1 << 20] {
        let refused = store(&storage, "1", ("n", ""), &pattern(len, 1), Checksum([1; 32])).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::CHANGED);
        lab.until_files(0).await;
    }
    assert_eq!(lab.rows(), (0, 0));
}

#[tokio::test]
async fn lists_go_on_where_the_page_before_ended() {
    let lab = Lab::new().await;
    let storage = lab.start().await;
    for n in 0..7 {
        let name = if n % 2 == 0 { format!("even/{n}") } else { format!("odd/{}", 9 - n) };
        store(&storage, &format!("id {n}"), (&name, ""), b"x", Checksum::UNKNOWN).await.unwrap();
    }
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = list(&storage, ListOrder::Name, "", 2, &cursor).await.unwrap();
        assert!(page.files.len() <= 2);
        ids.extend(page.files.iter().map(|(id, _)| id.to_string()));
        if page.next.is_empty() {
            break;
        }
        cursor = page.next;
        storage.delete(ids.last().unwrap()).await.unwrap();
    }
    assert_eq!(ids, ["id 0", "id 2", "id 4", "id 6", "id 5", "id 3", "id 1"]);

    let odd = list(&storage, ListOrder::Newest, "odd/", 100, "").await.unwrap();
    assert!(odd.files.iter().all(|(_, attributes)| attributes.name.starts_with("odd/")));
    assert_eq!(odd.next, "");
    let refused = list(&storage, ListOrder::Newest, "", 5, "not a cursor").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::BAD_REQUEST);
}
