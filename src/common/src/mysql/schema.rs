//! Bringing a component's tables up to date, which only ever adds to them.

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error};

use super::fault::plain;
use super::server::quoted;
use super::{Kind, MySql, Work};
use crate::database::{DbError, MySqlConfig, Schema};

/// A database that is not there.
const UNKNOWN_DATABASE: u16 = 1049;

/// What a look at a server's tables found.
#[derive(Debug)]
struct Found {
    server: String,
    /// Whether the database is there, as far as the account may see.
    database: bool,
    version: usize,
    /// A table that has one of our names and lacks these columns.
    foreign: Option<(String, Vec<String>)>,
}

/// Makes the tables what this program needs, or says why that cannot be.
pub(super) async fn bring_up(
    servers: &MySql,
    config: &MySqlConfig,
    schema: &Schema,
    migrate: bool,
) -> Result<(), DbError> {
    let database = database_of(config, schema);
    let found = servers.run(&Look { schema, database: &database }, Kind::Define).await?;
    let refused = |reason: String| DbError::Open { server: where_(servers, &database), reason };
    judge(&found, schema).map_err(refused)?;
    if found.version == schema.mysql.len() {
        return Ok(());
    }
    if !migrate {
        return Err(refused(format!(
            "the {0} tables have version {1}, this program needs {2}: run it with --migrate as an account that may \
             CREATE, ALTER and INDEX, or cat {3} | mysql",
            schema.component,
            found.version,
            schema.mysql.len(),
            missing_scripts(schema, found.version),
        )));
    }
    let lacking =
        servers.run(&Apply { schema, database: &database, from: found.version }, Kind::Define).await;
    match lacking {
        Ok(()) => {
            tracing::info!(
                database,
                component = schema.component,
                version = schema.mysql.len(),
                "the tables are up to date"
            );
            Ok(())
        }
        Err(DbError::Statement { server, reason, .. }) => Err(DbError::Open {
            server: format!("{server}/{database}"),
            reason: format!("cannot bring the {} tables up to date: {reason}", schema.component),
        }),
        Err(error) => Err(error),
    }
}

/// The files of those scripts that lead on from a version, in their order.
fn missing_scripts(schema: &Schema, version: usize) -> String {
    let file = |version: usize| match version {
        1 => format!("sql/mysql/{}.sql", schema.component),
        version => format!("sql/mysql/{}-{version}.sql", schema.component),
    };
    (version + 1..=schema.mysql.len()).map(file).collect::<Vec<_>>().join(" ")
}

/// What is there, in a sentence.
pub(super) async fn look(servers: &MySql, config: &MySqlConfig, schema: &Schema) -> Result<String, DbError> {
    let database = database_of(config, schema);
    let found = servers.run(&Look { schema, database: &database }, Kind::Define).await?;
    let server = where_(servers, &database);
    judge(&found, schema).map_err(|reason| DbError::Open { server: server.clone(), reason })?;
    let state = match found.version {
        _ if !found.database => "the database is not there yet".to_owned(),
        version if version == schema.mysql.len() => format!("{} tables up to date", schema.component),
        version => format!("{} tables at version {version} of {}", schema.component, schema.mysql.len()),
    };
    if found.version < schema.mysql.len() && !config.migrate {
        let reason = format!("{state}, and database.migrate is off: run with --migrate once");
        return Err(DbError::Open { server, reason });
    }
    Ok(format!("database {server}: {}, {state}", found.server))
}

/// What no migration can put right.
fn judge(found: &Found, schema: &Schema) -> Result<(), String> {
    if found.version > schema.mysql.len() {
        return Err(format!(
            "the {} tables have version {}, this program knows {}; run the version that made them",
            schema.component,
            found.version,
            schema.mysql.len()
        ));
    }
    if let Some((table, columns)) = &found.foreign {
        return Err(format!(
            "its table {table} has no column {}: this is another program's database",
            columns.join(", ")
        ));
    }
    Ok(())
}

fn database_of(config: &MySqlConfig, schema: &Schema) -> String {
    let named = config.servers.iter().find_map(|server| server.opts().db_name());
    named.unwrap_or(schema.mysql_database).to_owned()
}

/// The server that answered last, and the database.
fn where_(servers: &MySql, database: &str) -> String {
    let shared = &servers.shared;
    let current = shared.current.load(std::sync::atomic::Ordering::Relaxed);
    let address = shared.servers.get(current).map_or("", |server| server.address());
    format!("{address}/{database}")
}

struct Look<'a> {
    schema: &'a Schema,
    database: &'a str,
}

#[async_trait]
impl Work for Look<'_> {
    type Output = Found;

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<Found, Error> {
        let server: Option<String> = connection.query_first("SELECT VERSION()").await?;
        let columns: Vec<(String, String)> = connection
            .exec(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ?",
                (self.database,),
            )
            .await?;
        let database: Option<String> = connection
            .exec_first(
                "SELECT schema_name FROM information_schema.schemata WHERE schema_name = ?",
                (self.database,),
            )
            .await?;
        if database.is_none() {
            self.look_for_database(connection).await?;
        }
        let version = version(connection, self.schema.component, self.database, &columns).await?;
        let lacking = self.schema.older.iter().filter_map(|(table, needed)| {
            let has = |column: &str| {
                columns.iter().any(|(t, c)| t.eq_ignore_ascii_case(table) && c.eq_ignore_ascii_case(column))
            };
            let is_there = columns.iter().any(|(t, _)| t.eq_ignore_ascii_case(table));
            let lacks: Vec<_> = needed.iter().filter(|column| !has(column)).map(|&c| c.to_owned()).collect();
            (is_there && !lacks.is_empty()).then(|| ((*table).to_owned(), lacks))
        });
        Ok(Found {
            server: server.unwrap_or_default(),
            database: database.is_some(),
            version,
            foreign: lacking.into_iter().next(),
        })
    }
}

impl Look<'_> {
    /// Fails if the account may not use the database; to such an account it looks as if it was not there.
    async fn look_for_database(&self, connection: &mut Conn) -> Result<(), Error> {
        match connection.query_drop(format!("USE {}", quoted(self.database))).await {
            Err(Error::Server(error)) if error.code == UNKNOWN_DATABASE => Ok(()),
            outcome => outcome,
        }
    }
}

async fn version(
    connection: &mut Conn,
    component: &str,
    database: &str,
    columns: &[(String, String)],
) -> Result<usize, Error> {
    if !columns.iter().any(|(table, column)| table.eq_ignore_ascii_case("t_schema") && column == "component")
    {
        return Ok(0);
    }
    let query = format!("SELECT version FROM {}.t_schema WHERE component = ?", quoted(database));
    let version: Option<u32> = connection.exec_first(query, (component,)).await?;
    Ok(version.unwrap_or(0) as usize)
}

/// Runs the scripts behind version `from`.
struct Apply<'a> {
    schema: &'a Schema,
    database: &'a str,
    from: usize,
}

#[async_trait]
impl Work for Apply<'_> {
    type Output = ();

    async fn run(&self, connection: &mut Conn, _again: bool) -> Result<(), Error> {
        connection.query_drop(format!("CREATE DATABASE IF NOT EXISTS {}", quoted(self.database))).await?;
        connection.query_drop(format!("USE {}", quoted(self.database))).await?;
        // Two servers that start together take turns. Galera has no such lock; there every statement is one that
        // another may have run before.
        let locked: Result<Option<Option<i64>>, Error> =
            connection.query_first("SELECT GET_LOCK('tnv-migrate', 60)").await;
        let outcome = self.apply(connection).await;
        if matches!(locked, Ok(Some(Some(1)))) {
            connection.query_drop("DO RELEASE_LOCK('tnv-migrate')").await?;
        }
        outcome
    }
}

impl Apply<'_> {
    async fn apply(&self, connection: &mut Conn) -> Result<(), Error> {
        for script in &self.schema.mysql[self.from..] {
            for statement in statements(script) {
                match connection.query_drop(&statement).await {
                    // The table, the column or the index is there already.
                    Err(Error::Server(error)) if matches!(error.code, 1050 | 1060 | 1061) => {}
                    // Rows that contradict a unique key: the component works without it, and says more about them.
                    Err(Error::Server(error)) if error.code == 1062 => {
                        let reason = plain(&Error::Server(error));
                        tracing::warn!(database = self.database, reason, "an index cannot be made yet");
                    }
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }
}

/// The statements of a script of ours, without those that choose the database.
fn statements(script: &str) -> Vec<String> {
    let code: Vec<&str> = script.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    let parts = code.split(";\n").map(|part| part.trim().trim_end_matches(';').to_owned());
    let chooses = |part: &str| part.starts_with("CREATE DATABASE") || part.starts_with("USE ");
    parts.filter(|part| !part.is_empty() && !chooses(part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_that_are_missing_are_named() {
        let schema = Schema {
            component: "storage",
            sqlite: &[],
            mysql: &["", "", ""],
            mysql_database: "tnv_storagedb",
            older: &[],
        };
        assert_eq!(
            missing_scripts(&schema, 0),
            "sql/mysql/storage.sql sql/mysql/storage-2.sql sql/mysql/storage-3.sql"
        );
        assert_eq!(missing_scripts(&schema, 2), "sql/mysql/storage-3.sql");
    }

    #[test]
    fn scripts_are_taken_apart() {
        let script = "-- a; b\nCREATE DATABASE IF NOT EXISTS x;\nUSE x;\n\nCREATE TABLE a (\n  -- why\n  b INT\n);\n\
                      INSERT INTO a VALUES (';');\n";
        assert_eq!(statements(script), ["CREATE TABLE a (\n  b INT\n)", "INSERT INTO a VALUES (';')"]);
    }
}
