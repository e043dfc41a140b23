//! What the configuration says now, and what is made of it: the way to the hub, the number of members on their way.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigFile};
use crate::hub::{Hub, HubError};
use crate::pull::Means;

/// What is replaced when the configuration changes. Whoever has begun with the old goes on with it.
#[derive(Debug)]
pub(crate) struct Supply {
    pub(crate) file: ConfigFile,
    made: RwLock<Made>,
}

#[derive(Debug, Clone)]
struct Made {
    hub: Arc<Hub>,
    permits: Arc<Semaphore>,
    cancel: CancellationToken,
}

impl Supply {
    /// As the file says.
    ///
    /// # Errors
    /// See [`Hub::new`].
    pub(crate) fn new(file: ConfigFile) -> Result<Supply, HubError> {
        let config = file.config();
        let made = Made {
            hub: Arc::new(Hub::new(&config)?),
            permits: Arc::new(Semaphore::new(config.network.max_concurrent_downloads)),
            cancel: CancellationToken::new(),
        };
        Ok(Supply { file, made: RwLock::new(made) })
    }

    /// What counts now.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.file.config()
    }

    /// The hub.
    pub(crate) fn hub(&self) -> Arc<Hub> {
        self.made().hub
    }

    /// What a pull is made with.
    pub(crate) fn means(&self) -> Means {
        let Made { hub, permits, cancel } = self.made();
        Means { hub, network: self.config().network.clone(), permits, cancel }
    }

    /// Goes by what is configured now.
    ///
    /// # Errors
    /// See [`Hub::new`]; everything stays as it was.
    pub(crate) fn renew(&self) -> Result<(), HubError> {
        let config = self.config();
        let hub = Arc::new(Hub::new(&config)?);
        let permits = Arc::new(Semaphore::new(config.network.max_concurrent_downloads));
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        (made.hub, made.permits) = (hub, permits);
        Ok(())
    }

    /// Ends the pulls that run; those that begin later are not concerned.
    pub(crate) fn cancel_pulls(&self) {
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut made.cancel).cancel();
    }

    fn made(&self) -> Made {
        self.made.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
