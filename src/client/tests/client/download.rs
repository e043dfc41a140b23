//! Downloads from one storage.

use std::sync::Arc;

use tnv_client::{ClientError, Download, Options, StorageClient};
use tnv_proto::{Checksum, Command, ErrorCode, Read, Request, Server};

use crate::fake::{Answer, Fake};
use crate::{events, key, sample};

/// Reads a download to its end.
pub(crate) async fn read_all(download: &mut Download) -> Result<Vec<u8>, ClientError> {
    let mut all = Vec::new();
    while let Some(chunk) = download.chunk().await? {
        assert!((1..=256 * 1024).contains(&chunk.len()));
        all.extend_from_slice(&chunk);
    }
    assert_eq!(all.len() as u64, download.size());
    Ok(all)
}

#[tokio::test]
async fn a_download_gives_every_byte_and_returns_its_connection() {
    let contents = sample(3_000_001);
    let sent = contents.clone();
    let server = Fake::answering(Server::Storage, move |request| {
        let download = tnv_proto::Download::decode(&request.body).unwrap();
        let from = download.offset as usize;
        let to = if download.size == 0 { sent.len() } else { from + download.size as usize };
        Answer::Success(sent[from..to].to_vec())
    })
    .await;
    let storage = StorageClient::new(&server.address, Options::default());
    for (offset, size) in [(0, 0), (7, 0), (7, 1_000_000), (3_000_000, 1), (3_000_001, 0)] {
        let mut download = storage.download(&key(), offset, size, Checksum::UNKNOWN).await.unwrap();
        let from = offset as usize;
        let to = if size == 0 { contents.len() } else { from + size as usize };
        assert_eq!(read_all(&mut download).await.unwrap(), &contents[from..to]);
        assert!(download.chunk().await.unwrap().is_none());
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn the_expected_checksum_is_sent() {
    let server = Fake::answering(Server::Storage, |request| {
        assert_eq!(request.command, Command::Read);
        match Read::decode(&request.body).unwrap().expected {
            Checksum([1, ..]) => Answer::Success(b"contents".to_vec()),
            _ => Answer::Failure(ErrorCode::CHANGED),
        }
    })
    .await;
    let storage = StorageClient::new(&server.address, Options::default());
    let mut download = storage.download(&key(), 0, 8, Checksum([1; 32])).await.unwrap();
    assert_eq!(read_all(&mut download).await.unwrap(), b"contents");
    let error = storage.download(&key(), 0, 8, Checksum([2; 32])).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CHANGED));
}

#[tokio::test]
async fn an_answer_of_another_length_is_refused() {
    for len in [0, 99, 101] {
        let server = Fake::answering(Server::Storage, move |_| Answer::Success(vec![1; len])).await;
        let storage = StorageClient::new(&server.address, Options::default());
        let error = storage.download(&key(), 0, 100, Checksum::UNKNOWN).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_download_that_is_dropped_closes_its_connection() {
    let (closed, mut closures) = events();
    let server = Fake::scripted(Server::Storage, move |_, mut wire| {
        let closed = Arc::clone(&closed);
        async move {
            wire.request().await.unwrap();
            wire.success_header(1 << 40).await;
            wire.raw(&[1; 100]).await;
            wire.closed().await;
            closed.send(()).unwrap();
        }
    })
    .await;
    let storage = StorageClient::new(&server.address, Options::default());
    let mut download = storage.download(&key(), 0, 1 << 40, Checksum::UNKNOWN).await.unwrap();
    assert!(download.chunk().await.unwrap().is_some());
    drop(download);
    closures.recv().await.unwrap();
}

#[tokio::test]
async fn numbers_that_do_not_fit_the_wire_are_refused() {
    let storage = StorageClient::new("127.0.0.1:1", Options::default());
    for (offset, size) in [(u64::MAX, 0), (0, u64::MAX)] {
        let error = storage.download(&key(), offset, size, Checksum::UNKNOWN).await.unwrap_err();
        assert!(matches!(error, ClientError::Local { .. }), "{error}");
    }
}
