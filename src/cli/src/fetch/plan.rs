//! From the words of the command to sources and what is known of the file.

use std::path::Path;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use tnv_client::{Client, Options as ClientOptions};
use tnv_fetch::{Http, HttpError, Known, Options, Replica, Source, row};
use tnv_metalink::{EXTENSION, MAX_DOCUMENT, Mirror};
use tnv_package::MemberPath;
use tnv_proto::{AppId, FileId, FileKey, UserId};

use crate::error::{Error, Kind, reason};
use crate::fetch::Fetch;
use crate::name::safe_name;
use crate::session::Context;

/// What is to be fetched, and from where.
pub(super) struct Plan {
    /// What the file is called there, made safe.
    pub(super) name: String,
    /// Whether that is only the end of an address.
    is_guessed: bool,
    options: Options,
    known: Known,
    sources: Vec<(Arc<dyn Source>, u32)>,
    guide: Option<Arc<Http>>,
}

impl Plan {
    pub(super) async fn make(fetch: &Fetch, context: &Context) -> Result<Plan, Error> {
        let known = Known { hashes: fetch.checksum.clone(), ..Known::default() };
        let mut options = fetch.options();
        if let Some(path) = &fetch.ca {
            let read = tokio::fs::read(path).await;
            options.authorities =
                read.map_err(|error| Error::local(format!("--ca {}: {}", path.display(), reason(&error))))?;
        }
        let plan =
            Plan { name: String::new(), is_guessed: false, options, known, sources: Vec::new(), guide: None };
        match &fetch.base {
            Some(base) => match &fetch.words[..] {
                [path] => plan.with_row(base, fetch.count, path, fetch),
                _ => Err(Error::usage("--base goes with one path")),
            },
            None if fetch.is_of_cluster() => plan.with_cluster(&fetch.words, context).await,
            None => match &fetch.words[..] {
                [word] if is_metalink_file(word) => plan.with_metalink(Path::new(word), fetch).await,
                words => plan.with_urls(words, fetch),
            },
        }
    }

    /// What the sources are called.
    pub(super) fn names(&self) -> Vec<String> {
        self.sources.iter().map(|(source, _)| source.name().to_owned()).collect()
    }

    pub(super) fn known_size(&self) -> Option<u64> {
        self.known.size
    }

    /// With `is_open` the file may be called otherwise, if that is known better there.
    pub(super) fn into_fetch(self, is_open: bool) -> tnv_fetch::Fetch {
        let mut fetch = tnv_fetch::Fetch::new(self.options, self.known);
        if is_open && self.is_guessed {
            fetch.rename(told_name);
        }
        for (source, priority) in self.sources {
            fetch.add(source, priority);
        }
        if let Some(guide) = self.guide {
            fetch.follow(guide);
        }
        fetch
    }

    fn with_row(self, base: &str, count: u8, path: &str, fetch: &Fetch) -> Result<Plan, Error> {
        self.with_urls(&row(base, count, path).map_err(Error::usage)?, fetch)
    }

    fn with_urls(mut self, urls: &[String], fetch: &Fetch) -> Result<Plan, Error> {
        let http = self.http(fetch)?;
        for url in urls {
            let source =
                http.at(url).map_err(|why| Error::usage(format!("{why}; see `client fetch --help`")))?;
            if self.name.is_empty() {
                (self.name, self.is_guessed) = (name_of(source.name()), true);
            }
            // The same twice would count as two.
            if self.sources.iter().all(|(known, _)| known.identity() != source.identity()) {
                self.sources.push((Arc::new(source), 0));
            }
        }
        Ok(self)
    }

    async fn with_metalink(mut self, path: &Path, fetch: &Fetch) -> Result<Plan, Error> {
        let about = |why: String| Error::local(format!("{}: {why}", path.display()));
        let size = tokio::fs::metadata(path).await.map_err(|error| about(reason(&error)))?.len();
        if size > MAX_DOCUMENT as u64 {
            return Err(about(format!("a Metalink of more than {MAX_DOCUMENT} bytes is not read")));
        }
        let document = tokio::fs::read(path).await.map_err(|error| about(reason(&error)))?;
        let mut files = tnv_metalink::read(&document).map_err(|error| about(error.to_string()))?.files;
        let (Some(file), None) = (files.pop(), files.pop()) else {
            return Err(about("it is about several files, only one is fetched at a time".to_owned()));
        };
        for hash in &file.hashes {
            match self.known.hashes.iter().find(|known| known.algorithm() == hash.algorithm()) {
                Some(known) if known != hash => {
                    return Err(Error::usage(format!(
                        "--checksum says {known}, {} says {hash}",
                        path.display()
                    )));
                }
                Some(_) => {}
                None => self.known.hashes.push(hash.clone()),
            }
        }
        // One is enough, and the strongest; what the user gave is compared in any case.
        let strongest = self.known.hashes.iter().map(tnv_metalink::Hash::algorithm).min();
        self.known.hashes.retain(|hash| Some(hash.algorithm()) == strongest || fetch.checksum.contains(hash));
        (self.known.size, self.known.pieces) = (file.size, file.pieces);
        self.name = name_of(&file.name);
        self.add_mirrors(&file.mirrors, fetch)?;
        Ok(self)
    }

    fn add_mirrors(&mut self, mirrors: &[Mirror], fetch: &Fetch) -> Result<(), Error> {
        let http = self.http(fetch)?;
        for mirror in mirrors {
            // Others are for programs that speak ftp.
            if let Ok(source) = http.at(&mirror.url) {
                self.sources.push((Arc::new(source), mirror.priority));
            }
        }
        match self.sources.is_empty() {
            true => Err(Error::new(Kind::NoServers, "the Metalink names no server of http or https")),
            false => Ok(()),
        }
    }

    /// Every storage that may have it.
    async fn with_cluster(mut self, words: &[String], context: &Context) -> Result<Plan, Error> {
        let [app, user, file] = words else { return Err(Error::usage("a file is named by APP USER FILE")) };
        let key = FileKey { app: AppId::new(app)?, user: UserId::new(user)?, file: FileId::new(file)? };
        let limits = ClientOptions {
            connect_timeout: self.options.connect_timeout,
            reply_timeout: self.options.idle_timeout,
            progress_timeout: self.options.idle_timeout,
            ..ClientOptions::default()
        };
        let client = Client::new(context.trackers.clone(), limits);
        let about = |error: tnv_client::ClientError| Error::from(error).about(&key.file);
        let attributes = client.stat(&key).await.map_err(about)?;
        for storage in client.replicas(&key.app, &key.user).await.map_err(about)? {
            let source = Replica::new(storage, key.clone(), attributes.clone());
            self.sources.push((Arc::new(source), 0));
        }
        if self.sources.is_empty() {
            return Err(Error::new(Kind::NoServers, format!("no storage may have {key}")));
        }
        self.known.size = Some(attributes.size);
        if let Some(hash) = Replica::hash(&attributes)
            && self.known.hashes.iter().all(|known| known.algorithm() != hash.algorithm())
        {
            self.known.hashes.push(hash);
        }
        self.name = safe_name(if attributes.name.is_empty() { key.file.as_str() } else { &attributes.name });
        Ok(self)
    }

    fn http(&mut self, fetch: &Fetch) -> Result<Arc<Http>, Error> {
        let http = Http::new(&self.options).map_err(|error| match (&fetch.ca, error) {
            (Some(path), HttpError::Authority(why)) => {
                Error::local(format!("--ca {}: {why}", path.display()))
            }
            (_, error) => Error::local(error.to_string()),
        })?;
        let http = Arc::new(http);
        self.guide = (!fetch.no_links).then(|| Arc::clone(&http));
        Ok(http)
    }
}

fn is_metalink_file(word: &str) -> bool {
    !word.contains("://") && (word.ends_with(&format!(".{EXTENSION}")) || word.ends_with(".metalink"))
}

/// What a server or a Metalink calls a file, made safe by the rules of members of packages and those of this shell.
fn told_name(told: &str) -> String {
    safe_name(MemberPath::cleaned(told).name())
}

/// The last part of a path, made safe.
fn name_of(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path =
        path.split_once("://").map_or(path, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match last {
        "" => "download".to_owned(),
        last => safe_name(&percent_decode_str(last).decode_utf8_lossy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_last_part_of_a_path() {
        for (path, name) in [
            ("http://a/b/c.mp4?x=1/2", "c.mp4"),
            ("http://a/b/", "b"),
            ("http://a/", "download"),
            ("http://a", "download"),
            ("http://a/%2e%2e%2fx", "_._x"),
            ("../../etc/passwd", "passwd"),
            ("film.mp4", "film.mp4"),
        ] {
            assert_eq!(name_of(path), name, "{path}");
        }
    }

    #[test]
    fn a_name_that_is_told_is_made_safe() {
        for (told, name) in [
            ("meeting_m1.zip", "meeting_m1.zip"),
            ("../../etc/passwd", "passwd"),
            ("C:\\dir\\a.zip", "a.zip"),
            (".bashrc", "_bashrc"),
            ("-rf", "_rf"),
        ] {
            assert_eq!(told_name(told), name, "{told}");
        }
        for told in ["a\u{1b}[2J.zip", "nul.txt", "CON", "..", "", "/", "a\u{202e}gpj.exe"] {
            let name = told_name(told);
            assert!(MemberPath::new(&name).is_ok() && safe_name(&name) == name, "{told:?}: {name:?}");
        }
    }

    #[test]
    fn metalinks_are_known_by_their_names() {
        assert!(is_metalink_file("x.meta4") && is_metalink_file("a/b.metalink"));
        assert!(!is_metalink_file("http://a/x.meta4") && !is_metalink_file("x.mp4"));
    }
}
