//! Sources that speak HTTP.

mod head;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, HeaderName, IF_RANGE, RANGE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, Response, Url};

use crate::failure::{Failure, FailureKind};
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
    #[error("there is no certificate in PEM form: {0}")]
    Authority(String),
    /// Whatever the library says.
    #[error("cannot speak HTTP: {0}")]
    Client(#[from] reqwest::Error),
}

/// Makes sources of URLs. They share connections.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
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
        let most = options.max_redirects;
        let client = Client::builder()
            .tls_certs_merge(authorities(&options.authorities)?)
            .user_agent(concat!("tnv/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .redirect(Policy::custom(move |attempt| redirect(attempt, most)))
            .referer(false)
            .build()?;
        Ok(Http { client })
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
        let mut shown = parsed.clone();
        // Secrets are for the server alone.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_fragment(None);
        Ok(HttpSource { client: self.client.clone(), url: parsed, name: shown.into() })
    }
}

#[async_trait]
impl Guide for Http {
    fn source(&self, url: &str) -> Option<Arc<dyn Source>> {
        self.at(url).ok().map(|source| Arc::new(source) as Arc<dyn Source>)
    }

    async fn document(&self, url: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        let mut response = self.client.get(url).send().await.map_err(|error| failure(&error))?;
        if !response.status().is_success() {
            return Err(head::refusal(response.status(), response.headers(), SystemTime::now()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
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
    client: Client,
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
        let mut request = self.client.get(self.url.clone()).header(ACCEPT_ENCODING, "identity");
        request = request.header(WANT_REPR_DIGEST, "blake3=10, sha-256=9");
        if let Some(range) = head::range(wanted) {
            request = request.header(RANGE, range);
            if let Some(condition) = head::condition(wanted) {
                request = request.header(IF_RANGE, condition);
            }
        }
        let response = request.send().await.map_err(|error| failure(&error))?;
        let answer =
            head::judge(wanted, response.status(), response.headers(), response.url(), SystemTime::now())?;
        Ok(Opened {
            facts: answer.facts,
            skip: answer.skip,
            length: answer.length,
            hints: answer.hints,
            body: Box::new(HttpBody(response)),
        })
    }
}

fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, HttpError> {
    let found = Certificate::from_pem_bundle(pem).map_err(|error| HttpError::Authority(error.to_string()))?;
    match found.is_empty() && !pem.is_empty() {
        true => Err(HttpError::Authority("it begins with -----BEGIN CERTIFICATE-----".to_owned())),
        false => Ok(found),
    }
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

/// Follows as long as it leads somewhere, and not from where it is safe to where it is not.
fn redirect(attempt: Attempt<'_>, most: usize) -> reqwest::redirect::Action {
    let (url, before) = (attempt.url(), attempt.previous());
    let complaint = if before.contains(url) {
        "it redirects in circles".to_owned()
    } else if before.len() > most {
        format!("it redirects more than {most} times")
    } else if before.last().is_some_and(|last| last.scheme() == "https") && url.scheme() != "https" {
        "it redirects from https to http".to_owned()
    } else {
        return attempt.follow();
    };
    attempt.error(complaint)
}

/// What the library says, in our kinds and in the words of the innermost reason.
fn failure(error: &reqwest::Error) -> Failure {
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    let reason = match reason.to_string() {
        text if error.is_timeout() && error.is_connect() => {
            format!("no connection came about in time ({text})")
        }
        text => match text.split_once(" (os error") {
            Some((words, _)) => words.to_lowercase(),
            None => text,
        },
    };
    let kind = match error {
        _ if error.is_redirect() || error.is_builder() => FailureKind::Refused,
        _ if error.is_connect() => FailureKind::Unreachable,
        _ if error.is_timeout() => FailureKind::Silent,
        _ => FailureKind::Broken,
    };
    Failure::new(kind, reason)
}
