//! The bridge killed over and over, under load, while Consul and links go away at times.
//!
//! `scripts/crash-loop` runs it for longer than the tests do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hax::cluster::process::{alias_key, key};
use hax::sim::client::SimProcess;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::hasty;
use super::ledger::{Ledger, Verdict};
use super::link_proxy::{LinkFault, LinkProxy};
use super::proxy::{Fault, Proxy, Rule};
use super::random::Random;
use crate::harness::{Bridge, Cluster, Until, eventually, soon};

/// Kills of a long run, for instance 200; without it the run is short.
const ROUNDS: &str = "HAX_CRASH_ROUNDS";
/// Repeats the decisions of a run.
const SEED: &str = "HAX_CRASH_SEED";
const ROUNDS_SHORT: usize = 12;
const PROCESSES: u64 = 6;

/// What there is when the bridge is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Nothing but load.
    Load,
    /// A transaction has left the bridge and is never carried out.
    BeforeTheWrite,
    /// A transaction is carried out and the bridge does not know.
    AfterTheWrite,
    /// A transaction has left the bridge and reaches Consul when the next run is at work.
    LateWrite,
    /// Consul fails.
    Outage,
    /// Consul fails now and then, also while the next run starts.
    Flicker,
    /// Links are cut.
    CutLinks,
}

const MOMENTS: [Moment; 7] = [
    Moment::Load,
    Moment::BeforeTheWrite,
    Moment::AfterTheWrite,
    Moment::LateWrite,
    Moment::Outage,
    Moment::Flicker,
    Moment::CutLinks,
];

/// Faults after which a request is tried again.
const TRIED_AGAIN: [Fault; 8] = [
    Fault::Refuse,
    Fault::Close,
    Fault::Hang,
    Fault::Unheard,
    Fault::Reset,
    Fault::Slow,
    Fault::Status(500),
    Fault::Status(429),
];

struct Loop {
    bridge: Bridge,
    proxy: Proxy,
    links: LinkProxy,
    ledgers: Vec<Ledger>,
    random: Random,
}

impl Loop {
    fn delivered(&self) -> usize {
        self.ledgers.iter().map(Ledger::delivered).sum()
    }

    /// Waits until some events more are delivered.
    async fn some_events(&mut self) {
        let wanted = self.delivered() + 1 + self.random.below(100);
        let what = format!("{wanted} delivered events");
        eventually(&what, async || (self.delivered() >= wanted).then_some(())).await;
    }

    async fn retries(&self, more: u64) {
        let before = self.bridge.counter("retries").await;
        let retried = |status: &serde_json::Value| {
            status["counters"]["retries"].as_u64().unwrap() >= before + more
        };
        self.bridge.wait_status("retries", retried).await;
    }

    /// One kill.
    async fn round(&mut self, moment: Moment) {
        self.some_events().await;
        let txn = |fault| [Rule::always("PUT /v1/txn", fault)];
        let held = match moment {
            Moment::BeforeTheWrite => Some(Fault::Hang),
            Moment::AfterTheWrite => Some(Fault::Unheard),
            Moment::LateWrite => Some(Fault::Keep),
            _ => None,
        };
        if let Some(fault) = held {
            self.proxy.set(txn(fault));
            self.proxy.wait_suffered(fault, 1).await;
        }
        match moment {
            Moment::Outage => {
                let fault = self.random.pick(&TRIED_AGAIN);
                self.proxy.set([Rule::always("", fault)]);
                self.retries(1).await;
            }
            Moment::Flicker => {
                let (fault, percent) = (self.random.pick(&TRIED_AGAIN[1..]), 40);
                self.proxy.set([Rule {
                    of: "",
                    fault,
                    percent,
                }]);
                self.retries(1).await;
            }
            Moment::CutLinks => {
                let fault = self.random.pick(&[LinkFault::Cut, LinkFault::Half]);
                self.links.order(fault, PROCESSES / 2);
                self.links.wait_happened().await;
                self.links.cut_all();
            }
            _ => {}
        }
        if held.is_none() {
            let micros = self.random.below(5_000) as u64;
            tokio::time::sleep(Duration::from_micros(micros)).await;
        }
        self.bridge.kill();
        if moment != Moment::Flicker {
            self.proxy.mend();
        }
        self.bridge.restart().await;
        if moment == Moment::LateWrite {
            if self.random.percent(50) {
                self.some_events().await;
            }
            self.proxy.release().await;
        }
        if moment == Moment::Flicker {
            self.retries(1).await;
            self.proxy.mend();
        }
    }
}

fn spawn_reports(
    bridge: &Bridge,
    links: &LinkProxy,
    proxy: &Proxy,
    stop: &watch::Sender<bool>,
) -> (Vec<Ledger>, JoinSet<SimProcess>) {
    let (mut ledgers, mut reports) = (Vec::new(), JoinSet::new());
    for key in 2..2 + PROCESSES {
        let mut config = bridge.sim_config(key);
        if key % 2 == 0 {
            config.ha = links.endpoint.clone();
        }
        let (sim, events) = bridge.spawn_sim(config);
        let ledger = Ledger::open(sim.fid(), events, proxy.journal().clone());
        ledgers.push(ledger.clone());
        let stop = stop.subscribe();
        reports.spawn(async move {
            ledger.report(&sim, stop).await;
            sim
        });
    }
    (ledgers, reports)
}

#[tokio::test]
async fn nothing_delivered_is_lost_in_the_crash_loop() {
    let rounds = std::env::var(ROUNDS).map_or(ROUNDS_SHORT, |rounds| rounds.parse().unwrap());
    let begin = Instant::now();
    let mut random = Random::from_env(SEED);
    // Consul keeps a connection until the blocking query on it ends, also when the client was
    // killed, and refuses a client that has 200; zero lifts this limit.
    let limits = json!({ "limits": { "http_max_conns_per_client": 0 } });
    let cluster = Cluster::empty_with(limits).await;
    cluster.fill(PROCESSES).await;
    let proxy = Proxy::seeded(cluster.consul.address(), random.split()).await;
    let (endpoint, links) = LinkProxy::start(random.split()).await;
    let settings = hasty()
        .with("consul.address", format!("'http://{}'", proxy.address))
        .with("ha.endpoint", format!("'{endpoint}'"))
        .until(Until::Listening);
    let bridge = Bridge::start_with(&cluster, settings).await;
    let stop = watch::Sender::new(false);
    let (ledgers, mut reports) = spawn_reports(&bridge, &links, &proxy, &stop);
    let mut run = Loop {
        bridge,
        proxy,
        links,
        ledgers,
        random,
    };
    let mut moments = BTreeMap::<Moment, usize>::new();
    for _ in 0..rounds {
        let moment = run.random.pick(&MOMENTS);
        *moments.entry(moment).or_default() += 1;
        run.round(moment).await;
    }
    run.some_events().await;
    stop.send_replace(true);
    // The processes stay until the end: one that goes closes its link.
    let mut processes = Vec::new();
    while let Some(report) = soon("the reports to end", reports.join_next()).await {
        processes.push(report.unwrap());
    }
    let mut sum = Verdict::default();
    for ledger in &run.ledgers {
        ledger.settled().await;
        let verdict = ledger.check(run.proxy.journal());
        sum.events += verdict.events;
        sum.again += verdict.again;
        for key in [key(ledger.process()), alias_key(ledger.process())] {
            let stored = cluster.get(&key).await.unwrap();
            assert_eq!(stored.text().ok(), ledger.last_value().as_deref(), "{key}");
        }
    }
    for counter in ["final_errors", "malformed"] {
        assert_eq!(run.bridge.counter(counter).await, 0, "{counter}");
    }
    eprintln!(
        "crash loop: rounds {rounds} {moments:?}, faults of Consul {}, events {}, \
         written again {}, losses 0, {:?}",
        run.proxy.suffered_all(),
        sum.events,
        sum.again,
        begin.elapsed()
    );
}
