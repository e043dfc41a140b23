//! What answers say of further sources and hashes.

use std::sync::Arc;
use std::time::Instant;

use tnv_metalink::{File, MAX_DOCUMENT, Metalink, Mirror, read};
use tokio::time::timeout;

use crate::disk::Job;
use crate::engine::Engine;
use crate::error::FetchError;
use crate::failure::{Failure, FailureKind};
use crate::map::PieceMap;
use crate::report::Note;
use crate::roster::SourceId;
use crate::source::Hints;
use crate::version::Facts;

/// Descriptions of one file that are tried.
const MAX_DESCRIPTIONS: usize = 3;

/// Sources of one file, at most.
const MAX_SOURCES: usize = 1000;

impl Engine<'_> {
    /// The answer was no file but a description of it.
    pub(super) async fn read_metalink(&mut self, source: SourceId, url: &str) {
        if self.map.is_some() || self.has_looked {
            return self.blame(source, Failure::invalid("it gives a Metalink where others give the file"));
        }
        let file = match self.document(url).await {
            Ok(file) => file,
            Err(failure) => return self.blame(source, failure),
        };
        let before = self.sources.len();
        self.has_looked = true;
        if let Err(why) = self.adopt(file, None, url) {
            return self.blame(source, Failure::invalid(why));
        }
        if self.sources.len() == before {
            let text = "its Metalink names no server that can be asked here";
            return self.blame(source, Failure::invalid(text));
        }
        self.drop_source(source);
        // No version is chosen yet, but its length is known.
        if let Some(size) = self.learned.size {
            self.begin(size);
        }
    }

    /// Follows the links of an answer with the file, once.
    pub(super) async fn look_further(&mut self, hints: &Hints, facts: &Facts) {
        if self.has_looked || self.guide.is_none() || hints.is_empty() {
            return;
        }
        self.has_looked = true;
        self.follow(hints, Some(facts)).await;
    }

    /// Follows the links of those who led to an answer, once, and before the answer is judged: who was asked knows what
    /// he means, whatever comes of it there.
    pub(super) async fn look_ahead(&mut self, ahead: &Hints) {
        if self.has_looked || self.has_looked_ahead || self.guide.is_none() || ahead.is_empty() {
            return;
        }
        self.has_looked_ahead = true;
        self.follow(ahead, None).await;
    }

    /// The same where they led to nobody. Where other addresses were given, those stand in.
    pub(super) async fn look_past(&mut self, ahead: &Hints) {
        if self.sources.len() == 1 {
            self.look_ahead(ahead).await;
        }
    }

    async fn follow(&mut self, hints: &Hints, facts: Option<&Facts>) {
        let before = self.sources.len();
        for url in hints.described_by.iter().take(MAX_DESCRIPTIONS) {
            if self.is_described {
                break;
            }
            let adopted = match self.document(url).await {
                Ok(file) => self.adopt(file, facts, url),
                Err(failure) => Err(failure.text),
            };
            match adopted {
                Ok(()) => self.is_described = true,
                Err(why) => self.watcher.note(&Note::Useless(format!("{url}: {why}"))),
            }
        }
        self.add_mirrors(&hints.duplicates);
        if self.sources.len() > before {
            self.watcher.note(&Note::Found(self.sources.len() - before));
        }
    }

    /// Takes over the hashes that the first source says the file has, as far as there is none of that function.
    pub(super) fn learn_hashes(&mut self, facts: &Facts) {
        for hash in &facts.hashes {
            if !self.hashes().iter().any(|known| known.algorithm() == hash.algorithm()) {
                self.learned.hashes.push(hash.clone());
            }
        }
    }

    async fn document(&self, url: &str) -> Result<File, Failure> {
        let Some(guide) = &self.guide else { return Err(Failure::invalid("Metalinks are not followed")) };
        let limit = self.options.connect_timeout + self.options.idle_timeout;
        let silent = |_| Failure::new(FailureKind::Silent, "its Metalink did not come in time");
        let document = timeout(limit, guide.document(url, MAX_DOCUMENT)).await.map_err(silent)??;
        let metalink = read(&document).map_err(|error| Failure::invalid(error.to_string()))?;
        self.choose(metalink)
            .ok_or_else(|| Failure::invalid("its Metalink is about several files, none called so"))
    }

    /// The file of a Metalink that is meant: the only one, or that of the target's name.
    fn choose(&self, mut metalink: Metalink) -> Option<File> {
        if metalink.files.len() == 1 {
            return metalink.files.pop();
        }
        let name = self.target.file_name()?;
        metalink.files.into_iter().find(|file| name == file.name.as_str())
    }

    /// Takes over a description that is of the same file, as far as can be told.
    fn adopt(&mut self, file: File, facts: Option<&Facts>, base: &str) -> Result<(), String> {
        let size = facts.and_then(|facts| facts.size).or(self.given.size);
        let size = size.or(self.map.as_ref().map(PieceMap::size));
        if let (Some(told), Some(size)) = (file.size, size)
            && told != size
        {
            return Err(format!("its Metalink is about {told} bytes, not {size}"));
        }
        let known = self.hashes();
        let contradicts = |hash: &&tnv_metalink::Hash| {
            known.iter().any(|known| known.algorithm() == hash.algorithm() && known != *hash)
        };
        if let Some(hash) = file.hashes.iter().find(contradicts) {
            return Err(format!("its Metalink is about a file with another hash, {hash}"));
        }
        if self.map.is_none() {
            self.call(&file.name);
            self.learned.size = file.size;
            self.learned.hashes.extend(file.hashes);
            self.learned.pieces = file.pieces;
        }
        let resolve = |mirror: Mirror| {
            let url = reqwest::Url::parse(base).ok()?.join(&mirror.url).ok()?.into();
            Some(Mirror { url, ..mirror })
        };
        let mirrors: Vec<Mirror> = file.mirrors.into_iter().filter_map(resolve).collect();
        self.add_mirrors(&mirrors);
        Ok(())
    }

    /// Gives the file the name that is told, unless there was one before.
    pub(super) fn call(&mut self, told: &str) {
        let Some(safe) = self.naming.take() else { return };
        let target = self.target.with_file_name(safe(told));
        if target == self.target {
            return;
        }
        if target.symlink_metadata().is_ok() {
            self.misnamed = Some(FetchError::Exists(target));
            return;
        }
        self.watcher.note(&Note::Named(target.file_name().unwrap_or_default().display().to_string()));
        self.target.clone_from(&target);
        self.push(Job::Name(target));
    }

    fn add_mirrors(&mut self, mirrors: &[Mirror]) {
        let Some(guide) = self.guide.clone() else { return };
        for mirror in mirrors {
            let Some(source) = guide.source(&mirror.url) else { continue };
            let is_known = self.sources.iter().any(|known| known.identity() == source.identity());
            if !is_known && self.sources.len() < MAX_SOURCES {
                self.sources.push(Arc::clone(&source));
                self.roster.add(mirror.priority, rand::random(), Instant::now());
            }
        }
    }
}
