//! What goes wrong: Consul away, the bridge killed or stopped, connections that break or stall,
//! and more of everything than usual.

mod acl;
mod bound;
mod consul_faults;
mod crash;
mod crash_loop;
mod lanes;
mod late;
mod leader;
mod ledger;
mod link_faults;
mod link_proxy;
mod outage;
mod overtaken;
pub(crate) mod proxy;
pub(crate) mod random;
mod scale;
mod scene;
mod stall;

use halink::{Fid, ProcessEvent, ProcessType};
use hax::sim::client::{Delivery, Event, SimProcess};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness::{Bridge, Cluster, Recorder, Settings, consul, process, soon};

/// How Consul goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// It accepts connections and answers nothing.
    Frozen,
    /// Nobody listens; what it had on disk is there again afterwards.
    Killed,
}

impl Outage {
    /// A cluster whose Consul can go away like this.
    async fn cluster(self, ios: u64) -> Cluster {
        let settings = consul::Settings {
            durable: self == Self::Killed,
            config: json!({ "performance": { "raft_multiplier": 1 } }),
            ..consul::Settings::default()
        };
        let cluster = Cluster::empty_of(settings).await;
        cluster.fill(ios).await;
        cluster
    }

    fn begin(self, cluster: &mut Cluster) {
        match self {
            Self::Frozen => cluster.consul.freeze(),
            Self::Killed => cluster.consul.kill(),
        }
    }

    async fn end(self, cluster: &mut Cluster) {
        match self {
            Self::Frozen => cluster.consul.thaw(),
            Self::Killed => {
                cluster.consul.restart().await;
                // A restarted agent takes no check for passing before it is told so, and without
                // these two nobody leads.
                for key in [0, 1] {
                    cluster
                        .set_check(key, consul_client::CheckStatus::Passing)
                        .await;
                }
            }
        }
    }
}

/// A bridge that gives up a request to Consul soon.
fn hasty() -> Settings {
    Settings::default()
        .with("consul.timeout", "'300ms'")
        .with("consul.connect_timeout", "'300ms'")
}

/// Memory of a process, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let size = line.unwrap().split_whitespace().nth(1);
    size.unwrap().parse().unwrap()
}

async fn send(sim: &SimProcess, event: ProcessEvent) -> Delivery {
    sim.process_event(event, ProcessType::M0d).await.unwrap()
}

async fn delivered(delivery: Delivery) {
    soon("an event to be delivered", delivery.wait())
        .await
        .unwrap();
}

/// Waits until an event of this process is in hand, and failed this often.
async fn wait_retried(bridge: &Bridge, key: u64, times: u64) {
    let event = format!("EVENT_PROCESS of {}", process(key));
    let before = bridge.counter("retries").await;
    let what = format!("an event of process {key} to be retried");
    bridge
        .wait_status(&what, |status| {
            let in_hand = status["queue"]["in_hand"].as_str().unwrap_or_default();
            let retries = status["counters"]["retries"].as_u64().unwrap();
            in_hand.ends_with(&event) && retries >= before + times
        })
        .await;
}

/// A `service` watch in which these processes have this status.
fn watch_body(keys: impl IntoIterator<Item = u64>, status: &str) -> String {
    let entry = |key: u64| {
        json!({ "Node": { "Node": "far" },
                "Service": { "ID": process(key).to_string() },
                "Checks": [{ "Status": status }] })
    };
    Value::Array(keys.into_iter().map(entry).collect()).to_string()
}

/// Posts a watch, which has to be taken.
async fn post(bridge: &Bridge, body: String) -> Value {
    let (status, answer) = bridge.post("/watch/service", body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// When each entrypoint reply came, and its rc.
fn replies(recorder: &Recorder) -> Vec<(Instant, i32)> {
    let events = recorder.events();
    let replies = events.into_iter().filter_map(|(at, event)| match event {
        Event::Entrypoint(reply) => Some((at, reply.rc)),
        _ => None,
    });
    replies.collect()
}

/// Tags that the bridge has delivered, in the order of delivery.
fn delivered_tags(recorder: &Recorder) -> Vec<u64> {
    let events = recorder.events();
    let tags = events.into_iter().filter_map(|(_, event)| match event {
        Event::Delivered { tag, .. } => Some(tag),
        _ => None,
    });
    tags.collect()
}

/// Objects of every NVEC SET received, one list for each message.
fn told(recorder: &Recorder) -> Vec<Vec<Fid>> {
    let messages = recorder.messages();
    let told = messages.into_iter().filter_map(|msg| match msg.body {
        hax::sim::wire::Body::Nvec { notes, .. } => {
            Some(notes.into_iter().map(|note| note.object).collect())
        }
        _ => None,
    });
    told.collect()
}
