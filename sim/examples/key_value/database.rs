//! A small key-value database in object storage, with a queue in front: code that knows nothing of a simulator.
//!
//! An entry is a key and a number, `apples 3`, which is added to what the key has. In a service, `follow` is given a
//! `&buffer::Consumer`, which dereferences to the driver's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use buffer::buffer_driver::{ConsumedBatch, Consumer};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};

pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// When the database notes how far it has consumed its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Design {
    /// After a batch is stored, in an object of its own: the bug.
    SequenceAfterBatch,
    /// With the batch, in the same object.
    SequenceWithBatch,
}

/// What is in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// The last sequence that was consumed.
    pub(crate) last: Option<u64>,
    pub(crate) values: BTreeMap<String, i64>,
    /// Every entry that was ever applied: kept only so that it can be proved.
    pub(crate) journal: Vec<(u64, String)>,
}

/// The database: a table in one object, which is replaced only by who has read its latest version.
pub(crate) struct Database {
    client: Arc<dyn ObjectStore>,
    design: Design,
}

impl Database {
    pub(crate) fn new(client: Arc<dyn ObjectStore>, design: Design) -> Self {
        Self { client, design }
    }

    /// Applies batch after batch. Ends with an error when the store fails, or when somebody else writes.
    pub(crate) async fn follow(&self, consumer: &Consumer) -> Result<(), AnyError> {
        let (mut table, mut version) = self.load().await?;
        consumer.initialize(table.last).await?;
        loop {
            let batch = consumer.wait_batch().await?;
            table.apply(&batch)?;
            match self.design {
                Design::SequenceAfterBatch => {
                    version = self.store(&table, version).await?;
                    table.last = Some(batch.sequence);
                    let text = batch.sequence.to_string();
                    self.client.put(&sequence_path(), text.into()).await?;
                }
                Design::SequenceWithBatch => {
                    table.last = Some(batch.sequence);
                    version = self.store(&table, version).await?;
                }
            }
            consumer.ack(batch.sequence).await?;
        }
    }

    /// The table as it is stored, and its version if there is one.
    pub(crate) async fn load(&self) -> Result<(Table, Option<UpdateVersion>), AnyError> {
        let (mut table, version) = match self.client.get(&table_path()).await {
            Ok(found) => {
                let (e_tag, version) = (found.meta.e_tag.clone(), found.meta.version.clone());
                let table = Table::parse(std::str::from_utf8(&found.bytes().await?)?)?;
                (table, Some(UpdateVersion { e_tag, version }))
            }
            Err(Error::NotFound { .. }) => (Table::default(), None),
            Err(error) => return Err(error.into()),
        };
        if self.design == Design::SequenceAfterBatch {
            table.last = match self.client.get(&sequence_path()).await {
                Ok(found) => Some(std::str::from_utf8(&found.bytes().await?)?.parse()?),
                Err(Error::NotFound { .. }) => None,
                Err(error) => return Err(error.into()),
            };
        }
        Ok((table, version))
    }

    async fn store(
        &self,
        table: &Table,
        version: Option<UpdateVersion>,
    ) -> Result<Option<UpdateVersion>, AnyError> {
        let mode = version.map_or(PutMode::Create, PutMode::Update);
        let stored =
            self.client.put_opts(&table_path(), table.to_text().into(), mode.into()).await?;
        Ok(Some(stored.into()))
    }
}

fn table_path() -> Path {
    Path::from("database/table")
}

fn sequence_path() -> Path {
    Path::from("database/sequence")
}

impl Table {
    fn apply(&mut self, batch: &ConsumedBatch) -> Result<(), AnyError> {
        for entry in &batch.entries {
            let entry = std::str::from_utf8(entry)?;
            let (key, number) = entry.split_once(' ').ok_or("an entry is a key and a number")?;
            let number: i64 = number.parse()?;
            *self.values.entry(key.to_owned()).or_default() += number;
            self.journal.push((batch.sequence, entry.to_owned()));
        }
        Ok(())
    }

    /// One line for the sequence, one for each value, and one for each entry of the journal.
    fn to_text(&self) -> String {
        let mut text = String::new();
        let mut line = |kind: &str, key: &dyn std::fmt::Display, rest: &str| {
            writeln!(text, "{kind}\t{key}\t{rest}").expect("a string takes everything");
        };
        if let Some(last) = self.last {
            line("last", &last, "");
        }
        for (key, value) in &self.values {
            line("value", key, &value.to_string());
        }
        for (sequence, entry) in &self.journal {
            line("entry", sequence, entry);
        }
        text
    }

    fn parse(text: &str) -> Result<Self, AnyError> {
        let mut table = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, '\t');
            match (parts.next(), parts.next(), parts.next()) {
                (Some("last"), Some(last), Some("")) => table.last = Some(last.parse()?),
                (Some("value"), Some(key), Some(value)) => {
                    table.values.insert(key.to_owned(), value.parse()?);
                }
                (Some("entry"), Some(sequence), Some(entry)) => {
                    table.journal.push((sequence.parse()?, entry.to_owned()));
                }
                _ => return Err(format!("{line:?} is no line of a table").into()),
            }
        }
        Ok(table)
    }
}
