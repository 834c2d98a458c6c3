//! Taking over: raising the epoch, and where the queue is taken up.

use super::error::{Ended, InitializeError};
use super::reading::Reading;
use super::{Consumer, ConsumerEvent, Dequeue, Lifecycle, Purpose, Resume};
use crate::format::Manifest;
use crate::machine::Output;
use crate::store::{StoreError, WriteOutcome};
use crate::time::Now;
use crate::types::Epoch;

impl Consumer {
    /// Takes over the queue: fences whoever consumed it before, by raising the epoch.
    ///
    /// [`ConsumerEvent::Initialized`] or [`ConsumerEvent::InitializeFailed`] follows.
    ///
    /// # Errors
    ///
    /// [`Ended`] when this consumer ended before.
    ///
    /// ```
    /// # use buffer_core::{Command, Consumer, ConsumerConfig, Machine, Now, Output, Resume};
    /// # use buffer_core::{StoreError, StoreErrorKind, StoreOperation};
    /// # let now = Now::default();
    /// # let mut consumer = Consumer::new(ConsumerConfig::default(), 42)?;
    /// consumer.initialize(now, Resume::default())?;
    /// let Output::Command(Command::ReadManifest(read)) = consumer.poll() else { unreachable!() };
    /// // What the store cannot do for now is tried again.
    /// let (kind, operation) = (StoreErrorKind::Throttled, StoreOperation::ReadManifest);
    /// let error = StoreError::new(kind, operation, read.location);
    /// consumer.handle_completion(now, read.ticket.complete(Err(error)));
    /// assert_eq!(consumer.retry_count(), 1);
    /// let found = consumer.retries().iter().find(|(of, _)| *of == operation);
    /// assert_eq!(found.map(|(_, retries)| retries.throttled), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn initialize(&mut self, now: Now, resume: Resume) -> Result<(), Ended> {
        if let Some(ended) = self.ended() {
            return Err(ended.clone());
        }
        if matches!(self.lifecycle, Lifecycle::Closing { .. }) {
            return Err(Ended::Closed);
        }
        if !matches!(self.lifecycle, Lifecycle::New) {
            // Who waits for something of the term before has to be told.
            crate::sometimes!(InitializedAgain);
            self.changed();
        }
        self.lifecycle = Lifecycle::Initializing(resume);
        self.window.clear();
        self.ahead = Manifest::absent();
        self.repeats.clear();
        self.collector.stop();
        self.dequeue = Dequeue::new();
        self.term += 1;
        self.running.clear();
        self.reading = Reading::continuing(&self.reading, &self.config);
        self.advance(now);
        Ok(())
    }

    pub(super) fn fail_initialize(&mut self, error: InitializeError) {
        self.lifecycle = Lifecycle::New;
        self.outputs.push_back(Output::Event(ConsumerEvent::InitializeFailed(error)));
    }

    fn check_resume(&self, manifest: &Manifest, resume: Resume) -> Result<(), InitializeError> {
        let location = self.config.manifest_path.clone();
        let Some(last) = resume.last else { return Ok(()) };
        let (first, next) = (manifest.first_sequence(), manifest.next_sequence());
        if last >= next && !resume.accept_reset {
            crate::sometimes!(ResumeAheadRefused);
            return Err(InitializeError::AheadOfQueue { location, last, next });
        }
        if first > last.next() && !resume.accept_gap {
            crate::sometimes!(ResumeBehindRefused);
            return Err(InitializeError::BehindQueue { location, last, first });
        }
        Ok(())
    }

    pub(super) fn raise_epoch(&mut self, now: Now, resume: Resume) {
        let known = self.reading.known.as_ref().expect("the manifest was read");
        if let Err(error) = self.check_resume(&known.manifest, resume) {
            self.fail_initialize(error);
            return;
        }
        let previous = known.manifest.epoch();
        let Some(epoch) = previous.next() else {
            let location = self.config.manifest_path.clone();
            self.fail_initialize(InitializeError::EpochsExhausted { location });
            return;
        };
        crate::sometimes!(EpochRaisedAgain, self.reading.has_failed_swaps());
        let raised = known.manifest.with_epoch(epoch);
        self.swap(now, Purpose::RaiseEpoch { epoch, previous }, &raised);
    }

    /// Takes the reply to the swap that takes over.
    ///
    /// Only `Stored` is certain. After anything else the epoch is raised
    /// again, on top of whatever is there by then:
    /// 1. A and B read epoch 4 and send the same bytes with epoch 5.
    /// 2. A's swap is stored and its reply lost; B's is refused.
    /// 3. Both read epoch 5. If either took it for its own, there could be two.
    pub(super) fn on_epoch_raised(
        &mut self,
        now: Now,
        epoch: Epoch,
        previous: Epoch,
        result: Result<WriteOutcome, StoreError>,
    ) {
        let Some(raised) = self.on_swapped(now, result) else { return };
        let Lifecycle::Initializing(resume) = self.lifecycle else {
            unreachable!("only taking over raises the epoch");
        };
        crate::sometimes!(TookOverFromAnother, previous > Epoch(0));
        self.lifecycle = Lifecycle::Active { epoch };
        let first = raised.first_sequence();
        let is_reset = resume.last.is_some_and(|last| last >= raised.next_sequence());
        let from = match resume.last {
            Some(last) if crate::planted!(ResumeAtStored) && !is_reset => last.max(first),
            Some(last) if !is_reset => last.next().max(first),
            Some(_) | None => first,
        };
        crate::sometimes!(ResumedInside, from > first);
        self.ahead = raised.without_before(from);
        let stored_until = if crate::planted!(StoredNotDequeued) { first } else { from };
        self.dequeue.start(now, first, stored_until);
        self.collector.start(now, &self.config);
        for (sequence, location) in raised.locations_from(first) {
            if sequence >= from {
                break;
            }
            self.collector.saw(&self.config.data_path_prefix, &location);
            self.repeats.take(&location, sequence, self.reading.modified());
        }
        let event = ConsumerEvent::Initialized { epoch, previous };
        self.outputs.push_back(Output::Event(event));
        self.changed();
    }
}
