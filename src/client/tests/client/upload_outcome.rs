//! Uploads that are refused, break off, or end without an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tnv_client::{Client, ClientError, Source};
use tnv_proto::{Checksum, Command, ErrorCode, Server};
use tokio::io::AsyncWriteExt;

use crate::fake::{Answer, Fake, nobody};
use crate::upload::{HUGE, take};
use crate::{attributes, blake3_of, client, events, impatient, key, sample};

fn memory(len: usize) -> Source {
    Source::Memory(Bytes::from(sample(len)))
}

/// A storage that takes an upload, whose size it tells.
async fn taking() -> (Fake, tokio::sync::mpsc::UnboundedReceiver<usize>) {
    let (taken, uploads) = events();
    let fake = Fake::scripted(Server::Storage, move |_, mut wire| {
        let taken = Arc::clone(&taken);
        async move {
            if let Some(contents) = take(&mut wire).await {
                taken.send(contents.len()).unwrap();
                wire.closed().await;
            }
        }
    })
    .await;
    (fake, uploads)
}

/// A storage that refuses after the fixed part and reads no further.
async fn refusing(code: ErrorCode) -> Fake {
    Fake::scripted(Server::Storage, move |_, mut wire| async move {
        wire.request().await.unwrap();
        wire.failure(code).await;
        wire.stream.shutdown().await.unwrap();
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn an_early_refusal_ends_the_upload() {
    let other = taking().await.0;
    for code in [ErrorCode::CONFLICT, ErrorCode::TOO_LARGE, ErrorCode::BAD_REQUEST] {
        let full = refusing(code).await;
        let tracker = Fake::tracker(&[&full.address, &other.address]).await;
        let error = client(&tracker).upload(&key(), memory(HUGE)).await.unwrap_err();
        assert_eq!(error.code(), Some(code));
    }
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn a_full_a_busy_or_a_broken_storage_is_followed_by_the_next() {
    for code in [ErrorCode::NO_SPACE, ErrorCode::UNAVAILABLE, ErrorCode::INTERNAL] {
        let full = refusing(code).await;
        let (good, mut uploads) = taking().await;
        let tracker = Fake::tracker(&[&full.address, &good.address]).await;
        let uploaded = client(&tracker).upload(&key(), memory(HUGE)).await.unwrap();
        assert_eq!(uploaded.storage, good.address);
        assert_eq!(uploads.recv().await, Some(HUGE));
    }
}

/// Its disk may fail when the last byte is synced: it says so, and nothing was stored.
#[tokio::test]
async fn a_disk_that_fails_at_the_end_is_followed_by_the_next() {
    let failing = Fake::scripted(Server::Storage, |_, mut wire| async move {
        let request = wire.request().await.unwrap();
        wire.bulk(request.bulk).await;
        wire.failure(ErrorCode::INTERNAL).await;
        wire.closed().await;
    })
    .await;
    let (good, mut uploads) = taking().await;
    let tracker = Fake::tracker(&[&failing.address, &good.address]).await;
    let uploaded = client(&tracker).upload(&key(), memory(HUGE)).await.unwrap();
    assert_eq!(uploaded.storage, good.address);
    assert_eq!(uploads.recv().await, Some(HUGE));

    // What cannot be sent again is not.
    let stream = Source::Stream { reader: Box::new(std::io::Cursor::new(sample(1000))), size: 1000 };
    let error = client(&tracker).upload(&key(), stream).await.unwrap_err();
    assert_eq!((error.code(), good.accepted()), (Some(ErrorCode::INTERNAL), 1));
}

#[tokio::test]
async fn all_full_is_no_space() {
    let (first, second) = (refusing(ErrorCode::NO_SPACE).await, refusing(ErrorCode::NO_SPACE).await);
    let tracker = Fake::tracker(&[&first.address, &second.address, &nobody().await]).await;
    let error = client(&tracker).upload(&key(), memory(10)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NO_SPACE));
    assert!(error.to_string().contains(&second.address), "{error}");
}

#[tokio::test]
async fn a_stream_goes_on_only_if_nothing_was_read() {
    let (good, mut uploads) = taking().await;
    let stream =
        |len: usize| Source::Stream { reader: Box::new(std::io::Cursor::new(sample(len))), size: len as u64 };
    let tracker = Fake::tracker(&[&nobody().await, &good.address]).await;
    client(&tracker).upload(&key(), stream(1000)).await.unwrap();
    assert_eq!(uploads.recv().await, Some(1000));

    let full = refusing(ErrorCode::NO_SPACE).await;
    let tracker = Fake::tracker(&[&full.address, &good.address]).await;
    let error = client(&tracker).upload(&key(), stream(HUGE)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NO_SPACE));
    assert_eq!(good.accepted(), 1);
}

#[tokio::test]
async fn a_break_before_the_last_byte_is_followed_by_the_next_storage() {
    let breaking = Fake::scripted(Server::Storage, |_, mut wire| async move {
        wire.request().await.unwrap();
        wire.bulk(100_000).await;
    })
    .await;
    let (good, mut uploads) = taking().await;
    let tracker = Fake::tracker(&[&breaking.address, &good.address]).await;
    client(&tracker).upload(&key(), memory(HUGE)).await.unwrap();
    assert_eq!(uploads.recv().await, Some(HUGE));
}

#[tokio::test]
async fn a_storage_that_stops_reading_is_followed_by_the_next() {
    let stuck = Fake::scripted(Server::Storage, |_, mut wire| async move {
        wire.request().await.unwrap();
        wire.raw(&[]).await;
        std::future::pending::<()>().await;
    })
    .await;
    let (good, mut uploads) = taking().await;
    let tracker = Fake::tracker(&[&stuck.address, &good.address]).await;
    let options = tnv_client::Options {
        progress_timeout: std::time::Duration::from_secs(1),
        ..tnv_client::Options::default()
    };
    let client = Client::new(vec![tracker.address.clone()], options);
    client.upload(&key(), memory(HUGE)).await.unwrap();
    assert_eq!(uploads.recv().await, Some(HUGE));
}

/// A storage that takes all bytes of an upload and hangs up, and then answers STAT like this.
async fn silent(found: Answer) -> Fake {
    Fake::scripted(Server::Storage, move |_, mut wire| {
        let found = found.clone();
        async move {
            let request = wire.request().await.unwrap();
            if request.command == Command::Upload {
                wire.bulk(request.bulk).await;
                return;
            }
            match found {
                Answer::Success(body) => wire.success(&body).await,
                Answer::Failure(code) => wire.failure(code).await,
                Answer::Close => {}
            }
        }
    })
    .await
}

/// Uploads 1,000 bytes to a storage that gives no answer, with another one that would take them.
async fn unanswered(found: Answer) -> Result<tnv_client::Uploaded, ClientError> {
    let silent = silent(found).await;
    let other = Fake::answering(Server::Storage, |request| {
        assert_ne!(request.command, Command::Upload, "sent again");
        Answer::Failure(ErrorCode::NOT_FOUND)
    })
    .await;
    let tracker = Fake::tracker(&[&silent.address, &other.address]).await;
    let result = client(&tracker).upload(&key(), memory(1000)).await;
    if let Ok(uploaded) = &result {
        assert_eq!(uploaded.storage, silent.address);
    }
    result
}

#[tokio::test]
async fn an_unanswered_upload_that_is_found_has_succeeded() {
    let blake3 = blake3_of(&sample(1000));
    let uploaded = unanswered(Answer::Success(attributes(1000, blake3))).await.unwrap();
    assert_eq!((uploaded.size, uploaded.blake3), (1000, blake3));
    unanswered(Answer::Success(attributes(1000, Checksum::UNKNOWN))).await.unwrap();
}

#[tokio::test]
async fn an_unanswered_upload_is_uncertain_otherwise() {
    for found in [
        Answer::Failure(ErrorCode::NOT_FOUND),
        Answer::Close,
        Answer::Success(attributes(999, Checksum::UNKNOWN)),
        Answer::Success(attributes(1000, Checksum([1; 32]))),
    ] {
        let error = unanswered(found).await.unwrap_err();
        assert!(matches!(error, ClientError::Uncertain { .. }), "{error}");
        assert!(error.to_string().contains("tnvideo/tnv001/file1"), "{error}");
    }
}

/// A storage that takes all bytes of one upload and is gone.
async fn dying() -> Fake {
    Fake::once(Server::Storage, |mut wire| async move {
        let request = wire.request().await.unwrap();
        wire.bulk(request.bulk).await;
    })
    .await
}

#[tokio::test]
async fn what_a_storage_took_to_its_grave_is_sent_to_the_next_under_the_same_id() {
    let dying = dying().await;
    let (taken, mut uploads) = events();
    let good = Fake::scripted(Server::Storage, move |_, mut wire| {
        let taken = Arc::clone(&taken);
        async move {
            while let Some(request) = wire.request().await {
                if request.command != Command::Upload {
                    wire.failure(ErrorCode::NOT_FOUND).await;
                    continue;
                }
                wire.bulk(request.bulk).await;
                taken.send(request.bulk).unwrap();
                wire.success(&[]).await;
            }
        }
    })
    .await;
    let tracker = Fake::tracker(&[&dying.address, &good.address]).await;
    let uploaded = client(&tracker).upload(&key(), memory(1000)).await.unwrap();
    assert_eq!(uploaded.storage, good.address);
    assert_eq!(uploads.recv().await, Some(1000));

    // A stream cannot start again.
    let dying = self::dying().await;
    let tracker = Fake::tracker(&[&dying.address, &good.address]).await;
    let stream = Source::Stream { reader: Box::new(std::io::Cursor::new(sample(1000))), size: 1000 };
    let error = client(&tracker).upload(&key(), stream).await.unwrap_err();
    assert!(matches!(error, ClientError::Uncertain { .. }), "{error}");
}

/// The dead storage's row became visible between the question for it and the second upload.
#[tokio::test]
async fn a_conflict_with_what_a_dead_storage_stored_is_its_success() {
    for (stored, is_it) in [(blake3_of(&sample(1000)), true), (Checksum([1; 32]), false)] {
        let dying = dying().await;
        let refused = Arc::new(AtomicBool::new(false));
        let other = Fake::answering(Server::Storage, move |request| {
            if request.command == Command::Upload {
                refused.store(true, Ordering::SeqCst);
                return Answer::Failure(ErrorCode::CONFLICT);
            }
            match refused.load(Ordering::SeqCst) {
                true => Answer::Success(attributes(1000, stored)),
                false => Answer::Failure(ErrorCode::NOT_FOUND),
            }
        })
        .await;
        let tracker = Fake::tracker(&[&dying.address, &other.address]).await;
        let result = client(&tracker).upload(&key(), memory(1000)).await;
        assert_eq!(result.is_ok(), is_it, "{result:?}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_leaves_the_outcome_to_be_asked_for() {
    let slow = Fake::scripted(Server::Storage, |_, mut wire| async move {
        let request = wire.request().await.unwrap();
        if request.command == Command::Upload {
            wire.bulk(request.bulk).await;
            std::future::pending::<()>().await;
        }
        wire.success(&attributes(1000, Checksum::UNKNOWN)).await;
    })
    .await;
    let tracker = Fake::tracker(&[&slow.address]).await;
    let client = Client::new(vec![tracker.address.clone()], impatient());
    client.upload(&key(), memory(1000)).await.unwrap();
    assert_eq!(slow.accepted(), 2);
}
