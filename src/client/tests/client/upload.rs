//! Uploads that succeed, and sources that fail.

use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tnv_client::{ClientError, Options, Source, StorageClient};
use tnv_proto::{Request, Server, Upload};

use crate::fake::{Fake, Wire};
use crate::{blake3_of, client, events, key, sample};

const LARGE: usize = 5_000_003;
/// More than the sockets' buffers hold, so that a storage that does not read stops the client.
pub(crate) const HUGE: usize = 32 * 1024 * 1024;

/// Takes an upload, and gives back its contents.
pub(crate) async fn take(wire: &mut Wire) -> Option<Vec<u8>> {
    let request = wire.request().await?;
    let upload = Upload::decode(&request.body).unwrap();
    assert_eq!((upload.key, upload.size), (key(), request.bulk));
    let contents = wire.bulk(request.bulk).await;
    wire.success(&[]).await;
    Some(contents)
}

/// A storage that takes every upload.
async fn storage() -> (Fake, tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>) {
    let (taken, uploads) = events();
    let fake = Fake::scripted(Server::Storage, move |_, mut wire| {
        let taken = Arc::clone(&taken);
        async move {
            while let Some(contents) = take(&mut wire).await {
                taken.send(contents).unwrap();
            }
        }
    })
    .await;
    (fake, uploads)
}

#[tokio::test]
async fn every_source_arrives_whole() {
    let (server, mut uploads) = storage().await;
    let tracker = Fake::tracker(&[&server.address]).await;
    let client = client(&tracker);
    let contents = sample(LARGE);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&contents).unwrap();
    let (path, part) = (file.path(), &contents[7..1_000_000]);

    let streamed = Box::new(std::io::Cursor::new(contents.clone()));
    let cases = [
        (Source::Memory(Bytes::new()), &[][..]),
        (Source::Memory(Bytes::from(contents.clone())), &contents[..]),
        (Source::file(path, 0, 0).await.unwrap(), &contents[..]),
        (Source::file(path, 7, part.len() as u64).await.unwrap(), part),
        (Source::file(path, contents.len() as u64, 0).await.unwrap(), &[][..]),
        (Source::Stream { reader: streamed, size: 100 }, &contents[..100]),
    ];
    for (source, expected) in cases {
        let uploaded = client.upload(&key(), source).await.unwrap();
        assert_eq!(uploads.recv().await.unwrap(), expected);
        assert_eq!(uploaded.size, expected.len() as u64);
        assert_eq!(uploaded.storage, server.address);
        assert_eq!(uploaded.blake3, blake3_of(expected));
    }
    assert_eq!(server.accepted(), 1, "the connection is used again");
}

#[tokio::test]
async fn progress_never_goes_back() {
    let (server, _uploads) = storage().await;
    let breaking = Fake::scripted(Server::Storage, |_, mut wire| async move {
        wire.request().await.unwrap();
        wire.bulk(1_000_000).await;
    })
    .await;
    let tracker = Fake::tracker(&[&breaking.address, &server.address]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let source = Source::Memory(Bytes::from(sample(HUGE)))
        .with_progress(Arc::new(move |sent| log.lock().unwrap().push(sent)));
    client(&tracker).upload(&key(), source).await.unwrap();

    let seen = seen.lock().unwrap();
    assert!(seen.is_sorted_by(|earlier, later| earlier < later), "{seen:?}");
    assert_eq!(seen.last(), Some(&(HUGE as u64)));
    assert_eq!(breaking.accepted(), 1);
}

#[tokio::test]
async fn a_file_is_checked_before_anything_is_sent() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&[1; 100]).unwrap();
    let path = file.path();
    for (offset, size) in [(101, 0), (0, 101), (100, 1), (u64::MAX, 1), (1, u64::MAX)] {
        let error = Source::file(path, offset, size).await.unwrap_err();
        assert!(error.to_string().contains("has 100 bytes"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(Source::file(folder.path(), 0, 0).await.unwrap_err(), ClientError::Local { .. }));
    let missing = folder.path().join("missing");
    let ClientError::Local { source, .. } = Source::file(missing, 0, 0).await.unwrap_err() else { panic!() };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

/// Uploads a source that fails, and checks that the storage sees the connection end and not be used again.
async fn fails_locally(source: Source) -> ClientError {
    let (cut, mut cuts) = events();
    let server = Fake::scripted(Server::Storage, move |_, mut wire| {
        let cut = Arc::clone(&cut);
        async move {
            wire.request().await.unwrap();
            wire.closed().await;
            cut.send(()).unwrap();
        }
    })
    .await;
    let tracker = Fake::tracker(&[&server.address, &server.address]).await;
    let error = client(&tracker).upload(&key(), source).await.unwrap_err();
    cuts.recv().await.unwrap();
    assert_eq!(server.accepted(), 1);
    error
}

#[tokio::test]
async fn a_file_that_shrinks_is_a_local_error() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&sample(LARGE)).unwrap();
    let source = Source::file(file.path(), 0, 0).await.unwrap();
    file.as_file().set_len(LARGE as u64 - 1).unwrap();
    let error = fails_locally(source).await;
    assert!(matches!(error, ClientError::Local { .. }), "{error}");
    assert!(error.to_string().contains("became shorter"), "{error}");
}

#[tokio::test]
async fn a_stream_that_ends_early_is_a_local_error() {
    let reader = Box::new(std::io::Cursor::new(vec![1; 10]));
    let error = fails_locally(Source::Stream { reader, size: 11 }).await;
    assert!(error.to_string().contains("10 of 11 bytes"), "{error}");
}

#[tokio::test]
async fn an_upload_takes_a_new_connection_if_the_pooled_one_is_dead() {
    let (taken, mut uploads) = events();
    let server = Fake::scripted(Server::Storage, move |number, mut wire| {
        let taken = Arc::clone(&taken);
        async move {
            let contents = take(&mut wire).await.unwrap();
            taken.send(contents).unwrap();
            if number == 0 {
                // It takes a part of the next upload and dies.
                wire.request().await.unwrap();
                wire.bulk(1000).await;
            } else {
                wire.closed().await;
            }
        }
    })
    .await;
    let storage = StorageClient::new(&server.address, Options::default());
    let contents = Bytes::from(sample(HUGE));
    for _ in 0..2 {
        storage.upload(&key(), Source::Memory(contents.clone())).await.unwrap();
        assert_eq!(uploads.recv().await.unwrap(), contents);
    }
    assert_eq!(server.accepted(), 2);
}
