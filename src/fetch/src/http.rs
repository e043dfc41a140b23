//! Sources that speak HTTP.

mod disposition;
mod head;
mod reason;
mod way;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, Url};

use crate::failure::{Failure, FailureKind};
use crate::http::reason::failure;
use crate::http::way::{Arrived, Caller, shown};
use crate::options::Options;
use crate::source::{Body, Guide, Opened, Source, Wanted};

/// Asks servers for their digest of the file (RFC 9530).
const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

/// Why there can be no HTTP here.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The program has not chosen who does its cryptography.
    #[error("no provider of cryptography is installed")]
    NoCryptography,
    /// What should be an authority's certificate is none.
    #[error("the authorities to trust: {0}")]
    Authority(String),
    /// Whatever the library says.
    #[error("cannot speak HTTP: {0}")]
    Client(#[from] reqwest::Error),
}

/// Makes sources of URLs. They share connections.
#[derive(Debug, Clone)]
pub struct Http {
    caller: Caller,
}

impl Http {
    /// With the limits of `options`. The program must have installed a provider of cryptography for rustls.
    ///
    /// # Errors
    /// If it has not, or certificates cannot be read.
    pub fn new(options: &Options) -> Result<Http, HttpError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(HttpError::NoCryptography);
        }
        let client = Client::builder()
            .tls_certs_merge(authorities(&options.authorities)?)
            .user_agent(concat!("tnv/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .redirect(Policy::none())
            .referer(false)
            .build()?;
        Ok(Http { caller: Caller { client, max_redirects: options.max_redirects } })
    }

    /// The source at this address, which is one of http or https.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the address.
    pub fn at(&self, url: &str) -> Result<HttpSource, String> {
        let parsed = Url::parse(url).map_err(|error| format!("{url:?} is no address: {error}"))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(format!("{url:?} is not an address of http or https"));
        }
        Ok(HttpSource { caller: self.caller.clone(), name: shown(&parsed), url: parsed })
    }
}

#[async_trait]
impl Guide for Http {
    fn source(&self, url: &str) -> Option<Arc<dyn Source>> {
        self.at(url).ok().map(|source| Arc::new(source) as Arc<dyn Source>)
    }

    async fn document(&self, url: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        let parsed = Url::parse(url).map_err(|error| Failure::invalid(error.to_string()))?;
        let Arrived { mut response, way } = self.caller.get(&parsed, HeaderMap::new()).await?.success()?;
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| way.failed(failure(&error)))? {
            if document.len() + chunk.len() > limit {
                return Err(Failure::invalid(format!("the document is longer than {limit} bytes")));
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

/// One URL. Each request begins there again, wherever an earlier one was redirected to: who redirects may know better
/// by now.
#[derive(Debug)]
pub struct HttpSource {
    caller: Caller,
    url: Url,
    name: String,
}

#[async_trait]
impl Source for HttpSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn identity(&self) -> String {
        self.name.clone()
    }

    async fn open(&self, wanted: &Wanted) -> Result<Opened, Failure> {
        let Arrived { response, way } = self.caller.get(&self.url, headers(wanted)?).await?;
        let (status, url, now) = (response.status(), response.url(), SystemTime::now());
        let answer = head::judge(wanted, status, response.headers(), url, now)
            .map_err(|failure| way.failed(failure))?;
        Ok(Opened {
            facts: answer.facts,
            skip: answer.skip,
            length: answer.length,
            hints: answer.hints,
            at: way.at(),
            ahead: way.ahead,
            body: Box::new(HttpBody(response)),
        })
    }
}

/// What a request for these bytes says beside its address.
fn headers(wanted: &Wanted) -> Result<HeaderMap, Failure> {
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| Failure::invalid(format!("{text:?} fits in no request")))
    };
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(WANT_REPR_DIGEST, HeaderValue::from_static("blake3=10, sha-256=9"));
    if let Some(range) = head::range(wanted) {
        headers.insert(RANGE, value(&range)?);
        if let Some(condition) = head::condition(wanted) {
            headers.insert(IF_RANGE, value(condition)?);
        }
    }
    Ok(headers)
}

fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, HttpError> {
    let broken = |_| HttpError::Authority("a certificate in it cannot be read: is it whole?".to_owned());
    let found = Certificate::from_pem_bundle(pem).map_err(broken)?;
    match found.is_empty() && !pem.is_empty() {
        true => Err(HttpError::Authority(no_certificate(pem))),
        false => Ok(found),
    }
}

fn no_certificate(pem: &[u8]) -> String {
    let key = String::from_utf8_lossy(pem).contains("PRIVATE KEY-----");
    let what = if key { "it holds a private key and no certificate" } else { "it holds no certificate" };
    format!(
        "{what}; it should hold those of authorities in PEM form, each from -----BEGIN CERTIFICATE----- to \
         -----END CERTIFICATE-----"
    )
}

struct HttpBody(Response);

#[async_trait]
impl Body for HttpBody {
    async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.0.chunk().await.map_err(|error| match failure(&error) {
            failure if failure.kind == FailureKind::Unreachable => failure,
            failure => Failure { kind: FailureKind::Broken, ..failure },
        })
    }
}
