//! What cannot be had for less: a server that only echoes, and a database that is only written.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, ConnectOptions, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{report::Row, usage::own_cpu};

/// The records of one upload: segment, raw body, upload, timeline, intent, audit.
pub(crate) const RECORDS_OF_UPLOAD: usize = 6;
/// About what these records hold.
const BODY: [u8; 300] = [7; 300];
const ROWS_OF_STATEMENT: usize = 250;

/// The echo server. Killed when it is dropped.
pub(crate) struct Echo {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start to the line that says that it listens.
    pub(crate) started_in: Duration,
}

impl Echo {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let start = Instant::now();
        let path = std::env::current_exe()?.with_file_name("floor-echo");
        let mut command = Command::new(path);
        let mut child = command.stdout(Stdio::piped()).spawn().context("floor-echo is not built")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("stdout is piped")?).read_line(&mut line)?;
        let started_in = start.elapsed();
        let line: Value = serde_json::from_str(&line)?;
        let address = line["listening"].as_str().context("it says where it listens")?.parse()?;
        Ok(Self { child, address, started_in })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What one row costs.
pub(crate) struct Insert {
    pub(crate) rows_per_transaction: usize,
    pub(crate) cpu_us: f64,
    pub(crate) per_second: f64,
}

impl Insert {
    pub(crate) fn row(&self) -> Row {
        let name = match self.rows_per_transaction {
            1 => "floor: raw SQLite insert, a transaction for each row".to_owned(),
            rows => format!("floor: raw SQLite insert, {rows} rows a transaction"),
        };
        Row::new(name, self.per_second, "rows/s").note(format!("{:.1} us of CPU a row", self.cpu_us))
    }
}

/// Inserts rows as the adapter's table has them, each transaction durable, for about a second.
pub(crate) async fn insert(folder: &Path, rows_per_transaction: usize) -> anyhow::Result<Insert> {
    let path = folder.join(format!("floor-{rows_per_transaction}.sqlite3"));
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
    let options = options.pragma("wal_autocheckpoint", "4000").disable_statement_logging();
    let mut connection = options.connect().await?;
    let tables = include_str!("../../../../crates/adapters-local/migrations/0001_embedded.sql");
    sqlx::raw_sql(tables).execute(&mut connection).await?;
    let (cpu, start, mut rows) = (own_cpu()?, Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(1) {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await?;
        let mut left = rows_per_transaction;
        while left > 0 {
            let count = left.min(ROWS_OF_STATEMENT);
            insert_rows(&mut connection, rows, count).await?;
            rows += count;
            left -= count;
        }
        sqlx::query("COMMIT").execute(&mut connection).await?;
    }
    let (wall, cpu) = (start.elapsed(), own_cpu()?.saturating_sub(cpu));
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM records").fetch_one(&mut connection).await?;
    ensure!(usize::try_from(kept) == Ok(rows), "SQLite kept {kept} of {rows} rows");
    let per_row = |time: Duration| time.as_secs_f64() / rows as f64;
    Ok(Insert { rows_per_transaction, cpu_us: per_row(cpu) * 1e6, per_second: 1.0 / per_row(wall) })
}

async fn insert_rows(connection: &mut SqliteConnection, first: usize, count: usize) -> anyhow::Result<()> {
    let values = vec!["(?,?,?,1,?)"; count].join(",");
    let text: Arc<str> =
        format!("INSERT INTO records (partition, kind, sort, version, body) VALUES {values}").into();
    let mut query = sqlx::query(AssertSqlSafe(text));
    for row in first..first + count {
        // Users far apart in the index, as those who upload at the same time are.
        let user = (row as u64 / 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let partition = format!("user/{user:032x}");
        query = query.bind(partition).bind("upload").bind(format!("{row:036x}")).bind(BODY.as_slice());
    }
    query.execute(connection).await?;
    Ok(())
}
