//! Fencing: what is parsed, what is refused and with which status. The coordinator's end of the channel is
//! answered here; what the coordinator does is tested where it is.

mod commands;
mod reads;
mod refusals;

use consul_client::Index;
use tokio::sync::mpsc;

use super::*;
use crate::fence::model::{
    self as model, Action, End, NodeName, OpId, Operation, Outcome, Phase, Source, Target,
    UnixMillis,
};
use crate::fence::{About, Command, FenceView, Refused, Stored};

/// A server whose coordinator is the test.
struct Scene {
    router: Router,
    view: watch::Sender<Arc<FenceView>>,
    commands: mpsc::Receiver<Command>,
}

impl Scene {
    fn new() -> Self {
        let (view, receiver) = watch::channel(Arc::default());
        let (handle, commands) = FenceHandle::new(receiver);
        let about = About {
            node: Some(node("ssu1")),
            ..About::default()
        };
        let mut bridge = Recorder::accepting();
        bridge.fence = Some(handle.with_about(about));
        Self {
            router: router(bridge, &Limits::default()),
            view,
            commands,
        }
    }

    fn add(&self, op: Operation) {
        self.view.send_modify(|view| {
            let (value, index) = (op, Index(1));
            let id = value.id.clone();
            Arc::make_mut(view).ops.insert(id, Stored { value, index });
        });
    }

    async fn get(&self, path: &str) -> Reply {
        ask(&self.router, request("GET", path, None)).await
    }

    /// The reply to a request for which the coordinator is asked once.
    async fn with(&mut self, request: Request<Body>, answer: impl FnOnce(Command)) -> Reply {
        let (reply, ()) = tokio::join!(ask(&self.router, request), async {
            answer(self.commands.recv().await.unwrap());
        });
        reply
    }

    /// Nothing has come to the coordinator.
    fn is_quiet(&mut self) -> bool {
        self.commands.try_recv().is_err()
    }
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn request(method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    request.body(body).unwrap()
}

fn by() -> Value {
    json!({ "who": "root@ssu1", "reason": "its fan burns" })
}

fn run_body() -> Value {
    json!({ "target": "ssu2", "action": "off", "who": "root@ssu1", "reason": "its fan burns" })
}

fn with(mut body: Value, key: &str, value: Value) -> Value {
    body[key] = value;
    body
}

fn operation(target: &str) -> Operation {
    Operation {
        id: OpId::new(),
        target: target.parse().unwrap(),
        action: Action::Off,
        origin: model::Origin {
            node: node("ssu1"),
            source: Source::Operator,
            who: "root".to_owned(),
            reason: "why not".to_owned(),
            at: UnixMillis(5),
        },
        joined: Vec::new(),
        options: model::Options::default(),
        driver: node("ssu1"),
        phase: Phase::Requested,
        before: Default::default(),
        plan: None,
        attempts: Vec::new(),
    }
}

fn ended(mut op: Operation, outcome: Outcome) -> Operation {
    op.phase = Phase::Ended(End {
        outcome,
        detail: "it is off".to_owned(),
        at: UnixMillis(9),
    });
    op
}

/// Every route, with a body that is right.
fn routes() -> Vec<(&'static str, String, Option<Value>)> {
    let id = OpId::new();
    let inhibit = with(by(), "for_ms", json!(60_000));
    vec![
        ("GET", "/v1/fence".to_owned(), None),
        ("GET", "/v1/fence/devices".to_owned(), None),
        ("GET", "/v1/fence/devices/pdu/targets".to_owned(), None),
        (
            "POST",
            "/v1/fence/devices/pdu/ping".to_owned(),
            Some(json!({})),
        ),
        (
            "GET",
            "/v1/fence/plan?target=ssu2&action=off".to_owned(),
            None,
        ),
        ("GET", "/v1/fence/ops".to_owned(), None),
        ("GET", format!("/v1/fence/ops/{id}"), None),
        ("POST", "/v1/fence/run".to_owned(), Some(run_body())),
        ("POST", format!("/v1/fence/ops/{id}/cancel"), Some(by())),
        ("POST", format!("/v1/fence/ops/{id}/override"), Some(by())),
        (
            "POST",
            "/v1/fence/nodes/ssu2/confirm".to_owned(),
            Some(by()),
        ),
        (
            "POST",
            "/v1/fence/nodes/ssu2/release".to_owned(),
            Some(by()),
        ),
        ("PUT", "/v1/fence/inhibit".to_owned(), Some(inhibit.clone())),
        ("PUT", "/v1/fence/inhibit/ssu2".to_owned(), Some(inhibit)),
        ("DELETE", "/v1/fence/inhibit".to_owned(), Some(by())),
        ("DELETE", "/v1/fence/inhibit/ssu2".to_owned(), Some(by())),
    ]
}
