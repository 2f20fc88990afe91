//! From the POST of a watch to the processes.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use halink::{Fid, HaState};
use hyper::Method;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::bench::clock;
use crate::bench::http::Http;
use crate::bench::load::Expected;
use crate::bench::patience::STALL;
use crate::bench::run::{Bench, Rounds, say};
use crate::bench::stats::Sample;
use crate::bench::tree::Tree;

/// Times of broadcasts, milliseconds.
struct Times {
    first: Sample,
    last: Sample,
}

/// A payload for each of two states that take turns, and what it tells of.
struct Payloads {
    path: &'static str,
    object: Fid,
    online: Bytes,
    transient: Bytes,
}

impl Bench {
    /// Watches of one process, to so many links.
    pub(in crate::bench) async fn broadcast(&mut self, links: usize) -> Result<()> {
        say(&format!("broadcasts to {links} links"));
        let payloads = of_service(&self.tree);
        let times = self.times(links, &payloads, 200).await?;
        let figures = &mut self.figures;
        figures.sampled("broadcast_p99_ms", times.last.len());
        for (by, value) in [
            (&mut figures.broadcast_p50_ms, times.last.percentile(50)),
            (&mut figures.broadcast_p99_ms, times.last.percentile(99)),
            (
                &mut figures.broadcast_first_p50_ms,
                times.first.percentile(50),
            ),
        ] {
            by.extend(value.map(|value| (links, value)));
        }
        Ok(())
    }

    /// States of devices, more and more of them, to 100 links.
    pub(in crate::bench) async fn broadcast_by_notes(&mut self) -> Result<()> {
        for notes in [1, 16, 128, 1_024] {
            say(&format!("broadcasts of {notes} notes"));
            let mut objects = self.tree.objects.clone();
            objects.truncate(notes);
            let notes = objects.len();
            let payloads = of_objects(&objects)?;
            let times = self.times(100, &payloads, 40).await?;
            let median = times.last.median().map(|value| (notes, value));
            self.figures.broadcast_notes_p50_ms.extend(median);
            self.figures
                .sampled("broadcast_notes_p50_ms", times.last.len());
        }
        Ok(())
    }

    /// The watch of one process again, in a cluster that has little else.
    pub(in crate::bench) async fn broadcast_small_tree(&mut self) -> Result<()> {
        say("broadcasts with a small tree");
        let small = self.tree.without_devices()?;
        self.agent.replace(&small.entries).await?;
        self.figures.small_tree_objects = Some(small.objects.len());
        let wanted = small.objects.len() as u64;
        self.tree = small;
        self.restart().await?;
        self.daemon
            .wait("the objects of the small tree", |status| {
                status["consul"]["objects"].as_u64().unwrap_or(0) >= wanted / 2
            })
            .await?;
        let payloads = of_service(&self.tree);
        let times = self.times(100, &payloads, 200).await?;
        self.figures
            .sampled("broadcast_small_tree_p50_ms", times.last.len());
        self.figures.broadcast_small_tree_p50_ms = times.last.median();
        Ok(())
    }

    async fn times(&mut self, links: usize, payloads: &Payloads, max: usize) -> Result<Times> {
        self.loader.connect(links.max(self.loader.links())).await?;
        let mut http = self.daemon.connect().await?;
        // Whatever was told to the new links has nothing to do with what follows.
        let answer = post(&mut http, payloads.path, &payloads.online).await?;
        let notes = answer["notes"]
            .as_u64()
            .context("the answer has no notes")?;
        let notes = usize::try_from(notes)?;
        if payloads.path == SERVICE {
            self.figures.broadcast_notes = Some(notes);
        }
        let (mut first, mut last) = (Vec::new(), Vec::new());
        let time = Duration::from_millis(self.either(400, 2_500));
        let mut rounds = Rounds::new(self.either(10, 20), max, time);
        let mut state = HaState::Online;
        while rounds.again() {
            let body;
            (state, body) = match state {
                HaState::Online => (HaState::Transient, &payloads.transient),
                _ => (HaState::Online, &payloads.online),
            };
            let expected = Expected {
                object: payloads.object,
                state: state.raw(),
                notes,
            };
            self.loader.expect(expected, STALL).await?;
            let start = clock::now();
            post(&mut http, payloads.path, body).await?;
            let Some(arrivals) = self.loader.arrivals().await? else {
                bail!("a broadcast has not come to {links} links in {STALL:?}");
            };
            let bounds = (arrivals.iter().min(), arrivals.iter().max());
            if let (Some(min), Some(max)) = bounds {
                first.push(clock::millis(min - start));
                last.push(clock::millis(max - start));
            }
        }
        Ok(Times {
            first: first.into_iter().collect(),
            last: last.into_iter().collect(),
        })
    }
}

async fn post(http: &mut Http, path: &str, body: &Bytes) -> Result<Value> {
    let answer = http.send(Method::POST, path, body.clone()).await?;
    Ok(serde_json::from_slice(&answer)?)
}

const SERVICE: &str = "/watch/service";

/// The payload of a `service` watch of one process, as Consul posts it.
fn of_service(tree: &Tree) -> Payloads {
    let id = tree.watched.key().to_string();
    let payload = |status: &str| {
        let service = json!([{
            "Node": { "Node": tree.node, "Address": "127.0.0.1", "Datacenter": "dc1" },
            "Service": { "ID": id, "Service": "ios", "Address": "inet:tcp:127.0.0.1" },
            "Checks": [
                { "Node": tree.node, "CheckID": "serfHealth", "Status": "passing" },
                { "Node": tree.node, "CheckID": format!("service:{id}"), "Status": status,
                  "ServiceID": id, "ServiceName": "ios", "Output": "" },
            ],
        }]);
        Bytes::from(service.to_string())
    };
    Payloads {
        path: SERVICE,
        object: tree.watched,
        online: payload("passing"),
        transient: payload("warning"),
    }
}

/// The payload of a `keyprefix` watch of objects' states, as Consul posts it.
fn of_objects(objects: &[Fid]) -> Result<Payloads> {
    let payload = |state: HaState| {
        let value = STANDARD.encode(json!({ "state": state.as_str() }).to_string());
        let pair = |fid: &Fid| json!({ "Key": format!("m0conf/bench/{fid}"), "Value": value });
        let pairs: Vec<Value> = objects.iter().map(pair).collect();
        Bytes::from(Value::from(pairs).to_string())
    };
    Ok(Payloads {
        path: "/watch/keyprefix",
        object: *objects.first().context("the tree has no objects")?,
        online: payload(HaState::Online),
        transient: payload(HaState::Transient),
    })
}
