use super::*;

fn device(root: &std::path::Path) -> FilesDeviceConfig {
    let dir = |name: &str| {
        let dir = root.join(name);
        std::fs::create_dir(&dir).unwrap();
        dir
    };
    FilesDeviceConfig {
        request_dir: dir("requests"),
        response_dir: dir("responses"),
    }
}

async fn off(
    device: &FilesDeviceConfig,
    start_by: BootInstant,
    cancel: &CancellationToken,
) -> Ended {
    let target = "ssu1".parse().unwrap();
    let timeout = Duration::from_millis(300);
    run(device, &target, Action::Off, timeout, start_by, cancel).await
}

#[tokio::test]
async fn what_is_not_answered_is_withdrawn() {
    let root = tempfile::tempdir().unwrap();
    let device = device(root.path());
    let late = BootInstant::now().after(Duration::from_secs(60));
    let cancel = CancellationToken::new();
    let ended = off(&device, late, &cancel).await;
    assert_eq!(ended.result, RunResult::Timeout, "{ended:?}");
    let ended = off(&device, BootInstant(Duration::ZERO), &cancel).await;
    assert_eq!(ended.result, RunResult::Refused, "{ended:?}");
    cancel.cancel();
    let ended = off(&device, late, &cancel).await;
    assert_eq!(ended.result, RunResult::Refused, "{ended:?}");
    assert_eq!(std::fs::read_dir(&device.request_dir).unwrap().count(), 0);
    std::fs::remove_dir(&device.response_dir).unwrap();
    let ended = off(&device, late, &CancellationToken::new()).await;
    assert_eq!(ended.result, RunResult::Unreachable, "{ended:?}");
}
