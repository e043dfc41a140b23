//! What comes of the disk.

use crate::disk::{Done, Job};
use crate::engine::Engine;
use crate::error::{FetchError, describe};
use crate::failure::{Failure, FailureKind};
use crate::fetch::Fetched;
use crate::map::{PieceMap, Verdict};
use crate::report::{Note, Phase};
use crate::roster::SourceId;
use crate::schedule::RunId;
use tnv_metalink::Hash;

impl Engine<'_> {
    /// Takes note of what was done; the file if that was the last.
    pub(super) fn hear(&mut self, done: Done) -> Result<Option<Fetched>, FetchError> {
        self.unanswered = self.unanswered.saturating_sub(1);
        match done {
            Done::Restored(epoch, verdicts) if epoch == self.epoch => self.judge(verdicts),
            Done::Written(epoch, range, verdicts) if epoch == self.epoch => {
                if let Some(map) = &mut self.map {
                    map.write(range);
                }
                self.judge(verdicts);
            }
            Done::Compared(different) if different.is_empty() => {
                self.phase = Phase::Publishing;
                self.push(Job::Publish);
            }
            Done::Compared(different) => self.mismatch(&different)?,
            Done::Published => return Ok(Some(self.fetched())),
            Done::Failed(what, error) => return Err(FetchError::disk(what, self.target.clone(), error)),
            Done::Restored(..) | Done::Written(..) | Done::Saved | Done::Discarded => {}
        }
        Ok(None)
    }

    /// Takes note of which pieces are good; whoever gave a bad one is not asked again.
    fn judge(&mut self, verdicts: Vec<(u64, bool)>) {
        for (index, matches) in verdicts {
            let Some(map) = &mut self.map else { return };
            let Verdict::Bad(source) = map.verify(index, matches) else { continue };
            self.watcher.note(&Note::BadPiece {
                index,
                source: source.map(|id| self.sources[id.0].name().to_owned()),
            });
            if let Some(source) = source {
                self.convict(source, format!("its piece {index} is damaged"));
            }
        }
    }

    fn convict(&mut self, source: SourceId, why: String) {
        let runs: Vec<RunId> =
            self.schedule.iter().filter(|(_, run)| run.source == source).map(|(run, _)| run).collect();
        runs.into_iter().for_each(|run| self.stop(run));
        self.blame(source, Failure::new(FailureKind::Corrupt, why));
    }

    /// The whole does not have its hash.
    fn mismatch(&mut self, different: &[Hash]) -> Result<(), FetchError> {
        if self.map.as_ref().is_some_and(PieceMap::has_hashes) {
            let what = format!("every piece has its hash, but not the whole: {}", describe(different));
            return Err(FetchError::ChecksumMismatch { what, sources: self.failures() });
        }
        self.watcher.note(&Note::BadWhole);
        let mut givers = self.givers.iter().copied();
        match (givers.next(), givers.next()) {
            (Some(only), None) if only != SourceId::EARLIER => {
                self.convict(only, format!("its bytes are damaged: {}", describe(different)));
            }
            _ => self.alone = true,
        }
        self.phase = Phase::Fetching;
        self.roster.hold_to(None);
        self.give_up_all();
        Ok(())
    }

    /// Everything comes again.
    pub(super) fn give_up_all(&mut self) {
        self.stop_all();
        if let Some(map) = &mut self.map {
            map.clear();
        }
        self.forget_all();
    }

    /// What the disk has does not count, and neither do its answers that are under way.
    pub(super) fn forget_all(&mut self) {
        self.epoch += 1;
        self.givers.clear();
        self.resumed = 0;
        self.push(Job::Forget(0..u64::MAX));
    }

    fn fetched(&self) -> Fetched {
        let size = self.map.as_ref().map_or(0, PieceMap::size);
        Fetched {
            path: self.target.clone(),
            size,
            version: self.note(size).version,
            hashes: self.whole_hashes(),
            pieces_verified: self.map.as_ref().is_some_and(PieceMap::has_hashes),
            resumed: self.resumed,
            sources: self.source_reports(),
        }
    }
}
