//! The lab checks itself: that it does to real kernels and servers what it says, before it is used
//! to judge a client.
//!
//! Every check has a lab of its own. Under `cargo test` they run one after the other in one process,
//! under nextest each in its own.

mod deployments;
mod faults;
mod leftovers;
mod servers;
mod support;
mod wire;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

type Check = fn() -> Result<(), Failed>;

const CHECKS: &[(&str, Check)] = &[
    (
        "servers::the_lab_starts_in_sync_and_is_reached_through_the_endpoint",
        servers::starts_in_sync,
    ),
    ("servers::a_client_program_gets_the_url_and_sees_the_lab_only", servers::client_program),
    ("servers::a_name_leads_to_whichever_host_it_is_pointed_at", servers::dns),
    ("servers::a_restarted_server_is_another_one_with_or_without_its_data", servers::restart),
    ("servers::a_failover_swaps_the_roles_and_loses_nothing", servers::failover),
    ("servers::a_server_that_cannot_start_says_why", servers::cannot_start),
    (
        "deployments::sentinels_agree_on_a_new_primary_when_the_old_one_loses_power",
        deployments::sentinels,
    ),
    ("deployments::a_sentinel_beside_the_old_primary_goes_on_naming_it", deployments::split),
    ("deployments::a_cluster_serves_every_slot_and_elects_a_replica", deployments::cluster),
    ("wire::a_round_trip_takes_the_time_asked_for", wire::round_trip_time),
    ("wire::thirty_thousand_packets_a_second_all_arrive", wire::packet_rate),
    ("wire::a_large_upload_is_neither_lost_nor_reordered", wire::upload),
    ("wire::power_off_lasts_as_long_as_the_kernel_says", wire::power_off_lasts_13_seconds),
    ("faults::a_flow_stays_pinned_while_new_ones_go_to_the_new_primary", faults::pinned),
    ("faults::a_frozen_server_accepts_and_answers_when_it_wakes", faults::freeze),
    ("faults::a_partition_is_silence_and_heals", faults::partition),
    ("faults::dropped_replies_leave_commands_applied", faults::dropped_replies),
    ("faults::held_packets_arrive_late_and_whole", faults::hold),
    ("faults::a_reset_reaches_both_ends", faults::reset),
    ("faults::a_reset_reaches_both_ends_after_losses_too", faults::reset_after_losses),
    ("faults::a_half_dead_dial_connects_and_is_never_answered", faults::half_dead),
    ("faults::a_blackholed_dial_connects_when_the_hole_closes", faults::blackhole),
    ("faults::a_rebooted_host_knows_none_of_its_connections", faults::reboot),
    ("faults::a_killed_server_resets_and_refuses", faults::kill),
    ("leftovers::nothing_outlives_a_lab_that_is_killed", leftovers::after_a_kill),
    ("leftovers::nothing_outlives_a_lab_that_is_dropped", leftovers::after_a_drop),
];

fn main() -> ExitCode {
    if let Some(result) = leftovers::as_the_victim() {
        return result;
    }
    let mut arguments = Arguments::from_args();
    if !arguments.list
        && let Err(error) = redial_lab::enter()
    {
        if error.is_skip() {
            eprintln!("skipped: {error}");
            return ExitCode::SUCCESS;
        }
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    arguments.test_threads = Some(1); // the labs share two cores with what they measure
    let trials = CHECKS.iter().map(|(name, check)| Trial::test(*name, *check)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
