//! How broadcasts end on each link, and how that is told.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use halink::HaState;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Bridge, Cluster, eventually, process, soon};

/// `hax sim m0d`; killed when dropped.
struct Process(Child);

impl Process {
    async fn start(bridge: &Bridge, key: u64) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_hax"))
            .args(["sim", "m0d", "--ha", &bridge.endpoint().to_string()])
            .args(["--process", &process(key).to_string()])
            .args(["--endpoint", "inet:tcp:127.0.0.1@29000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self(child);
        bridge.wait_known(key, "STARTED").await;
        started
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGSTOP, and waits until no thread of it runs.
    async fn stop(&self) {
        self.signal(Signal::STOP);
        let stopped = async || self.is_stopped().then_some(());
        eventually("the process to be stopped", stopped).await;
    }

    fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            let (_, state) = stat.rsplit_once(") ").unwrap();
            state.starts_with('T')
        };
        tasks.into_iter().all(stopped)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A watch that says this of a thousand processes.
fn body(status: &str) -> String {
    let entry = |key: u64| {
        json!({ "Node": { "Node": "far" },
                "Service": { "ID": process(key).to_string() },
                "Checks": [{ "Status": status }] })
    };
    Value::Array((10_000..11_000).map(entry).collect()).to_string()
}

async fn post(bridge: &Bridge, body: String, links: u64) {
    let (status, answer) = bridge.post("/watch/service", body).await;
    assert_eq!((status, &answer["links"]), (200, &json!(links)), "{answer}");
}

async fn undelivered(bridge: &Bridge, key: u64) -> Value {
    let status = bridge.status().await;
    let links = status["links"].as_array().unwrap();
    let of = links
        .iter()
        .find(|link| link["process"] == process(key).to_string());
    of.unwrap()["undelivered"].clone()
}

/// Others are told and have acknowledged all of it at a time at which a stopped process, through
/// which nothing can have passed, has been sent all of it.
#[tokio::test]
async fn a_stopped_process_delays_no_other_and_what_it_misses_is_no_success() {
    const BROADCASTS: u64 = 30;
    let cluster = Cluster::small(4).await;
    let bridge = Bridge::start(&cluster).await;
    let stopped = Process::start(&bridge, 2).await;
    let mut others = Vec::new();
    for key in 3..6 {
        others.push(bridge.sim(key).await);
    }
    stopped.stop().await;
    for round in 0..BROADCASTS {
        let (status, state) = [
            ("warning", HaState::Transient),
            ("passing", HaState::Online),
        ][(round % 2) as usize];
        post(&bridge, body(status), 4).await;
        for sim in &others {
            let told = sim.wait_state(process(10_999), state);
            soon("the notes", told).await.unwrap();
        }
    }
    bridge
        .wait_counter("broadcast_delivered", 3 * BROADCASTS)
        .await;
    assert!(stopped.is_stopped());
    assert_eq!(undelivered(&bridge, 2).await, BROADCASTS);
    assert_eq!(bridge.counter("broadcast_messages").await, 4 * BROADCASTS);
    assert_eq!(bridge.counter("broadcast_not_delivered").await, 0);
    stopped.signal(Signal::CONT);
    bridge
        .wait_counter("broadcast_delivered", 4 * BROADCASTS)
        .await;
    assert_eq!(undelivered(&bridge, 2).await, 0);
    // What a process is sent and does not take before its end is not delivered, and not measured.
    stopped.stop().await;
    post(&bridge, body("warning"), 4).await;
    bridge
        .wait_counter("broadcast_delivered", 4 * BROADCASTS + 3)
        .await;
    cluster
        .set_check(2, consul_client::CheckStatus::Critical)
        .await;
    let payload = cluster.service_payload("ios").await;
    // It names the process itself, to which it is not sent.
    post(&bridge, payload, 3).await;
    bridge.wait_counter("broadcast_not_delivered", 1).await;
    bridge
        .wait_counter("broadcast_delivered", 4 * BROADCASTS + 6)
        .await;
    let status = bridge.status().await;
    let latency = &status["latencies"]["broadcast_delivered"];
    assert_eq!(latency["count"], 4 * BROADCASTS + 6, "{latency}");
    assert!(latency["p50_ms"].as_f64() > Some(0.0), "{latency}");
    assert!(
        latency["max_ms"].as_f64() >= latency["p99_ms"].as_f64(),
        "{latency}"
    );
}

/// Samples by name and labels. Each has to follow the head of its metric.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut metric = "";
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            let (name, help) = head.split_once(' ').unwrap();
            assert!(name.starts_with("hax_") && help.len() > 4, "{line}");
            metric = name;
        } else if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            assert_eq!(name, metric);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(sample.starts_with(metric), "{sample} of {metric}");
            let before = samples.insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{sample} twice");
        }
    }
    samples
}

#[tokio::test]
async fn prometheus_is_told_what_the_status_says() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let sims = [bridge.sim(2).await, bridge.sim(3).await];
    post(&bridge, body("warning"), 2).await;
    bridge.wait_counter("broadcast_delivered", 2).await;
    let response = reqwest::get(format!("{}/metrics", bridge.url()))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().unwrap();
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    let samples = samples(&response.text().await.unwrap());
    let status = bridge.status().await;
    for (name, count) in status["counters"].as_object().unwrap() {
        let told = samples[&format!("hax_{name}_total")];
        assert!(told <= count.as_f64().unwrap(), "{name}: {told}, {count}");
    }
    for (sample, value) in [
        ("hax_broadcast_delivered_total", 2.0),
        ("hax_broadcast_delivered_seconds_count", 2.0),
        ("hax_broadcast_delivered_seconds_bucket{le=\"+Inf\"}", 2.0),
        ("hax_queue_requests", 0.0),
        ("hax_queue_is_over_bound", 0.0),
        ("hax_links", 3.0),
        ("hax_consul_reachable", 1.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}");
    }
    let (_, _, link) = sims[0].state().borrow().link.unwrap();
    let process = process(2);
    let sample = format!("hax_link_undelivered_messages{{link=\"{link}\",process=\"{process}\"}}");
    assert_eq!(samples.get(&sample), Some(&0.0), "{sample}");
    for name in ["event_written", "entrypoint_replied", "nvec_answered"] {
        assert!(
            samples.contains_key(&format!("hax_{name}_seconds_sum")),
            "{name}"
        );
    }
}
