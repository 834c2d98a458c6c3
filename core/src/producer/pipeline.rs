//! The transitions of a batch, from sealing to upload.

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::batch::{BATCH_OVERHEAD, Batch, Doubt, Stage};
use bytes::Bytes;

use super::error::DeliveryFailure;
use super::{Producer, Purpose};
use crate::backoff::{Backoff, RETRY_BASE, RETRY_MOST};
use crate::command::{Command, Encode, EncodedBatch, PutBatch};
use crate::error::Fault;
use crate::format::EncodeError;
use crate::store::{StoreError, StoreErrorKind, StoreOperation, WriteOutcome, rope_len};
use crate::time::Now;
use crate::types::{BatchId, Location};

/// How many times `max_inflight_batches` may be past sealing and not settled.
const PLACES_IN_WINDOW: usize = 8;

/// Batches that something is being done for.
struct UnderWay {
    /// Their bytes are being made, or are made and wait for a place.
    making: usize,
    uploading: usize,
}

impl Producer {
    /// Whether a batch that is sealed now would be uploaded at once: if not, it may as well grow.
    pub(super) fn has_free_place(&self) -> bool {
        let UnderWay { making, uploading } = self.under_way();
        self.pipeline.len() < self.window() && making + uploading < self.places()
    }

    /// How long a batch stays open that is not full.
    ///
    /// While others wait for the manifest it would wait as well, and they should be few. But the next swap
    /// should list it: so it stays open for an ever longer time, and never for long beside the time that they have waited.
    pub(super) fn open_for(&self) -> Duration {
        let waiting = self.pipeline.len() / (self.places() / 2).max(1);
        self.config.flush_interval.saturating_mul(1 << waiting.min(16))
    }

    /// How many batches may be uploaded at one time; as many may be made ahead of that.
    fn places(&self) -> usize {
        if crate::planted!(InFlightUnbounded) {
            return usize::MAX;
        }
        self.config.max_inflight_batches
    }

    /// How many batches may be past sealing: those that are uploaded wait for the next swap, and keep no
    /// other from its upload meanwhile.
    pub(super) fn window(&self) -> usize {
        self.places().saturating_mul(PLACES_IN_WINDOW)
    }

    /// What is being done for batches at this moment.
    fn under_way(&self) -> UnderWay {
        let mut under_way = UnderWay { making: 0, uploading: 0 };
        for batch in self.pipeline.iter().take(self.window()) {
            match batch.stage {
                Stage::Encoding | Stage::Encoded { after: None } => under_way.making += 1,
                Stage::Uploading => under_way.uploading += 1,
                Stage::Sealed(_) | Stage::Encoded { after: Some(_) } | Stage::Uploaded => {}
            }
        }
        under_way
    }

    /// Whether no more can be uploaded now.
    pub(super) fn is_at_its_places(&self) -> bool {
        self.under_way().uploading >= self.places()
    }

    /// Closes the open batch, if there is one.
    pub(super) fn seal(&mut self, now: Now) {
        let Some(open) = self.open.take() else { return };
        let due = now.monotonic.min(open.opened + self.config.flush_interval);
        self.pipeline.push_back(Batch {
            id: open.id,
            opened: open.opened,
            deadline: due + self.config.delivery_timeout,
            stage: Stage::Sealed(open.submissions),
            doubt: Doubt::None,
            metadata: open.metadata,
            records: open.records,
            entry_bytes: open.entry_bytes,
            payload_bytes: open.payload_bytes,
            largest: open.largest,
            payload: Vec::new(),
            object_bytes: 0,
            upload: None,
            cost: open.cost,
            copy_charge: 0,
            metadata_bytes: open.metadata_bytes,
            backoff: Backoff::new(RETRY_BASE, RETRY_MOST),
            last_fault: None,
        });
        self.start_batches(now);
    }

    pub(super) fn seal_if_a_place_is_free(&mut self, now: Now) {
        if self.has_free_place() {
            crate::sometimes!(BatchSealedByBackPressure, self.open.is_some());
            self.seal(now);
            self.advance(now);
        }
    }

    /// Seals the open batch when its time has come. While no place in flight
    /// is free it stays open: waiting, it may as well grow.
    pub(super) fn seal_when_due(&mut self, now: Now) {
        let open_for = self.open_for();
        let due = self.open.as_ref().is_some_and(|open| open.opened + open_for <= now.monotonic);
        crate::sometimes!(NoPlaceInFlight, due && !self.has_free_place());
        if due && self.has_free_place() {
            crate::sometimes!(BatchSealedByTimer);
            self.seal(now);
        }
    }

    /// Gives free places to batches that wait, and uploads what is ready to be uploaded.
    pub(super) fn start_batches(&mut self, now: Now) {
        let UnderWay { making, uploading } = self.under_way();
        let mut may_make = self.places().saturating_sub(making);
        let mut may_upload = self.places().saturating_sub(uploading);
        for index in 0..self.pipeline.len().min(self.window()) {
            match &self.pipeline[index].stage {
                Stage::Sealed(_) if may_make > 0 => match self.charge_for_copy(index) {
                    Some(charge) => {
                        self.encode(index, charge);
                        may_make -= 1;
                    }
                    None => {
                        crate::sometimes!(EncodingWaitsForMemory);
                        may_make = 0;
                    }
                },
                Stage::Encoded { after } if may_upload > 0 => {
                    if after.is_none_or(|after| after <= now.monotonic) {
                        self.upload(now, index);
                        may_upload -= 1;
                    }
                }
                Stage::Sealed(_)
                | Stage::Encoding
                | Stage::Encoded { .. }
                | Stage::Uploading
                | Stage::Uploaded => {}
            }
        }
    }

    /// What encoding a batch is charged for the copy that it makes of one submission after the other, or
    /// `None` while there is no room for it.
    ///
    /// One batch at a time may be encoded beyond `max_buffered_bytes`, without
    /// charge, so that there is always progress; others only below it.
    fn charge_for_copy(&mut self, index: usize) -> Option<usize> {
        let goes_free =
            |batch: &Batch| matches!(batch.stage, Stage::Encoding) && batch.copy_charge == 0;
        if !self.pipeline.iter().take(index).any(goes_free) {
            return Some(0);
        }
        let copy = self.pipeline[index].largest;
        if self.buffered_bytes + copy > self.config.max_buffered_bytes {
            self.release_uploaded();
        }
        (self.buffered_bytes + copy <= self.config.max_buffered_bytes).then_some(copy)
    }

    fn encode(&mut self, index: usize, copy_charge: usize) {
        crate::sometimes!(EncodingCharged, copy_charge > 0);
        self.buffered_bytes += copy_charge;
        let batch = &mut self.pipeline[index];
        batch.copy_charge = copy_charge;
        batch.cost += copy_charge;
        let id = batch.id;
        let bytes = batch.payload_bytes;
        let Stage::Sealed(submissions) = mem::replace(&mut batch.stage, Stage::Encoding) else {
            unreachable!("only sealed batches are encoded");
        };
        let compression = self.config.batch_compression;
        self.command(Purpose::Encode(id), |ticket| {
            Command::Encode(Encode { batch: id, submissions, compression, bytes, ticket })
        });
    }

    pub(super) fn on_encoded(&mut self, id: BatchId, result: Result<EncodedBatch, EncodeError>) {
        let Some(index) = self.index_of(id) else { return };
        match result {
            Ok(encoded) => {
                let batch = &mut self.pipeline[index];
                batch.stage = Stage::Encoded { after: None };
                batch.payload = encoded.payload;
                // From here on the encoded bytes are all that is held of the entries.
                let pieces = batch.payload.len() * size_of::<Bytes>();
                batch.object_bytes = rope_len(&batch.payload);
                let bytes = batch.object_bytes + pieces + batch.metadata_bytes;
                let cost = bytes + BATCH_OVERHEAD;
                let charged = mem::take(&mut batch.copy_charge);
                let saved = batch.cost.saturating_sub(cost).max(charged);
                batch.cost -= saved;
                self.buffered_bytes -= saved;
            }
            Err(error) => {
                let batch = self.pipeline.remove(index).expect("it was just there");
                self.give_up(&batch, DeliveryFailure::Encode(error));
            }
        }
    }

    fn upload(&mut self, now: Now, index: usize) {
        let location = self.names.next(now.wall);
        let batch = &mut self.pipeline[index];
        assert!(batch.doubt == Doubt::None, "a name that may be listed is never replaced");
        batch.stage =
            if crate::planted!(SwapBeforeUpload) { Stage::Uploaded } else { Stage::Uploading };
        batch.upload = Some((location.clone(), now));
        let location = if crate::planted!(LocationEncodedTwice) {
            Location::from(location.as_str().replace(['~', '[', ']', '#', '%'], "%25"))
        } else {
            location
        };
        let payload = batch.payload.clone();
        let id = batch.id;
        let timeout = self.config.request_timeout;
        self.command(Purpose::Upload(id), |ticket| {
            Command::PutBatch(PutBatch { batch: id, location, payload, timeout, ticket })
        });
    }

    /// Takes the reply to an upload.
    ///
    /// Whatever is not certainly stored is uploaded again under a new name: a
    /// refusal may be the echo of the first try, or a store's way to say
    /// "later"; neither proves that the object is there. What the first try
    /// left behind is an orphan, and the collector's.
    pub(super) fn on_upload(
        &mut self,
        now: Now,
        id: BatchId,
        result: Result<WriteOutcome, StoreError>,
    ) {
        let Some(index) = self.index_of(id) else {
            crate::sometimes!(ReplyForSettledBatch);
            return;
        };
        if crate::planted!(SwapBeforeUpload) {
            return;
        }
        match result {
            Ok(WriteOutcome::Stored(_)) => {
                let mut earlier = self.pipeline.range(..index);
                crate::sometimes!(
                    UploadedOutOfOrder,
                    earlier.any(|batch| !matches!(batch.stage, Stage::Uploaded))
                );
                let batch = &mut self.pipeline[index];
                batch.stage = Stage::Uploaded;
                batch.backoff.reset();
                batch.last_fault = None;
            }
            Ok(WriteOutcome::Conflict) if crate::planted!(UploadConflictTakenForStored) => {
                self.pipeline[index].stage = Stage::Uploaded;
            }
            Ok(WriteOutcome::Conflict) => {
                crate::sometimes!(UploadConflict);
                self.retry_upload(now, index, None);
            }
            Err(error) if error.is_retryable() && !crate::planted!(TransientErrorEndsBatch) => {
                crate::sometimes!(UploadFailed, error.kind == StoreErrorKind::Transient);
                crate::sometimes!(UploadTimedOut, error.kind == StoreErrorKind::TimedOut);
                crate::sometimes!(UploadThrottled, error.kind == StoreErrorKind::Throttled);
                self.retry_upload(now, index, Some(Fault::Store(error)));
            }
            Err(error) => {
                crate::sometimes!(UploadDenied);
                let batch = self.pipeline.remove(index).expect("it was just there");
                self.give_up(&batch, DeliveryFailure::Store(error));
            }
        }
    }

    fn retry_upload(&mut self, now: Now, index: usize, fault: Option<Fault>) {
        match &fault {
            Some(fault) => self.again.count(StoreOperation::PutBatch).add_fault(fault),
            None => self.again.count(StoreOperation::PutBatch).conflict += 1,
        }
        let wait = self.pipeline[index].backoff.after_failure(&mut self.random);
        let wait = if crate::planted!(UploadRetriedWithoutBackoff) { Duration::ZERO } else { wait };
        let batch = &mut self.pipeline[index];
        batch.stage = Stage::Encoded { after: Some(now.monotonic + wait) };
        batch.last_fault = fault.or(batch.last_fault.take());
    }
}
