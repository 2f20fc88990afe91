//! With real processes.

mod ending;
mod prepare;
mod queueing;
mod running;

use std::collections::BTreeSet;
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use consul_client::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::plugin::{Commands, Rule, UmhConfig};

use super::super::instance::{Context, InstanceName, Order, Plugin, Starting};
use super::super::{Change, EventKind, Hub, Kind, Object, Process, SourceId};
use super::Umh;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A rule for processes; its script has the directory as `$1`.
fn rule(name: &str, dir: &Path, script: &str) -> Rule {
    let dir = dir.to_str().unwrap();
    let words = ["/bin/sh", "-c", script, "sh", dir];
    Rule {
        name: name.to_owned(),
        object: Kind::Process,
        events: BTreeSet::from([EventKind::Create, EventKind::Change]),
        matchers: Vec::new(),
        command: Commands::Program(words.map(str::to_owned).to_vec()),
        env: Default::default(),
        timeout: PATIENCE,
    }
}

fn config(concurrency: usize, pending_max: usize, rules: Vec<Rule>) -> UmhConfig {
    UmhConfig {
        concurrency: NonZeroUsize::new(concurrency).unwrap(),
        pending_max,
        rules,
    }
}

/// What a test has in its hands while the instance works.
struct Probe {
    hub: Hub,
    starting: Starting,
    orders: mpsc::Sender<Order>,
}

impl Probe {
    /// Makes an event of the process.
    fn set(&self, process: &str, state: &str) {
        set(&self.hub, process, state);
    }

    fn count(&self, counter: &str) -> u64 {
        let detail = self.starting.detail();
        detail.get(counter).and_then(Value::as_u64).unwrap_or(0)
    }

    async fn counted(&self, counter: &str, number: u64) {
        until(|| self.count(counter) == number).await;
    }
}

fn set(hub: &Hub, process: &str, state: &str) {
    let object = Object::from(Process {
        process: process.to_owned(),
        state: Some(state.to_owned()),
        ..Process::default()
    });
    hub.apply(SourceId::View, [Change::Set(object)]);
}

fn context(hub: &Hub, feed_max: usize, stop: &CancellationToken) -> (Context, Probe) {
    let starting = Starting::default();
    let (sender, orders) = mpsc::channel(1);
    let context = Context {
        name: InstanceName::new("tell-all").unwrap(),
        node: "here".into(),
        feed: hub.subscribe(feed_max),
        stop: stop.clone(),
        starting: starting.clone(),
        orders,
        // Never asked.
        consul: Client::new(&Config::new("127.0.0.1:1")).unwrap(),
        runtime_dir: PathBuf::from("/nonexistent"),
    };
    let probe = Probe {
        hub: hub.clone(),
        starting,
        orders: sender,
    };
    (context, probe)
}

/// Lets an instance work while `script` goes on, and then stops it. What the instance shows at its end.
async fn at_work<F: Future<Output = ()>>(
    config: UmhConfig,
    script: impl FnOnce(std::rc::Rc<Probe>) -> F,
) -> Value {
    let hub = Hub::default();
    let stop = CancellationToken::new();
    let (context, probe) = context(&hub, 64, &stop);
    let starting = probe.starting.clone();
    let umh = Box::new(Umh::prepare(config, "here").unwrap());
    let mut running = umh.run(context);
    tokio::select! {
        ended = &mut running => panic!("the instance has ended: {ended:?}"),
        () = script(std::rc::Rc::new(probe)) => {}
    }
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap();
    let shown = starting.detail();
    assert_eq!(shown["running"], 0);
    assert_eq!(shown["pending"], 0);
    shown
}

async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it does not come");
}

/// Waits for a file with at least a line in it, and reads it.
async fn line_of(path: &Path) -> String {
    let mut text = String::new();
    until(|| {
        text = std::fs::read_to_string(path).unwrap_or_default();
        text.ends_with('\n')
    })
    .await;
    text.trim_end().to_owned()
}

/// Whether the process runs; one that nobody has reaped does not.
fn alive(pid: &str) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

fn names(dir: &TempDir, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn touch(dir: &TempDir, name: &str) {
    std::fs::write(dir.path().join(name), "").unwrap();
}
