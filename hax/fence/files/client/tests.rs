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

/// Names in a directory.
fn names(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    entries.map(name).collect()
}

/// Waits until the directory has only names of this kind, and one at least if `any`.
async fn until_only(dir: &std::path::Path, any: bool, fits: impl Fn(&str) -> bool) {
    let met = async {
        loop {
            let names = names(dir);
            if names.iter().all(|name| fits(name)) && (!any || !names.is_empty()) {
                return;
            }
            tokio::time::sleep(POLL / 10).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), met)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_is_withdrawn() {
    for taken in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let device = device(root.path());
        let (requests, config) = (device.request_dir.clone(), device.clone());
        let run = tokio::spawn(async move {
            let late = BootInstant::now().after(Duration::from_secs(60));
            let (target, minute) = ("ssu1".parse().unwrap(), Duration::from_secs(60));
            let never = CancellationToken::new();
            run(&config, &target, Action::Off, minute, late, &never).await
        });
        until_only(&requests, true, |name| name.starts_with("ssu1-")).await;
        if taken {
            let name = &names(&requests)[0];
            std::fs::rename(requests.join(name), root.path().join(name)).unwrap();
        }
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        until_only(&requests, taken, |name| taken && name.ends_with(".cancel")).await;
    }
}
