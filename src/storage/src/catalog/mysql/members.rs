//! Members of a group.

use async_trait::async_trait;
use tnv_common::mysql::prelude::Queryable;
use tnv_common::mysql::{Conn, Error, Row, ServerError, Value, Work};

use super::{broken, column, repeated};
use crate::catalog::{Member, MemberState, REMOVED, StorageRow};
use crate::config::Replication;

/// Waits for transactions that order copies by what members they have seen, and keeps others from beginning; so that
/// they are noticed at all nodes of a Galera cluster it is a change.
async fn hold_members(connection: &mut Conn) -> Result<(), Error> {
    connection.query_drop("UPDATE t_schema SET serial = serial + 1 WHERE component = 'storage'").await
}

pub(super) struct Register<'a>(pub(super) &'a StorageRow);

#[async_trait]
impl Work for Register<'_> {
    type Output = MemberState;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<MemberState, Error> {
        let StorageRow { id, group, host, address, replication, seen_ms } = self.0;
        hold_members(connection).await?;
        let first = self.first_state(connection).await?.as_str();
        // From the left to the right: the state is decided by what the row said before.
        let register =
            "INSERT INTO t_storage (id, group_name, host, address, replication, state, created_ms, seen_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON DUPLICATE KEY UPDATE
                 state = IF(replication <> 'copies' AND state = 'active', VALUES(state), state),
                 replication = VALUES(replication), group_name = VALUES(group_name), host = VALUES(host),
                 address = VALUES(address), seen_ms = VALUES(seen_ms)";
        let row = (id, group, host, address, replication.as_str(), first, seen_ms, seen_ms);
        connection.exec_drop(register, row).await?;
        let state = "SELECT state FROM t_storage WHERE id = ?";
        let mut row: Option<Row> = connection.exec_first(state, (id,)).await?;
        row.as_mut().map_or(Ok(MemberState::Active), state_of)
    }
}

impl Register<'_> {
    /// The state of a storage that has only now begun to replicate, or does not.
    async fn first_state(&self, connection: &mut Conn) -> Result<MemberState, Error> {
        if self.0.replication != Replication::Copies {
            return Ok(MemberState::Active);
        }
        let query = "SELECT 1 FROM t_storage WHERE group_name = ? AND id <> ? AND replication = 'copies'
                     AND state <> 'removed' LIMIT 1";
        let other: Option<i64> = connection.exec_first(query, (&self.0.group, &self.0.id)).await?;
        Ok(if other.is_some() { MemberState::Filling } else { MemberState::Active })
    }
}

fn state_of(row: &mut Row) -> Result<MemberState, Error> {
    let state: String = column(row, "state")?;
    MemberState::parse(&state).ok_or_else(|| broken(state.into()))
}

pub(super) struct Members<'a>(pub(super) &'a str);

#[async_trait]
impl Work for Members<'_> {
    type Output = Vec<Member>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Vec<Member>, Error> {
        let query = "SELECT id, host, address, state, seen_ms FROM t_storage
                     WHERE group_name = ? AND replication = 'copies' AND state <> 'removed' ORDER BY id";
        let mut members = Vec::new();
        for mut row in connection.exec::<Row, _, _>(query, (self.0,)).await? {
            members.push(Member {
                id: column(&mut row, "id")?,
                host: column(&mut row, "host")?,
                address: column(&mut row, "address")?,
                state: state_of(&mut row)?,
                seen_ms: column(&mut row, "seen_ms")?,
            });
        }
        Ok(members)
    }
}

pub(super) struct StateOf<'a> {
    pub(super) storage: &'a str,
    pub(super) group: &'a str,
}

#[async_trait]
impl Work for StateOf<'_> {
    type Output = Option<MemberState>;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Option<MemberState>, Error> {
        let query = "SELECT state FROM t_storage WHERE id = ? AND group_name = ? AND replication = 'copies'";
        let mut row: Option<Row> = connection.exec_first(query, (self.storage, self.group)).await?;
        row.as_mut().map(state_of).transpose()
    }
}

pub(super) struct ChangeState<'a> {
    pub(super) storage: &'a str,
    pub(super) from: MemberState,
    pub(super) to: MemberState,
}

#[async_trait]
impl Work for ChangeState<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<bool, Error> {
        hold_members(connection).await?;
        let set = "UPDATE t_storage SET state = ? WHERE id = ? AND state = ?";
        connection.exec_drop(set, (self.to.as_str(), self.storage, self.from.as_str())).await?;
        if connection.affected_rows() > 0 || !again {
            return Ok(connection.affected_rows() > 0);
        }
        // By an earlier run, if that was committed after all.
        let query = "SELECT 1 FROM t_storage WHERE id = ? AND state = ?";
        Ok(connection.exec_first::<i64, _, _>(query, (self.storage, self.to.as_str())).await?.is_some())
    }
}

pub(super) struct OnlyAt<'a> {
    pub(super) storage: &'a str,
    pub(super) others: &'a [String],
}

#[async_trait]
impl Work for OnlyAt<'_> {
    type Output = u64;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<u64, Error> {
        // A list of nobody is no list for the servers; no storage has an empty identity.
        let marks = repeated("?", self.others.len() + 1);
        let query = format!(
            "SELECT COUNT(*) FROM t_copy c WHERE c.storage = ? AND c.state = 'present'
               AND NOT EXISTS (SELECT 1 FROM t_copy o FORCE INDEX (i_file) WHERE o.file_table = c.file_table
                               AND o.file_id = c.file_id AND o.state = 'present' AND o.storage IN ({marks}))"
        );
        let storages = [self.storage, ""].into_iter().chain(self.others.iter().map(String::as_str));
        let params: Vec<Value> = storages.map(Value::from).collect();
        Ok(connection.exec_first(query, params).await?.unwrap_or(0))
    }
}

/// Ends a membership, unless there are files that none of `others` has: how many.
pub(super) struct Remove<'a> {
    pub(super) storage: &'a str,
    pub(super) others: Option<&'a [String]>,
}

#[async_trait]
impl Work for Remove<'_> {
    type Output = u64;

    async fn run(&self, connection: &mut Conn, again: bool) -> Result<u64, Error> {
        // What the storage takes is there already, and counted, or waits for this transaction and fails.
        hold_members(connection).await?;
        if let Some(others) = self.others {
            let only_there = OnlyAt { storage: self.storage, others }.run(connection, again).await?;
            if only_there > 0 {
                return Ok(only_there);
            }
        }
        connection.exec_drop("UPDATE t_storage SET state = 'removed' WHERE id = ?", (self.storage,)).await?;
        Ok(0)
    }
}

/// An error if the storage was removed: what it takes is nobody's any more. It stays what it is until the transaction ends.
pub(super) async fn check_membership(connection: &mut Conn, storage: &str) -> Result<(), Error> {
    let query = "SELECT 1 FROM t_storage WHERE id = ? AND state = 'removed' LOCK IN SHARE MODE";
    if connection.exec_first::<i64, _, _>(query, (storage,)).await?.is_none() {
        return Ok(());
    }
    // As a trigger would say it.
    Err(Error::Server(ServerError { code: 1644, message: REMOVED.to_owned(), state: "45000".to_owned() }))
}

/// Up to `limit` rows of each kind of a storage that is removed: whether those were all.
pub(super) struct RemoveRows<'a> {
    pub(super) storage: &'a str,
    pub(super) limit: u64,
}

#[async_trait]
impl Work for RemoveRows<'_> {
    type Output = bool;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<bool, Error> {
        let mut is_last = true;
        // In the order of an index: at all servers of a cluster the same rows go.
        for remove in [
            "DELETE FROM t_pending WHERE storage = ? ORDER BY storage, next_try_ms, since_ms LIMIT ?",
            "DELETE FROM t_copy WHERE storage = ? ORDER BY storage, path_index, path LIMIT ?",
        ] {
            connection.exec_drop(remove, (self.storage, self.limit)).await?;
            is_last &= connection.affected_rows() < self.limit;
        }
        Ok(is_last)
    }
}
