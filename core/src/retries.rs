//! Counting what is tried again.

use crate::error::Fault;
use crate::store::{StoreErrorKind, StoreOperation};

/// Requests of one kind that are tried again, by what went wrong.
///
/// ```
/// use buffer_core::{
///     Command, Machine, Now, Output, Producer, ProducerConfig, StoreError, StoreErrorKind,
///     StoreOperation, Submission,
/// };
///
/// let now = Now::default();
/// let mut producer = Producer::new(ProducerConfig::default(), 42)?;
/// producer.submit(now, Submission { entries: vec!["an entry".into()], ..Submission::default() })?;
/// producer.flush(now);
/// while let Output::Command(command) = producer.poll() {
///     let Command::ReadManifest(read) = command else { continue };
///     let (kind, operation) = (StoreErrorKind::Throttled, StoreOperation::ReadManifest);
///     let error = StoreError::new(kind, operation, read.location);
///     producer.handle_completion(now, read.ticket.complete(Err(error)));
/// }
/// let [_, (operation, retries), _] = producer.retries();
/// assert_eq!((*operation, retries.throttled), (StoreOperation::ReadManifest, 1));
/// assert_eq!((retries.total(), retries.by_kind()[1]), (1, ("throttled", 1)));
/// assert_eq!(producer.retry_count(), 1, "nothing of another operation");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// The store failed for now.
    pub transient: u64,
    /// The store asked for fewer requests.
    pub throttled: u64,
    /// The store did not answer in time.
    pub timed_out: u64,
    /// A write of a new object was answered with a conflict.
    pub conflict: u64,
    /// There was no object where one should be.
    pub missing: u64,
    /// The bytes made no sense.
    pub corrupt: u64,
}

impl Retries {
    /// What each of them is called in metrics, and how many there were.
    #[must_use]
    pub const fn by_kind(&self) -> [(&'static str, u64); 6] {
        [
            (StoreErrorKind::Transient.name(), self.transient),
            (StoreErrorKind::Throttled.name(), self.throttled),
            (StoreErrorKind::TimedOut.name(), self.timed_out),
            ("conflict", self.conflict),
            ("missing", self.missing),
            ("corrupt", self.corrupt),
        ]
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind().iter().map(|(_, count)| count).sum()
    }

    pub(crate) const fn add_fault(&mut self, fault: &Fault) {
        match fault {
            Fault::Store(error) => self.add_error(error.kind),
            Fault::Format(_) => self.corrupt += 1,
        }
    }

    /// Only of kinds that are retryable.
    pub(crate) const fn add_error(&mut self, kind: StoreErrorKind) {
        match kind {
            StoreErrorKind::Transient => self.transient += 1,
            StoreErrorKind::Throttled => self.throttled += 1,
            StoreErrorKind::TimedOut => self.timed_out += 1,
            // Nobody tries these again.
            StoreErrorKind::Denied
            | StoreErrorKind::Unsupported
            | StoreErrorKind::NoSuchStore
            | StoreErrorKind::InvalidLocation
            | StoreErrorKind::Refused => {}
        }
    }
}

/// What is tried again by one machine, by operation.
#[derive(Debug)]
pub(crate) struct Again<const N: usize> {
    total: u64,
    by_operation: [(StoreOperation, Retries); N],
}

impl<const N: usize> Again<N> {
    pub(crate) fn new(operations: [StoreOperation; N]) -> Self {
        let by_operation = operations.map(|operation| (operation, Retries::default()));
        Self { total: 0, by_operation }
    }

    /// Where one more is to be noted, by what went wrong.
    pub(crate) fn count(&mut self, operation: StoreOperation) -> &mut Retries {
        self.total += 1;
        let mut all = self.by_operation.iter_mut();
        let found = all.find(|(of, _)| *of == operation);
        &mut found.expect("a machine tries again what it sends").1
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) const fn by_operation(&self) -> &[(StoreOperation, Retries); N] {
        &self.by_operation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn each_retry_counts_once_by_what_went_wrong() {
        let (put, read) = (StoreOperation::PutBatch, StoreOperation::ReadManifest);
        let mut again = Again::new([put, read]);
        for kind in [StoreErrorKind::Transient, StoreErrorKind::Throttled, StoreErrorKind::TimedOut]
        {
            assert!(kind.is_retryable());
            let fault = StoreError::new(kind, read, "m".into()).into();
            again.count(read).add_fault(&fault);
        }
        again.count(put).conflict += 1;
        assert_eq!(again.total(), 4);
        let [(_, puts), (_, reads)] = again.by_operation();
        assert_eq!((puts.total(), puts.conflict, reads.total()), (1, 1, 3));
        assert_eq!(reads.by_kind()[..3], [("transient", 1), ("throttled", 1), ("timed_out", 1)]);
    }
}
