//! One download: a folder, options with short times, and what came of it.

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use tnv_fetch::{
    Fetch, FetchError, Fetched, Http, Known, Note, Options, Place, Report, SourceState, Watcher,
};
use tnv_metalink::{Algorithm, Hash, Pieces};
use tokio_util::sync::CancellationToken;

use crate::server::Server;

/// Where a file is fetched to.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) options: Options,
    pub(crate) known: Known,
    /// Whether sources are asked in the order they are given.
    pub(crate) in_order: bool,
}

/// What a fetch has told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) notes: Vec<Note>,
    pub(crate) reports: Vec<Report>,
    /// Cancels when so many bytes have come.
    cancel: Option<(u64, CancellationToken)>,
}

impl Watcher for Told {
    fn report(&mut self, report: &Report) {
        self.reports.push(report.clone());
        if let Some((bytes, cancel)) = &self.cancel
            && report.come >= *bytes
        {
            cancel.cancel();
        }
    }

    fn note(&mut self, note: &Note) {
        self.notes.push(note.clone());
    }
}

impl Told {
    pub(crate) fn dropped(&self, server: &Server) -> bool {
        let failed = |note: &Note| match note {
            Note::Failed { source, state, .. } => *source == server.url() && *state == SourceState::Dropped,
            _ => false,
        };
        self.notes.iter().any(failed)
    }
}

impl Bench {
    pub(crate) fn new() -> Bench {
        static CRYPTOGRAPHY: Once = Once::new();
        CRYPTOGRAPHY.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
        let options = Options {
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_millis(700),
            retries: 2,
            timeout: Some(Duration::from_secs(60)),
            save_every: Duration::from_millis(1),
            ..Options::default()
        };
        Bench { folder: tempfile::tempdir().unwrap(), options, known: Known::default(), in_order: true }
    }

    pub(crate) fn parallel(mut self, count: usize) -> Bench {
        self.options.parallel = count;
        self.options.min_split = 16 * 1024;
        self
    }

    /// The file's size and hash are known.
    pub(crate) fn hashed(mut self, bytes: &[u8]) -> Bench {
        self.known.hashes = vec![hash(bytes)];
        self
    }

    /// So are the hashes of its pieces of so many bytes.
    pub(crate) fn pieces(mut self, bytes: &[u8], length: usize) -> Bench {
        self.known.size = Some(bytes.len() as u64);
        self.known.pieces = Some(pieces(bytes, length));
        self
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.folder.path().join("file.bin")
    }

    pub(crate) async fn fetch(&self, urls: &[String]) -> (Result<Fetched, FetchError>, Told) {
        self.fetch_until(urls, None).await
    }

    /// Fetches until so many bytes have come.
    pub(crate) async fn fetch_until(
        &self,
        urls: &[String],
        bytes: Option<u64>,
    ) -> (Result<Fetched, FetchError>, Told) {
        let cancel = CancellationToken::new();
        let mut told = Told { cancel: bytes.map(|bytes| (bytes, cancel.clone())), ..Told::default() };
        let http = Arc::new(Http::new(&self.options).unwrap());
        let mut fetch = Fetch::new(self.options.clone(), self.known.clone());
        for (index, url) in urls.iter().enumerate() {
            fetch.add(Arc::new(http.at(url).unwrap()), if self.in_order { index as u32 } else { 0 });
        }
        fetch.follow(http);
        let place = Place::open(&self.target(), false).unwrap();
        let outcome = fetch.run(place, &mut told, &cancel).await;
        (outcome, told)
    }

    /// Fetches and expects exactly these bytes.
    #[track_caller]
    pub(crate) fn expect(&self, outcome: &Result<Fetched, FetchError>, bytes: &[u8]) {
        match outcome {
            Ok(fetched) => assert_eq!(fetched.size, bytes.len() as u64),
            Err(error) => panic!("{error}"),
        }
        assert!(std::fs::read(self.target()).unwrap() == bytes, "other bytes");
        assert_eq!(self.names(), ["file.bin"]);
    }

    /// Expects that it failed so, with no file under its name.
    #[track_caller]
    pub(crate) fn expect_failure(&self, outcome: &Result<Fetched, FetchError>, status: &str) {
        match outcome {
            Ok(fetched) => panic!("{fetched:?}"),
            Err(error) => assert_eq!(error.status(), status, "{error}"),
        }
        assert!(!self.target().exists());
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn hash(bytes: &[u8]) -> Hash {
    Hash::new(Algorithm::Blake3, *blake3::hash(bytes).as_bytes()).unwrap()
}

pub(crate) fn pieces(bytes: &[u8], length: usize) -> Pieces {
    let mut pieces = Pieces::new(Algorithm::Blake3, length as u64);
    bytes.chunks(length).for_each(|piece| assert!(pieces.push(&hash(piece))));
    pieces
}

/// Bytes that are the same nowhere else.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
