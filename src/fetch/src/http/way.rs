//! The way of a request: from the address that was asked, past those that redirect, to the one that answers.

use std::time::SystemTime;

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};

use crate::failure::{Failure, FailureKind};
use crate::http::head;
use crate::http::reason::failure;
use crate::source::Hints;

/// Sends requests and follows where answers lead.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// It follows nothing by itself.
    pub(super) client: Client,
    pub(super) max_redirects: usize,
}

/// An answer that leads nowhere else.
pub(super) struct Arrived {
    pub(super) response: Response,
    pub(super) way: Way,
}

/// Where a request has been.
#[derive(Debug)]
pub(super) struct Way {
    /// The last one is asked now.
    visited: Vec<Url>,
    /// What the others have said of further sources.
    pub(super) ahead: Hints,
}

impl Caller {
    pub(super) async fn get(&self, url: &Url, headers: HeaderMap) -> Result<Arrived, Failure> {
        let mut way = Way { visited: vec![url.clone()], ahead: Hints::default() };
        let mut next = url.clone();
        loop {
            let sent = self.client.get(next).headers(headers.clone()).send().await;
            let response = sent.map_err(|error| way.failed(failure(&error)))?;
            match way.follow(response.status(), response.headers(), self.max_redirects) {
                Ok(Some(url)) => next = url,
                Ok(None) => return Ok(Arrived { response, way }),
                Err(complaint) => {
                    return Err(way.failed(Failure::new(FailureKind::Refused, complaint)));
                }
            }
        }
    }
}

impl Arrived {
    /// The answer, if it says that all is well.
    pub(super) fn success(self) -> Result<Arrived, Failure> {
        let response = &self.response;
        match response.status().is_success() {
            true => Ok(self),
            false => {
                let refusal = head::refusal(response.status(), response.headers(), SystemTime::now());
                Err(self.way.failed(refusal))
            }
        }
    }
}

impl Way {
    /// The address where it is now, if it is not the one that was given; without secrets.
    pub(super) fn at(&self) -> Option<String> {
        self.visited.get(1..)?.last().map(shown)
    }

    /// A failure of the address where it is now.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        let ahead = (!self.ahead.is_empty()).then(|| Box::new(self.ahead.clone()));
        Failure { at: self.at(), ahead, ..failure }
    }

    /// Where an answer leads, as long as that is somewhere, and not from where it is safe to where it is not.
    fn follow(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        most: usize,
    ) -> Result<Option<Url>, String> {
        let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let (Some(location), Some(here)) =
            (headers.get(LOCATION).filter(|_| leads), self.visited.last().cloned())
        else {
            return Ok(None);
        };
        let location = String::from_utf8_lossy(location.as_bytes());
        let next = here.join(&location).ok().filter(|next| matches!(next.scheme(), "http" | "https"));
        let Some(mut next) = next else {
            return Err(format!("it redirects to {location:?}, which is no address of http or https"));
        };
        if next.origin() == here.origin() && next.username().is_empty() && next.password().is_none() {
            // Who knows the user there still does.
            let _ = next.set_username(here.username());
            let _ = next.set_password(here.password());
        }
        if self.visited.contains(&next) {
            return Err("it redirects in circles".to_owned());
        } else if self.visited.len() > most {
            return Err(format!("it redirects more than {most} times"));
        } else if here.scheme() == "https" && next.scheme() != "https" {
            return Err("it redirects from https to http".to_owned());
        }
        let Hints { described_by, duplicates, .. } = head::hints(headers, &here);
        self.ahead.described_by.extend(described_by);
        self.ahead.duplicates.extend(duplicates);
        self.visited.push(next.clone());
        Ok(Some(next))
    }
}

/// An address as people may see it: secrets are for the server alone.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(from: &str) -> Way {
        Way { visited: vec![Url::parse(from).unwrap()], ahead: Hints::default() }
    }

    fn step(way: &mut Way, location: &'static str) -> Result<Option<Url>, String> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        way.follow(StatusCode::FOUND, &headers, 2)
    }

    #[test]
    fn it_leads_on_but_not_anywhere() {
        let mut way = way("https://user:secret@hub/dir/a");
        assert_eq!(way.at(), None);
        assert_eq!(step(&mut way, "b").unwrap().unwrap().as_str(), "https://user:secret@hub/dir/b");
        assert_eq!(way.at().unwrap(), "https://hub/dir/b");
        for (location, complaint) in [
            ("/dir/a", "in circles"),
            ("http://hub/", "from https to http"),
            ("ftp://hub/", "no address"),
            ("https://", "no address"),
        ] {
            assert!(step(&mut way, location).unwrap_err().contains(complaint), "{location}");
        }
        assert_eq!(step(&mut way, "//node/c").unwrap().unwrap().as_str(), "https://node/c");
        assert!(step(&mut way, "d").unwrap_err().contains("more than 2 times"));
        assert_eq!(way.follow(StatusCode::FOUND, &HeaderMap::new(), 2), Ok(None));
    }

    #[test]
    fn links_count_from_where_they_were() {
        let mut way = way("http://hub/m/1/download");
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, "http://node/m/1".parse().unwrap());
        let link =
            "<package.meta4>; rel=describedby; type=\"application/metalink4+xml\", <//b/f>; rel=duplicate";
        headers.insert(reqwest::header::LINK, link.parse().unwrap());
        way.follow(StatusCode::FOUND, &headers, 2).unwrap();
        assert_eq!(way.ahead.described_by, ["http://hub/m/1/package.meta4"]);
        assert_eq!(way.ahead.duplicates[0].url, "http://b/f");
        let failure = way.failed(Failure::invalid("no"));
        assert_eq!(
            failure.told_of("http://hub/m/1/download"),
            "http://hub/m/1/download -> http://node/m/1: no"
        );
    }
}
