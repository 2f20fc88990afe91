use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tokio::sync::{mpsc, watch};

use super::super::{Responder, store};
use super::*;
use crate::config::fence::{FilesConfig, FilesDeviceConfig};
use crate::fence::executor::BootInstant;
use crate::fence::files::client;
use crate::fence::model::{
    Before, End, Fenced, NodeRecord, Options, Origin, RunResult, UnixMillis,
};
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

/// What may pass within the age of a request is waited for.
#[tokio::test]
async fn a_request_that_comes_too_early_is_asked_again() {
    for early in [Refusal::StartupGrace, Refusal::NoQuorum, Refusal::Inhibited] {
        let mut scene = scene();
        let stop = CancellationToken::new();
        let task = Responder::spawn(scene.files.clone(), scene.handle.clone(), stop.clone());
        let request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
        let name = put_taken(&scene, &request);
        let Some(Command::Request(first, reply)) = scene.commands.recv().await else {
            panic!("a request was expected");
        };
        reply.send(Err(Refused::new(early, "by a test"))).unwrap();
        if early != Refusal::Inhibited {
            let again = scene.asked().await;
            assert_eq!(again.id, first.id);
            scene.show(ended(&again, Outcome::Succeeded));
        }
        let response = response(&scene, &name).await;
        assert_eq!(
            response.success,
            early != Refusal::Inhibited,
            "{response:?}"
        );
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

/// Puts a request where one that is taken is.
fn put_taken(scene: &Scene, request: &Request) -> FileName {
    let name = request.file().unwrap();
    let taken = scene.files.request_dir.join(store::TAKEN_DIR);
    std::fs::create_dir_all(&taken).unwrap();
    std::fs::set_permissions(&taken, PermissionsExt::from_mode(0o700)).unwrap();
    let bytes = serde_json::to_vec(request).unwrap();
    std::fs::write(taken.join(name.to_string()), bytes).unwrap();
    name
}

/// Waits until a file can be read as this.
async fn read<T>(path: &std::path::Path, parse: impl Fn(&[u8]) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = std::fs::read(path).ok().and_then(|bytes| parse(&bytes)) {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), found).await.unwrap()
}

async fn response(scene: &Scene, name: &FileName) -> Response {
    let path = scene.files.response_dir.join(name.to_string());
    read(&path, |bytes| Response::parse(bytes).ok()).await
}

/// Taken by a run that has ended since, and too old: it is never asked, only looked for.
#[tokio::test]
async fn an_old_request_is_recalled_or_expires() {
    for known in [false, true] {
        let mut scene = scene();
        let mut request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
        request.timestamp = "2025-10-20T14:30:00Z".to_owned();
        let name = put_taken(&scene, &request);
        let stop = CancellationToken::new();
        let task = Responder::spawn(scene.files.clone(), scene.handle.clone(), stop.clone());
        if known {
            let ask = ask(&request, &name, Action::Off, Duration::ZERO);
            scene.show(ended(&ask, Outcome::Succeeded));
        }
        let response = response(&scene, &name).await;
        assert_eq!(response.success, known, "{response:?}");
        let word = if known { "by a test" } else { "expired" };
        assert!(response.message.contains(word), "{response:?}");
        assert!(scene.commands.try_recv().is_err());
        stop.cancel();
        task.await.unwrap();
    }
}

/// Nobody waits any more: the request's own operation is cancelled, and its end is the answer.
#[tokio::test]
async fn an_operation_that_nobody_waits_for_is_cancelled() {
    let mut scene = scene();
    let request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
    let name = put_taken(&scene, &request);
    let stop = CancellationToken::new();
    let task = Responder::spawn(scene.files.clone(), scene.handle.clone(), stop.clone());
    let ask = scene.asked().await;
    std::fs::write(scene.files.request_dir.join(name.cancel_mark()), "").unwrap();
    let Some(Command::Cancel(id, by, reply)) = scene.commands.recv().await else {
        panic!("a cancellation was expected");
    };
    assert_eq!(id, request.request_id);
    assert_eq!(by.who, request.request_id.to_string());
    reply.send(Ok(())).unwrap();
    scene.show(ended(&ask, Outcome::Cancelled));
    let response = response(&scene, &name).await;
    assert!(!response.success && response.message.contains("cancelled"));
    stop.cancel();
    task.await.unwrap();
    assert!(!scene.files.request_dir.join(name.cancel_mark()).exists());
}

/// The mark is there when the next run starts, and the operation, too: it is not left to go on.
#[tokio::test]
async fn an_operation_of_before_a_restart_that_nobody_waits_for_is_cancelled() {
    let mut scene = scene();
    let request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
    let name = put_taken(&scene, &request);
    std::fs::write(scene.files.request_dir.join(name.cancel_mark()), "").unwrap();
    let stop = CancellationToken::new();
    let task = Responder::spawn(scene.files.clone(), scene.handle.clone(), stop.clone());
    let ask = ask(&request, &name, Action::Off, Duration::ZERO);
    let op = ended(&ask, Outcome::Cancelled);
    scene.show(Operation {
        phase: Phase::Active,
        ..op.clone()
    });
    for answer in [Err(Refused::new(Refusal::NoQuorum, "once")), Ok(())] {
        let Some(Command::Cancel(id, _, reply)) = scene.commands.recv().await else {
            panic!("a cancellation was expected");
        };
        assert_eq!(id, request.request_id);
        reply.send(answer).unwrap();
    }
    scene.show(op);
    let response = response(&scene, &name).await;
    assert!(response.message.contains("by a test"), "{response:?}");
    stop.cancel();
    task.await.unwrap();
}

/// An operation that was joined is another's, and is never cancelled.
#[tokio::test]
async fn an_operation_that_was_joined_goes_on() {
    let mut scene = scene();
    let request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
    let name = put_taken(&scene, &request);
    let store = Arc::new(Store::open(&scene.files).unwrap());
    std::fs::write(scene.files.request_dir.join(name.cancel_mark()), "").unwrap();
    let other = OpId::new();
    let follow = follow(&store, &scene.handle, &name, &request, other.clone());
    // Several looks at the mark pass.
    assert!(timeout(LOOK * 4, follow).await.is_err());
    assert!(scene.commands.try_recv().is_err());
}

/// Where the response cannot be written the request is kept, and it is tried again.
#[tokio::test]
async fn a_response_that_cannot_be_written_is_tried_again() {
    let mut scene = scene();
    let request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
    let name = put_taken(&scene, &request);
    let place = scene.files.response_dir.join(name.to_string());
    std::fs::create_dir_all(place.join("in the way")).unwrap();
    let stop = CancellationToken::new();
    let task = Responder::spawn(scene.files.clone(), scene.handle.clone(), stop.clone());
    let ask = scene.asked().await;
    // A try makes and removes a temporary file.
    let tried = || {
        std::fs::metadata(&scene.files.response_dir)
            .unwrap()
            .modified()
    };
    let before = tried().unwrap();
    scene.show(ended(&ask, Outcome::Succeeded));
    let try_it = async {
        while tried().unwrap() == before {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(60), try_it).await.unwrap();
    let taken = scene.files.request_dir.join(store::TAKEN_DIR);
    assert!(taken.join(name.to_string()).exists());
    std::fs::remove_dir_all(&place).unwrap();
    assert!(response(&scene, &name).await.success);
    stop.cancel();
    task.await.unwrap();
    // It was asked once.
    assert!(scene.commands.try_recv().is_err());
}

/// As a boot leaves it: /run is empty, and whoever comes first makes the directory.
#[tokio::test]
async fn a_directory_that_is_replaced_is_served() {
    let mut scene = scene();
    let stop = CancellationToken::new();
    let task = Responder::spawn(scene.files.clone(), scene.handle.clone(), stop.clone());
    for how in ["served", "replaced", "removed"] {
        let requests = &scene.files.request_dir;
        match how {
            "served" => {}
            "replaced" => {
                std::fs::rename(requests, requests.with_extension("aside")).unwrap();
                std::fs::create_dir(requests).unwrap();
            }
            // It is made anew.
            _ => std::fs::remove_dir_all(requests).unwrap(),
        }
        let request = Request::new(Action::Off, "ssu1".parse().unwrap(), "m1".to_owned());
        let name = request.file().unwrap();
        let bytes = serde_json::to_vec(&request).unwrap();
        let made = async {
            while !requests.is_dir() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), made).await.unwrap();
        std::fs::write(requests.join(name.to_string()), bytes).unwrap();
        let ask = scene.asked().await;
        assert_eq!(ask.id, Some(request.request_id), "{how}");
        scene.show(ended(&ask, Outcome::Succeeded));
        assert!(response(&scene, &name).await.success, "{how}");
    }
    stop.cancel();
    task.await.unwrap();
}

/// What hax knows of the nodes is published as it changes.
#[tokio::test]
async fn the_state_of_the_nodes_is_published_on_change() {
    let scene = scene();
    let stop = CancellationToken::new();
    let (files, handle) = (scene.files.clone(), scene.handle.clone());
    // Nothing but the change can have it written a second time.
    let never = Duration::from_secs(3600);
    let task = Responder::spawn_every(never, files, handle, stop.clone());
    let path = scene.files.response_dir.join(NODES_FILE);
    let file = async |ssu1: NodePower| {
        read(&path, |bytes| {
            let file: NodesFile = serde_json::from_slice(bytes).ok()?;
            (file.nodes.get(&"ssu1".parse().unwrap()) == Some(&ssu1)).then_some(())
        })
        .await;
    };
    for (action, power) in [
        (None, NodePower::Unknown),
        (Some(Action::Off), NodePower::Off),
        (Some(Action::Reboot), NodePower::Unknown),
        (Some(Action::Off), NodePower::Off),
    ] {
        let fenced = action.map(|action| Fenced {
            op: OpId::new(),
            action,
            boot_id: None,
            at: UnixMillis(0),
        });
        let record = NodeRecord {
            fenced,
            ..NodeRecord::default()
        };
        let mut view = FenceView::default();
        let (value, index) = (record, consul_client::Index(1));
        view.nodes
            .insert("ssu1".parse().unwrap(), Stored { value, index });
        scene.view.send_replace(Arc::new(view));
        file(power).await;
    }
    stop.cancel();
    task.await.unwrap();
}
