//! Process events, and the same writes by Consul alone.

use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use halink::{Fid, FidType, ProcessEvent, ProcessType};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::bench::clock;
use crate::bench::http::Http;
use crate::bench::load::Command;
use crate::bench::run::{Bench, Rounds, say};
use crate::bench::stats::Sample;
use crate::cluster::StoredStatus;

/// Processes of a burst.
const MANY: usize = 100;
/// Processes of a burst in which the same ones speak again and again.
const FEW: usize = 4;
/// Events of a process in a burst: at most what a link may have undelivered.
const EACH_MAX: usize = 1_000;
/// Events of a transaction: two keys each, 64 operations.
const EVENTS_OF_TXN: usize = 32;
/// Events of a round that go one at a time.
const SERIAL: usize = 50;
/// Keys of what Consul writes alone; the bridge does not watch them.
const PREFIX: &str = "hax-bench";

impl Bench {
    pub(in crate::bench) async fn events(&mut self) -> Result<()> {
        self.loader.connect(MANY.max(self.loader.links())).await?;
        let consul = self.agent.connect().await?;
        let mut raw = Raw { consul };
        self.bursts(&mut raw).await?;
        self.bursts_of_few().await?;
        self.serial(&mut raw).await
    }

    async fn bursts(&mut self, raw: &mut Raw) -> Result<()> {
        say("process events of many processes");
        let each = self.fitting(MANY).await?;
        let bodies = transactions(MANY);
        let events = MANY * each;
        let (mut rates, mut raws, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = raw.burst(&bodies, events).await?;
        let mut rounds = Rounds::new(3, 9, Duration::from_millis(self.either(1_500, 6_000)));
        while rounds.again() {
            let rate = self.burst(MANY, each).await?;
            let after = raw.burst(&bodies, events).await?;
            rates.push(rate);
            ratios.push(rate / f64::midpoint(before, after));
            raws.push(before);
            before = after;
        }
        raws.push(before);
        let rates: Sample = rates.into_iter().collect();
        let figures = &mut self.figures;
        figures.sampled("events_burst_per_s", rates.len() * events);
        figures.sampled("events_burst_raw_ratio", ratios.len());
        figures.events_burst_per_s = rates.median();
        figures.events_burst_raw_per_s = raws.into_iter().collect::<Sample>().median();
        figures.events_burst_raw_ratio = ratios.into_iter().collect::<Sample>().median();
        Ok(())
    }

    async fn bursts_of_few(&mut self) -> Result<()> {
        say("process events of few processes");
        let each = self.fitting(FEW).await?;
        let mut rates = Vec::new();
        let mut rounds = Rounds::new(2, 5, Duration::from_millis(self.either(500, 2_000)));
        while rounds.again() {
            rates.push(self.burst(FEW, each).await?);
        }
        let rates: Sample = rates.into_iter().collect();
        self.figures
            .sampled("events_burst_same_per_s", rates.len() * FEW * each);
        self.figures.events_burst_same_per_s = rates.median();
        Ok(())
    }

    async fn serial(&mut self, raw: &mut Raw) -> Result<()> {
        say("process events one at a time");
        let mut rates = Vec::new();
        let mut alone = Alone::default();
        let mut trips = Vec::new();
        raw.one_at_a_time(&mut alone).await?;
        let mut rounds = Rounds::new(
            self.either(2, 5),
            40,
            Duration::from_millis(self.either(900, 4_000)),
        );
        while rounds.again() {
            let serial = Command::EventsSerial { count: SERIAL };
            rates.push(clock::per_second(
                SERIAL,
                self.loader.run(&serial).await?.nanos,
            ));
            raw.one_at_a_time(&mut alone).await?;
            let trip = Command::ServiceEvents { count: SERIAL };
            let samples = self.loader.run(&trip).await?.samples;
            trips.extend(samples.into_iter().map(|nanos| clock::millis(nanos) * 1e3));
        }
        let figures = &mut self.figures;
        figures.sampled("event_serial_raw_ratio", rates.len());
        figures.sampled("event_serial_per_s", rates.len() * SERIAL);
        figures.sampled("link_round_trip_us", trips.len());
        figures.event_serial_raw_ratio = ratio(&rates, &alone.puts);
        figures.event_serial_same_writes_ratio = ratio(&rates, &alone.both);
        figures.event_serial_txn_ratio = ratio(&rates, &alone.txns);
        figures.event_serial_per_s = median(rates);
        figures.event_serial_raw_per_s = median(alone.puts);
        figures.event_serial_same_writes_per_s = median(alone.both);
        figures.event_serial_raw_txn_per_s = median(alone.txns);
        figures.link_round_trip_us = median(trips);
        Ok(())
    }

    async fn burst(&mut self, links: usize, each: usize) -> Result<f64> {
        let outcome = self.loader.run(&Command::Events { links, each }).await?;
        Ok(clock::per_second(links * each, outcome.nanos))
    }

    /// How many events of each process make a burst that lasts long enough to be measured, and not
    /// much longer. The events that find it out are the warm-up.
    async fn fitting(&mut self, links: usize) -> Result<usize> {
        let seconds = self.either(0.3, 0.8);
        let rate = self.burst(links, 200 / links).await?;
        let rate = self
            .burst(links, each_of(rate, seconds / 4.0, links))
            .await?;
        Ok(each_of(rate, seconds, links))
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the result is bounded"
)]
fn each_of(rate: f64, seconds: f64, links: usize) -> usize {
    ((rate * seconds / links as f64) as usize).clamp(2, EACH_MAX)
}

/// What Consul does alone, one write after another, before the first round and after each; events a
/// second.
#[derive(Default)]
struct Alone {
    /// One PUT for each.
    puts: Vec<f64>,
    /// A PUT for each of the two keys.
    both: Vec<f64>,
    /// A transaction of the two keys.
    txns: Vec<f64>,
}

/// The median over the rounds of what the bridge did to what Consul alone did around it.
fn ratio(rates: &[f64], alone: &[f64]) -> Option<f64> {
    let around = alone.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
    median(rates.iter().zip(around).map(|(rate, alone)| rate / alone))
}

fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    values.into_iter().collect::<Sample>().median()
}

/// What Consul does alone.
struct Raw {
    consul: Http,
}

impl Raw {
    /// Writes of so many events a second, in full transactions one after another.
    async fn burst(&mut self, bodies: &[Bytes], events: usize) -> Result<f64> {
        let count = events.div_ceil(EVENTS_OF_TXN);
        let start = clock::now();
        for body in bodies.iter().cycle().take(count) {
            self.consul.put("/v1/txn", body.clone()).await?;
        }
        let nanos = clock::now() - start;
        Ok(clock::per_second(count * EVENTS_OF_TXN, nanos))
    }

    async fn one_at_a_time(&mut self, alone: &mut Alone) -> Result<()> {
        alone.puts.push(self.puts(SERIAL, &["processes"]).await?);
        let both = self.puts(SERIAL, &["processes", "process"]).await?;
        alone.both.push(both);
        alone.txns.push(self.transactions(SERIAL).await?);
        Ok(())
    }

    /// Events a second, each a PUT of its status to these keys, one after another.
    async fn puts(&mut self, count: usize, names: &[&str]) -> Result<f64> {
        let path = |name| format!("/v1/kv/{PREFIX}/{name}/{}", process(0));
        let paths: Vec<String> = names.iter().map(path).collect();
        let start = clock::now();
        for n in 0..count {
            let body = Bytes::from(status(n).to_json());
            for path in &paths {
                self.consul.put(path, body.clone()).await?;
            }
        }
        Ok(clock::per_second(count, clock::now() - start))
    }

    /// Transactions of one event a second, one after another: what the bridge has to do.
    async fn transactions(&mut self, count: usize) -> Result<f64> {
        let bodies: Vec<Bytes> = (0..2).map(|n| body(&event(n, 1))).collect();
        let start = clock::now();
        for body in bodies.iter().cycle().take(count) {
            self.consul.put("/v1/txn", body.clone()).await?;
        }
        Ok(clock::per_second(count, clock::now() - start))
    }
}

/// Transactions that write the statuses of `processes` processes again and again, both keys.
fn transactions(processes: usize) -> Vec<Bytes> {
    let events = (0..processes * EVENTS_OF_TXN).flat_map(|n| event(n, processes));
    let ops: Vec<Value> = events.collect();
    ops.chunks(2 * EVENTS_OF_TXN).map(body).collect()
}

/// The operations of the `n`th event when so many processes take turns.
fn event(n: usize, processes: usize) -> [Value; 2] {
    let value = STANDARD.encode(status(n / processes).to_json());
    let fid = process(n % processes);
    ["processes", "process"].map(|name| {
        let key = format!("{PREFIX}/{name}/{fid}");
        json!({ "KV": { "Verb": "set", "Key": key, "Value": value } })
    })
}

fn body(ops: &[Value]) -> Bytes {
    Value::from(ops.to_vec()).to_string().into()
}

fn process(n: usize) -> Fid {
    Fid::typed(FidType::Process, 1, 0x10000 + n as u64)
}

fn status(n: usize) -> StoredStatus {
    let state = if n.is_multiple_of(2) {
        ProcessEvent::Starting
    } else {
        ProcessEvent::Started
    };
    StoredStatus {
        state,
        kind: ProcessType::M0d.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_full_and_writes_both_keys() {
        let bodies = transactions(MANY);
        assert_eq!(bodies.len(), MANY);
        let ops: Value = serde_json::from_slice(&bodies[0]).unwrap();
        assert_eq!(ops.as_array().unwrap().len(), consul_client::TXN_MAX_OPS);
        let key = |n: usize| ops[n]["KV"]["Key"].as_str().unwrap().to_owned();
        assert_eq!(key(0), "hax-bench/processes/0x7200000000000001:0x10000");
        assert_eq!(key(1), "hax-bench/process/0x7200000000000001:0x10000");
        assert_eq!(ops[0]["KV"]["Value"], ops[1]["KV"]["Value"]);
    }

    #[test]
    fn a_ratio_is_to_what_consul_did_before_and_after() {
        assert_eq!(ratio(&[10.0, 30.0], &[10.0, 30.0, 90.0]), Some(0.5));
        assert_eq!(ratio(&[], &[10.0]), None);
    }

    #[test]
    fn a_burst_has_bounds() {
        assert_eq!(each_of(1_000.0, 0.5, 100), 5);
        assert_eq!(each_of(1.0, 0.5, 100), 2);
        assert_eq!(each_of(1e9, 0.5, 4), EACH_MAX);
    }
}
