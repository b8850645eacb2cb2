//! The other side: a table on a server of PostgreSQL with pgvector.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aglet::domain::Embedding;
use half::f16;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{
    PgArgumentBuffer, PgConnectOptions, PgConnection, PgPoolCopyExt as _, PgTypeInfo,
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Encode, Executor as _, PgPool, Postgres, Row as _, Type,
};
use tokio::runtime::Runtime;

use crate::points::Points;
use crate::{CONNECTIVITY, Filter, WIDTH, share};

/// Rows that are sent together.
const BATCH: usize = 1_000;
/// A tick of `/proc/PID/stat`.
const TICK: Duration = Duration::from_millis(10);

/// A vector in pgvector's own form of it: two bytes a number.
struct Halves(Vec<u8>);

impl Halves {
    fn of(embedding: &Embedding) -> Self {
        let count = u16::try_from(embedding.dimensions()).expect("few");
        let mut bytes = [count.to_be_bytes(), [0, 0]].concat();
        for &value in embedding.as_slice() {
            bytes.extend(f16::from_f32(value).to_be_bytes());
        }
        Self(bytes)
    }
}

impl Type<Postgres> for Halves {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("halfvec")
    }
}

impl Encode<'_, Postgres> for Halves {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend(&self.0);
        Ok(IsNull::No)
    }
}

pub struct Server<'a> {
    runtime: &'a Runtime,
    options: PgConnectOptions,
}

/// What a step took: the time, and that of the processor, where the server is on this machine.
pub struct Took {
    pub time: Duration,
    pub cpu: Option<Duration>,
}

/// A connection with settings of its own.
pub struct Client<'a> {
    runtime: &'a Runtime,
    connection: PgConnection,
}

impl<'a> Server<'a> {
    pub fn new(address: &str, runtime: &'a Runtime) -> Self {
        let options: PgConnectOptions = address.parse().expect("an address");
        let options = options.disable_statement_logging();
        Self { runtime, options }
    }

    /// A setting `name = value` each.
    pub fn client(&self, settings: &[String]) -> Client<'a> {
        let connect = async {
            let mut connection = self.options.connect().await?;
            for setting in settings {
                let set = AssertSqlSafe(format!("SET {setting}"));
                connection.execute(set).await?;
            }
            Ok::<_, sqlx::Error>(connection)
        };
        let connection = self.runtime.block_on(connect).expect("a server");
        Client {
            runtime: self.runtime,
            connection,
        }
    }

    /// Makes the table and fills it.
    pub fn fill(&self, points: &Points, count: usize) -> Took {
        let mut client = self.client(&[]);
        client.run("CREATE EXTENSION IF NOT EXISTS vector");
        client.run("DROP TABLE IF EXISTS points");
        let dimensions = points.dimensions();
        client.run(&format!(
            "CREATE TABLE points (product integer PRIMARY KEY, tenth smallint NOT NULL, \
             thousandth smallint NOT NULL, vector halfvec({dimensions}) NOT NULL)"
        ));
        let start = Instant::now();
        self.runtime
            .block_on(self.copy(points, count))
            .expect("filled");
        client.run("VACUUM (ANALYZE) points");
        Took {
            time: start.elapsed(),
            cpu: None,
        }
    }

    async fn copy(&self, points: &Points, count: usize) -> Result<(), sqlx::Error> {
        let pool = PgPool::connect_with(self.options.clone()).await?;
        let mut copy = pool
            .copy_in_raw("COPY points FROM STDIN (FORMAT binary)")
            .await?;
        let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
        for number in 0..count {
            let vector = Halves::of(&points.point(number as u64)).0;
            let key = u32::try_from(number).expect("few");
            bytes.extend(4_u16.to_be_bytes());
            bytes.extend(4_u32.to_be_bytes());
            bytes.extend(key.to_be_bytes());
            for parts in [10, 1_000] {
                bytes.extend(2_u32.to_be_bytes());
                bytes.extend(share(number, parts).to_be_bytes());
            }
            bytes.extend(u32::try_from(vector.len()).expect("few").to_be_bytes());
            bytes.extend(vector);
            if number % BATCH == BATCH - 1 {
                copy.send(std::mem::take(&mut bytes)).await?;
            }
        }
        bytes.extend(u16::MAX.to_be_bytes());
        copy.send(bytes).await?;
        copy.finish().await?;
        Ok(())
    }

    /// Builds the graph.
    pub fn graph(&self) -> Took {
        self.index(&format!(
            "CREATE INDEX points_graph ON points USING hnsw (vector halfvec_cosine_ops) \
             WITH (m = {CONNECTIVITY}, ef_construction = {WIDTH})"
        ))
    }

    /// The indexes that a shop has on what it filters by.
    pub fn columns(&self) {
        self.index("CREATE INDEX points_tenth ON points (tenth)");
        self.index("CREATE INDEX points_thousandth ON points (thousandth)");
        self.client(&[]).run("ANALYZE points");
    }

    fn index(&self, sql: &str) -> Took {
        let mut client = self.client(&[]);
        let before = client.cpu();
        let start = Instant::now();
        client.run(sql);
        let time = start.elapsed();
        let cpu = before
            .zip(client.cpu())
            .map(|(before, after)| after.saturating_sub(before));
        Took { time, cpu }
    }

    pub fn megabytes(&self, relation: &str) -> String {
        let sql = format!("SELECT pg_relation_size('{relation}')::text");
        let bytes: u64 = self.client(&[]).ask(&sql).parse().expect("a number");
        format!("{} MB", bytes / 1_000_000)
    }

    pub fn setting(&self, name: &str) -> String {
        self.client(&[]).ask(&format!("SHOW {name}"))
    }

    pub fn versions(&self) -> String {
        let sql = "SELECT current_setting('server_version') || ', pgvector ' || \
                   (SELECT extversion FROM pg_extension WHERE extname = 'vector')";
        self.client(&[]).ask(sql)
    }
}

impl Client<'_> {
    fn run(&mut self, sql: &str) {
        let run = self.connection.execute(AssertSqlSafe(sql.to_owned()));
        self.runtime.block_on(run).expect(sql);
    }

    /// The one text that a statement answers.
    fn ask(&mut self, sql: &str) -> String {
        let row = self.connection.fetch_one(AssertSqlSafe(sql.to_owned()));
        self.runtime.block_on(row).expect(sql).get(0)
    }

    pub fn search(&mut self, query: &Embedding, filter: Filter) -> Vec<u32> {
        let sql = statement(filter, "$1");
        let vector = Halves::of(query);
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(vector)
            .fetch_all(&mut self.connection);
        let rows = self.runtime.block_on(rows).expect("an answer");
        let key = |row: &sqlx::postgres::PgRow| row.get::<i32, _>(0).cast_unsigned();
        rows.iter().map(key).collect()
    }

    /// What the planner makes of a search: the index or indexes, or the table itself.
    pub fn plan(&mut self, query: &Embedding, filter: Filter) -> String {
        let sql = format!(
            "EXPLAIN (COSTS OFF) {}",
            statement(filter, &format!("'{:?}'", query.as_slice()))
        );
        let rows = self.connection.fetch_all(AssertSqlSafe(sql));
        let rows = self.runtime.block_on(rows).expect("a plan");
        let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        if lines.iter().any(|line| line.contains("points_graph")) {
            return "graph".to_owned();
        }
        let column = |line: &String| line.contains("points_t");
        let by = if lines.iter().any(column) {
            "index of the column, sort"
        } else {
            "table, sort"
        };
        by.to_owned()
    }

    /// Resident memory of the process of this connection, in megabytes: with what it saw of the shared
    /// buffers, and without.
    pub fn memory(&mut self) -> Option<(u64, u64)> {
        let folder = self.process()?;
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let of = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kilobytes / 1_000)
        };
        Some((of("VmRSS:")?, of("RssAnon:")?))
    }

    /// The processor's time of this connection and of all workers that have ended.
    fn cpu(&mut self) -> Option<Duration> {
        let own = self.process()?;
        let [_, _, parent] = stat(&own, [11, 12, 1])?;
        let postmaster = own.parent()?.join(parent.to_string());
        let [user, system, _] = stat(&own, [11, 12, 1])?;
        let [workers, of_system] = stat(&postmaster, [13, 14])?;
        let ticks = user + system + workers + of_system;
        Some(TICK * u32::try_from(ticks).ok()?)
    }

    /// Where the system has it; `None`: on another machine.
    fn process(&mut self) -> Option<PathBuf> {
        let id = self.ask("SELECT pg_backend_pid()::text");
        let folder = PathBuf::from("/proc").join(id);
        let name = std::fs::read_to_string(folder.join("comm")).ok()?;
        name.starts_with("postgres").then_some(folder)
    }
}

/// Fields of a process, counted behind its name.
fn stat<const N: usize>(process: &std::path::Path, fields: [usize; N]) -> Option<[u64; N]> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let values: Vec<&str> = rest.split(' ').collect();
    let mut found = [0; N];
    for (to, field) in found.iter_mut().zip(fields) {
        *to = values.get(field)?.trim().parse().ok()?;
    }
    Some(found)
}

fn statement(filter: Filter, vector: &str) -> String {
    let condition = match filter {
        Filter::None => "",
        Filter::Tenth => "WHERE tenth = 3",
        Filter::Thousandth => "WHERE thousandth = 3",
    };
    format!("SELECT product FROM points {condition} ORDER BY vector <=> {vector} LIMIT 10")
}
