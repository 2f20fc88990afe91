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

#[tokio::test(flavor = "multi_thread")]
async fn a_quick_run_measures_everything_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let output = finished(bench(&directory, &["--quick", "--json"])).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let figures: Value = serde_json::from_slice(&output.stdout).expect("one object");

    for path in [
        "/events_burst_per_s",
        "/events_burst_raw_per_s",
        "/events_burst_same_per_s",
        "/event_serial_per_s",
        "/outage_held",
        "/outage_drain_per_s",
        "/entrypoint_per_s",
        "/entrypoint_1000_per_s",
        "/nvec_per_s/1",
        "/nvec_per_s/16",
        "/nvec_per_s/128",
        "/nvec_per_s/1024",
    ] {
        let value = figure(&figures, path);
        assert!((1.0..1e7).contains(&value), "{path} is {value}");
    }
    for path in [
        "/events_burst_raw_ratio",
        "/event_serial_raw_ratio",
        "/event_serial_same_writes_ratio",
        "/event_serial_txn_ratio",
    ] {
        let value = figure(&figures, path);
        assert!((0.0001..10.0).contains(&value), "{path} is {value}");
    }
    for path in [
        "/nvec_p99_ms",
        "/broadcast_p50_ms/1",
        "/broadcast_p50_ms/10",
        "/broadcast_p50_ms/100",
        "/broadcast_p50_ms/1000",
        "/broadcast_small_tree_p50_ms",
        "/ready_ms",
    ] {
        let value = figure(&figures, path);
        assert!((0.01..20_000.0).contains(&value), "{path} is {value}");
    }
    for links in ["1", "10", "100", "1000"] {
        let [p50, p99] = ["p50", "p99"].map(|it| format!("/broadcast_{it}_ms/{links}"));
        assert!(
            figure(&figures, &p50) <= figure(&figures, &p99),
            "{links} links"
        );
    }
    let rss = figure(&figures, "/rss_mib");
    assert!((1.0..500.0).contains(&rss), "{rss}");
    // The bridge tells of a death by itself, or the report says that it does not.
    match &figures["death_to_delivered_p50_ms"] {
        Value::Null => assert!(figures["death_note"].is_string(), "{figures:#}"),
        _ => assert!(figure(&figures, "/death_to_delivered_p50_ms") > 0.0),
    }
    // A check runs once a second: a death between two of them is told before long.
    let by_check = figure(&figures, "/death_by_check_p50_ms");
    assert!((10.0..5_000.0).contains(&by_check), "{by_check}");
    assert!(figure(&figures, "/link_round_trip_us") > 1.0);
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
