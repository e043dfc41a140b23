//! Sources that speak the cluster's own protocol: one storage each.

use async_trait::async_trait;
use bytes::Bytes;
use tnv_client::{ClientError, Download, StorageClient};
use tnv_metalink::{Algorithm, Hash};
use tnv_proto::{Attributes, ErrorCode, FileKey};

use crate::failure::{Failure, FailureKind};
use crate::source::{Body, Hints, Opened, Source, Wanted};
use crate::version::{Facts, Validators};

/// One storage that may have the file. What it sends is held against the file's checksum by READ.
#[derive(Debug)]
pub struct Replica {
    storage: StorageClient,
    key: FileKey,
    attributes: Attributes,
    name: String,
}

impl Replica {
    /// The file `key` at `storage`, of which a storage has told these attributes.
    pub fn new(storage: StorageClient, key: FileKey, attributes: Attributes) -> Replica {
        let name = format!("storage {}", storage.address());
        Replica { storage, key, attributes, name }
    }

    /// The hash that the attributes have, if they have one.
    pub fn hash(attributes: &Attributes) -> Option<Hash> {
        let known = attributes.blake3.is_known().then_some(attributes.blake3.0)?;
        Hash::new(Algorithm::Blake3, known).ok()
    }
}

#[async_trait]
impl Source for Replica {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> String {
        // The same file from whichever storage.
        format!("tnv:{}", self.key)
    }

    async fn open(&self, wanted: &Wanted) -> Result<Opened, Failure> {
        let until = wanted.until.unwrap_or(self.attributes.size).min(self.attributes.size);
        let count = until.saturating_sub(wanted.from);
        let opened = self.storage.download(&self.key, wanted.from, count, self.attributes.blake3).await;
        let download = opened.map_err(|error| failure(&error))?;
        let hash = Replica::hash(&self.attributes);
        let etag = hash.as_ref().filter(|_| download.is_checked()).map(|hash| format!("\"{}\"", hash.hex()));
        let facts = Facts {
            size: Some(self.attributes.size),
            validators: Validators { etag, modified: None },
            hashes: hash.into_iter().collect(),
            ranges: Some(true),
        };
        let length = download.size();
        Ok(Opened {
            facts,
            skip: 0,
            length,
            hints: Hints::default(),
            ahead: Hints::default(),
            at: None,
            body: Box::new(ReplicaBody(download)),
        })
    }
}

struct ReplicaBody(Download);

#[async_trait]
impl Body for ReplicaBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.0.chunk().await.map_err(|error| failure(&error))
    }
}

fn failure(error: &ClientError) -> Failure {
    let kind = match (error, error.code()) {
        (_, Some(ErrorCode::NOT_FOUND)) => FailureKind::NotFound,
        (_, Some(ErrorCode::CHANGED | ErrorCode::RANGE)) => FailureKind::Changed,
        (_, Some(ErrorCode::UNAVAILABLE | ErrorCode::BUSY | ErrorCode::LOCKED)) => FailureKind::Busy,
        (_, Some(ErrorCode::INTERNAL)) => FailureKind::Failing,
        (ClientError::Unreachable { source, .. }, _) if source.kind() == std::io::ErrorKind::TimedOut => {
            FailureKind::Silent
        }
        (ClientError::Unreachable { .. }, _) => FailureKind::Unreachable,
        (ClientError::Refused { .. }, _) => FailureKind::Refused,
        _ => FailureKind::Invalid,
    };
    Failure::new(kind, error.to_string())
}
