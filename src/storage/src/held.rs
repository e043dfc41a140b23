//! Bytes that another storage of the group has pushed here: durable under a temporary name, with rows that the other one writes
//! along with its own. It says when they are there; where it does not, the catalog is asked, and can have no rows from then on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tnv_proto::PushedPlace;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::commit::{Names, discard, publish};
use crate::layout::Place;
use crate::volume::Reservation;

/// How long the rows of what was pushed may take. Longer than a transaction and the sync of what was pushed to others.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks for what has waited so long.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// All that is held.
#[derive(Default)]
pub(crate) struct Held {
    files: Mutex<HashMap<PushedPlace, HeldFile>>,
}

/// Bytes without rows, and the room that was set aside for them.
pub(crate) struct HeldFile {
    names: Arc<dyn Names>,
    place: Place,
    reservation: Option<Reservation>,
    since: Instant,
}

impl HeldFile {
    pub(crate) fn new(names: Arc<dyn Names>, place: Place, reservation: Option<Reservation>) -> HeldFile {
        HeldFile { names, place, reservation, since: Instant::now() }
    }

    /// Gives it its final name: its rows are there. Blocks.
    fn keep(self) {
        if let Some(reservation) = self.reservation {
            reservation.keep();
        }
        publish(&*self.names, &self.place);
    }
}

impl Held {
    /// Holds a file: its place, as its rows are to say it.
    pub(crate) fn hold(&self, file: HeldFile) -> PushedPlace {
        let place = PushedPlace { path_index: file.names.index(), path: file.place.path() };
        self.files().insert(place.clone(), file);
        place
    }

    /// Gives those that are held here their final names: their rows are there. Whether there were any.
    pub(crate) async fn keep(&self, places: &[PushedPlace]) -> bool {
        let kept: Vec<HeldFile> = {
            let mut files = self.files();
            places.iter().filter_map(|place| files.remove(place)).collect()
        };
        let any = !kept.is_empty();
        if any {
            let _ = spawn_blocking(move || kept.into_iter().for_each(HeldFile::keep)).await;
        }
        any
    }

    /// Whether one lies at this place, which a row says: then it gets its final name.
    pub(crate) async fn keep_one(&self, path_index: u32, place: &Place) -> bool {
        self.keep(&[PushedPlace { path_index, path: place.path() }]).await
    }

    /// Settles what nobody has spoken of for long: it has its rows, or will never have any. Until `shutdown`; what is left
    /// then the next start settles.
    pub(crate) async fn settle(self: Arc<Self>, catalog: Arc<dyn Catalog>, shutdown: CancellationToken) {
        let settle = async {
            loop {
                sleep(LOOK_INTERVAL).await;
                for (place, is_overdue) in self.waiting() {
                    if is_overdue {
                        self.settle_one(&*catalog, &place).await;
                    } else if matches!(catalog.has_copy(place.path_index, &place.path).await, Ok(true)) {
                        // Whoever wrote the rows has not come to say so.
                        self.keep(&[place]).await;
                    }
                }
            }
        };
        tokio::select! {
            () = settle => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn settle_one(&self, catalog: &dyn Catalog, place: &PushedPlace) {
        let Ok(kept) = catalog.seal(place.path_index, &place.path).await else { return };
        let Some(file) = self.files().remove(place) else { return };
        tracing::info!(index = place.path_index, place = place.path, kept, "settled what was pushed here");
        let settle = move || if kept { file.keep() } else { discard(&*file.names, &file.place) };
        let _ = spawn_blocking(settle).await;
    }

    /// What has waited for longer than a look takes, and whether that is too long.
    fn waiting(&self) -> Vec<(PushedPlace, bool)> {
        let files = self.files();
        let waiting = files.iter().filter(|(_, file)| file.since.elapsed() > LOOK_INTERVAL);
        waiting.map(|(place, file)| (place.clone(), file.since.elapsed() > PATIENCE)).collect()
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PushedPlace, HeldFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
