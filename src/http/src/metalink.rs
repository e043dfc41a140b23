//! Where else a file is and how to tell that it is whole: a Metalink (RFC 5854) at `/files/...?meta4`, and the headers of the
//! file's own answers that point there (RFC 6249) and give its digest (RFC 9530).

use std::time::SystemTime;

use hyper::header::{ETAG, HOST, HeaderName, HeaderValue, LINK};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tnv_client::Client;
use tnv_metalink::{Algorithm, File, Hash, Mirror};
use tnv_proto::{Attributes, Checksum, FileKey};

use crate::config::Config;
use crate::description::describe;
use crate::files::Files;
use crate::view::full_path;
use tnv_web::metalink::{Hashes, HashesError, KnownHashes};
use tnv_web::query::Query;
use tnv_web::{Body, Refusal, media, metalink};

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// What points from a file to its Metalink, relative to the file's own address.
const DESCRIBED_BY: &str = "<?meta4>; rel=describedby; type=\"application/metalink4+xml\"";

/// Metalinks, and the hashes in them: computed once for each version of a file.
pub(crate) struct Metalinks {
    known: KnownHashes,
    /// Other gateways, without a slash at the end.
    mirrors: Vec<String>,
}

impl Metalinks {
    pub(crate) fn new(config: &Config) -> Metalinks {
        let mirrors = config.mirrors.iter().map(|mirror| mirror.trim_end_matches('/').to_owned());
        Metalinks { known: KnownHashes::new(config.metalinks_size), mirrors: mirrors.collect() }
    }

    /// Whether a request for a file wants its Metalink.
    pub(crate) fn is_wanted(request: &Parts) -> bool {
        request.uri.query().is_some_and(|query| Query::new(Some(query)).has("meta4"))
    }

    /// Answers with the Metalink of a file, which is read for it if that was not done before.
    pub(crate) async fn answer(
        &self,
        client: &Client,
        key: &FileKey,
        request: &Parts,
    ) -> Result<Response<Body>, Refusal> {
        let upstream = |error| Refusal::upstream(&error, key);
        let attributes = client.stat(key).await.map_err(upstream)?;
        let hashes = match self.hashes(client, key, &attributes).await {
            Ok(hashes) => hashes,
            Err(HashesError::Upstream(error)) => return Err(upstream(error)),
            Err(error) => {
                tracing::warn!(%key, %error, "a file could not be hashed");
                let sentence = "the file cannot be read now";
                return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
            }
        };
        let content_type = media::content_type(&attributes.content_type, &attributes.name, key.file.as_str());
        let name = media::file_name(&attributes.name, key.file.as_str(), &content_type);
        Ok(metalink::answer(self.described(key, &attributes, hashes, name, request)))
    }

    /// Adds to an answer with a file where its Metalink and its mirrors are, and its digest for those who want it.
    pub(crate) fn point(&self, files: &Files, key: &FileKey, request: &Parts, response: &mut Response<Body>) {
        if !matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
            return;
        }
        let digest = digest(files, key, request, response);
        let headers = response.headers_mut();
        headers.insert(LINK, HeaderValue::from_static(DESCRIBED_BY));
        for mirror in &self.mirrors {
            let link = format!("<{}>; rel=duplicate", url(mirror, key));
            if let Ok(link) = HeaderValue::from_str(&link) {
                headers.append(LINK, link);
            }
        }
        if let Some(digest) = digest {
            headers.insert(REPR_DIGEST, digest);
        }
    }

    async fn hashes(
        &self,
        client: &Client,
        key: &FileKey,
        attributes: &Attributes,
    ) -> Result<Hashes, HashesError> {
        let etag = describe(key, attributes, SystemTime::now()).validators().etag.clone();
        let (client, key, size, blake3) = (client.clone(), key.clone(), attributes.size, attributes.blake3);
        let read = async move |chunks: metalink::Chunks| {
            // Of an empty file there is nothing to ask for.
            if size == 0 {
                return Ok(());
            }
            chunks.send_all(client.download(&key, 0, 0, blake3).await?).await
        };
        self.known.of(size, etag, read).await
    }

    fn described(
        &self,
        key: &FileKey,
        attributes: &Attributes,
        hashes: Hashes,
        name: String,
        request: &Parts,
    ) -> File {
        let own = own_url(request).map(Mirror::new);
        let mirrors = self.mirrors.iter().map(|mirror| Mirror::new(url(mirror, key)));
        let blake3 = blake3_hash(attributes.blake3);
        File {
            name,
            size: Some(attributes.size),
            hashes: [hashes.whole].into_iter().chain(blake3).collect(),
            pieces: Some(hashes.pieces).filter(|pieces| pieces.count() > 0),
            mirrors: own.into_iter().chain(mirrors).collect(),
        }
    }
}

/// The BLAKE3 of the file that was answered with, if it is wanted and known.
fn digest(files: &Files, key: &FileKey, request: &Parts, response: &Response<Body>) -> Option<HeaderValue> {
    let wanted = request.headers.get(WANT_REPR_DIGEST)?.to_str().ok()?;
    if !wanted.contains(Algorithm::Blake3.name()) {
        return None;
    }
    let known = files.recall(key)?;
    // It may have been replaced meanwhile.
    let is_same = response.headers().get(ETAG)?.to_str().ok()? == known.representation.validators().etag;
    let hash = blake3_hash(known.stored.checksum).filter(|_| is_same)?;
    HeaderValue::from_str(&tnv_metalink::repr_digest(&hash)).ok()
}

fn blake3_hash(checksum: Checksum) -> Option<Hash> {
    let known = checksum.is_known().then_some(checksum.0)?;
    Hash::new(Algorithm::Blake3, known).ok()
}

/// The address that the request came to; `None` of clients that do not say it.
fn own_url(request: &Parts) -> Option<String> {
    let header = |name: &HeaderName| request.headers.get(name)?.to_str().ok();
    let authority = request.uri.authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| header(&HOST)).filter(|host| !host.is_empty())?;
    let is_https = header(&HeaderName::from_static("x-forwarded-proto")) == Some("https");
    let scheme = if is_https { "https" } else { "http" };
    Some(format!("{scheme}://{host}{}", request.uri.path()))
}

/// The file's address at another gateway.
fn url(mirror: &str, key: &FileKey) -> String {
    format!("{mirror}{}", full_path("files", key))
}
