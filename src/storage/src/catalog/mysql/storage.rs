//! Storages and their copies.

use async_trait::async_trait;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, Value, Work};

use super::copies::held_elsewhere;
use super::{DUPLICATE, buckets, repeated};
use crate::catalog::{Leftover, Membership};

pub(super) struct HasCopy<'a> {
    pub(super) storage: &'a str,
    pub(super) path_index: u32,
    pub(super) path: &'a str,
}

#[async_trait]
impl Work for HasCopy<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<bool, Error> {
        let query =
            "SELECT 1 FROM t_copy WHERE storage = ? AND path_index = ? AND path = ? AND state <> 'deleting'";
        let found: Option<i64> =
            connection.exec_first(query, (self.storage, self.path_index, self.path)).await?;
        Ok(found.is_some())
    }
}

/// A sealed place has a copy of no file, which stays: its primary key is in the way of every other.
pub(super) struct Seal<'a> {
    pub(super) storage: &'a str,
    pub(super) path_index: u32,
    pub(super) path: &'a str,
}

#[async_trait]
impl Work for Seal<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<bool, Error> {
        let place = (self.storage, self.path_index, self.path);
        let seal = "INSERT INTO t_copy (storage, path_index, path, file_table, file_id, state)
                    VALUES (?, ?, ?, 0, '', 'deleting')";
        match connection.exec_drop(seal, place).await {
            Err(Error::Server(error)) if error.code == DUPLICATE => {}
            sealed => return sealed.map(|()| false),
        }
        // As it is now, and not as it was when the transaction began.
        let query =
            "SELECT 1 FROM t_copy WHERE storage = ? AND path_index = ? AND path = ? AND state <> 'deleting'
                     FOR UPDATE";
        Ok(connection.exec_first::<i64, _, _>(query, place).await?.is_some())
    }
}

/// Marks a copy as damaged and orders another one, if there is one to be had.
pub(super) struct MarkDamaged<'a> {
    pub(super) membership: &'a Membership,
    pub(super) path_index: u32,
    pub(super) path: &'a str,
    pub(super) now_ms: i64,
}

#[async_trait]
impl Work for MarkDamaged<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<bool, Error> {
        let place = (self.membership.storage.as_str(), self.path_index, self.path);
        let mark = "UPDATE t_copy SET state = 'damaged'
                    WHERE storage = ? AND path_index = ? AND path = ? AND state = 'present'";
        connection.exec_drop(mark, place).await?;
        // What an earlier run has marked need not be marked again.
        if connection.affected_rows() == 0 {
            return Ok(again);
        }
        if self.membership.replicates {
            let query =
                "SELECT file_table, file_id FROM t_copy WHERE storage = ? AND path_index = ? AND path = ?";
            if let Some((table, file)) = connection.exec_first::<(u8, String), _, _>(query, place).await? {
                self.order(connection, table, &file).await?;
            }
        }
        Ok(true)
    }
}

impl MarkDamaged<'_> {
    async fn order(&self, connection: &mut Conn, table: u8, file: &str) -> Result<(), Error> {
        let storage = self.membership.storage.as_str();
        // Locked, so that it is not deleted before its order stands.
        let order = format!(
            "INSERT INTO t_pending (file_table, file_id, storage, file_size, since_ms)
             SELECT {table}, f.id, ?, f.file_size, ? FROM t_file_0{table} f
             WHERE f.id = ? AND {HELD_ELSEWHERE} LOCK IN SHARE MODE
             ON DUPLICATE KEY UPDATE storage = VALUES(storage)",
            HELD_ELSEWHERE = held_elsewhere(table),
        );
        connection.exec_drop(order, (storage, self.now_ms, file, storage)).await
    }
}

/// Told which index to use, for the servers take the table to be as small as it was once.
pub(super) const LEFTOVERS: &str = "SELECT path_index, path FROM t_copy FORCE INDEX (i_state)
     WHERE storage = ? AND state = 'deleting' AND file_table > 0
       AND (path_index > ? OR (path_index = ? AND path > ?)) ORDER BY path_index, path LIMIT ?";

pub(super) struct Leftovers<'a> {
    pub(super) storage: &'a str,
    pub(super) after: Option<&'a Leftover>,
    pub(super) limit: u32,
}

#[async_trait]
impl Work for Leftovers<'_> {
    type Output = Vec<Leftover>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<Leftover>, Error> {
        let (index, path) = self.after.map_or((0, ""), |after| (after.path_index, after.path.as_str()));
        let rows: Vec<(u32, String)> =
            connection.exec(LEFTOVERS, (self.storage, index, index, path, self.limit)).await?;
        Ok(rows.into_iter().map(|(path_index, path)| Leftover { path_index, path }).collect())
    }
}

pub(super) struct Forget<'a> {
    pub(super) storage: &'a str,
    pub(super) gone: &'a [Leftover],
}

#[async_trait]
impl Work for Forget<'_> {
    type Output = ();

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<(), Error> {
        for gone in buckets(self.gone) {
            let forget = format!(
                "DELETE FROM t_copy WHERE storage = ? AND state = 'deleting' AND (path_index, path) IN ({})",
                repeated("(?, ?)", gone.len())
            );
            let places = gone
                .iter()
                .flat_map(|copy| -> [Value; 2] { [copy.path_index.into(), copy.path.as_str().into()] });
            let params: Vec<Value> = std::iter::once(self.storage.into()).chain(places).collect();
            connection.exec_drop(forget, params).await?;
        }
        Ok(())
    }
}

pub(super) struct LastPathIndex<'a>(pub(super) &'a str);

#[async_trait]
impl Work for LastPathIndex<'_> {
    type Output = Option<u32>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Option<u32>, Error> {
        let query = "SELECT MAX(path_index) FROM t_copy WHERE storage = ?";
        Ok(connection.exec_first::<Option<u32>, _, _>(query, (self.0,)).await?.flatten())
    }
}

pub(super) struct KnowsStorage<'a>(pub(super) &'a str);

#[async_trait]
impl Work for KnowsStorage<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<bool, Error> {
        let query = "SELECT 1 FROM t_storage WHERE id = ?";
        Ok(connection.exec_first::<i64, _, _>(query, (self.0,)).await?.is_some())
    }
}

pub(super) struct OtherStorageAt<'a> {
    pub(super) host: &'a str,
    pub(super) address: &'a str,
    pub(super) own: &'a str,
}

#[async_trait]
impl Work for OtherStorageAt<'_> {
    type Output = Option<String>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Option<String>, Error> {
        let query = "SELECT id FROM t_storage WHERE host = ? AND address = ? AND id <> ? LIMIT 1";
        connection.exec_first(query, (self.host, self.address, self.own)).await
    }
}
