//! Downloads that go on elsewhere when a storage fails in the middle.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tnv_client::{Client, ClientError, Options};
use tnv_proto::{Checksum, Command, Download, ErrorCode, Read, Request, Server};

use crate::download::read_all;
use crate::fake::{Answer, Fake, Incoming, storage_list};
use crate::{client, impatient, key, sample};

const LEN: usize = 2_000_000;
const BREAK: usize = 700_000;
const EXPECTED: Checksum = Checksum([1; 32]);

/// Which bytes of the sample a request asks for.
fn range(request: &Incoming) -> Range<usize> {
    let download = match request.command {
        Command::Read => Read::decode(&request.body).unwrap().download,
        _ => Download::decode(&request.body).unwrap(),
    };
    let from = download.offset as usize;
    from..if download.size == 0 { LEN } else { from + download.size as usize }
}

/// A storage that sends nothing of the file from [`BREAK`] on: it breaks off there, or stands still.
async fn failing(hang: bool) -> Fake {
    Fake::scripted(Server::Storage, move |_, mut wire| async move {
        let request = wire.request().await.unwrap();
        let range = range(&request);
        wire.success_header(range.len() as u64).await;
        wire.raw(&sample(LEN)[range.start.min(BREAK)..range.end.min(BREAK)]).await;
        if hang {
            wire.closed().await;
        }
    })
    .await
}

/// A storage that has the whole file and says it has this size.
async fn whole(size: usize) -> Fake {
    Fake::answering(Server::Storage, move |request| match request.command {
        Command::FileSize => Answer::Success((size as u64).to_be_bytes().to_vec()),
        _ => Answer::Success(sample(LEN)[range(request)].to_vec()),
    })
    .await
}

async fn saying(code: ErrorCode) -> Fake {
    Fake::answering(Server::Storage, move |_| Answer::Failure(code)).await
}

async fn download(
    client: &Client,
    offset: u64,
    size: u64,
    expected: Checksum,
) -> Result<Vec<u8>, ClientError> {
    read_all(&mut client.download(&key(), offset, size, expected).await?).await
}

#[tokio::test]
async fn it_goes_on_at_the_same_byte() {
    let (broken, good) = (failing(false).await, whole(LEN).await);
    let tracker = Fake::tracker(&[&broken.address, &good.address]).await;
    let client = client(&tracker);
    assert_eq!(download(&client, 0, 0, EXPECTED).await.unwrap(), sample(LEN));
    assert_eq!(download(&client, 5, 1_000_000, EXPECTED).await.unwrap(), sample(LEN)[5..1_000_005]);
    // Without a checksum, the file's length tells.
    assert_eq!(download(&client, 5, 0, Checksum::UNKNOWN).await.unwrap(), sample(LEN)[5..]);
    assert_eq!(broken.accepted(), 3);
}

#[tokio::test]
async fn standing_still_is_as_bad_as_breaking() {
    let (stuck, good) = (failing(true).await, whole(LEN).await);
    let tracker = Fake::tracker(&[&stuck.address, &good.address]).await;
    let options = Options { progress_timeout: impatient().progress_timeout, ..Options::default() };
    let client = Client::new(vec![tracker.address.clone()], options);
    assert_eq!(download(&client, 0, 0, EXPECTED).await.unwrap(), sample(LEN));
}

#[tokio::test]
async fn the_trackers_are_asked_again() {
    let (broken, good) = (failing(false).await, whole(LEN).await);
    let (first, later) = (storage_list(&[&broken.address]), storage_list(&[&good.address]));
    let asked = Arc::new(AtomicUsize::new(0));
    let tracker = Fake::answering(Server::Tracker, move |_| {
        let first_time = asked.fetch_add(1, Ordering::SeqCst) == 0;
        Answer::Success(if first_time { first.clone() } else { later.clone() })
    })
    .await;
    assert_eq!(download(&client(&tracker), 0, 0, EXPECTED).await.unwrap(), sample(LEN));
}

#[tokio::test]
async fn it_gives_up_when_no_storage_gets_further() {
    let (broken, busy) = (failing(false).await, saying(ErrorCode::UNAVAILABLE).await);
    let tracker = Fake::tracker(&[&busy.address, &broken.address]).await;
    let client = client(&tracker);
    let mut download = client.download(&key(), 0, 1_000_000, EXPECTED).await.unwrap();
    let error = read_all(&mut download).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UNAVAILABLE), "{error}");
    assert!(error.to_string().contains(&broken.address), "{error}");
    assert!(download.chunk().await.is_err(), "it stays failed");
}

#[tokio::test]
async fn it_does_not_mix_two_files() {
    let broken = failing(false).await;
    // Another checksum.
    let changed = saying(ErrorCode::CHANGED).await;
    let tracker = Fake::tracker(&[&broken.address, &changed.address]).await;
    let error = download(&client(&tracker), 0, 0, EXPECTED).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CHANGED));
    // Another length.
    let longer = whole(LEN + 1).await;
    let tracker = Fake::tracker(&[&broken.address, &longer.address]).await;
    let error = download(&client(&tracker), 0, 0, Checksum::UNKNOWN).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CHANGED));
    // Neither is known.
    let good = whole(LEN).await;
    let tracker = Fake::tracker(&[&broken.address, &good.address]).await;
    let error = download(&client(&tracker), 0, 1_000_000, Checksum::UNKNOWN).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert_eq!(good.accepted(), 0);
}
