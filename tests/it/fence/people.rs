//! What people are told: haxctl, through the HTTP server, of records in Consul's KV, and of the audit file
//! that is written of them. There is no coordinator, so nothing is asked of it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use consul_client::NewSession;
use hax::bridge::LetterRow;
use hax::bridge::update::WatchUpdate;
use hax::fence::audit::{Audit, Bounds, follow};
use hax::fence::{About, Command, FenceHandle, FenceView, Taken};
use hax::http::{self, Limits, WatchError, WatchOutcome};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ctl::{expect, haxctl};
use crate::harness::consul::Consul;
use crate::harness::soon;

const ENDED: &str = "01900000-0000-7000-8000-000000000001";
const HELD: &str = "01900000-0000-7000-8000-000000000002";

/// A server with nothing but fencing.
#[derive(Clone)]
struct OnlyFence(FenceHandle);

impl http::Bridge for OnlyFence {
    async fn watch(&self, _: WatchUpdate) -> Result<WatchOutcome, WatchError> {
        Err(WatchError::Stopping)
    }

    async fn status(&self) -> Value {
        Value::Null
    }

    fn dead_letters(&self) -> Vec<LetterRow> {
        Vec::new()
    }

    async fn replay(&self, _: Option<u64>) -> Vec<u64> {
        Vec::new()
    }

    async fn discard(&self, _: u64) -> bool {
        false
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn fence(&self) -> Option<FenceHandle> {
        Some(self.0.clone())
    }
}

struct Scene {
    consul: Consul,
    views: watch::Sender<Arc<FenceView>>,
    url: String,
    audit: PathBuf,
    /// Where the coordinator would be.
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    tasks: TaskTracker,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let consul = Consul::start().await;
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit.jsonl");
        let node: hax::fence::model::NodeName = "ssu1".parse().unwrap();
        let opened = Audit::open(&audit, node.clone(), Bounds::default()).await;
        let (file, link) = opened.unwrap();
        let (views, receiver) = watch::channel(Arc::default());
        let (handle, commands) = FenceHandle::new(receiver);
        let handle = handle.with_about(About {
            node: Some(node),
            audit: Some(link),
            ..About::default()
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(follow(handle.views(), file, stop.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = http::serve(listener, OnlyFence(handle), Limits::default(), stop.clone());
        tasks.spawn(async move { server.await.unwrap() });
        Self {
            consul,
            views,
            url,
            audit,
            commands,
            stop,
            tasks,
            _dir: dir,
        }
    }

    async fn put(&self, key: &str, value: Value) {
        let kv = self.consul.client();
        kv.kv().put(key, value.to_string()).await.unwrap();
    }

    /// Has everybody see what Consul has.
    async fn see(&self) {
        let client = self.consul.client();
        let pairs = client.kv().list("fence/").await.unwrap();
        let view = FenceView::parse(&pairs.value);
        assert_eq!(view.malformed.len(), 0, "{:?}", view.malformed);
        self.views.send_replace(Arc::new(view));
    }

    async fn haxctl(&self, args: &[&str], code: i32) -> String {
        let before = ["fence", "--hax", &self.url];
        let output = haxctl(&[&before, args].concat()).await;
        expect(&output, code);
        let text = if code == 0 {
            output.stdout
        } else {
            output.stderr
        };
        String::from_utf8(text).unwrap()
    }

    async fn json(&self, args: &[&str]) -> Value {
        let text = self.haxctl(&[args, &["--json"]].concat(), 0).await;
        serde_json::from_str(&text).unwrap()
    }
}

fn operation(id: &str, phase: Value) -> Value {
    json!({
        "id": id, "target": "ssu2", "action": "off", "driver": "ssu1", "phase": phase,
        "origin": { "node": "ssu1", "source": "operator", "who": "root@ssu1", "reason": "its fan burns", "at": 1000 },
        "options": { "expire_ms": 60_000 },
    })
}

fn ended() -> Value {
    let phase = json!({ "phase": "ended", "outcome": "succeeded", "detail": "level 1 is done", "at": 9000 });
    let mut op = operation(ENDED, phase);
    op["plan"] = json!({ "epoch": 0, "levels": [{ "level": 1, "steps": [
        { "device": "pdu", "action": "off", "group": 0, "required": true, "tries": 2, "delay_ms": 0,
          "delay_max_ms": 0, "run_max_ms": 65_000, "on_target": false }] }] });
    op["attempts"] = json!([{ "level": 0, "steps": [0], "peer": "ssu1", "verified": true, "state": {
        "state": "ended", "runs": [{ "result": "success", "evidence": "exit code 0", "took_ms": 1200 }] } }]);
    op
}

#[tokio::test]
async fn records_in_kv_are_shown_explained_and_written_down() {
    let mut scene = Scene::start().await;
    let client = scene.consul.client();
    let session = NewSession::new("fence");
    let session = client.session().create(&session).await.unwrap();
    let peer = json!({ "boot_id": "b", "devices": { "pdu": { "verified": 5, "drilled": { "ssu2": 6 } } } });
    let peer = peer.to_string();
    let taken = client
        .kv()
        .acquire("fence/peers/ssu1", peer, &session)
        .await;
    assert!(taken.unwrap());
    scene
        .put("fence/peers/ssu2", json!({ "boot_id": "c" }))
        .await;
    scene.put(&format!("fence/ops/{ENDED}"), ended()).await;
    let held = json!({ "phase": "held", "reason": "a storm", "since": 2000 });
    scene
        .put(&format!("fence/ops/{HELD}"), operation(HELD, held))
        .await;
    let fenced = json!({ "epoch": 1, "fenced": { "op": ENDED, "action": "off", "at": 9000 } });
    scene.put("fence/nodes/ssu2", fenced).await;
    let maintenance = json!({ "until": 1, "who": "root", "reason": "new fans" });
    scene.put("fence/inhibit/*", maintenance).await;
    scene.see().await;

    let status = scene.json(&["status"]).await;
    assert_eq!(status["session"], session.to_string());
    assert_eq!(status["peers"][0]["alive"], true);
    assert_eq!(status["peers"][1]["alive"], false);
    assert_eq!(status["operations"][0]["held"], "a storm");
    let text = scene.haxctl(&[], 0).await;
    for part in ["NOT ALIVE", "FENCED by off", "HELD: a storm", "new fans"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }

    let all = scene.json(&["history"]).await;
    let ids: Vec<&str> = all["ops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|op| op["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [HELD, ENDED]);
    let filtered = ["history", "--outcome", "succeeded", "--target", "ssu2"];
    let some = scene.json(&filtered).await;
    assert_eq!(some["ops"], json!([all["ops"][1]]));

    let text = scene.haxctl(&["explain", ENDED], 0).await;
    for part in [
        "off through pdu",
        "0 success",
        "exit code 0",
        "now ssu2 is fenced, by this, at epoch 1",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let none = "01900000-0000-7000-8000-00000000000f";
    let refused = scene.haxctl(&["explain", none], 1).await;
    assert!(refused.contains("there is no operation"), "{refused}");
    // There is no coordinator any more.
    scene.commands.close();
    while scene.commands.recv().await.is_some() {}
    let refused = scene.haxctl(&["run", "ssu2", "--reason", "why"], 69).await;
    assert!(refused.contains("the coordinator has ended"), "{refused}");
    scene
        .haxctl(&["run", "../ssu2", "--reason", "why"], 64)
        .await;

    let hash = scene.json(&["status"]).await["audit"]["hash"].clone();
    scene.stop.cancel();
    scene.tasks.close();
    scene.tasks.wait().await;
    verify(&scene, hash.as_str().unwrap()).await;
}

/// The file has what has happened, and tells when it is touched.
async fn verify(scene: &Scene, noted: &str) {
    let file = scene.audit.to_str().unwrap();
    let report = scene.json(&["audit", "verify", file]).await;
    let text = std::fs::read_to_string(&scene.audit).unwrap();
    assert_eq!(report["lines"], text.lines().count());
    for event in [
        "requested",
        "attempt-ended",
        "ended",
        "held",
        "node",
        "inhibited",
        "operator",
    ] {
        let event = format!("\"event\":\"{event}\"");
        assert!(text.contains(&event), "{event} in {text}");
    }
    scene
        .haxctl(&["audit", "verify", file, "--expect", noted], 0)
        .await;
    let other = noted.chars().rev().collect::<String>();
    scene
        .haxctl(&["audit", "verify", file, "--expect", &other], 15)
        .await;
    let changed = text.replacen("level 1 is done", "level 2 is done", 1);
    assert_ne!(changed, text);
    std::fs::write(&scene.audit, changed).unwrap();
    let broken = scene.haxctl(&["audit", "verify", file], 15).await;
    assert!(
        broken.contains("does not follow the line before it"),
        "{broken}"
    );
}

#[tokio::test]
async fn an_interrupted_wait_leaves_the_operation() {
    let mut scene = Scene::start().await;
    let held = json!({ "phase": "held", "reason": "a storm", "since": 2000 });
    let key = format!("fence/ops/{HELD}");
    scene.put(&key, operation(HELD, held)).await;
    scene.see().await;
    let taken = || Taken {
        op: HELD.parse().unwrap(),
        merged: true,
    };
    let run = |url: &str, more: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_haxctl"));
        let args = [
            "fence",
            "--hax",
            url,
            "run",
            "ssu2",
            "--reason",
            "its fan burns",
        ];
        let command = command.args(args).args(more).kill_on_drop(true);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        piped.spawn().unwrap()
    };

    let mut child = run(&scene.url, &[]);
    let Some(Command::Request(ask, reply)) = scene.commands.recv().await else {
        panic!("another command")
    };
    assert_eq!(
        (&*ask.reason, ask.action.as_str()),
        ("its fan burns", "off")
    );
    assert!(ask.who.contains('@'), "{}", ask.who);
    reply.send(Ok(taken())).unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    soon("the wait", stderr.read_line(&mut text)).await.unwrap();
    assert!(text.contains("which was there already; waiting"), "{text}");
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    stderr.read_to_string(&mut text).await.unwrap();
    let status = soon("haxctl to end", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(14), "{text}");
    assert!(
        text.contains(&format!("haxctl fence explain {HELD}")),
        "{text}"
    );
    // Nothing was cancelled.
    assert!(scene.commands.try_recv().is_err());

    let child = run(&scene.url, &["--timeout", "1ms"]);
    if let Some(Command::Request(_, reply)) = scene.commands.recv().await {
        reply.send(Ok(taken())).unwrap();
    }
    let output = soon("haxctl to end", child.wait_with_output())
        .await
        .unwrap();
    expect(&output, 14);

    // It ends while somebody waits.
    let child = run(&scene.url, &["--json"]);
    if let Some(Command::Request(_, reply)) = scene.commands.recv().await {
        reply.send(Ok(taken())).unwrap();
    }
    let phase =
        json!({ "phase": "ended", "outcome": "failed", "detail": "no level is left", "at": 9000 });
    scene.put(&key, operation(HELD, phase)).await;
    scene.see().await;
    let output = soon("haxctl to end", child.wait_with_output())
        .await
        .unwrap();
    expect(&output, 12);
    let op: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(op["phase"]["detail"], "no level is left");

    scene.stop.cancel();
    scene.tasks.close();
    scene.tasks.wait().await;
    let away = scene.haxctl(&["status"], 69).await;
    assert!(away.contains("no answer of the bridge"), "{away}");
}
