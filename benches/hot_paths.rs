//! What is done for every message, every note and every watch: frames of 6/WIRE, states of
//! objects, payloads of watches. `cargo bench` runs them; `hax bench` measures the whole.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark fails by panicking"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halink::{Fid, FidType};
use hax::bridge::{Links, Notes};
use hax::cluster::{ConfTree, ProcessTable, Snapshot};
use hax::http::{Watch, parse_payload};
use hax::sim::wire::{Body, Frame, Msg, NVEC_SET, Note};
use serde_json::{Value, json};

/// Notes in a message.
const NOTES: [usize; 3] = [1, 16, 1_024];
/// Processes of the tree, each with 12 services.
const PROCESSES: u64 = 12;
const SERVICES: u64 = 12;
/// Storage devices of the tree, each with a drive.
const DEVICES: u64 = 450;

fn frame(notes: usize) -> Frame {
    let note = |n: usize| Note {
        object: Fid::typed(FidType::Sdev, 1, n as u64),
        state: 1,
    };
    Frame::Msg(Msg {
        tag: 2,
        fid: Fid::NIL,
        source_process: Fid::NIL,
        source_service: Fid::NIL,
        time: 1,
        epoch: 0,
        body: Body::Nvec {
            kind: NVEC_SET,
            id_of_get: 1,
            ignore_same_state: 1,
            notes: (0..notes).map(note).collect(),
        },
    })
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    for notes in NOTES {
        let frame = frame(notes);
        let mut bytes = Vec::new();
        frame.encode(&mut bytes).unwrap();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("encode", notes), |bench| {
            let mut out = Vec::with_capacity(bytes.len());
            bench.iter(|| {
                out.clear();
                black_box(&frame).encode(&mut out).unwrap();
            });
        });
        group.bench_function(BenchmarkId::new("decode", notes), |bench| {
            bench.iter(|| Frame::decode(black_box(&bytes)).unwrap());
        });
    }
    group.finish();
}

/// A tree of about a thousand objects, as pairs of KV.
fn pairs() -> Vec<(String, String)> {
    let state = |mut value: Value| {
        value["state"] = "M0_NC_UNKNOWN".into();
        value.to_string()
    };
    let mut pairs = Vec::new();
    let node = "m0conf/nodes/0x6e00000000000001:0x0";
    for process in 0..PROCESSES {
        let by_name = format!("m0conf/nodes/ssu1/processes/{process}");
        let fid = Fid::typed(FidType::Process, 1, process);
        let by_fid = format!("{node}/processes/{fid}");
        pairs.push((by_fid.clone(), state(json!({ "name": "m0_server" }))));
        for number in process * SERVICES..(process + 1) * SERVICES {
            let service = Fid::typed(FidType::Service, 1, number);
            let key = format!("{by_name}/services/name{number}");
            pairs.push((key, number.to_string()));
            let key = format!("{by_fid}/services/{service}");
            pairs.push((key, state(json!({ "name": "ios" }))));
        }
    }
    for number in 0..DEVICES {
        let [sdev, drive] = [FidType::Sdev, FidType::Drive].map(|kind| Fid::typed(kind, 1, number));
        let path = json!({ "path": format!("/dev/disk/by-id/{number}") });
        pairs.push((format!("{node}/sdevs/{sdev}"), state(path)));
        let key = format!("m0conf/sites/s/racks/r/encls/e/ctrls/c/drives/{drive}");
        pairs.push((key, state(json!({ "sdev": sdev }))));
    }
    pairs
}

fn parsed(pairs: &[(String, String)]) -> ConfTree {
    ConfTree::parse(
        pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_bytes())),
    )
}

fn snapshot() -> Snapshot {
    let status = r#"{"state":"M0_CONF_HA_PROCESS_STARTED","type":"M0_CONF_HA_PROCESS_M0D"}"#;
    let key = |number| format!("processes/{}", Fid::typed(FidType::Process, 1, number));
    let keys: Vec<String> = (0..PROCESSES).map(key).collect();
    let statuses = keys.iter().map(|key| (key.as_str(), status.as_bytes(), 7));
    Snapshot {
        tree: Arc::new(parsed(&pairs())),
        processes: Arc::new(ProcessTable::parse(statuses)),
        failing: Arc::default(),
    }
}

fn states(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("states");
    let snapshot = snapshot();
    let services = (0..PROCESSES * SERVICES).map(|n| Fid::typed(FidType::Service, 1, n));
    let devices = (0..DEVICES)
        .flat_map(|n| [FidType::Sdev, FidType::Drive].map(|kind| Fid::typed(kind, 1, n)));
    let objects: Vec<Fid> = services.chain(devices).cycle().take(1_024).collect();
    group.throughput(Throughput::Elements(objects.len() as u64));
    group.bench_function("of 1024 objects", |bench| {
        bench.iter(|| {
            let states = objects.iter().map(|object| snapshot.state_of(*object));
            states
                .flatten()
                .map(|state| u64::from(state.raw()))
                .sum::<u64>()
        });
    });
    group.bench_function("notes of all processes", |bench| {
        let own = Fid::typed(FidType::Process, 1, 0);
        bench.iter(|| Notes::of_all(black_box(&snapshot), own, None));
    });
    let pairs = pairs();
    group.throughput(Throughput::Elements(pairs.len() as u64));
    group.bench_function("parse the tree", |bench| {
        bench.iter(|| parsed(black_box(&pairs)))
    });
    group.finish();
}

/// Instances of a service, as Consul posts them.
fn instances(count: u64) -> Vec<u8> {
    let instance = |n: u64| {
        json!({
            "Node": { "ID": "6e1b", "Node": "ssu1", "Address": "10.0.0.1", "Datacenter": "dc1",
                      "Meta": { "consul-network-segment": "" }, "ModifyIndex": 5 },
            "Service": { "ID": n.to_string(), "Service": "ios", "Tags": [], "Port": 3000,
                         "Address": "inet:tcp:10.0.0.1", "ModifyIndex": 11 },
            "Checks": [
                { "Node": "ssu1", "CheckID": "serfHealth", "Status": "passing", "ServiceID": "",
                  "Output": "Agent alive and reachable", "ModifyIndex": 5 },
                { "Node": "ssu1", "CheckID": format!("service:{n}"), "Status": "warning",
                  "ServiceID": n.to_string(), "Output": "", "ModifyIndex": 20 },
            ],
        })
    };
    let list: Vec<Value> = (0..count).map(instance).collect();
    Value::from(list).to_string().into_bytes()
}

fn watches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("watch");
    for count in [1, PROCESSES, 100] {
        let body = instances(count);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(BenchmarkId::new("parse a service", count), |bench| {
            bench.iter(|| parse_payload(Watch::Service, black_box(&body)).unwrap());
        });
    }
    let snapshot = snapshot();
    let links = Links::new(Fid::typed(FidType::Process, 1, 0));
    let update = parse_payload(Watch::Service, &instances(PROCESSES)).unwrap();
    group.bench_function("notes of a service", |bench| {
        bench.iter(|| Notes::of(black_box(&update), &snapshot, &links));
    });
    group.finish();
}

criterion_group!(benches, codec, states, watches);
criterion_main!(benches);
