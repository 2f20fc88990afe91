//! No agent outlives its deadline, its guard or its daemon.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hax::config::fence::{DeviceKind, DummyConfig, WatchdogAction, WatchdogConfig};
use hax::fence::executor::{BootInstant, Executor};
use hax::fence::model::{Action, Ended, RunResult};
use rustix::process::{Pid, Signal, kill_process};

use super::runs::{LONG, executor, run, shell, timeouts};
use crate::common::eventually;

/// Where the daemon of a test finds what to do.
const DIRECTORY: &str = "HAX_TEST_FENCE_DIRECTORY";

const SHORT: Duration = Duration::from_millis(300);

/// A script that writes down its guard, itself and two children, one of which has left the group, and
/// then waits for ever.
fn family(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "sleep 1000 & child=$!; setsid sleep 1000 & far=$!; \
         echo $PPID $$ $child $far > '{dir}/new'; mv '{dir}/new' '{dir}/pids'; wait"
    )
}

/// The guard, then the agent and its children.
async fn pids(dir: &Path) -> Vec<Pid> {
    eventually("the agent runs", async || {
        let text = fs::read_to_string(dir.join("pids")).ok()?;
        let pids = text.split_whitespace().map(|pid| pid.parse().unwrap());
        pids.map(Pid::from_raw).collect()
    })
    .await
}

async fn gone(pids: &[Pid]) {
    eventually("nothing of the run is left", async || {
        pids.iter().all(|pid| !lives(*pid)).then_some(())
    })
    .await;
}

/// What has ended and is not yet waited for does not live.
fn lives(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    let stat = stat.unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some(None | Some('Z' | 'X')))
}

async fn of_script(script: &str, timeout: Duration) -> Executor {
    executor(vec![shell("x", script, timeout)]).await.unwrap()
}

async fn off(script: &str, timeout: Duration) -> Ended {
    let executor = of_script(script, timeout).await;
    executor.run(run("x", Action::Off, "ssu1")).await
}

/// Not a test: the process that is killed in the one below.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test"]
async fn plays_the_daemon() {
    let Some(dir) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let ended = off(&family(Path::new(&dir)), LONG).await;
    panic!("it was to be killed: {ended:?}");
}

/// A process of its own that runs the agent of [`family`].
fn daemon(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "fence::guard::plays_the_daemon"])
        .env(DIRECTORY, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_killed_takes_the_agent_and_all_its_children_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = daemon(dir.path());
    let pids = pids(dir.path()).await;
    assert!(pids.iter().all(|pid| lives(*pid)), "{pids:?}");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    gone(&pids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_guard_and_with_a_daemon_that_hangs_the_kernel_ends_the_agent() {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = daemon(dir.path());
    let pids = pids(dir.path()).await;
    kill_process(Pid::from_child(&daemon), Signal::STOP).unwrap();
    kill_process(pids[0], Signal::KILL).unwrap();
    gone(&pids[..2]).await;
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    for child in &pids[2..] {
        kill_process(*child, Signal::KILL).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_killed_takes_the_agent_and_its_group_along() {
    let dir = tempfile::tempdir().unwrap();
    let executor = of_script(&family(dir.path()), LONG).await;
    let (ended, pids) = tokio::join!(executor.run(run("x", Action::Off, "ssu1")), async {
        let pids = pids(dir.path()).await;
        kill_process(pids[0], Signal::KILL).unwrap();
        pids
    });
    assert_eq!(ended.result, RunResult::Killed, "{ended:?}");
    let [guard, agent, child, far] = pids[..] else {
        panic!("{pids:?}");
    };
    gone(&[guard, agent, child]).await;
    // Out of reach: it had left the group.
    kill_process(far, Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_or_forgotten_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let executor = of_script(&family(dir.path()), LONG).await;
    let cancelled = run("x", Action::Off, "ssu1");
    let cancel = cancelled.cancel.clone();
    let (ended, all) = tokio::join!(executor.run(cancelled), async {
        let all = pids(dir.path()).await;
        cancel.cancel();
        all
    });
    assert_eq!(ended.result, RunResult::Killed, "{ended:?}");
    gone(&all).await;

    fs::remove_file(dir.path().join("pids")).unwrap();
    let all = tokio::select! {
        ended = executor.run(run("x", Action::Off, "ssu1")) => panic!("{ended:?}"),
        all = pids(dir.path()) => all,
    };
    gone(&all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_timeout_there_is_term_and_then_kill() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let polite = format!(
        "trap 'echo term > {}; exit 0' TERM; sleep 1000 & wait",
        log.display()
    );
    let ended = off(&polite, SHORT).await;
    // Its exit code comes too late to count.
    assert_eq!(ended.result, RunResult::Timeout, "{ended:?}");
    assert!(ended.evidence.contains("ended by TERM"), "{ended:?}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "term\n");

    let deaf = format!("trap '' TERM; {}", family(dir.path()));
    let ended = off(&deaf, SHORT).await;
    assert_eq!(ended.result, RunResult::Timeout, "{ended:?}");
    assert!(ended.evidence.contains("ended by KILL"), "{ended:?}");
    gone(&pids(dir.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_late_is_never_started() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = format!("echo started > {}", log.display());
    let mut dummy = shell("dummy", "", LONG);
    dummy.kind = DeviceKind::Dummy(DummyConfig {
        succeed: true,
        takes: Duration::ZERO,
    });
    let devices = vec![shell("x", &script, LONG), dummy];
    let executor = executor(devices).await.unwrap();
    for device in ["x", "dummy"] {
        let mut late = run(device, Action::Off, "ssu1");
        late.start_by = BootInstant(BootInstant::now().0 - Duration::from_millis(1));
        let ended = executor.run(late).await;
        assert_eq!(ended.result, RunResult::Refused, "{ended:?}");
        let cancelled = run(device, Action::Off, "ssu1");
        cancelled.cancel.cancel();
        let ended = executor.run(cancelled).await;
        assert_eq!(ended.result, RunResult::Killed, "{ended:?}");
    }
    assert!(!log.exists());
    let ended = executor.run(run("x", Action::Off, "ssu1")).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert!(log.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_in_two_halves_is_one_run_that_began_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let start_by = BootInstant::now().after(Duration::from_secs(4));
    // Off ends after `start_by`.
    let off = format!(
        "while [ $(sed 's/\\..*//' /proc/uptime) -le {} ]; do sleep 0.1; done; echo off >> {}",
        start_by.0.as_secs() + 1,
        log.display()
    );
    let mut device = shell("x", &off, LONG);
    if let DeviceKind::Command(command) = &mut device.kind {
        let on = format!("echo on >> {}; exit 1", log.display());
        command.on = Some(["/bin/sh", "-c", &on].map(str::to_owned).to_vec());
    }
    let executor = executor(vec![device]).await.unwrap();
    let mut reboot = run("x", Action::Reboot, "ssu1");
    reboot.start_by = start_by;
    let ended = executor.run(reboot).await;
    // What is off is fenced, whatever has come of on.
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "off\non\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_keep_stdout_open_are_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let script = family(dir.path()).replace("; wait", "; exit 0");
    let ended = off(&script, LONG).await;
    assert_eq!(ended.result, RunResult::Success, "{ended:?}");
    assert!(ended.evidence.contains("were left and killed"), "{ended:?}");
    gone(&pids(dir.path()).await[1..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_read_and_its_last_lines_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let peak = dir.path().join("peak");
    let flood = "head -c 100000000 /dev/zero | tr '\\0' x";
    let script = format!(
        "{flood}; {flood} >&2; echo; echo last of stdout; echo >&2; echo last of stderr >&2; \
         grep VmHWM /proc/$PPID/status > {}; exit 2",
        peak.display()
    );
    let ended = off(&script, LONG).await;
    assert_eq!(ended.result, RunResult::NotAcknowledged, "{ended:?}");
    let words = ["exit 2", "stderr: last of stderr", "stdout: last of stdout"];
    assert!(
        words.iter().all(|words| ended.evidence.contains(words)),
        "{ended:?}"
    );
    let peak = fs::read_to_string(peak).unwrap();
    let kib: u32 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 64 << 10, "{peak}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_of_commands_are_classes_and_a_signal_is_none() {
    for (script, result) in [
        ("[ \"$0 $1\" = 'ssu1 ssu1' ]", RunResult::Success),
        ("exit 1", RunResult::Unreachable),
        ("exit 2", RunResult::NotAcknowledged),
        ("exit 3", RunResult::Internal),
        // That of the stage before the agent, which says more than a code.
        ("exit 125", RunResult::NotAcknowledged),
        ("kill -KILL $$", RunResult::Killed),
        ("kill -SEGV $$", RunResult::Internal),
        (
            "[ $(env | grep -vc -e ^PWD= -e ^SHLVL= -e ^_=) = 2 ]",
            RunResult::Success,
        ),
    ] {
        let ended = off(script, LONG).await;
        assert_eq!(ended.result, result, "{script}: {ended:?}");
    }
    let mut nothing = shell("x", "", LONG);
    if let DeviceKind::Command(command) = &mut nothing.kind {
        command.off = vec!["/nonexistent/agent".to_owned()];
    }
    let executor = executor(vec![nothing]).await.unwrap();
    let ended = executor.run(run("x", Action::Off, "ssu1")).await;
    assert_eq!(ended.result, RunResult::NotInstalled, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_is_waited_for_and_a_dummy_does_what_it_is_told() {
    let mut watchdog = shell("watchdog", "", LONG);
    watchdog.kind = DeviceKind::Watchdog(WatchdogConfig {
        timeout: SHORT,
        stop_max: Duration::ZERO,
        action: WatchdogAction::Processes,
    });
    let dummy = |name: &str, succeed, takes| {
        let mut device = shell(name, "", SHORT);
        device.kind = DeviceKind::Dummy(DummyConfig { succeed, takes });
        device
    };
    let mut never = watchdog.clone();
    never.name = "never".parse().unwrap();
    if let DeviceKind::Watchdog(config) = &mut never.kind {
        config.timeout = LONG;
    }
    watchdog.timeouts = timeouts(LONG);
    let executor = executor(vec![
        watchdog,
        never,
        dummy("succeeds", true, Duration::ZERO),
        dummy("fails", false, Duration::ZERO),
        dummy("hangs", true, LONG),
    ])
    .await
    .unwrap();
    for (device, result) in [
        ("watchdog", RunResult::Success),
        ("succeeds", RunResult::Success),
        ("fails", RunResult::NotAcknowledged),
        ("hangs", RunResult::Timeout),
        ("unknown", RunResult::Internal),
    ] {
        let ended = executor.run(run(device, Action::Off, "ssu1")).await;
        assert_eq!(ended.result, result, "{device}: {ended:?}");
        let waited = u128::from(ended.took_ms) >= SHORT.as_millis();
        assert!(device != "watchdog" || waited, "{ended:?}");
    }
    let cancelled = run("never", Action::Off, "ssu1");
    let cancel = cancelled.cancel.clone();
    let running = executor.run(cancelled);
    let (ended, ()) = tokio::join!(running, async { cancel.cancel() });
    assert_eq!(ended.result, RunResult::Killed, "{ended:?}");
}
