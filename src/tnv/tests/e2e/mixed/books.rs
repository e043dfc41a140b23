//! What the clients were promised, while they are at work and afterwards.

use std::collections::HashSet;

use super::site::Site;
use crate::harness::web::Web;
use crate::kill::ledger::{Entry, Ledger, State};

/// The ledger, and which of its files may be asked for.
#[derive(Default)]
pub(super) struct Books {
    ledger: Ledger,
    /// Acknowledged, and nobody has asked to delete them.
    present: Vec<String>,
}

impl Books {
    /// Enters a file that is about to be sent, or one that never will be to its end.
    pub(super) fn enter(&mut self, file: &str, seed: u64, len: u64, state: State) {
        self.ledger.files.insert(file.to_owned(), Entry { seed, len, state });
        if state == State::Present {
            self.present.push(file.to_owned());
        }
    }

    /// A file was acknowledged.
    pub(super) fn stored(&mut self, file: &str) {
        self.set(file, State::Present);
        self.present.push(file.to_owned());
    }

    /// Any file that is present.
    pub(super) fn pick(&self, random: u64) -> Option<(String, Entry)> {
        let file = self.present.get(random as usize % self.present.len().max(1))?;
        Some((file.clone(), self.ledger.files[file]))
    }

    /// Any file that is present, for one client alone to delete.
    pub(super) fn claim(&mut self, random: u64) -> Option<String> {
        let at = random as usize % self.present.len().max(1);
        let file = (at < self.present.len()).then(|| self.present.swap_remove(at))?;
        self.set(&file, State::Deleting);
        Some(file)
    }

    /// A delete was acknowledged.
    pub(super) fn deleted(&mut self, file: &str) {
        self.set(file, State::Gone);
    }

    /// A file was not found: somebody must have asked to delete it.
    #[track_caller]
    pub(super) fn assert_may_be_gone(&self, file: &str) {
        assert_ne!(self.ledger.files[file].state, State::Present, "{file} is lost");
    }

    /// How many are present and gone, and what became of those in doubt.
    pub(super) fn counts(&self) -> (usize, usize, (usize, usize)) {
        (self.ledger.count(State::Present), self.ledger.count(State::Gone), self.ledger.doubts)
    }

    /// Looks for every file at the storage and at the gateway. Nobody may be at work.
    #[track_caller]
    pub(super) fn check(&mut self, site: &Site) {
        self.ledger.check(&site.addresses().storage, &site.store());
        let mut web = Web::connect(&site.addresses().http);
        for (file, entry) in &self.ledger.files {
            let response = web.get(&format!("/files/{file}"), &[]);
            if entry.state == State::Present {
                assert_eq!(response.status, 200, "{file} at the gateway: {}", response.text());
                assert!(response.body == entry.contents(), "{file} is damaged at the gateway: {entry:?}");
            } else {
                assert_eq!(response.status, 404, "{file} at the gateway, {entry:?}");
            }
        }
        self.check_list(&mut web);
    }

    /// The list has every file that is present, and no other.
    #[track_caller]
    fn check_list(&self, web: &mut Web) {
        let (mut listed, mut cursor) = (HashSet::new(), String::new());
        loop {
            let page = web.get(&format!("/api/files?limit=1000&cursor={cursor}"), &[]).json();
            for file in page["files"].as_array().expect("files") {
                let id = file["id"].as_str().expect("an id");
                assert!(listed.insert(id.to_owned()), "{id} is listed twice");
            }
            let next = page["next"].as_str().expect("a cursor");
            if next.is_empty() {
                break;
            }
            cursor = next.bytes().map(|byte| format!("%{byte:02x}")).collect();
        }
        for (file, entry) in &self.ledger.files {
            let is_listed = listed.remove(file);
            assert_eq!(is_listed, entry.state == State::Present, "whether {file} is listed, {entry:?}");
        }
        assert!(listed.is_empty(), "nobody was promised {listed:?}");
    }

    fn set(&mut self, file: &str, state: State) {
        self.ledger.files.get_mut(file).expect("it was entered").state = state;
    }
}
