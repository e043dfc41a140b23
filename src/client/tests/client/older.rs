//! Servers that do not know the newer commands.

use tnv_client::{IdClient, Options, StorageClient};
use tnv_proto::{Checksum, Command, ErrorCode, Server};

use crate::fake::{Answer, Fake};
use crate::{events, key};

const OLD_ANSWERS: [ErrorCode; 2] = [ErrorCode::BAD_REQUEST, ErrorCode::UNSPECIFIED];

#[tokio::test]
async fn stat_falls_back_to_the_size() {
    for code in OLD_ANSWERS {
        let server = Fake::answering(Server::Storage, move |request| match request.command {
            Command::FileSize => Answer::Success(9_i64.to_be_bytes().to_vec()),
            _ => Answer::Failure(code),
        })
        .await;
        let storage = StorageClient::new(&server.address, Options::default());
        let attributes = storage.stat(&key()).await.unwrap();
        assert_eq!((attributes.size, attributes.blake3), (9, Checksum::UNKNOWN));
        assert_eq!(server.accepted(), 1, "a refusal leaves the connection usable");
    }
}

#[tokio::test]
async fn read_falls_back_to_download() {
    for code in OLD_ANSWERS {
        let server = Fake::answering(Server::Storage, move |request| match request.command {
            Command::Download => Answer::Success(b"contents".to_vec()),
            _ => Answer::Failure(code),
        })
        .await;
        let storage = StorageClient::new(&server.address, Options::default());
        let mut download = storage.download(&key(), 0, 0, Checksum([1; 32])).await.unwrap();
        assert_eq!(download.size(), 8);
        assert_eq!(&download.chunk().await.unwrap().unwrap()[..], b"contents");
    }
}

#[tokio::test]
async fn lease_falls_back_to_one_number_and_remembers_it() {
    let (seen, mut commands) = events();
    let server = Fake::answering(Server::Id, move |request| {
        seen.send(request.command).unwrap();
        match request.command {
            Command::IdGet => Answer::Success(42_i64.to_be_bytes().to_vec()),
            _ => Answer::Failure(ErrorCode::UNSPECIFIED),
        }
    })
    .await;
    let ids = IdClient::new(vec![server.address.clone()], Options::default());
    for _ in 0..2 {
        let range = ids.lease("../data", 100).await.unwrap();
        assert_eq!((range.first, range.count), (42, 1));
    }
    for command in [Command::IdLease, Command::IdGet, Command::IdGet] {
        assert_eq!(commands.recv().await, Some(command));
    }
    assert!(commands.try_recv().is_err());
}

#[tokio::test]
async fn keys_of_ids_are_checked_before_they_are_sent() {
    let ids = IdClient::new(vec!["127.0.0.1:1".to_owned()], Options::default());
    for key in ["", "a\0b", &"k".repeat(65)] {
        assert!(matches!(ids.get(key).await.unwrap_err(), tnv_client::ClientError::Local { .. }), "{key:?}");
    }
    assert!(matches!(ids.lease("k", 0).await.unwrap_err(), tnv_client::ClientError::Local { .. }));
}
