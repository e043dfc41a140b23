//! The id server's commands.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use bytes::{BufMut, BytesMut};
use tnv_common::connection::{Connection, Interrupt, Reply};
use tnv_common::server::Service;
use tnv_proto::{Command, ErrorCode, Failure, IdGet, IdLease, IdRange, Request, Server};
use tokio::sync::Mutex;

use crate::allocator::Allocator;
use crate::steps::Steps;

/// What the id server knows, behind its commands.
pub(crate) struct IdService {
    steps: Arc<dyn Steps>,
    step: u32,
    max_keys: usize,
    /// A lock per key: whoever finds a block used up fetches the next while the others of that key wait.
    keys: std::sync::Mutex<HashMap<String, Arc<Mutex<Allocator>>>>,
}

impl IdService {
    pub(crate) fn new(steps: Arc<dyn Steps>, step: u32, max_keys: usize) -> IdService {
        IdService { steps, step, max_keys, keys: std::sync::Mutex::default() }
    }

    async fn take(&self, key: &str, count: u32) -> Result<IdRange, Failure> {
        let allocator = self.allocator(key);
        let mut allocator = allocator.lock().await;
        if let Some(range) = allocator.take(count) {
            return Ok(range);
        }
        let block = self.steps.advance(key, self.step).await?.ok_or_else(|| exhausted(key))?;
        tracing::info!(key, first = block.next, end = block.end, "took a block of ids");
        allocator.add(block);
        allocator.take(count).ok_or_else(|| exhausted(key))
    }

    fn allocator(&self, key: &str) -> Arc<Mutex<Allocator>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains_key(key) && keys.len() >= self.max_keys {
            // Dropping a block only skips its numbers. Those in use right now must stay: their holder and the next
            // asker would otherwise each fetch a block, which is right, but two a request.
            keys.retain(|_, allocator| Arc::strong_count(allocator) > 1);
        }
        keys.entry(key.to_owned()).or_default().clone()
    }
}

fn exhausted(key: &str) -> Failure {
    Failure::new(ErrorCode::NO_SPACE, format!("there are no numbers left for the key {key:?}"))
}

impl Service for IdService {
    const SERVER: Server = Server::Id;
    type Session = ();

    async fn call(
        &self,
        command: Command,
        connection: &mut Connection,
        (): &mut (),
    ) -> Result<Reply, Interrupt> {
        let body = connection.whole_body().await?;
        let mut reply = BytesMut::with_capacity(12);
        match command {
            Command::IdGet => reply.put_i64(self.take(&IdGet::decode(&body)?.key, 1).await?.first),
            Command::IdLease => {
                let lease = IdLease::decode(&body)?;
                self.take(&lease.key, lease.count.min(self.step)).await?.encode(&mut reply);
            }
            other => {
                return Err(Failure::bad_request(format!("{} is not for an id server", other.name())).into());
            }
        }
        Ok(Reply::Body(reply))
    }
}
