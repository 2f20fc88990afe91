use std::path::PathBuf;

use tokio::sync::{mpsc, watch};

use super::super::Responder;
use super::*;
use crate::config::fence::{FilesConfig, FilesDeviceConfig};
use crate::fence::executor::BootInstant;
use crate::fence::files::client;
use crate::fence::model::{Before, End, Options, Origin, RunResult, UnixMillis};
use crate::fence::{Stored, Taken};

struct Scene {
    _root: tempfile::TempDir,
    files: FilesConfig,
    device: FilesDeviceConfig,
    view: watch::Sender<Arc<FenceView>>,
    commands: mpsc::Receiver<Command>,
    handle: FenceHandle,
}

fn scene() -> Scene {
    let root = tempfile::tempdir().unwrap();
    let dir = |name: &str| -> PathBuf {
        let dir = root.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        dir
    };
    let (request_dir, response_dir) = (dir("requests"), dir("responses"));
    let (view, seen) = watch::channel(Arc::default());
    let (handle, commands) = FenceHandle::new(seen);
    Scene {
        files: FilesConfig {
            request_dir: request_dir.clone(),
            response_dir: response_dir.clone(),
            max_age: Duration::from_secs(60),
            owners: Vec::new(),
        },
        device: FilesDeviceConfig {
            request_dir,
            response_dir,
        },
        _root: root,
        view,
        commands,
        handle,
    }
}

fn ended(ask: &Ask, outcome: Outcome) -> Operation {
    let node: NodeName = "m1".parse().unwrap();
    Operation {
        id: ask.id.clone().unwrap(),
        target: ask.target.clone(),
        action: ask.action,
        origin: Origin {
            node: node.clone(),
            source: ask.source,
            who: ask.who.clone(),
            reason: ask.reason.clone(),
            at: UnixMillis(0),
        },
        joined: Vec::new(),
        options: Options::default(),
        driver: node,
        phase: Phase::Ended(End {
            outcome,
            detail: "by a test".to_owned(),
            at: UnixMillis(0),
        }),
        plan: None,
        before: Before::default(),
        attempts: Vec::new(),
    }
}

impl Scene {
    async fn asked(&mut self) -> Ask {
        let Some(Command::Request(ask, reply)) = self.commands.recv().await else {
            panic!("a request was expected");
        };
        let op = ask.id.clone().unwrap();
        reply.send(Ok(Taken { op, merged: false })).unwrap();
        ask
    }

    fn show(&self, op: Operation) {
        let mut view = FenceView::default();
        let id = op.id.clone();
        view.ops.insert(
            id,
            Stored {
                value: op,
                index: consul_client::Index(1),
            },
        );
        self.view.send_replace(Arc::new(view));
    }
}

/// The device of one hax and the responder of another, through the same directories.
#[tokio::test]
async fn the_device_meets_the_responder() {
    for (outcome, expected) in [
        (Outcome::Succeeded, RunResult::Success),
        (Outcome::Failed, RunResult::NotAcknowledged),
        (Outcome::Indeterminate, RunResult::NotAcknowledged),
    ] {
        let mut scene = scene();
        let stop = CancellationToken::new();
        let task = Responder::spawn(scene.files.clone(), scene.handle.clone(), stop.clone());
        let (device, never) = (scene.device.clone(), CancellationToken::new());
        let run = tokio::spawn(async move {
            let start_by = BootInstant::now().after(Duration::from_secs(30));
            let target = "ssu1".parse().unwrap();
            let timeout = Duration::from_secs(30);
            client::run(&device, &target, Action::Off, timeout, start_by, &never).await
        });
        let ask = scene.asked().await;
        assert_eq!(ask.target.to_string(), "ssu1");
        assert_eq!((ask.action, ask.source), (Action::Off, Source::Files));
        scene.show(ended(&ask, outcome));
        let run = run.await.unwrap();
        assert_eq!(run.result, expected, "{run:?}");
        stop.cancel();
        task.await.unwrap();
    }
}

/// The responder ends while the operation runs; the next one asks with the same number.
#[tokio::test]
async fn a_restart_asks_with_the_same_number() {
    let mut scene = scene();
    let request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
    let name = request.file().unwrap().to_string();
    let bytes = serde_json::to_vec(&request).unwrap();
    std::fs::write(scene.files.request_dir.join(&name), bytes).unwrap();
    let mut numbers = Vec::new();
    for _ in 0..2 {
        let stop = CancellationToken::new();
        let task = Responder::spawn(scene.files.clone(), scene.handle.clone(), stop.clone());
        numbers.push(scene.asked().await.id.unwrap());
        stop.cancel();
        task.await.unwrap();
        assert!(!scene.files.response_dir.join(&name).exists());
    }
    assert_eq!(numbers, [request.request_id.clone(), request.request_id]);
}

#[test]
fn an_operation_on_another_target_is_no_answer() {
    let request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
    let name = request.file().unwrap();
    let mut ask = ask(&request, &name, Action::Off, Duration::ZERO);
    assert!(outcome(&name, &request, &ended(&ask, Outcome::Succeeded)).success);
    ask.action = Action::On;
    assert!(!outcome(&name, &request, &ended(&ask, Outcome::Succeeded)).success);
    ask.action = Action::Off;
    ask.target = Target::Node("ssu2".parse().unwrap());
    assert!(!outcome(&name, &request, &ended(&ask, Outcome::Succeeded)).success);
}
