//! Every scenario on every runtime.

use queue_tests::matrix;

matrix! {
    seed {
        the_first_example_works,
        ids_grow_and_attempts_start_at_zero,
    }
    lifecycle {
        a_queue_with_default_settings_works,
        starting_twice_doubles_no_workers,
        jobs_pushed_before_the_start_run_after_it,
        a_kind_registered_after_the_start_runs,
        a_handler_that_never_yields_loses_nothing,
        what_a_handler_started_may_outlive_it,
        a_handler_may_push_to_its_own_queue,
        a_thousand_workers_run_a_thousand_jobs_at_once,
        a_backlog_drains_without_pauses,
        an_idle_queue_wakes_up_for_every_job,
        run_needs_no_spawner,
        run_beside_started_workers_lasts_until_the_shutdown,
        a_run_that_was_dropped_can_be_resumed,
        clones_are_the_same_queue,
        a_handle_outlives_its_queue,
    }
    shutdown {
        what_is_ready_and_running_is_finished,
        the_report_adds_up,
        waiting_jobs_are_handed_back_whole,
        a_timeout_of_zero_interrupts_at_once,
        a_handler_that_hangs_is_interrupted_after_the_timeout,
        a_future_that_panics_in_its_drop_is_handed_back,
        shutdown_before_the_start_hands_everything_back,
        all_waiters_get_the_same_report,
        the_shortest_timeout_counts,
        a_start_after_the_shutdown_does_nothing,
        every_push_after_the_shutdown_gives_the_job_back,
        a_push_that_waits_for_room_is_sent_away,
        a_dropped_shutdown_goes_on_draining,
        the_jobs_of_a_paused_queue_are_handed_back,
        a_pause_ends_the_drain,
        a_cancel_while_draining_is_reported,
        the_longest_timeout_waits_for_everything,
        handlers_are_let_go_of,
        events_end_with_the_report,
    }
    abandoned {
        a_handler_may_shut_its_queue_down,
        all_handlers_may_shut_the_queue_down_at_once,
        waiters_inside_and_outside_get_the_same_report,
    }
    drops {
        the_last_queue_takes_workers_and_handlers_with_it,
        a_queue_that_never_started_frees_its_handlers,
        nothing_of_a_queue_stays_in_memory,
        a_running_handler_is_dropped_with_the_last_queue,
        waiting_jobs_go_with_the_last_queue,
        a_push_that_waits_is_told_that_the_queue_is_gone,
        events_end_with_the_last_queue,
        handles_and_jobs_keep_no_queue_alive,
        a_captured_queue_is_freed_by_a_shutdown,
        a_handler_may_drop_the_last_queue,
        a_policy_that_panics_in_its_drop_harms_no_worker,
        a_runtime_that_ended_gives_its_jobs_back,
        what_a_runtime_left_behind_is_handed_back,
        a_runtime_that_ends_ends_the_shutdown,
    }
    field_bugs {
        a_handler_that_returned_err_leaves_its_worker_alive,
        a_panic_leaves_its_worker_alive,
        the_second_of_two_handlers_under_one_name_counts,
        a_backoff_does_not_overflow,
        a_retry_after_does_not_strand_the_job,
        promoting_a_due_job_does_not_lose_it,
        a_job_is_not_both_finished_and_failed,
        a_cancel_is_not_dropped,
        a_long_job_is_not_run_twice,
        a_timeout_does_not_hit_the_next_job_of_the_worker,
        can_run_one_at_a_time,
        concurrency_is_bounded_by_default,
        a_long_job_does_not_hold_the_others_up,
        retries_do_not_run_without_backoff,
        a_job_does_not_run_after_its_last_retry,
        one_policy_decides_how_often_a_job_runs,
        reregistration_after_restart_is_accepted,
        a_claim_is_not_lost_with_its_worker,
        a_job_whose_arguments_changed_is_kept,
    }
}
