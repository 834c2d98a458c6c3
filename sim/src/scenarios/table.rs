//! The list of all scenarios.

use super::Scenario;

/// Gives the whole list to another macro, so that a test can be made of each.
#[doc(hidden)]
#[macro_export]
macro_rules! each_scenario {
    ($then:ident) => {
        $then! {
            lost_replies::failure_01_a_swap_that_is_sent_again_does_not_list_a_batch_twice(1) [AppendTwiceAfterConflict]
                "A swap takes effect, the client library sends it again and is told of a conflict.",
            lost_replies::failure_02_a_lost_reply_is_not_a_failure(2) [TimeoutTakenForFailure]
                "A swap takes effect and its reply is lost: nobody is told that it failed.",
            collecting::failure_03_a_batch_is_not_listed_after_it_was_collected(3) [OldBatchListed, SuspensionUnnoticed]
                "A producer is suspended between upload and swap, and the batch is collected.",
            known_failures::failure_04_a_deleted_manifest_is_an_error_for_everyone_who_saw_it(4) [SequenceRestartedOnMissingManifest, MissingManifestTakenForUnchanged]
                "The manifest is deleted: nobody starts again at sequence 0 as if nothing had been.",
            known_failures::failure_05_only_what_was_handed_out_can_be_acknowledged(5) [FirstAckUnchecked, GapInAcksAccepted]
                "A fresh consumer acknowledges what it never got, and nothing is dropped.",
            known_failures::failure_06_a_flipped_byte_in_a_footer_is_a_typed_error(6) [FooterCountTrusted]
                "Each byte of a batch's footer is flipped in turn.",
            known_failures::failure_08_thirty_two_producers_need_few_swaps_for_each_batch(8) [NoGroupCommit, NoPauseAfterConflict]
                "Thirty-two producers share one manifest for a minute.",
            collecting::failure_09_the_batches_of_a_queue_below_are_not_collected(9) [NestedKeysCollected, ForeignKeysCollected]
                "A second queue, and foreign objects, under the prefix of the first.",
            collecting::failure_10_a_wrong_manifest_path_costs_no_backlog(10) [UnusedQueueCollected]
                "A consumer with a wrong manifest path, beside a backlog.",
            collecting::failure_11_a_fenced_consumers_collector_stops_with_it(11) [FencedCollectorGoesOn]
                "A consumer is fenced and closed while there is something to collect.",
            known_failures::failure_12_a_local_directory_takes_more_than_one_write(12) [LocalSecondWriteFails]
                "A local directory takes a second write, and a hundredth.",
            outages::failure_13_errors_that_pass_cost_nothing_but_time(13) [TransientErrorEndsBatch, RequestsWaitForEver]
                "Every kind of request fails for a moment, in every way that passes.",
            pipeline::failure_14_the_flush_timer_fires_on_time_however_busy_the_callers_are(14) [FlushTimerStarved]
                "Callers keep the producer busy, and the flush timer fires on time.",
            outages::failure_15_a_background_failure_is_reported_by_flush_and_by_close(15) [BackgroundFailureNotTold]
                "What the flush timer's batch met is reported by flush and by close.",
            known_failures::failure_16_awkward_prefixes_are_found_again(16) [LocationEncodedTwice]
                "Prefixes with characters that some client would encode, in two kinds of store.",
            known_failures::failure_17_a_manifest_that_contradicts_itself_is_refused(17) [SequenceOrderUnchecked]
                "Manifests whose sequences repeat, descend, have a gap, or contradict the footer.",
            known_failures::failure_17_a_batch_with_more_records_than_its_footer_says_is_refused(17) [RecordCountUnchecked]
                "A batch whose footer counts one record too few.",
            known_failures::failure_17_metadata_past_the_end_of_its_batch_is_refused(17) []
                "Another batch's bytes under the name of one whose metadata needs more records.",
            known_failures::failure_18_a_missing_batch_can_be_skipped_on_the_callers_word(18) [SkipRefused]
                "One batch is gone: the consumer is told which, and can go past it.",
            known_failures::failure_19_a_failed_dequeue_is_tried_again(19) [FailedDequeueNotRetried]
                "The acknowledgement that triggers a dequeue cannot fail by it.",
            known_failures::a_manifest_that_was_rolled_back_is_an_error_for_everyone_who_saw_it() [RollbackAccepted]
                "The manifest is put back to an older state.",
            known_failures::one_stale_reading_is_no_rollback() []
                "A stale reading is looked at again before anything is said.",
            lost_replies::a_thousand_submissions_survive_random_lost_replies() []
                "A third of all writes take effect and are reported as errors or conflicts.",
            lost_replies::a_batch_dequeued_before_its_producer_looked_is_repeated_to_nobody() [RepeatNotDropped, ReuploadInCase4]
                "Case 4: a batch is dequeued before its producer looks, listed again, and dropped.",
            lost_replies::a_swap_that_may_still_land_is_sent_again_unchanged() []
                "Case 2: a swap that lands late meets the same swap sent again.",
            lost_replies::a_swap_that_lands_after_the_deadline_was_called_unknown() [FailedSaidInCase2]
                "A swap lands after its batch was given up, which was called unknown.",
            collecting::a_producer_paused_for_longer_than_the_grace_period_says_not_delivered() []
                "A producer is paused between upload and swap, and its monotonic clock goes on.",
            collecting::what_nobody_needs_is_deleted_and_nothing_else() [CollectByAgeAlone, CollectByCachedManifest]
                "Batches that were dequeued, and one whose producer died before its swap.",
            collecting::on_an_idle_queue_nothing_is_deleted_until_the_manifest_changes() [CollectByWallClock]
                "An orphan beside a manifest that nobody changes.",
            collecting_rules::a_batch_that_is_about_to_be_listed_is_not_collected() [CollectWithoutGrace]
                "An upload is answered a third of the grace period late, while others change the manifest.",
            collecting_rules::a_collectors_own_clock_does_not_matter() [CollectByWallClock]
                "The same beside a collector whose clock is a day ahead, or behind.",
            collecting_rules::a_store_that_tells_impossible_times_gets_no_deletions() [ImpossibleTimesBelieved]
                "The same on a store whose listings tell times before 1970.",
            collecting_rules::what_was_listed_while_a_collector_was_paused_is_kept() [CollectByTwoReadings, CollectByCachedManifest]
                "A collector is paused between its reading and its second page, and batches are listed.",
            collecting_rules::beside_foreign_producers_what_is_younger_than_the_oldest_listed_is_kept() [YoungerThanListedCollected]
                "A producer that follows no rule lists what it uploaded long ago.",
            collecting_rules::a_consumer_with_another_queues_prefix_costs_no_backlog() [OtherPrefixCollected]
                "A consumer with the prefix of another queue, beside its backlog.",
            collecting_rules::orphans_of_every_page_are_collected_in_every_sweep() [FirstPageOnly, SweepNeverBeginsAnew, OrphansLeftBehind]
                "Orphans on a store with pages of two objects, and later ones on the first page.",
            collecting_rules::a_collector_that_met_an_error_goes_on_in_its_next_cycle() [CollectorStopsAtError]
                "Listings, then deletions are denied, and then fail in part.",
            collecting_rules::a_collector_rests_between_its_cycles() [CollectWithoutRest]
                "Ten minutes of collecting every five seconds.",
            fencing::of_two_consumers_that_race_to_start_one_goes_on() []
                "Two consumers start at once, a hundred times, while replies get lost.",
            fencing::a_lost_reply_to_the_take_over_never_gives_two_owners() [EpochAdoptedAfterUnknown]
                "Two consumers send the same take-over, and the reply to the first is lost.",
            fencing::a_fenced_consumer_stops_and_changes_nothing_more() [ResumeAtStored, ZombieDequeue, DequeueWithoutEpochCheck]
                "A take-over in mid-stream; the first consumer acknowledges late.",
            fencing::a_missing_batch_is_no_news_to_a_fenced_consumer() []
                "A fenced consumer finds a batch missing, and says that it is fenced.",
            fencing::a_resume_that_does_not_fit_is_refused_unless_accepted() []
                "A stored sequence that the queue never reached, or that it has dequeued past.",
            fencing::what_the_database_has_is_dequeued_by_who_resumes_after_it() [StoredNotDequeued]
                "A consumer resumes after the last batch, which the one before it did not dequeue.",
            fencing::a_flush_does_not_outwait_its_term() []
                "A consumer is initialized again while a flush is under way.",
            outages::an_outage_past_the_deadline_is_told_apart() []
                "A store is down for longer than the delivery timeout.",
            outages::an_outage_holds_callers_back_and_memory_down() [MemoryUnbounded]
                "Callers go on while the store is down, and what is held stays under the limit.",
            outages::uploads_go_on_while_no_swap_gets_through() [BytesReleasedTooSoon]
                "No swap gets through for a while, and more is produced than may be held.",
            outages::a_submission_that_never_fits_is_refused_at_once() []
                "One submission is larger than all that may be held.",
            outages::a_refused_batch_neither_loses_nor_reorders_others() [SwapBeforeUpload]
                "One upload of eight is refused for good.",
            outages::a_consumer_tells_of_outages_and_goes_on_after_them() [CursorMovedBeforeFetch]
                "Each of a consumer's requests fails for long, and then works again.",
            outages::terminal_errors_are_told_at_once() []
                "The store refuses for good.",
            pipeline::throughput_grows_with_the_number_of_batches_in_flight() []
                "Sixty-four large batches, one by one and several at a time.",
            pipeline::an_uncontended_commit_costs_no_read_of_the_manifest() []
                "A producer that is alone reads the manifest once.",
            pipeline::waiting_batches_commit_in_one_swap() [OrderSwapped]
                "What is uploaded while a swap is out goes into the next one.",
            pipeline::the_open_batch_grows_while_no_place_is_free() []
                "A store so slow that every place in flight is taken.",
            pipeline::a_consumer_behind_reads_ahead_and_reads_the_manifest_rarely() []
                "A consumer meets a backlog of 160 batches.",
            speed::sixteen_busy_producers_are_served_alike_and_soon() [NoGroupCommit]
                "Sixteen producers are always busy for a minute, and a consumer drains the queue.",
            speed::eight_producers_share_one_write_a_second() []
                "Eight producers, for five minutes, on a store that takes one write a second to one key.",
            speed::under_light_load_an_entry_takes_an_upload_and_a_swap() []
                "Ten calls a second, and nobody else.",
            speed::what_is_uploaded_takes_no_room() []
                "A caller is faster than the store, and what may be held is ten batches.",
            speed::an_idle_consumer_transfers_nothing_and_polls_ever_less() []
                "A consumer waits for ten minutes, and nothing comes.",
            found::a_fetch_that_waits_for_room_does_not_keep_the_loop_busy() []
                "A fetch is to be tried again, and there is no room for it.",
            found::a_failed_poll_is_repeated_soon_although_a_dequeue_is_due_late() []
                "A poll meets an error while a dequeue is due in a minute.",
            found::a_reading_that_shows_only_a_repeat_is_an_end_of_the_queue() []
                "All that is new in the manifest is a repeat.",
            found::a_batch_in_doubt_is_looked_into_again_when_the_manifest_was_denied() []
                "A batch arrives damaged, and the manifest cannot be read.",
            found::a_busy_producer_lets_a_consumer_take_over() []
                "A producer commits back to back while a consumer wants to take over.",
            found_bounds::conflicts_without_end_are_given_up_in_time() []
                "Every swap meets a conflict.",
            found_bounds::a_call_that_waits_for_room_does_not_cut_the_batches_of_others() []
                "One large submission waits for room beside fifty small ones.",
            found_bounds::a_backlog_of_large_batches_stays_within_prefetch_bytes() []
                "Batches are larger than a consumer may expect.",
            found_bounds::a_fetch_that_waits_for_room_does_not_spin() []
                "A fetch is to be tried again when the caller has taken another batch.",
            found_outcomes::a_batch_may_be_left_open_for_longer_than_the_delivery_timeout() []
                "A caller leaves a batch open for longer than the delivery timeout.",
            found_outcomes::a_flush_finds_its_failure_behind_many_later_ones() []
                "A flush waits for a batch that failed, and a hundred later ones fail as well.",
            found_outcomes::swaps_that_are_turned_away_are_spaced_out() [RetryWithoutBackoff]
                "Swaps are throttled for a minute while reads work.",
            found_outcomes::an_acknowledgement_after_the_runtime_stopped_is_refused() []
                "A consumer is asked to acknowledge after its process died.",
            found_outcomes::a_failed_read_is_tried_again_although_a_dequeue_is_due_later() []
                "A read fails while a dequeue is due in a minute.",
            found_waits::swaps_that_fail_while_reads_work_are_given_up_in_time() []
                "Reads work and swaps do not.",
            found_waits::a_doubt_outlives_a_manifest_that_cannot_be_read() []
                "A batch is in doubt, and the manifest is out of reach for a while.",
            found_waits::all_who_wait_for_the_manifest_are_told_that_it_cannot_be_read() []
                "Two calls wait for one read that fails.",
            found_waits::a_dequeue_that_is_denied_disturbs_nobody_who_reads() []
                "A dequeue is denied while a caller waits for a batch.",
            found_waits::a_skip_wakes_whoever_waits_for_what_is_skipped() []
                "A call waits for a batch that is then skipped.",
            found_waits::two_who_initialize_one_consumer_are_both_told() []
                "Two calls initialize one consumer at once.",
            found_waits::a_loop_that_never_ran_says_that_it_stopped() []
                "A process dies before its loop ever ran.",
            found_waits::after_a_flush_acknowledgements_are_dequeued_together_again() []
                "One flush, and then a hundred acknowledgements.",
            found_waits::who_slept_through_a_conflict_does_not_sleep_on() []
                "A consumer is paused for hours while its swap is out, and wakes to a conflict.",
            found_waits::room_that_a_dropped_call_was_told_of_is_the_next_ones() []
                "A call that waits for room is told of some, and dropped before it takes it.",
            found_waits::a_close_ends_in_time_when_one_trouble_follows_the_other() []
                "Swaps are turned away for nine seconds, and then reads fail.",
        }
    };
}

macro_rules! list {
    ($($module:ident::$name:ident($($failure:literal)?) [$($bug:ident),*] $about:literal,)*) => {
        pub(super) const ALL: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            failure: list!(@option $($failure)?),
            about: $about,
            planted: &[$(buffer_core::hooks::Bug::$bug),*],
            run: super::$module::$name,
        },)*];
    };
    (@option) => { None };
    (@option $some:literal) => { Some($some) };
}

each_scenario!(list);
