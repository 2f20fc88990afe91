//! An outage of Consul while process events keep coming: what the bridge holds, and how fast it
//! catches up.

use std::cell::Cell;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::clock;
use crate::bench::load::Command;
use crate::bench::run::{Bench, say};

/// Processes that go on talking.
const LINKS: usize = 100;
/// Events of each: together twice of what the bridge holds (`dispatch.queue_max` and 16 a link), as
/// if 1,000 a second had come for half a minute. From there on nothing changes, however long the
/// outage is: the processes hold the rest.
const EACH: usize = 360;
/// Events of each in a quick run, which the bridge holds all.
const EACH_QUICK: usize = 30;
/// Looks at the queue that must agree before it is taken to be full.
const STILL: usize = 20;

impl Bench {
    pub(in crate::bench) async fn outage(&mut self) -> Result<()> {
        say("an outage of consul");
        self.loader.connect(LINKS.max(self.loader.links())).await?;
        let each = self.either(EACH_QUICK, EACH);
        let Self {
            loader,
            daemon,
            agent,
            figures,
            ..
        } = self;
        let before = daemon.rss_kib()?;
        let begun = written(&daemon.wait("a status", |_| true).await?)?;
        let all = begun + (LINKS * each) as u64;
        agent.freeze()?;
        let events = Command::Events { links: LINKS, each };
        let load = loader.run(&events);
        let outage = async {
            let (mut held, mut still) = (0, 0);
            while still < STILL {
                let now = count(&daemon.wait("a status", |_| true).await?, "/queue/messages")?;
                still = if now == held && now > 0 { still + 1 } else { 0 };
                held = now;
            }
            let full = daemon.rss_kib()?;
            agent.thaw()?;
            // The bridge pauses between attempts; what is measured is how it goes on after that: from
            // the last look that found nothing written.
            let since = |status: &Value| written(status).unwrap_or(0);
            let start = Cell::new(clock::now());
            let first = |status: &Value| {
                let some = since(status) > begun;
                if !some {
                    start.set(clock::now());
                }
                some
            };
            daemon
                .wait("the first event after the outage", first)
                .await?;
            daemon
                .wait("the last event of the outage", |status| {
                    since(status) >= all
                })
                .await?;
            let rate = clock::per_second(LINKS * each, clock::now() - start.get());
            anyhow::Ok((held, full, rate))
        };
        let (_, (held, full, rate)) = tokio::try_join!(load, outage)?;
        figures.sampled("outage_drain_per_s", LINKS * each);
        figures.outage_held = Some(usize::try_from(held)?);
        figures.outage_rss_mib = Some(mib(full.saturating_sub(before)));
        figures.outage_drain_per_s = Some(rate);
        Ok(())
    }
}

fn written(status: &Value) -> Result<u64> {
    count(status, "/counters/process_events")
}

fn count(status: &Value, path: &str) -> Result<u64> {
    let count = status.pointer(path).and_then(Value::as_u64);
    count.with_context(|| format!("the status has no {path}"))
}

#[allow(clippy::cast_precision_loss, reason = "memory is far below 2^53 KiB")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
