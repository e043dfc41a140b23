//! The storages to ask for a user's file, one after the other.

use std::sync::Arc;

use tnv_proto::{AppId, FileKey, UserId};

use crate::error::Attempts;
use crate::located::Place;
use crate::{Client, ClientError, StorageClient};

/// Goes through the storages that are known for a user, and then through others that a tracker names if asked again.
#[derive(Debug)]
pub(crate) struct Route {
    /// Who can be asked for more storages; nobody if only one storage is wanted.
    client: Option<Client>,
    storages: Arc<[StorageClient]>,
    /// The one to be asked next, counted around the list.
    next: usize,
    /// How many of the list were not asked yet.
    left: usize,
    /// Whether no tracker would tell anything new.
    asked: bool,
    /// Who was asked in vain since then.
    tried: Vec<StorageClient>,
}

impl Route {
    /// To the storages of a user, as a tracker tells, or told a short while ago.
    pub(crate) async fn to(client: &Client, app: &AppId, user: &UserId) -> Result<Route, ClientError> {
        let (place, asked) = match client.located(app, user) {
            Some(place) => (place, false),
            None => (client.locate(app, user).await?, true),
        };
        let mut route = Route { client: Some(client.clone()), asked, ..Route::along([].into()) };
        route.turn_to(&place);
        Ok(route)
    }

    /// To these storages and no other, in their order.
    pub(crate) fn along(storages: Arc<[StorageClient]>) -> Route {
        let left = storages.len();
        Route { client: None, storages, next: 0, left, asked: true, tried: Vec::new() }
    }

    fn turn_to(&mut self, place: &Place) {
        (self.next, self.left) = (place.turn(), place.storages.len());
        self.storages = Arc::clone(&place.storages);
    }

    /// The next storage to ask. A tracker that fails to tell more of them is taken note of.
    pub(crate) async fn next(&mut self, key: &FileKey, attempts: &mut Attempts) -> Option<StorageClient> {
        loop {
            while self.left > 0 {
                let storage = self.storages.get(self.next % self.storages.len())?.clone();
                self.next += 1;
                self.left -= 1;
                if !self.tried.iter().any(|tried| tried.address() == storage.address()) {
                    return Some(storage);
                }
            }
            let client = self.client.as_ref().filter(|_| !self.asked)?;
            self.asked = true;
            match client.locate(&key.app, &key.user).await {
                Ok(place) => self.turn_to(&place),
                Err(error) => attempts.push(error),
            }
        }
    }

    /// Notes why a storage has not helped: it is not asked again. Where it is out of reach, others find their way anew.
    pub(crate) fn failed(&mut self, key: &FileKey, storage: StorageClient, error: &ClientError) {
        self.tried.push(storage);
        if error.code().is_none() {
            self.doubt(key);
        }
    }

    /// Has others find their way anew: a storage broke off.
    pub(crate) fn doubt(&self, key: &FileKey) {
        if let Some(client) = &self.client {
            client.doubt(&key.app, &key.user);
        }
    }

    /// Notes that a storage has helped: should it fail later, it may still be the one to ask.
    pub(crate) fn succeeded(&mut self) {
        self.tried.clear();
        self.asked = false;
    }
}
