//! An instance at work: from events to runs.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use crate::config::plugin::{Rule, UmhConfig};

use super::super::event::Event;
use super::super::feed::Told;
use super::super::instance::{Context, Starting};
use super::super::object::Key;
use super::TARGET;
use super::counters::{Counters, Shown};
use super::environment::{Place, environment};
use super::matching;
use super::output::Stream;
use super::queue::Queue;
use super::run::{Call, Ending, Report, run};

/// The runs of one rule for one object keep their order.
type Lane = (usize, Arc<Key>);

/// A run that is wanted.
struct Job {
    rule: Arc<Rule>,
    event: Event,
}

/// Works until the instance is stopped; then all runs have ended.
pub(super) async fn run_instance(config: UmhConfig, node: &str, context: Context) {
    let Context {
        name,
        mut feed,
        stop,
        starting,
        mut orders,
        ..
    } = context;
    let mut engine = Engine {
        place: Arc::new(Place {
            instance: name.to_string(),
            node: node.to_owned(),
        }),
        queue: Queue::new(config.concurrency, config.pending_max),
        rules: config.rules.into_iter().map(Arc::new).collect(),
        counters: Counters::default(),
        full: 0,
        starting,
    };
    // Dropping it kills every group: see `ProcessGroup`.
    let mut runs = FuturesUnordered::new();
    engine.show();
    engine.starting.ready();
    loop {
        // Under a stream of events the runtime gets its turn, too: ends of processes come from it.
        tokio::task::coop::consume_budget().await;
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(order) = orders.recv() => order.refuse("umh"),
            Some((lane, ending)) = runs.next() => engine.ended(lane, &ending),
            told = feed.next() => engine.told(told),
        }
        while let Some((lane, job)) = engine.queue.start() {
            let place = Arc::clone(&engine.place);
            let stop = stop.clone();
            runs.push(async move {
                let ending = do_job(&place, &job, &stop).await;
                (lane, ending)
            });
        }
        engine.show();
    }
    engine.stop();
    while let Some((lane, ending)) = runs.next().await {
        engine.ended(lane, &ending);
        engine.show();
    }
}

struct Engine {
    place: Arc<Place>,
    rules: Vec<Arc<Rule>>,
    queue: Queue<Lane, Job>,
    counters: Counters,
    /// Runs dropped since all pending ones were started last.
    full: u64,
    starting: Starting,
}

impl Engine {
    fn told(&mut self, told: Told) {
        match told {
            Told::Event(event) => self.event(&event),
            Told::Missed(missed) => {
                self.counters.missed += missed;
                tracing::warn!(
                    target: TARGET,
                    instance = self.place.instance,
                    missed,
                    "events were missed: no command was run for them"
                );
            }
        }
    }

    fn event(&mut self, event: &Event) {
        for (number, rule) in self.rules.iter().enumerate() {
            if !matching::is_for(rule, event) {
                continue;
            }
            let lane = (number, Arc::clone(&event.key));
            let job = Job {
                rule: Arc::clone(rule),
                event: event.clone(),
            };
            if self.queue.push(lane, job).is_ok() {
                continue;
            }
            self.counters.dropped += 1;
            self.full += 1;
            if self.full == 1 {
                tracing::warn!(
                    target: TARGET,
                    instance = self.place.instance,
                    rule = rule.name,
                    object = %event.key,
                    pending = self.queue.pending(),
                    "too many runs wait: this one and more are left out until all that wait have been started"
                );
            }
        }
    }

    fn ended(&mut self, lane: Lane, ending: &Ending) {
        self.counters.ended(ending);
        self.queue.done(lane);
    }

    /// Ends an episode, and shows what there is to show.
    fn show(&mut self) {
        if self.full > 0 && self.queue.pending() == 0 {
            tracing::warn!(
                target: TARGET,
                instance = self.place.instance,
                dropped = self.full,
                "no run waits any more; so many were left out"
            );
            self.full = 0;
        }
        let shown = Shown {
            counters: self.counters,
            running: self.queue.running(),
            pending: self.queue.pending(),
        };
        // Numbers by their names are always JSON.
        self.starting
            .show(serde_json::to_value(shown).unwrap_or_default());
    }

    fn stop(&mut self) {
        let waiting = self.queue.clear();
        self.counters.dropped += waiting as u64;
        let running = self.queue.running();
        if waiting > 0 || running > 0 {
            tracing::info!(
                target: TARGET,
                instance = self.place.instance,
                waiting,
                running,
                "the instance stops: what waits is not run, what runs is ended"
            );
        }
        self.show();
    }
}

async fn do_job(place: &Place, job: &Job, stop: &CancellationToken) -> Ending {
    let Job { rule, event } = job;
    let log = |stream: Stream, line: &str| {
        tracing::info!(
            target: TARGET,
            instance = place.instance,
            rule = rule.name,
            object = %event.key,
            event = event.number,
            stream = stream.word(),
            "{line}"
        );
    };
    let call = Call {
        command: &rule.command,
        environment: environment(place, rule, event),
        timeout: rule.timeout,
    };
    let report = run(call, stop, &log).await;
    log_report(place, job, &report);
    report.ending
}

fn log_report(place: &Place, job: &Job, report: &Report) {
    /// The level must be a constant.
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                target: TARGET,
                instance = place.instance,
                rule = job.rule.name,
                object = %job.event.key,
                event = job.event.number,
                kind = job.event.kind.word(),
                lines = report.output.logged,
                lines_left_out = report.output.left_out,
                bytes_cut = report.output.cut,
                "the command has run: {}",
                report.ending
            )
        };
    }
    match report.ending {
        Ending::Exited(0) | Ending::Stopped { .. } => log!(info),
        _ => log!(warn),
    }
}
