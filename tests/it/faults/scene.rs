//! A bridge between two fault proxies, with processes that keep ledgers.

use halink::{Fid, HaState};
use hax::cluster::process::{alias_key, key};
use hax::sim::client::SimProcess;
use hax::sim::wire::Note;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use super::ledger::{Ledger, Verdict};
use super::link_proxy::LinkProxy;
use super::proxy::Proxy;
use super::random::Random;
use super::{hasty, post, replies, watch_body};
use crate::harness::{Bridge, Cluster, Recorder, process, soon};

/// Far above `entrypoint.timeout`: the machine may be busy, and a lost request is never answered.
const GENEROUS: Duration = Duration::from_secs(20);

/// What the bridge may grow by while it holds what a few processes have said.
const GROWTH_KIB: u64 = 16 * 1_024;

/// An NVEC GET under way.
type Asked = JoinHandle<Vec<Note>>;

pub(super) struct Scene {
    pub(super) cluster: Cluster,
    pub(super) bridge: Bridge,
    pub(super) proxy: Proxy,
    pub(super) links: LinkProxy,
    pub(super) processes: Vec<(SimProcess, Ledger)>,
    /// NVEC GETs so far, by process.
    gets: usize,
    pid: u32,
    rss: u64,
}

/// A process that asks for its entrypoint while something goes wrong.
pub(super) struct Newcomer {
    sim: SimProcess,
    recorder: Recorder,
    begin: Instant,
}

impl Newcomer {
    /// Waits until it was told EAGAIN so often.
    pub(super) async fn told_again(&self, times: u64) {
        let told = self.sim.wait(|state| state.again >= times);
        soon("EAGAIN", told).await.unwrap();
    }

    /// Waits for its entrypoint. Its first answer came in time, and no EAGAIN sooner than a second
    /// after the one before (7/ORDER, O5 and O6).
    pub(super) async fn served(&self) {
        soon("the entrypoint", self.sim.ready()).await.unwrap();
        let replies = replies(&self.recorder);
        let first = replies[0].0 - self.begin;
        assert!(first < GENEROUS, "the first answer came after {first:?}");
        let again = replies.iter().filter(|(_, rc)| *rc != 0);
        for (n, (at, rc)) in again.enumerate() {
            assert_eq!(*rc, -11);
            let least = Duration::from_secs(n as u64);
            let after = *at - self.begin;
            assert!(after >= least, "EAGAIN number {n} came after {after:?}");
        }
    }
}

impl Scene {
    /// Three processes, each of which has said one event.
    pub(super) async fn begin(random: &mut Random) -> Self {
        let cluster = Cluster::small(3).await;
        let proxy = Proxy::seeded(cluster.consul.address(), random.split()).await;
        let (endpoint, links) = LinkProxy::start(random.split()).await;
        let settings = hasty()
            .with("consul.address", format!("'http://{}'", proxy.address))
            .with("ha.endpoint", format!("'{endpoint}'"))
            .with("entrypoint.timeout", "'500ms'");
        let bridge = Bridge::start_with(&cluster, settings).await;
        let mut processes = Vec::new();
        for key in 2..5 {
            let mut config = bridge.sim_config(key);
            config.ha = links.endpoint.clone();
            let (sim, events) = bridge.spawn_sim(config);
            let ledger = Ledger::open(sim.fid(), events, proxy.journal().clone());
            soon("an entrypoint", sim.ready()).await.unwrap();
            processes.push((sim, ledger));
        }
        let mut scene = Self {
            pid: bridge.pid(),
            rss: 0,
            cluster,
            bridge,
            proxy,
            links,
            processes,
            gets: 0,
        };
        scene.say(1).await;
        scene.settled().await;
        scene.rss = super::resident_kib(scene.pid);
        scene
    }

    /// Every process says some events.
    pub(super) async fn say(&self, count: usize) {
        for (sim, ledger) in &self.processes {
            ledger.say(sim, count).await;
        }
    }

    /// Waits until every event is delivered.
    pub(super) async fn settled(&self) {
        for (_, ledger) in &self.processes {
            ledger.settled().await;
        }
    }

    /// Whether every event is delivered.
    pub(super) fn is_settled(&self) -> bool {
        let mut ledgers = self.processes.iter().map(|(_, ledger)| ledger);
        ledgers.all(|ledger| ledger.delivered() == ledger.said())
    }

    fn asked_for(&self) -> Vec<Fid> {
        [4, 9, 2, 4].map(process).to_vec()
    }

    /// Every process asks for the same states.
    pub(super) fn ask(&mut self) -> Vec<Asked> {
        self.gets += 1;
        let objects = self.asked_for();
        let asked = self.processes.iter().map(|(sim, _)| {
            let (sim, objects) = (sim.clone(), objects.clone());
            tokio::spawn(async move { sim.nvec_get(&objects).await.unwrap() })
        });
        asked.collect()
    }

    /// Waits for the answers, each of which has a state for each object (7/ORDER, O4).
    pub(super) async fn answered(&self, asked: Vec<Asked>) {
        for asked in asked {
            let notes = soon("an answer", asked).await.unwrap();
            let objects: Vec<_> = notes.iter().map(|note| note.object).collect();
            assert_eq!(objects, self.asked_for());
            let state = HaState::Online.raw();
            assert!(notes.iter().all(|note| note.state == state), "{notes:?}");
        }
    }

    /// A process that has just started to ask for its entrypoint.
    pub(super) fn newcomer(&self, key: u64) -> Newcomer {
        let begin = Instant::now();
        let (sim, events) = self.bridge.spawn_sim(self.bridge.sim_config(key));
        let recorder = Recorder::spawn(events);
        Newcomer {
            sim,
            recorder,
            begin,
        }
    }

    /// A watch is broadcast, whatever else goes on (7/ORDER, O7). Each call needs an `object` that
    /// has not been told yet.
    pub(super) async fn broadcast(&self, object: u64) {
        post(&self.bridge, watch_body([object], "warning")).await;
        for (sim, _) in &self.processes {
            let told = sim.wait_state(process(object), HaState::Transient);
            soon("the note", told).await.unwrap();
        }
    }

    /// Everything is as it has to be when all is delivered: the bridge is the same and has not
    /// grown, nothing waits, every GET was answered once, and KV has the last event of each.
    pub(super) async fn check(&mut self) -> Verdict {
        self.settled().await;
        assert!(self.bridge.is_alive());
        assert_eq!(self.bridge.pid(), self.pid);
        let nothing_waits = |status: &Value| {
            status["queue"]["waiting"] == 0 && status["queue"]["in_hand"].is_null()
        };
        self.bridge
            .wait_status("nothing waits", nothing_waits)
            .await;
        let mut sum = Verdict::default();
        for (_, ledger) in &self.processes {
            let verdict = ledger.check(self.proxy.journal());
            sum.events += verdict.events;
            sum.again += verdict.again;
            assert_eq!(ledger.answers(), vec![1; self.gets]);
            for key in [key(ledger.process()), alias_key(ledger.process())] {
                let stored = self.cluster.get(&key).await.unwrap();
                assert_eq!(stored.text().ok(), ledger.last_value().as_deref(), "{key}");
            }
        }
        let rss = super::resident_kib(self.pid);
        assert!(rss < self.rss + GROWTH_KIB, "{} KiB, then {rss}", self.rss);
        assert_eq!(self.bridge.counter("malformed").await, 0);
        sum
    }
}
