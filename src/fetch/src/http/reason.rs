//! What the library says of a request that came to nothing, in our kinds and words.

use std::error::Error;
use std::io;

use rustls::CertificateError;

use crate::failure::{Failure, FailureKind};

/// In the words of the innermost reason.
pub(super) fn failure(error: &reqwest::Error) -> Failure {
    let mut reason: &dyn Error = error;
    loop {
        if let Some(failure) = known(reason) {
            return failure;
        }
        match reason.source() {
            Some(inner) => reason = inner,
            None => break,
        }
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
        _ if error.is_builder() => FailureKind::Refused,
        _ if error.is_connect() => FailureKind::Unreachable,
        _ if error.is_timeout() => FailureKind::Silent,
        _ => FailureKind::Broken,
    };
    Failure::new(kind, reason)
}

/// The failure, where this part of the reason alone tells it.
fn known(reason: &(dyn Error + 'static)) -> Option<Failure> {
    if reason.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
        return Some(Failure::invalid("what it answers is no HTTP"));
    }
    // What an I/O error holds is none of its sources, and it may hold another one.
    let mut reason = reason;
    while let Some(held) = reason.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        reason = held;
    }
    match reason.downcast_ref()? {
        rustls::Error::InvalidCertificate(error) => Some(Failure::new(FailureKind::Untrusted, words(error))),
        rustls::Error::InvalidMessage(_) => {
            Some(Failure::invalid("it speaks no TLS there: try http:// instead of https://"))
        }
        _ => None,
    }
}

/// What is wrong with a certificate, and what to do.
fn words(error: &CertificateError) -> String {
    let expected = match error {
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            format!(", but for {}", presented.join(", "))
        }
        _ => String::new(),
    };
    let (fault, remedy) = match error {
        CertificateError::UnknownIssuer => (
            "is signed by nobody who is trusted here",
            "if the authority is yours, name its certificate with --ca FILE",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("has expired", "it needs a new one, or the clock here is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("is not valid yet", "is the clock here right?")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ("is not for this name", "ask under a name that it has, or give it a certificate for this one")
        }
        CertificateError::Revoked => ("was revoked", "it needs a new one"),
        CertificateError::BadSignature => {
            ("has a wrong signature", "does --ca name the authority that signed it?")
        }
        // There is no other way to tell it.
        CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => (
            "is that of an authority, not of a server",
            "give it one with CA:FALSE that the authority has signed, and name the authority's with --ca FILE",
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            ("is not one for servers", "it needs one that is")
        }
        _ => ("cannot be accepted", "look at it with: openssl s_client -connect HOST:PORT"),
    };
    format!("its certificate {fault}{expected}; {remedy}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[derive(Debug)]
    struct CaUsedAsEndEntity;

    impl std::fmt::Display for CaUsedAsEndEntity {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("CaUsedAsEndEntity")
        }
    }

    impl Error for CaUsedAsEndEntity {}

    #[test]
    fn certificates_are_told_in_words() {
        let name = "hub".try_into().unwrap();
        for (error, text) in [
            (CertificateError::UnknownIssuer, "nobody who is trusted"),
            (CertificateError::Expired, "has expired"),
            (
                CertificateError::NotValidForNameContext { expected: name, presented: vec!["a".into()] },
                "not for this name, but for a;",
            ),
            (CertificateError::Other(OtherError(Arc::new(CaUsedAsEndEntity))), "that of an authority"),
            (CertificateError::BadEncoding, "cannot be accepted"),
        ] {
            let error = io::Error::other(io::Error::other(rustls::Error::InvalidCertificate(error)));
            let failure = known(&error).unwrap();
            assert!(failure.text.contains(text) && !failure.text.contains("Ca"), "{failure}");
            assert!(failure.kind == FailureKind::Untrusted && !failure.kind.may_pass());
        }
    }
}
