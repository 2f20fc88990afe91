//! A trio with Motr processes: on each node a confd, an ios that may fail, and an ios that hears what
//! it is told.

use std::time::SystemTime;

use consul_client::CheckStatus;
use halink::{Fid, HaState, ProcessEvent, ProcessType};
use hax::fence::model::{Operation, Outcome};
use hax::sim::client::SimProcess;
use tokio::time::Instant;

use super::{Shape, Trio};
use crate::death::{Local, all_told, post_health};
use crate::harness::{Bridge, Cluster, Instance, Recorder, Settings, process, service, soon};

/// Key of a node's own process, and the distance of two nodes.
pub(super) fn own(node: usize) -> u64 {
    100 * (node as u64 + 1)
}

/// Key of the ios that may fail.
pub(super) fn ios(node: usize) -> u64 {
    own(node) + 2
}

/// Key of the ios that hears.
pub(super) fn ear(node: usize) -> u64 {
    own(node) + 3
}

/// Puts what runs on a node into the catalog and KV.
pub(super) async fn fill(cluster: &Cluster, node: usize) {
    for (key, name, services) in [
        (own(node), "hax", ["ha", "rms"]),
        (own(node) + 1, "confd", ["rms", "confd"]),
        (ios(node), "ios", ["rms", "ios"]),
        (ear(node), "ios", ["rms", "ios"]),
    ] {
        cluster.add_process(&cluster.node, key, services).await;
        cluster.register(Instance::new(key, name)).await;
    }
}

/// The bridge of a node with its own process, for which somebody leads.
pub(super) fn settings(settings: Settings, node: usize) -> Settings {
    let own = own(node);
    settings
        .with("ha.process", format!("'{}'", process(own)))
        .with("ha.ha_service", format!("'{}'", service(2 * own)))
        .with("ha.rm_service", format!("'{}'", service(2 * own + 1)))
        .with("leader.elect", "true")
}

/// A process that hears, and what it has heard.
pub(super) struct Ear {
    pub(super) sim: SimProcess,
    pub(super) heard: Recorder,
    /// Time of day and monotonic time of one moment.
    epoch: (SystemTime, Instant),
}

impl Ear {
    pub(super) async fn on(bridge: &Bridge, node: usize) -> Self {
        let mut config = bridge.sim_config(ear(node));
        // Nobody's here.
        config.identity.pid = u64::from(u32::MAX);
        let (sim, events) = bridge.spawn_sim(config);
        let heard = Recorder::spawn(events);
        soon("an entrypoint", sim.ready()).await.unwrap();
        for event in [ProcessEvent::Starting, ProcessEvent::Started] {
            let said = sim.process_event(event, ProcessType::M0d).await.unwrap();
            soon("an event to be delivered", said.wait()).await.unwrap();
        }
        Self {
            sim,
            heard,
            epoch: (SystemTime::now(), Instant::now()),
        }
    }

    /// What it was told of an object, each state once as long as it stays.
    pub(super) fn states(&self, object: Fid) -> Vec<HaState> {
        let mut states = self.heard.states_of(object);
        states.dedup();
        states
    }

    /// When it was told of a process for the first time that it has failed, in nanoseconds since 1970.
    pub(super) async fn failed_at(&self, key: u64) -> u128 {
        let states = self.heard.states_of(process(key));
        let before = states.iter().position(|state| *state == HaState::Failed);
        let at = self
            .heard
            .wait_nth_state(process(key), before.unwrap())
            .await;
        let time = self.epoch.0 + at.duration_since(self.epoch.1);
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_nanos()
    }
}

/// A trio with somebody who hears on each node.
pub(super) struct Field {
    pub(super) trio: Trio,
    /// Of each node; none: its hax is dead.
    pub(super) ears: Vec<Option<Ear>>,
}

/// Keys that every trio with Motr has.
pub(super) fn shape(devices: &[(&'static str, &'static str)]) -> Shape {
    let mut shape = Shape::of(devices.iter().copied())
        .and("{ name = 'kill', type = 'process' }".to_owned())
        .with(
            "fence.policy",
            "[{ name = 'test', after = '1s', action = 'off', max = 100 }]",
        )
        .with("fence.tolerance", "'0s'");
    shape.motr = true;
    shape
}

impl Field {
    pub(super) async fn start(shape: &Shape) -> Self {
        let trio = Trio::start(shape).await;
        let mut ears = Vec::new();
        for (number, bridge) in trio.bridges.iter().enumerate() {
            ears.push(Some(Ear::on(bridge, number).await));
        }
        Self { trio, ears }
    }

    pub(super) fn bridge(&self, node: usize) -> &Bridge {
        &self.trio.bridges[node]
    }

    /// Those who hear, with their nodes.
    pub(super) fn ears(&self) -> impl Iterator<Item = (usize, &Ear)> {
        let ears = self.ears.iter().enumerate();
        ears.filter_map(|(number, ear)| Some((number, ear.as_ref()?)))
    }

    /// They forget what they have heard so far.
    pub(super) async fn forget(&mut self) {
        for number in 0..self.ears.len() {
            if self.ears[number].take().is_some() {
                self.ears[number] = Some(Ear::on(self.bridge(number), number).await);
            }
        }
    }

    /// The ios of a node, which has started: everybody has heard that it is online.
    pub(super) async fn ios(&self, node: usize) -> Local {
        let cluster = &self.trio.nodes[node];
        let key = ios(node);
        cluster.set_check(key, CheckStatus::Passing).await;
        let local = Local::m0d(self.bridge(node), key).await;
        for (number, _) in self.ears() {
            self.bridge(number).wait_known(key, "STARTED").await;
        }
        let all = self.present();
        self.post_health(&all).await;
        self.all_told(&all, key, HaState::Online).await;
        local
    }

    /// Nodes on which somebody hears.
    pub(super) fn present(&self) -> Vec<usize> {
        self.ears().map(|(number, _)| number).collect()
    }

    /// What Consul's watches would post on these nodes: what checks say of the ios processes.
    pub(super) async fn post_health(&self, nodes: &[usize]) {
        for number in nodes {
            post_health(self.bridge(*number), &self.trio.nodes[*number]).await;
        }
    }

    /// The same of all checks, those of nodes, too.
    pub(super) async fn post_checks(&self, nodes: &[usize]) {
        for number in nodes.iter().copied() {
            let node = &self.trio.nodes[number];
            let payload = node.payload("/v1/health/state/any").await;
            let (code, answer) = self.bridge(number).post("/watch/checks", payload).await;
            assert_eq!(code, 200, "{answer}");
        }
    }

    /// Waits until those who hear on these nodes were told this of a process and its services.
    pub(super) async fn all_told(&self, nodes: &[usize], key: u64, state: HaState) {
        for (_, ear) in self.ears().filter(|(number, _)| nodes.contains(number)) {
            all_told(&[&ear.sim], key, state).await;
        }
    }

    /// Each was told exactly these states, in this order, of a process and its services.
    #[track_caller]
    pub(super) fn assert_states(&self, nodes: &[usize], key: u64, states: &[HaState]) {
        let objects = [process(key), service(2 * key), service(2 * key + 1)];
        for (number, ear) in self.ears().filter(|(number, _)| nodes.contains(number)) {
            for object in objects {
                assert_eq!(ear.states(object), states, "node {number}, {object}");
            }
        }
    }

    /// `<fid>@<node>`.
    pub(super) fn target(&self, node: usize) -> String {
        format!("{}@{}", process(ios(node)), self.trio.name(node))
    }

    /// Waits until a target has been fenced or confirmed after `before` others; the last one.
    pub(super) async fn confirmed(&self, by: usize, target: &str, before: usize) -> Operation {
        let what = format!("{target} to be confirmed");
        self.trio
            .wait_view(by, &what, |view| {
                let ops = view.ops.values().map(|op| &op.value);
                let mut done: Vec<_> = ops
                    .filter(|op| op.target.to_string() == target)
                    .filter(|op| op.ended().is_some_and(|end| end.outcome.is_success()))
                    .collect();
                done.sort_by_key(|op| op.id.to_string());
                done.get(before).map(|op| Operation::clone(op))
            })
            .await
    }

    /// Waits until a process has been fenced by its policy; the operation. That it has ended is recorded by
    /// the death watch, too, perhaps before.
    pub(super) async fn fenced(&self, by: usize, target: &str) -> Operation {
        self.trio
            .wait_view(by, &format!("{target} to be fenced"), |view| {
                let mut ops = view.ops.values().map(|op| &op.value);
                let op =
                    ops.find(|op| op.target.to_string() == target && !op.attempts.is_empty())?;
                op.ended().map(|_| op.clone())
            })
            .await
    }

    /// Waits until a process has been fenced with success once more than `before` times; the operation.
    pub(super) async fn fenced_again(&self, by: usize, target: &str, before: usize) -> Operation {
        self.trio
            .wait_view(by, &format!("{target} to be fenced again"), |view| {
                let ops = view.ops.values().map(|op| &op.value);
                let done = |op: &&Operation| {
                    op.target.to_string() == target
                        && !op.attempts.is_empty()
                        && op.ended().is_some_and(|end| end.outcome.is_success())
                };
                ops.filter(done).nth(before).cloned()
            })
            .await
    }

    /// No node was ever acted upon.
    #[track_caller]
    pub(super) fn no_agent_ran(&self) {
        assert_eq!(self.trio.agents.lines(), []);
    }
}

/// By which node each attempt of an operation was made.
pub(super) fn delegates(op: &Operation) -> Vec<&str> {
    let attempts = op.attempts.iter();
    attempts.map(|attempt| attempt.peer.as_str()).collect()
}

/// Asserts that an operation has done something, with success.
#[track_caller]
pub(super) fn succeeded(op: &Operation) {
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
}
