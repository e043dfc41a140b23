//! Uploads in parts.

use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use tnv_client::{Client, ClientError, Parts, Source};
use tnv_proto::state::{ClusterState, GroupState, StorageState};
use tnv_proto::{
    Append, Begin, Checksum, Command, ErrorCode, FileKey, Finish, Request, Server, UploadProgress,
};
use tokio::io::AsyncReadExt;

use crate::fake::{Answer, Fake, Incoming, Wire, nobody, storage_list};
use crate::{attributes, blake3_of, client, impatient, key, labels, sample};

const SIZE: usize = 900_000;
const PART: usize = 400_000;

/// The parts of one upload, and what goes wrong.
#[derive(Default)]
struct State {
    size: Option<u64>,
    bytes: Vec<u8>,
    commands: Vec<Command>,
    /// Hangs up after so many bytes of the next part.
    break_after: Option<usize>,
    /// Does the next FINISHes but hangs up instead of answering.
    lost_finishes: usize,
    /// Refuses the next FINISHes: somebody else is writing.
    locked_finishes: usize,
    /// Refuses the next ABORTs: somebody is writing.
    locked_aborts: usize,
    /// Cannot tell how far it has come.
    damaged: bool,
    stored: bool,
}

/// A storage that keeps parts, as a real one does.
struct Storage {
    fake: Fake,
    state: Arc<Mutex<State>>,
}

impl Storage {
    async fn start() -> Storage {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let fake = Fake::scripted(Server::Storage, move |_, wire| serve(wire, Arc::clone(&shared))).await;
        Storage { fake, state }
    }

    fn address(&self) -> &str {
        &self.fake.address
    }

    /// Gives it parts that came earlier.
    fn hold(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.size = Some(SIZE as u64);
        state.bytes = bytes.to_vec();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn count(&self, command: Command) -> usize {
        self.state().commands.iter().filter(|seen| **seen == command).count()
    }
}

async fn serve(mut wire: Wire, state: Arc<Mutex<State>>) {
    while let Some(request) = wire.request().await {
        state.lock().unwrap().commands.push(request.command);
        let answer = match request.command {
            Command::Append => append(&mut wire, &request, &state).await,
            _ => reply(&request, &mut state.lock().unwrap()),
        };
        match answer {
            Answer::Success(body) => wire.success(&body).await,
            Answer::Failure(code) => wire.failure(code).await,
            Answer::Close => return,
        }
    }
}

async fn append(wire: &mut Wire, request: &Incoming, state: &Mutex<State>) -> Answer {
    let append = Append::decode(&request.body).unwrap();
    assert_eq!(append.key, key());
    let break_after = state.lock().unwrap().break_after.take();
    let mut bytes = vec![0; break_after.unwrap_or(request.bulk as usize)];
    wire.stream.read_exact(&mut bytes).await.unwrap();
    let mut state = state.lock().unwrap();
    if append.offset != state.bytes.len() as u64 {
        return Answer::Failure(ErrorCode::CONFLICT);
    }
    state.bytes.extend_from_slice(&bytes);
    if break_after.is_some() { Answer::Close } else { state.progress() }
}

fn reply(request: &Incoming, state: &mut State) -> Answer {
    match request.command {
        Command::Begin => {
            let Begin(new) = Begin::decode(&request.body).unwrap();
            assert_eq!((new.key, new.labels), (key(), labels()));
            if *state.size.get_or_insert(new.size) != new.size {
                return Answer::Failure(ErrorCode::CONFLICT);
            }
            state.progress()
        }
        Command::Progress => {
            assert_eq!(FileKey::decode(&request.body).unwrap(), key());
            if state.damaged { Answer::Failure(ErrorCode::INTERNAL) } else { state.progress() }
        }
        Command::Finish => {
            let finish = Finish::decode(&request.body).unwrap();
            if state.locked_finishes > 0 {
                state.locked_finishes -= 1;
                return Answer::Failure(ErrorCode::LOCKED);
            }
            let blake3 = blake3_of(&state.bytes);
            if finish.expected.is_known() && finish.expected != blake3 {
                return Answer::Failure(ErrorCode::CHANGED);
            }
            (state.size, state.stored) = (None, true);
            if state.lost_finishes > 0 {
                state.lost_finishes -= 1;
                return Answer::Close;
            }
            Answer::Success(attributes(state.bytes.len() as u64, blake3))
        }
        Command::Abort if state.locked_aborts > 0 => {
            state.locked_aborts -= 1;
            Answer::Failure(ErrorCode::LOCKED)
        }
        Command::Abort => match state.size.take() {
            Some(_) => Answer::Success(Vec::new()),
            None => Answer::Failure(ErrorCode::NOT_FOUND),
        },
        other => panic!("{other:?}"),
    }
}

impl State {
    fn progress(&self) -> Answer {
        let Some(size) = self.size else { return Answer::Failure(ErrorCode::NOT_FOUND) };
        let mut body = BytesMut::new();
        UploadProgress { offset: self.bytes.len() as u64, size, expires_ms: 1 }.encode(&mut body);
        Answer::Success(body.to_vec())
    }
}

fn part(from: u64) -> Source {
    let from = from as usize;
    Source::Memory(sample(SIZE)[from..SIZE.min(from + PART)].to_vec().into())
}

async fn begin(client: &Client) -> Result<Parts, ClientError> {
    client.begin(&key(), SIZE as u64, &labels()).await
}

/// Appends what is missing.
async fn append_rest(parts: &mut Parts) {
    while parts.progress().offset < parts.progress().size {
        let (before, source) = (parts.progress().offset, part(parts.progress().offset));
        let sent = source.size();
        assert_eq!(parts.append(source).await.unwrap().offset, before + sent);
    }
}

#[tokio::test]
async fn parts_become_a_file() {
    let storage = Storage::start().await;
    let tracker = Fake::tracker(&[storage.address()]).await;
    let client = client(&tracker);
    // As a task: the gateway does it that way.
    tokio::spawn(async move {
        let mut parts = begin(&client).await.unwrap();
        assert_eq!((parts.progress().offset, parts.progress().size), (0, SIZE as u64));
        append_rest(&mut parts).await;
        let stored = parts.finish(blake3_of(&sample(SIZE))).await.unwrap();
        assert_eq!(stored.attributes.size, SIZE as u64);
    })
    .await
    .unwrap();
    assert_eq!(storage.state().bytes, sample(SIZE));
    assert_eq!(storage.count(Command::Append), 3);
}

#[tokio::test]
async fn an_upload_goes_on_where_most_of_it_lies() {
    let (first, second, third) = (Storage::start().await, Storage::start().await, Storage::start().await);
    second.hold(&sample(SIZE)[..500]);
    third.hold(&sample(SIZE)[..700]);
    let gone = nobody().await;
    let tracker = Fake::tracker(&[&gone, first.address(), second.address(), third.address()]).await;
    let client = client(&tracker);
    for _ in 0..2 {
        let parts = begin(&client).await.unwrap();
        assert_eq!((parts.storage(), parts.progress().offset), (third.address(), 700));
        let parts = client.resume(&key()).await.unwrap();
        assert_eq!((parts.storage(), parts.progress().offset), (third.address(), 700));
    }
    assert_eq!(first.count(Command::Begin), 0);
}

#[tokio::test]
async fn an_upload_of_another_size_is_refused() {
    let storage = Storage::start().await;
    storage.hold(&sample(SIZE)[..500]);
    let other = Storage::start().await;
    let tracker = Fake::tracker(&[other.address(), storage.address()]).await;
    let error = client(&tracker).begin(&key(), 5, &labels()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CONFLICT));
    assert_eq!(other.count(Command::Begin), 0);
}

#[tokio::test]
async fn the_first_storage_that_takes_it_gets_it() {
    let good = Storage::start().await;
    for code in [ErrorCode::BAD_REQUEST, ErrorCode::UNSPECIFIED, ErrorCode::NO_SPACE, ErrorCode::UNAVAILABLE]
    {
        let bad = Fake::answering(Server::Storage, move |_| Answer::Failure(code)).await;
        let tracker = Fake::tracker(&[&bad.address, good.address()]).await;
        assert_eq!(begin(&client(&tracker)).await.unwrap().storage(), good.address());
        let tracker = Fake::tracker(&[&bad.address]).await;
        assert_eq!(begin(&client(&tracker)).await.unwrap_err().code(), Some(code));
    }
}

#[tokio::test]
async fn after_a_break_the_progress_is_right() {
    let storage = Storage::start().await;
    let tracker = Fake::tracker(&[storage.address()]).await;
    let mut parts = begin(&client(&tracker)).await.unwrap();
    parts.append(part(0)).await.unwrap();
    storage.state().break_after = Some(1234);
    let error = parts.append(part(PART as u64)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert_eq!(parts.progress().offset, PART as u64 + 1234);
    append_rest(&mut parts).await;
    parts.finish(blake3_of(&sample(SIZE))).await.unwrap();
}

#[tokio::test]
async fn a_part_is_sent_again_if_the_pooled_connection_was_dead() {
    let storage = Storage::start().await;
    let tracker = Fake::tracker(&[storage.address()]).await;
    let mut parts = begin(&client(&tracker)).await.unwrap();
    storage.state().break_after = Some(0);
    parts.append(part(0)).await.unwrap();
    assert_eq!(storage.count(Command::Append), 2);
}

#[tokio::test]
async fn a_source_that_fails_leaves_what_was_sent() {
    let storage = Storage::start().await;
    let tracker = Fake::tracker(&[storage.address()]).await;
    let mut parts = begin(&client(&tracker)).await.unwrap();
    storage.state().break_after = Some(10);
    let short = Source::Stream { reader: Box::new(std::io::Cursor::new(vec![1; 10])), size: 11 };
    let error = parts.append(short).await.unwrap_err();
    assert!(matches!(error, ClientError::Local { .. }), "{error}");
}

#[tokio::test]
async fn somebody_elses_part_makes_the_offset_wrong_once() {
    let storage = Storage::start().await;
    let tracker = Fake::tracker(&[storage.address()]).await;
    let mut parts = begin(&client(&tracker)).await.unwrap();
    storage.hold(&sample(SIZE)[..500]);
    let error = parts.append(part(0)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CONFLICT));
    assert_eq!(parts.progress().offset, 500);
    append_rest(&mut parts).await;
}

#[tokio::test]
async fn a_locked_upload_says_so() {
    let locked = Fake::scripted(Server::Storage, |_, mut wire| async move {
        while let Some(request) = wire.request().await {
            wire.bulk(request.bulk).await;
            let mut body = BytesMut::new();
            UploadProgress { offset: 0, size: SIZE as u64, expires_ms: 1 }.encode(&mut body);
            match request.command {
                Command::Append => wire.failure(ErrorCode::LOCKED).await,
                _ => wire.success(&body).await,
            }
        }
    })
    .await;
    let tracker = Fake::tracker(&[&locked.address]).await;
    let mut parts = begin(&client(&tracker)).await.unwrap();
    assert_eq!(parts.append(part(0)).await.unwrap_err().code(), Some(ErrorCode::LOCKED));
}

#[tokio::test]
async fn a_wrong_checksum_leaves_the_parts() {
    let storage = Storage::start().await;
    storage.hold(&sample(SIZE));
    let tracker = Fake::tracker(&[storage.address()]).await;
    let client = client(&tracker);
    let error = begin(&client).await.unwrap().finish(Checksum([1; 32])).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::CHANGED));
    client.resume(&key()).await.unwrap().finish(Checksum::UNKNOWN).await.unwrap();
}

#[tokio::test]
async fn a_finish_whose_answer_got_lost_is_asked_for_again() {
    let storage = Storage::start().await;
    storage.hold(&sample(SIZE));
    let tracker = Fake::tracker(&[storage.address()]).await;
    let parts = begin(&client(&tracker)).await.unwrap();
    storage.state().lost_finishes = 3;
    parts.finish(Checksum::UNKNOWN).await.unwrap();
    assert!(storage.state().stored);
}

#[tokio::test]
async fn a_finish_waits_for_what_a_broken_connection_left() {
    let storage = Storage::start().await;
    storage.hold(&sample(SIZE - 1));
    let tracker = Fake::tracker(&[storage.address()]).await;
    let client = client(&tracker);
    storage.state().locked_finishes = usize::MAX;
    let error = begin(&client).await.unwrap().finish(Checksum::UNKNOWN).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::LOCKED), "nothing is uncertain about it");
    storage.state().locked_finishes = 2;
    begin(&client).await.unwrap().finish(Checksum::UNKNOWN).await.unwrap();
    assert!(storage.state().stored);
}

#[tokio::test]
async fn a_finish_that_is_under_way_is_waited_for() {
    let storage = Storage::start().await;
    storage.hold(&sample(SIZE));
    let tracker = Fake::tracker(&[storage.address()]).await;
    let parts = begin(&client(&tracker)).await.unwrap();
    storage.state().locked_finishes = 5;
    parts.finish(Checksum::UNKNOWN).await.unwrap();
    assert!(storage.state().stored);
    let impatient = Client::new(vec![tracker.address.clone()], impatient());
    storage.hold(&sample(SIZE));
    let parts = begin(&impatient).await.unwrap();
    storage.state().locked_finishes = usize::MAX;
    let error = parts.finish(Checksum::UNKNOWN).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::LOCKED), "not for ever");
}

#[tokio::test]
async fn the_time_for_a_finish_grows_with_the_size() {
    const LARGE: u64 = 1 << 30;
    let slow = Fake::scripted(Server::Storage, |_, mut wire| async move {
        while let Some(request) = wire.request().await {
            let mut body = BytesMut::new();
            UploadProgress { offset: LARGE, size: LARGE, expires_ms: 1 }.encode(&mut body);
            if request.command == Command::Finish {
                tokio::time::sleep(2 * impatient().upload_reply_timeout).await;
                wire.success(&attributes(LARGE, Checksum([1; 32]))).await;
            } else {
                wire.success(&body).await;
            }
        }
    })
    .await;
    let tracker = Fake::tracker(&[&slow.address]).await;
    let client = Client::new(vec![tracker.address.clone()], impatient());
    let parts = client.begin(&key(), LARGE, &labels()).await.unwrap();
    parts.finish(Checksum::UNKNOWN).await.unwrap();
}

#[tokio::test]
async fn a_finish_that_nobody_answers_is_uncertain() {
    let storage = Storage::start().await;
    storage.hold(&sample(SIZE));
    let tracker = Fake::tracker(&[storage.address()]).await;
    let parts = begin(&client(&tracker)).await.unwrap();
    storage.state().lost_finishes = usize::MAX;
    let error = parts.finish(Checksum::UNKNOWN).await.unwrap_err();
    assert!(matches!(error, ClientError::Uncertain { .. }), "{error}");
}

#[tokio::test]
async fn parts_that_are_given_up_are_gone() {
    let storage = Storage::start().await;
    let tracker = tracker_of(&[storage.address()], &[]).await;
    let client = client(&tracker);
    let (parts, same) = (begin(&client).await.unwrap(), begin(&client).await.unwrap());
    parts.abort().await.unwrap();
    assert!(client.resume(&key()).await.unwrap_err().is_not_found());
    same.abort().await.unwrap();
}

#[tokio::test]
async fn parts_are_given_up_when_nobody_writes_any_more() {
    let storage = Storage::start().await;
    let tracker = tracker_of(&[storage.address()], &[]).await;
    let client = client(&tracker);
    let parts = begin(&client).await.unwrap();
    storage.state().locked_aborts = 3;
    parts.abort().await.unwrap();
    assert!(client.resume(&key()).await.unwrap_err().is_not_found());
    begin(&client).await.unwrap();
    storage.state().locked_aborts = usize::MAX;
    assert_eq!(client.discard(&key()).await.unwrap_err().code(), Some(ErrorCode::LOCKED));
}

#[tokio::test]
async fn parts_are_discarded_wherever_they_lie() {
    let (named, unnamed, gone) = (Storage::start().await, Storage::start().await, nobody().await);
    let tracker = tracker_of(&[named.address(), &gone], &[(unnamed.address(), true)]).await;
    let client = client(&tracker);
    for storage in [&named, &unnamed] {
        storage.hold(&sample(SIZE)[..500]);
        storage.state().damaged = true;
    }
    client.discard(&key()).await.unwrap();
    for storage in [&named, &unnamed] {
        assert_eq!((storage.count(Command::Abort), storage.count(Command::Progress)), (1, 0));
        assert_eq!(storage.state().size, None);
    }
    let error = client.discard(&key()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "it may have some: {error}");
}

#[tokio::test]
async fn what_no_storage_has_cannot_be_discarded() {
    let (empty, other) = (Storage::start().await, Storage::start().await);
    let old = Fake::answering(Server::Storage, |_| Answer::Failure(ErrorCode::BAD_REQUEST)).await;
    let tracker = tracker_of(&[empty.address(), &old.address], &[(other.address(), true)]).await;
    assert!(client(&tracker).discard(&key()).await.unwrap_err().is_not_found());
}

/// A tracker that names the first storages and knows the others, of which those marked so are offline.
async fn tracker_of(named: &[&str], others: &[(&str, bool)]) -> Fake {
    let list = storage_list(named);
    let storage = |(address, online): &(&str, bool)| StorageState {
        address: (*address).to_owned(),
        status: if *online { "ACTIVE" } else { "OFFLINE" }.to_owned(),
        ..StorageState::default()
    };
    let group =
        |name: &str, storages| GroupState { name: name.to_owned(), storages, ..GroupState::default() };
    let groups = vec![
        group("group000", vec![storage(&("127.0.0.1:1", true))]),
        group("group001", others.iter().map(storage).collect()),
    ];
    let state = serde_json::to_vec(&ClusterState { groups, ..ClusterState::default() }).unwrap();
    Fake::answering(Server::Tracker, move |request| match request.command {
        Command::State => Answer::Success(state.clone()),
        _ => Answer::Success(list.clone()),
    })
    .await
}

#[tokio::test]
async fn parts_are_found_at_storages_that_were_not_named() {
    let (named, unnamed) = (Storage::start().await, Storage::start().await);
    unnamed.hold(&sample(SIZE)[..500]);
    let tracker = tracker_of(&[named.address()], &[(named.address(), true), (unnamed.address(), true)]).await;
    let parts = client(&tracker).resume(&key()).await.unwrap();
    assert_eq!((parts.storage(), parts.progress().offset), (unnamed.address(), 500));
    assert_eq!(named.count(Command::Progress), 1);
}

#[tokio::test]
async fn there_are_no_parts_only_if_every_storage_says_so() {
    let (empty, gone) = (Storage::start().await, nobody().await);
    let old = Fake::answering(Server::Storage, |_| Answer::Failure(ErrorCode::UNSPECIFIED)).await;
    let named = [empty.address(), &old.address];
    let tracker = tracker_of(&named, &[(&gone, false)]).await;
    assert!(client(&tracker).resume(&key()).await.unwrap_err().is_not_found());
    let tracker = tracker_of(&named, &[(&gone, true)]).await;
    let error = client(&tracker).resume(&key()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    let tracker = tracker_of(&[empty.address(), &gone], &[]).await;
    assert!(!client(&tracker).resume(&key()).await.unwrap_err().is_not_found());
}
