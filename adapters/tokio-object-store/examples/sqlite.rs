//! Stores what comes out of a queue in a SQLite database, exactly once.
//!
//! `cargo run -p opendata-buffer --example sqlite -- QUEUE DATABASE [--once]` stores entries as they come, or with
//! `--once` until the queue is empty. It may be killed at any moment, and started again, and again while another one
//! still runs. `cargo run -p opendata-buffer --example sqlite -- show DATABASE` prints what is stored.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use buffer::{ConsumedBatch, Consumer, ConsumerConfig, InitializeError, SystemClock};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

type AnyError = Box<dyn Error + Send + Sync>;

/// Your own tables, and one with one row: the sequence of the last batch that is in them.
///
/// With `synchronous = full` a commit is on the disk when it returns. It has to be, since what is acknowledged next is
/// gone from the queue.
const SCHEMA: &str = "
    PRAGMA journal_mode = wal;
    PRAGMA synchronous = full;
    CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, entry BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS consumed (row INTEGER PRIMARY KEY CHECK (row = 1), sequence INTEGER NOT NULL);
";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), AnyError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (queue, database, once) = match arguments[..] {
        ["show", database] => return show(Path::new(database)),
        [queue, database] => (queue, database, false),
        [queue, database, "--once"] => (queue, database, true),
        _ => {
            return Err("give QUEUE and DATABASE, then perhaps --once; or show and DATABASE".into());
        }
    };
    let config = ConsumerConfig { store: queue.into(), ..ConsumerConfig::default() };
    consume(config, Path::new(database), once).await
}

/// Takes the queue over and stores its batches: as they come, or until there are no more for now.
pub(crate) async fn consume(
    config: ConsumerConfig,
    path: &Path,
    once: bool,
) -> Result<(), AnyError> {
    let mut database = open(path)?;
    let consumer = Consumer::new(config, Arc::new(SystemClock))?;
    take_over(&consumer, &database).await?;
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        let next = async {
            if once { consumer.next_batch().await } else { consumer.wait_batch().await.map(Some) }
        };
        let batch = tokio::select! {
            batch = next => batch?,
            stopped = &mut stop => stopped.map(|()| None)?,
        };
        let Some(batch) = batch else { break };
        // SQLite blocks, and the consumer's tasks go on meanwhile.
        let new = tokio::task::block_in_place(|| store(&mut database, &batch))?;
        let what = if new { "stored" } else { "was stored before" };
        println!("batch {}, {} entries: {what}", batch.sequence, batch.entries.len());
        // Only now: what is acknowledged is gone.
        consumer.ack(batch.sequence).await?;
    }
    consumer.close().await?;
    Ok(())
}

/// Opens the database, and makes one if there is none.
pub(crate) fn open(path: &Path) -> Result<Connection, AnyError> {
    let database = Connection::open(path)?;
    database.busy_timeout(Duration::from_secs(30))?;
    database.execute_batch(SCHEMA)?;
    Ok(database)
}

/// Begins after the last batch that is stored.
pub(crate) async fn take_over(consumer: &Consumer, database: &Connection) -> Result<(), AnyError> {
    loop {
        let last = last_sequence(database)?;
        match consumer.initialize(last).await {
            // Whoever had the queue until now stored more after we looked, and dequeued it.
            Err(InitializeError::BehindQueue { .. }) if last_sequence(database)? > last => {}
            taken => return taken.map(|_| ()).map_err(Into::into),
        }
    }
}

fn last_sequence(database: &Connection) -> Result<Option<u64>, AnyError> {
    let row = database.query_row("SELECT sequence FROM consumed", [], |row| row.get::<_, i64>(0));
    Ok(row.optional()?.map(u64::try_from).transpose()?)
}

/// Stores a batch's entries and its sequence, both or neither. `false` says that they are there already.
pub(crate) fn store(database: &mut Connection, batch: &ConsumedBatch) -> Result<bool, AnyError> {
    // Immediate: from here to the commit nobody else writes.
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let sequence = i64::try_from(batch.sequence)?;
    // A consumer that was replaced, and does not know it yet, can still get here. Whoever comes second changes nothing.
    let moved = transaction.execute(
        "INSERT INTO consumed (row, sequence) VALUES (1, ?1) ON CONFLICT (row)
         DO UPDATE SET sequence = excluded.sequence WHERE excluded.sequence > consumed.sequence",
        [sequence],
    )?;
    if moved == 0 {
        return Ok(false);
    }
    insert(&transaction, batch)?;
    transaction.commit()?;
    Ok(true)
}

/// Where your own tables are filled.
pub(crate) fn insert(database: &Connection, batch: &ConsumedBatch) -> Result<(), AnyError> {
    let mut insert = database.prepare("INSERT INTO entries (entry) VALUES (?1)")?;
    for entry in &batch.entries {
        insert.execute([&entry[..]])?;
    }
    Ok(())
}

fn show(path: &Path) -> Result<(), AnyError> {
    // As it is: a slip in its path makes no other.
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut select = database.prepare("SELECT id, entry FROM entries ORDER BY id")?;
    let mut rows = select.query([])?;
    let mut output = std::io::stdout().lock();
    while let Some(row) = rows.next()? {
        let (id, entry): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        output.write_all(format!("{id} ").as_bytes())?;
        output.write_all(&entry)?;
        output.write_all(b"\n")?;
    }
    Ok(())
}
