//! The view of the cluster: reading a configuration tree, and looking up states in it.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use consul_client::Listing;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use halink::{Fid, FidType};
use hax::cluster::{ConfTree, Failing, ProcessTable, Snapshot, synthetic};

/// Objects of the trees.
const SIZES: [usize; 2] = [1_000, 100_000];

/// Objects of the largest NVEC GET.
const NOTES: u64 = 1_024;

/// The reply of Consul that lists these pairs.
fn reply(pairs: &[(String, String)]) -> Listing {
    let pair = |(key, value): &(String, String)| {
        let value = STANDARD.encode(value);
        format!(
            r#"{{"LockIndex":0,"Key":"{key}","Flags":0,"Value":"{value}","CreateIndex":1000,"ModifyIndex":1000}}"#
        )
    };
    let pairs: Vec<String> = pairs.iter().map(pair).collect();
    let body = format!("[{}]", pairs.join(","));
    Listing::new("/v1/kv/m0conf/".to_owned(), Some(body.into_bytes()))
}

fn parsed(pairs: &[(String, String)]) -> ConfTree {
    ConfTree::parse(
        pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_bytes())),
    )
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.sample_size(10);
    for objects in SIZES {
        let pairs = synthetic::tree(objects);
        let listing = reply(&pairs);
        group.throughput(Throughput::Elements(pairs.len() as u64));
        group.bench_with_input(BenchmarkId::new("tree", objects), &pairs, |bench, pairs| {
            bench.iter(|| parsed(pairs));
        });
        let name = BenchmarkId::new("reply", objects);
        group.bench_with_input(name, &listing, |bench, listing| {
            bench.iter(|| {
                let mut builder = ConfTree::builder();
                let added = listing.for_each(|pair| builder.add(pair.key, pair.value));
                (added.is_ok(), builder.build())
            });
        });
    }
    group.finish();
}

/// 1,024 lookups, as an NVEC GET makes them, while a node is lost and another's process fails.
fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("states_of_1024");
    for objects in SIZES {
        let pairs = synthetic::tree(objects);
        let status = r#"{"state":"M0_CONF_HA_PROCESS_STARTED","type":"M0_CONF_HA_PROCESS_M0D"}"#;
        let keys: Vec<String> = (0..300)
            .map(|n| format!("processes/{}", Fid::typed(FidType::Process, 1, n)))
            .collect();
        let statuses = keys.iter().map(|key| (key.as_str(), status.as_bytes(), 7));
        let snapshot = Snapshot {
            tree: Arc::new(parsed(&pairs)),
            processes: Arc::new(ProcessTable::parse(statuses)),
            failing: Arc::new(Failing {
                processes: HashMap::from([(Fid::typed(FidType::Process, 1, 1), 9)]),
                nodes: HashMap::from([("node0".to_owned(), 1)]),
            }),
        };
        let kinds = [
            ("drives", FidType::Drive, objects as u64 / 3),
            ("sdevs", FidType::Sdev, objects as u64 / 3),
            ("services", FidType::Service, 7),
            ("processes", FidType::Process, 3),
        ];
        for (name, kind, known) in kinds {
            let asked: Vec<Fid> = (0..NOTES)
                .map(|n| Fid::typed(kind, 1, n * 7_919 % known))
                .collect();
            group.bench_function(BenchmarkId::new(name, objects), |bench| {
                bench.iter(|| {
                    for object in &asked {
                        black_box(snapshot.state_of(black_box(*object)));
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, parse, lookups);
criterion_main!(benches);
