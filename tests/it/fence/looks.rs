//! Looks at devices that do not answer as they should.

use std::time::Duration;

use hax::config::fence::{DeviceConfig, DeviceKind};
use hax::fence::model::RunResult;

use super::runs::{LONG, executor, node, shell, timeouts};

/// A device whose monitor is this script.
fn monitored(name: &str, script: &str, timeout: Duration) -> DeviceConfig {
    let mut device = shell(name, "exit 0", LONG);
    device.timeouts = timeouts(timeout);
    if let DeviceKind::Command(command) = &mut device.kind {
        let monitor = ["/bin/sh", "-c", script];
        command.monitor = Some(monitor.map(str::to_owned).to_vec());
    }
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_hangs_is_ended_and_said() {
    let hangs = monitored("hangs", "sleep 1000", Duration::from_secs(1));
    let fails = monitored("fails", "echo no route >&2; exit 1", LONG);
    let fine = monitored("fine", "exit 0", LONG);
    let executor = executor(vec![hangs, fails, fine]).await.unwrap();
    let nodes = [node("ssu1")];
    for (name, result) in [
        ("hangs", RunResult::Timeout),
        ("fails", RunResult::Unreachable),
        ("fine", RunResult::Success),
    ] {
        let name = name.parse().unwrap();
        let ended = executor.ping(&name).await;
        assert_eq!(ended.result, result, "{ended:?}");
        let reach = executor.reach(&name, &nodes).await;
        let fine = result == RunResult::Success;
        assert_eq!(reach.verified.is_some(), fine, "{reach:?}");
        assert_eq!(reach.error.is_none(), fine, "{reach:?}");
    }
}
