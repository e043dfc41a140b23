//! Uploads with labels.

use std::sync::Arc;

use bytes::Bytes;
use tnv_client::{ClientError, Source};
use tnv_proto::{Attributes, Checksum, Command, ErrorCode, Request, Server, Store};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::fake::{Answer, Fake, Incoming, Wire};
use crate::{attributes, blake3_of, client, events, key, labels, sample};

const LARGE: usize = 3_000_001;

/// Takes a STORE whose fixed part was read already: its contents, behind which the right checksum must stand.
async fn take(wire: &mut Wire, request: &Incoming) -> Vec<u8> {
    let Store(new) = Store::decode(&request.body).unwrap();
    assert_eq!((new.key, new.labels), (key(), labels()));
    assert_eq!(new.size + Store::TRAILER_LEN as u64, request.bulk);
    let contents = wire.bulk(new.size).await;
    let trailer = wire.bulk(Store::TRAILER_LEN as u64).await;
    assert_eq!(trailer, blake3_of(&contents).0);
    contents
}

/// A storage that takes every STORE and answers with this.
async fn answering(answer: impl Fn(&[u8]) -> Answer + Clone + Send + Sync + 'static) -> Fake {
    Fake::scripted(Server::Storage, move |_, mut wire| {
        let answer = answer.clone();
        async move {
            while let Some(request) = wire.request().await {
                if request.command != Command::Store {
                    wire.failure(ErrorCode::NOT_FOUND).await;
                    continue;
                }
                let contents = take(&mut wire, &request).await;
                match answer(&contents) {
                    Answer::Success(body) => wire.success(&body).await,
                    Answer::Failure(code) => wire.failure(code).await,
                    Answer::Close => return,
                }
            }
        }
    })
    .await
}

/// A storage that knows none of the later commands but these; gives the commands that it saw.
async fn older(code: ErrorCode, known: &'static [Command]) -> (Fake, UnboundedReceiver<Command>) {
    let (seen, commands) = events();
    let fake = Fake::scripted(Server::Storage, move |_, mut wire| {
        let seen = Arc::clone(&seen);
        async move {
            while let Some(request) = wire.request().await {
                seen.send(request.command).unwrap();
                match request.command {
                    Command::Upload => {
                        wire.bulk(request.bulk).await;
                        wire.success(&[]).await;
                    }
                    Command::Stat if known.contains(&Command::Stat) => {
                        wire.success(&attributes(LARGE as u64, Checksum::UNKNOWN)).await;
                    }
                    Command::FileSize => wire.success(&(LARGE as u64).to_be_bytes()).await,
                    // Refused before the contents are read, which are then drained.
                    _ => {
                        wire.failure(code).await;
                        wire.bulk(request.bulk.min(65_536)).await;
                        if request.bulk > 65_536 {
                            return;
                        }
                    }
                }
            }
        }
    })
    .await;
    (fake, commands)
}

fn told(contents: &[u8]) -> Answer {
    Answer::Success(attributes(contents.len() as u64, blake3_of(contents)))
}

fn stream(contents: &[u8]) -> Source {
    let reader = Box::new(std::io::Cursor::new(contents.to_vec()));
    Source::Stream { reader, size: contents.len() as u64 }
}

#[tokio::test]
async fn labels_contents_and_checksum_arrive_and_the_attributes_come_back() {
    let server = answering(told).await;
    let tracker = Fake::tracker(&[&server.address]).await;
    let (client, contents) = (client(&tracker), sample(LARGE));
    for source in [Source::Memory(contents.clone().into()), stream(&contents), Source::Memory(Bytes::new())] {
        let size = source.size();
        let stored = client.store_and_locate(&key(), &labels(), source).await.unwrap();
        assert_eq!(stored.attributes.size, size);
        assert_eq!(stored.attributes.content_type, "video/mp4");
        assert_eq!(stored.storage, server.address);
    }
    assert_eq!(server.accepted(), 1, "the connection is used again");
}

#[tokio::test]
async fn a_storage_without_labels_gets_the_bytes() {
    let contents = sample(LARGE);
    for code in [ErrorCode::BAD_REQUEST, ErrorCode::UNSPECIFIED] {
        for source in [Source::Memory(contents.clone().into()), stream(&contents)] {
            let (server, _commands) = older(code, &[]).await;
            let tracker = Fake::tracker(&[&server.address]).await;
            let attributes = client(&tracker).store(&key(), &labels(), source).await.unwrap();
            assert_eq!((attributes.size, attributes.blake3), (LARGE as u64, blake3_of(&contents)));
            assert_eq!(attributes.name, "");
        }
    }
}

#[tokio::test]
async fn a_storage_without_labels_tells_what_it_knows() {
    let (server, mut commands) = older(ErrorCode::BAD_REQUEST, &[Command::Stat]).await;
    let tracker = Fake::tracker(&[&server.address]).await;
    let attributes = client(&tracker).store(&key(), &labels(), stream(&sample(LARGE))).await.unwrap();
    assert_eq!(attributes.content_type, "video/mp4");
    assert_eq!(attributes.blake3, blake3_of(&sample(LARGE)));
    // What cannot be sent twice is not spent on finding out.
    for command in [Command::Progress, Command::Upload, Command::Stat] {
        assert_eq!(commands.recv().await, Some(command));
    }
}

#[tokio::test]
async fn a_refusal_ends_it() {
    let other = answering(told).await;
    for code in [ErrorCode::CHANGED, ErrorCode::CONFLICT, ErrorCode::TOO_LARGE] {
        let refusing = answering(move |_| Answer::Failure(code)).await;
        let tracker = Fake::tracker(&[&refusing.address, &other.address]).await;
        let error =
            client(&tracker).store(&key(), &labels(), Source::Memory(sample(1000).into())).await.unwrap_err();
        assert_eq!(error.code(), Some(code));
    }
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn a_full_storage_is_followed_by_the_next() {
    let full = answering(|_| Answer::Failure(ErrorCode::NO_SPACE)).await;
    let good = answering(told).await;
    let tracker = Fake::tracker(&[&full.address, &good.address]).await;
    let source = Source::Memory(sample(LARGE).into());
    let stored = client(&tracker).store_and_locate(&key(), &labels(), source).await.unwrap();
    assert_eq!(stored.storage, good.address);
}

/// Stores 1,000 bytes at a storage that takes them and says nothing useful, but answers STAT like this.
async fn unanswered(answer: Answer, found: Answer) -> Result<Attributes, ClientError> {
    let silent = Fake::scripted(Server::Storage, move |_, mut wire| {
        let (answer, found) = (answer.clone(), found.clone());
        async move {
            let request = wire.request().await.unwrap();
            let say = match request.command {
                Command::Store => {
                    take(&mut wire, &request).await;
                    answer
                }
                _ => found,
            };
            match say {
                Answer::Success(body) => wire.success(&body).await,
                Answer::Failure(code) => wire.failure(code).await,
                Answer::Close => {}
            }
        }
    })
    .await;
    let other = Fake::answering(Server::Storage, |request| {
        assert_ne!(request.command, Command::Store, "sent again");
        Answer::Failure(ErrorCode::NOT_FOUND)
    })
    .await;
    let tracker = Fake::tracker(&[&silent.address, &other.address]).await;
    client(&tracker).store(&key(), &labels(), Source::Memory(sample(1000).into())).await
}

#[tokio::test]
async fn an_answer_that_is_lost_or_garbled_is_asked_for() {
    let blake3 = blake3_of(&sample(1000));
    for answer in [Answer::Close, Answer::Success(b"?".to_vec()), Answer::Success(Vec::new())] {
        let found = Answer::Success(attributes(1000, blake3));
        assert_eq!(unanswered(answer.clone(), found).await.unwrap().content_type, "video/mp4");
        let error = unanswered(answer, Answer::Failure(ErrorCode::NOT_FOUND)).await.unwrap_err();
        assert!(matches!(error, ClientError::Uncertain { .. }), "{error}");
    }
}
