//! The program as users start it: errors that need no network namespaces, and drills that do.

#![expect(clippy::unwrap_used, reason = "a test that can't go on should stop here")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn redial(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_redial")).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a drill; `None` where the system does not permit it.
fn drill(args: &[&str]) -> Option<Output> {
    let output = redial(&[&["drill"], args].concat());
    if output.status.code() == Some(77) {
        eprintln!("skipped: {}", stderr(&output));
        return None;
    }
    Some(output)
}

/// An adapter in shell, executable, in a folder that must be kept.
fn shell_adapter(script: &str) -> (tempfile::TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("adapter.sh");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, program)
}

fn as_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_list_tells_all_drills_and_their_variants() {
    let output = redial(&["drill", "--list"]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for name in [
        "planned",
        "power-off",
        "kill",
        "demotion",
        "hang",
        "hang-and-wake",
        "partition",
        "slow",
        "replies-lost",
        "half-dead-dial",
        "sentinel",
        "sentinel-lies",
        "cluster-power-off",
        "cluster-failover",
        "cluster-partition",
        "cluster-reshard",
        "host-back-without-state",
        "dns-switch",
        "storm",
        "pause-write",
    ] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
}

#[test]
fn usage_errors_exit_with_2_and_say_what_would_be_right() {
    for (args, says) in [
        (&["drill"][..], "NAME"),
        (&["drill", "powr-off"], "power-off"),
        (&["drill", "kill", "--rtt", "5"], "write a number and a unit"),
        (&["drill", "kill", "--promote-after=-1s"], "write a number and a unit"),
        (&["drill", "kill", "--seconds", "forever"], "auto"),
        (&["drill", "kill", "--variant", "x"], "no variants"),
        (&["drill", "slow", "--variant", "x"], "pause-write"),
        (&["drill", "all", "--variant", "script"], "belongs to one drill"),
        (&["drill", "kill", "--client", "no-such-client"], "docs/adapters.md"),
        (&["drill", "kill", "--html", "/no/such/folder/x.html"], "cannot write"),
    ] {
        let output = redial(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_server_program_that_is_missing_is_named() {
    let Some(output) = drill(&["kill", "--server-bin", "/no/such/redis-server"]) else { return };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("/no/such/redis-server"), "{}", stderr(&output));
}

#[test]
fn an_adapter_that_dies_or_prints_rubbish_is_an_error_and_no_verdict() {
    for (script, says) in [
        ("echo oops >&2; exit 7", "oops"),
        ("echo Hello; sleep 30", "said `Hello`"),
        ("echo ready x 1; sleep 1; exit 1", "in the middle of the drill"),
        ("echo ready x 1; echo r 0 fine; sleep 30", "said `r 0 fine`"),
    ] {
        let (_folder, program) = shell_adapter(script);
        let args = ["kill", "--seconds", "6", "--client", as_text(&program)];
        let Some(output) = drill(&args) else { return };
        assert_eq!(output.status.code(), Some(2), "{script}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{script}: {}", stderr(&output));
    }
}

#[test]
fn a_client_that_has_nothing_for_sentinels_gets_no_verdict() {
    let script = "case $REDIS_URL in redis+sentinel://*/mymaster) echo unable x 1 no Sentinels;; \
                  *) echo \"no Sentinels in $REDIS_URL\" >&2;; esac";
    let (_folder, program) = shell_adapter(script);
    let Some(output) = drill(&["sentinel", "--json", "--client", as_text(&program)]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(77), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["verdict"], &report["client"]), (&"unable".into(), &"x 1".into()));
    assert_eq!(report["reasons"][0], "no Sentinels");
}

#[test]
fn a_client_that_answers_nothing_fails_the_drill_instead_of_hanging_it() {
    let (_folder, program) = shell_adapter("echo ready mute 1; cat > /dev/null");
    let args = ["kill", "--seconds", "4", "--promote-after", "500ms", "--callers", "3", "--json"];
    let Some(output) = drill(&[&args[..], &["--client", as_text(&program)]].concat()) else {
        return;
    };
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["never_settled"], 3);
    assert_eq!(report["verdict"], "fail");
    assert!(report["recovery_ms"].is_null());
}

#[test]
fn redial_carries_on_through_a_demotion_and_the_report_has_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let args = ["demotion", "--seconds", "6", "--callers", "10", "--listener", "--json", "--html"];
    let args: Vec<_> = args.into_iter().chain([as_text(&page)]).collect();
    let Some(output) = drill(&args) else { return };
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in [
        "drill",
        "client",
        "server",
        "rtt_ms",
        "callers",
        "recovery_ms",
        "all_recovered_ms",
        "longest_stall_ms",
        "longest_command_ms",
        "increments",
        "median_read_ms",
        "median_write_ms",
        "replication_delay_ms",
        "commands",
        "errors",
        "never_settled",
        "applied_twice",
        "failed_but_applied",
        "acked_but_lost",
        "connections_lost",
        "probes",
        "idle_noticed_ms",
        "idle_replaced_ms",
        "verdict",
        "reasons",
    ] {
        assert!(report.get(field).is_some(), "{field} is missing: {report:#}");
    }
    assert!(report["errors"]["by_kind"].is_object() && report["errors"]["total"].is_u64());
    // Not the time of recovery: a loaded machine must not fail this test.
    for never in ["never_settled", "applied_twice", "failed_but_applied", "acked_but_lost"] {
        assert_eq!(report[never], 0, "{never}: {report:#}");
    }
    for never in ["heard_twice", "missed_silently"] {
        assert_eq!(report["listened"][never], 0, "{never}: {report:#}");
    }
    assert!(report["listened"]["back_ms"][0].is_f64(), "{report:#}");
    assert!(report["recovery_ms"].is_f64(), "{report:#}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("leads to B") && !page.contains("http"));
}

#[test]
fn callers_of_other_slots_are_judged_apart_and_nothing_is_lost_in_a_clusters_failover() {
    let args = ["cluster-failover", "--seconds", "6", "--json"];
    let Some(output) = drill(&args) else { return };
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["endpoint"], "cluster", "{report:#}");
    assert_eq!(report["other_slots"]["errors"], 0, "{report:#}");
    let others = report["other_slots"]["callers"].as_u64().unwrap();
    assert!((20..50).contains(&others), "some callers are those of the first primary: {others}");
    for never in ["never_settled", "applied_twice", "failed_but_applied", "acked_but_lost"] {
        assert_eq!(report[never], 0, "{never}: {report:#}");
    }
    assert!(report["recovery_ms"].is_f64(), "{report:#}");
}

#[test]
fn a_program_of_ones_own_is_seen_to_stop_and_come_back() {
    // A client as simple as can be: one connection for each command.
    let script = "host=${REDIS_URL#redis://}; host=${host%:*}\n\
                  while :; do redis-cli -h $host incr hits > /dev/null 2>&1; sleep 0.05; done";
    if Command::new("redis-cli").arg("--version").output().is_err() {
        eprintln!("skipped: no redis-cli");
        return;
    }
    let args =
        ["kill", "--seconds", "8", "--promote-after", "1s", "--json", "--", "sh", "-c", script];
    let Some(output) = drill(&args) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["recovery_ms"].as_f64().is_some_and(|ms| ms < 2000.0), "{report:#}");
    assert!(report["longest_stall_ms"].as_f64().is_some_and(|ms| ms > 900.0), "{report:#}");
}

#[test]
fn a_program_that_never_speaks_to_redis_is_an_error() {
    let Some(output) = drill(&["kill", "--seconds", "4", "--", "sleep", "60"]) else { return };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("sent no command"), "{}", stderr(&output));
    let Some(output) = drill(&["kill", "--seconds", "4", "--", "/no/such/program"]) else { return };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("/no/such/program"), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn without_the_right_to_make_namespaces_it_says_what_to_do_and_exits_with_77() {
    // Limits of namespaces belong to a user namespace: those of the system stay as they are.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && \
                  echo 0 > /proc/sys/user/max_net_namespaces && exec \"$0\" drill kill";
    let program = env!("CARGO_BIN_EXE_redial");
    let output = Command::new("unshare").args(["-U", "-r", "sh", "-c", script, program]).output();
    let Ok(output) = output else {
        eprintln!("skipped: no unshare");
        return;
    };
    let text = stderr(&output);
    if text.contains("unshare failed") {
        eprintln!("skipped: {text}");
        return;
    }
    assert_eq!(output.status.code(), Some(77), "{text}");
    assert!(text.contains("What to do"), "{text}");
}
