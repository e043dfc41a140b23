//! Pages of a user's files.

use bytes::BytesMut;
use tnv_client::ClientError;
use tnv_proto::{
    Attributes, Checksum, Command, ErrorCode, FileId, FileList, List, ListOrder, Request, Server,
};

use crate::fake::{Answer, Fake};
use crate::{app, client, user};

fn list() -> List {
    List {
        app: app(),
        user: user(),
        order: ListOrder::Name,
        limit: List::MAX_LIMIT,
        prefix: "films/".to_owned(),
        cursor: "here".to_owned(),
    }
}

/// As long a page as there is.
fn page() -> FileList {
    let entry = |at: usize| {
        let attributes = Attributes {
            size: at as u64,
            created_ms: 1,
            crc32: 0,
            blake3: Checksum::UNKNOWN,
            content_type: "t/".repeat(64),
            name: "n".repeat(tnv_proto::MAX_NAME_LEN),
        };
        (FileId::new(&format!("{at:0127}")).unwrap(), attributes)
    };
    FileList { files: (0..1000).map(entry).collect(), next: "c".repeat(tnv_proto::MAX_CURSOR_LEN) }
}

#[tokio::test]
async fn a_page_comes_as_it_was_asked_for() {
    let server = Fake::answering(Server::Storage, |request| {
        assert_eq!(List::decode(&request.body).unwrap(), list());
        let mut body = BytesMut::new();
        page().encode(&mut body);
        Answer::Success(body.to_vec())
    })
    .await;
    let tracker = Fake::tracker(&[&server.address]).await;
    assert_eq!(client(&tracker).list(&list()).await.unwrap(), page());
}

#[tokio::test]
async fn a_user_without_a_group_has_no_files() {
    let tracker = Fake::answering(Server::Tracker, |request| {
        assert_eq!(request.command, Command::Locate, "a list must not give a group");
        Answer::Failure(ErrorCode::NOT_FOUND)
    })
    .await;
    assert_eq!(client(&tracker).list(&list()).await.unwrap(), FileList::default());
}

#[tokio::test]
async fn the_next_storage_is_asked_unless_the_request_makes_no_sense() {
    let empty = || {
        Fake::answering(Server::Storage, |_| {
            let mut body = BytesMut::new();
            FileList::default().encode(&mut body);
            Answer::Success(body.to_vec())
        })
    };
    for answer in [
        Answer::Failure(ErrorCode::BAD_REQUEST),
        Answer::Failure(ErrorCode::UNSPECIFIED),
        Answer::Failure(ErrorCode::UNAVAILABLE),
        Answer::Success(b"?".to_vec()),
        Answer::Close,
    ] {
        let bad = Fake::answering(Server::Storage, move |_| answer.clone()).await;
        let good = empty().await;
        let tracker = Fake::tracker(&[&bad.address, &good.address]).await;
        assert_eq!(client(&tracker).list(&list()).await.unwrap(), FileList::default());
    }
    let strict = Fake::answering(Server::Storage, |_| Answer::Failure(ErrorCode::FORBIDDEN)).await;
    let good = empty().await;
    let tracker = Fake::tracker(&[&strict.address, &good.address]).await;
    let error = client(&tracker).list(&list()).await.unwrap_err();
    assert_eq!((error.code(), good.accepted()), (Some(ErrorCode::FORBIDDEN), 0));
}

#[tokio::test]
async fn older_storages_cannot_list() {
    let old = Fake::answering(Server::Storage, |_| Answer::Failure(ErrorCode::BAD_REQUEST)).await;
    let tracker = Fake::tracker(&[&old.address]).await;
    let error = client(&tracker).list(&list()).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
}
