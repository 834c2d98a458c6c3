//! What the simulator has to know of the database: how it is run, and what it has.

use std::sync::Arc;

use buffer_sim::buffer_driver::ConsumerConfig;
use buffer_sim::bytes::Bytes;
use buffer_sim::kit::{AnyError, Application, AppliedEntry, Node};

use crate::database::{Database, Design};

/// The database on the store of a world, which has all that survives a crash.
pub(crate) struct Simulated(pub(crate) Design);

impl Simulated {
    fn open(&self, node: &Node) -> Database {
        Database::new(Arc::new(node.store().clone()), self.0)
    }
}

impl Application for Simulated {
    async fn run(&self, node: Node) -> Result<(), AnyError> {
        let consumer = node.consumer(&ConsumerConfig::default())?;
        self.open(&node).follow(&consumer).await
    }

    async fn applied(&self, node: Node) -> Result<Vec<AppliedEntry>, AnyError> {
        let (table, _) = self.open(&node).load().await?;
        let entries = table.journal.into_iter();
        Ok(entries
            .map(|(sequence, entry)| AppliedEntry { sequence, entry: entry.into() })
            .collect())
    }

    fn entry(&self, number: u64) -> Bytes {
        let fruit = ["apples", "pears", "plums"][usize::try_from(number % 3).expect("it is small")];
        format!("{fruit} {}", number + 1).into()
    }
}
