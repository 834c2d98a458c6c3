//! The bugs that can be planted.
//!
//! The first field of each begins with the invariant that it breaks, and that catches it; those that follow from
//! there are broken in consequence, and may show earlier in a run. With the consequences not looked at the first
//! one catches it still; with none of them looked at nothing does.

table! {
    /// Bugs that can be planted, each a change of one line.
    Bug {
        // The producer: what became of a swap.
        AppendTwiceAfterConflict => ("I5", "after a conflict nobody looks whether it was our own swap, and its batches are listed again"),
        TimeoutTakenForFailure => ("I4", "a swap that timed out is told as not delivered, and lands"),
        TimeoutTakenForSuccess => ("I1+I4+I2", "a swap that timed out is told as durable"),
        SettledBeforeSwap => ("I1+I4+I2+I13", "batches are told durable when their swap is sent"),
        OnlyFirstOfGroupLookedFor => ("I5+I4", "of a group that was swapped together only the first is looked for"),
        JudgeOffByOne => ("I10+I4", "case 3 is believed one place too far: a dequeued swap counts as one that did not happen"),
        MayStillTakenAsDidNot => ("I1+I4+I5+I2", "a swap that may still land is taken for one that did not happen"),
        ReuploadInCase2 => ("I10+I5+I4", "a batch whose swap may still land is uploaded and listed under a new name"),
        ReuploadInCase4 => ("I10+I5+I4", "a batch of which version 1 cannot tell is uploaded and listed under a new name"),
        FailedSaidInCase2 => ("I4", "a batch that is given up while its swap may still land is told as not delivered"),
        // The producer: what is swapped, and when.
        SwapBeforeUpload => ("I1+I8+I2+I11+I14+I15+I13", "a batch is listed while its upload is still under way"),
        SwapWithoutCondition => ("I6+I8+I9+I1+I11+I2+I4+I14+I13+I12+I10", "a swap that did not happen is sent again as it was, on whatever is there by then"),
        StaleVersion => ("I6+I8+I9+I1+I14+I2+I13+I11+I12+I10+I4", "of a reading only the version is taken, and the contents are what was known before"),
        OrderSwapped => ("I7", "batches that are swapped together are listed in the reverse order"),
        SequenceRestartedOnMissingManifest => ("I6", "a producer that finds no manifest any more begins a new one at sequence 0"),
        RollbackAccepted => ("I6+I8", "a producer goes on from a manifest that was put back to an earlier state"),
        OldBatchListed => ("I12+I1", "a batch is listed however long ago it was uploaded"),
        LocationEncodedTwice => ("I1+I14+I2", "a batch is stored under its key encoded once more, and listed under the plain one"),
        UploadConflictTakenForStored => ("I1+I14+I2+I13", "an upload that was refused counts as stored"),
        // The producer: effort.
        TransientErrorEndsBatch => ("I4", "one transient error of an upload ends the batch, long before its time"),
        RetryWithoutBackoff => ("I16", "a failed request about the manifest is tried again at once"),
        UploadRetriedWithoutBackoff => ("I16", "a failed upload is tried again at once"),
        NoPauseAfterConflict => ("I16", "after a conflict the next swap is tried at once"),
        NoGroupCommit => ("I16", "each swap lists one batch, however many are uploaded"),
        // The producer: bounds, timers, the end.
        InFlightUnbounded => ("I15", "any number of batches is in flight"),
        MemoryUnbounded => ("I15", "submissions are taken past `max_buffered_bytes`"),
        BytesReleasedTooSoon => ("I3+I1+I14+I2+I13+I15", "a batch's bytes make room for others while its upload may still fail"),
        BackPressureNeverReleased => ("I14", "who was turned away is never told that there is room"),
        FlushTimerLost => ("I14", "an open batch is not sealed by time"),
        FlushTimerStarved => ("I14", "each submission starts the flush timer of its batch anew"),
        LastBatchDroppedOnClose => ("I1+I4+I2+I13", "the open batch is told durable on close, and dropped"),
        IngestionTimesMerged => ("I3+I1+I2", "equal metadata is one item although its ingestion times differ"),
        BackgroundFailureNotTold => ("I4", "flush and close do not tell of a batch that failed"),
        // The consumer: its term.
        MissingManifestTakenForUnchanged => ("I6", "a consumer takes a manifest that is gone for one without news"),
        EpochAdoptedAfterUnknown => ("I9+I10+I6+I14+I2+I13", "an epoch counts as ours although its swap was not answered with success"),
        DequeueWithoutEpochCheck => ("I9+I6+I2+I13+I14", "a consumer goes on dequeuing under the epoch of another"),
        ZombieDequeue => ("I9+I6+I8+I12+I14+I2+I13+I11+I10+I4+I5", "a fenced consumer puts its own old contents onto the version that it finds"),
        StoredNotDequeued => ("I14", "a consumer that resumes leaves what its caller has stored in the manifest"),
        ResumeAtStored => ("I5+I10", "a consumer resumes at the stored sequence in place of after it"),
        // The consumer: acknowledgements.
        FirstAckUnchecked => ("I11+I5", "the first acknowledgement of a consumer may name what was never handed out"),
        GapInAcksAccepted => ("I11", "an acknowledgement out of order acknowledges all before it"),
        DequeueOneTooFar => ("I11+I6+I14+I2+I13", "one batch more is dequeued than was acknowledged"),
        FailedDequeueNotRetried => ("I14+I9", "a dequeue without success is not tried again"),
        RepeatDequeuedAlone => ("I11", "a dropped repeat is dequeued without a later batch that was acknowledged"),
        // The consumer: batches.
        RepeatNotDropped => ("I5+I10", "a batch that was taken under a lower sequence is handed out again"),
        RepeatsForgottenByTime => ("I5+I10", "the name of a taken batch is forgotten by time alone"),
        CursorMovedBeforeFetch => ("I2+I10+I11", "a batch whose fetch failed for now is passed over"),
        WrongBatchFetched => ("I3+I8+I10+I1", "what is fetched for a batch is the object of the first one ahead"),
        SkipRefused => ("I14+I2", "there is no way past a batch that is missing or corrupt"),
        PrefetchUnbounded => ("I15", "any number of batches is fetched ahead"),
        PollWithoutRest => ("I16", "the manifest is read again as soon as it was read"),
        // The collector: what it may not delete.
        CollectByAgeAlone => ("I12+I1+I14+I2+I13", "what is older than the grace period is deleted, listed or not"),
        CollectByTwoReadings => ("I12+I1+I14+I2+I13", "what is listed is asked of a cycle's first reading, and the time of its last one"),
        CollectByCachedManifest => ("I13+I12+I1+I14+I2", "what is listed is asked of the first manifest that the collector read, for ever"),
        CollectByWallClock => ("I12+I1+I14+I2+I13", "the time is that of the collector's own wall clock, not that of the manifest"),
        CollectWithoutGrace => ("I12+I1+I14", "what is not listed is deleted as soon as it is older than the manifest"),
        ForeignKeysCollected => ("I12", "objects under the prefix that are no batches are deleted as well"),
        NestedKeysCollected => ("I12+I1", "batches that lie deeper under the prefix are deleted as well"),
        UnusedQueueCollected => ("I12+I1+I14+I2+I13", "a queue that never had an entry is collected"),
        OtherPrefixCollected => ("I12+I1", "a queue is collected although the batches that it lists lie under another prefix"),
        YoungerThanListedCollected => ("I12", "what is younger than the oldest batch that is listed is not kept for foreign producers"),
        ImpossibleTimesBelieved => ("I12+I1", "a time that a store cannot mean is taken for one"),
        SuspensionUnnoticed => ("I12+I1", "ages are told by the monotonic clock alone, which may stand still while a machine is suspended"),
        FencedCollectorGoesOn => ("I9", "a consumer does not see in the collector's readings that it is fenced"),
        // The collector: what it may not leave behind.
        FirstPageOnly => ("I13", "of a listing only the first page is looked at"),
        SweepNeverBeginsAnew => ("I13", "each sweep goes on behind the page at which the one before ended"),
        OrphansLeftBehind => ("I13", "only what this consumer dequeued is deleted"),
        CollectorStopsAtError => ("I13", "a cycle that ends early is the last one"),
        CollectWithoutRest => ("I16", "a cycle begins as soon as the one before has ended"),
        // The formats.
        FooterCountTrusted => ("I17+I3", "the list of records is made as long as the footer says, whatever is there"),
        RecordCountUnchecked => ("I17", "records past the count that the footer names are dropped without a word"),
        SequenceOrderUnchecked => ("I17+I1+I8+I2+I13+I11+I9+I4+I14+I6+I10", "sequences of a manifest that repeat or descend are taken as they come"),
        // The driver.
        RequestsWaitForEver => ("I14+I9", "a request without an answer is waited for without end"),
        LocalSecondWriteFails => ("I14", "the local directory fails every swap but the first write"),
    }
}
