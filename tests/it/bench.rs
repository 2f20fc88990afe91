//! `hax bench`.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{consul, eventually};

/// A measurement whose temporary files, and so the arguments of all it starts, are in a directory.
fn bench(directory: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hax"));
    command
        .arg("bench")
        .args(args)
        .env("TMPDIR", directory.path())
        .env("HAX_CONSUL", consul::program())
        .stdin(Stdio::null());
    command
}

/// Runs a measurement to its end.
async fn finished(mut command: Command) -> Output {
    let run = move || command.output().unwrap();
    tokio::task::spawn(async move { tokio::task::block_in_place(run) })
        .await
        .unwrap()
}

/// Processes that have the directory's name among their arguments.
fn running(directory: &Path) -> Vec<String> {
    let name = directory.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let arguments = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&arguments).replace('\0', " "))
    });
    processes
        .filter(|arguments| arguments.contains(name))
        .collect()
}

fn assert_nothing_left(directory: &TempDir) {
    assert_eq!(running(directory.path()), [""; 0]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// A figure that was measured.
fn figure(figures: &Value, path: &str) -> f64 {
    let value = figures.pointer(path).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("{path} in {figures:#}"))
}

/// Two figures, of which the first cannot be larger.
fn assert_ordered(figures: &Value, small: &str, large: &str) {
    let [small_is, large_is] = [small, large].map(|path| figure(figures, path));
    assert!(
        small_is <= large_is,
        "{small} is {small_is}, {large} is {large_is}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quick_run_measures_everything_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = finished(bench(&directory, &["--quick", "--json"])).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let figures: Value = serde_json::from_slice(&output.stdout).expect("one object");

    // How large they are says how loaded this machine is.
    for path in [
        "/events_burst_per_s",
        "/events_burst_raw_per_s",
        "/events_burst_same_per_s",
        "/events_burst_raw_ratio",
        "/event_serial_per_s",
        "/event_serial_raw_ratio",
        "/event_serial_same_writes_ratio",
        "/event_serial_txn_ratio",
        "/link_round_trip_us",
        "/outage_held",
        "/outage_drain_per_s",
        "/entrypoint_per_s",
        "/entrypoint_1000_per_s",
        "/nvec_per_s/1",
        "/nvec_per_s/16",
        "/nvec_per_s/128",
        "/nvec_per_s/1024",
        "/nvec_p50_ms",
        "/broadcast_p50_ms/1",
        "/broadcast_p50_ms/10",
        "/broadcast_p50_ms/100",
        "/broadcast_p50_ms/1000",
        "/broadcast_small_tree_p50_ms",
        "/ready_ms",
        "/rss_mib",
    ] {
        let value = figure(&figures, path);
        assert!(value > 0.0, "{path} is {value}");
    }
    for links in ["1", "10", "100", "1000"] {
        let of = |it| format!("/{it}/{links}");
        let first = of("broadcast_first_p50_ms");
        assert_ordered(&figures, &first, &of("broadcast_p50_ms"));
        assert_ordered(&figures, &of("broadcast_p50_ms"), &of("broadcast_p99_ms"));
    }
    assert_ordered(&figures, "/nvec_p50_ms", "/nvec_p99_ms");
    assert_ordered(&figures, "/small_tree_objects", "/tree_objects");
    // The bridge tells of a death by itself, or the report says that it does not.
    match &figures["death_to_delivered_p50_ms"] {
        Value::Null => assert!(figures["death_note"].is_string(), "{figures:#}"),
        _ => assert!(figure(&figures, "/death_to_delivered_p50_ms") > 0.0),
    }
    // Consul's checks have a timeout, which a loaded machine may exceed; the report says so then.
    match &figures["death_by_check_p50_ms"] {
        Value::Null => assert!(figures["death_by_check_note"].is_string(), "{figures:#}"),
        _ => assert_ordered(&figures, "/death_by_check_p50_ms", "/death_by_check_max_ms"),
    }
    assert!(figure(&figures, "/tree_objects") > 900.0);
    assert_eq!(figures["debug_build"], cfg!(debug_assertions));
    let samples = figure(&figures, "/samples/nvec_p99_ms");
    assert!(samples >= 100.0, "{samples}");
    assert_nothing_left(&directory);
}

#[tokio::test]
async fn a_signal_ends_it_and_what_it_has_started() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = bench(&directory, &[]);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        eventually("consul, the bridge and its load", async || {
            let running = running(directory.path());
            let has = |what: &str| running.iter().any(|arguments| arguments.contains(what));
            (has("agent") && has(" run ") && has("bench-load")).then_some(())
        })
        .await;
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{signal:?}");
        assert!(output.stdout.is_empty(), "{signal:?}");
        assert_nothing_left(&directory);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_consul_it_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = bench(&directory, &["--quick", "--json"]);
    command.env("HAX_CONSUL", "/nonexistent/consul");
    let output = finished(command).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("HAX_CONSUL"), "{errors}");
    assert_nothing_left(&directory);
}
