//! Ten nodes are lost at once: more likely it is the network, or Consul.

use consul_client::{CatalogCheck, CheckStatus, Registration, SERF_HEALTH};
use hax::fence::model::{Outcome, Phase, Source};
use serde_json::json;

use super::motr::shape;
use super::{QUICK, Trio};
use crate::ctl::{expect, haxctl};
use crate::harness::{eventually, process};

const NODES: u64 = 10;
const TARGETS: usize = 3;

fn name(number: u64) -> String {
    format!("lost{number}")
}

/// A node that Consul says is lost. Its servers take such a node away when they compare the catalog with
/// who is there, so it may have to be said again.
async fn lose(trio: &Trio, number: u64) -> Option<()> {
    let mut registration = Registration::new(name(number), "127.0.0.1");
    registration.check = Some(CatalogCheck {
        check_id: SERF_HEALTH.to_owned(),
        name: "Serf Health Status".to_owned(),
        status: CheckStatus::Critical,
        output: String::new(),
        service_id: String::new(),
    });
    trio.client(0).catalog().register(&registration).await.ok()
}

#[tokio::test]
async fn of_ten_lost_nodes_few_are_fenced_and_the_rest_waits_for_an_operator() {
    let shape = shape(&[("pdu", QUICK)]).with("fence.storm_targets", TARGETS.to_string());
    let trio = Trio::start(&shape).await;
    for number in 0..NODES {
        let key = 9_000 + number;
        trio.nodes[0]
            .add_process(&name(number), key, ["rms", "ios"])
            .await;
        let status =
            json!({ "state": "M0_CONF_HA_PROCESS_STARTED", "type": "M0_CONF_HA_PROCESS_M0D" });
        let word = format!("processes/{}", process(key));
        trio.nodes[0].put(&word, &status.to_string()).await;
    }
    let ops = eventually("some to be fenced, and the rest held", async || {
        for number in 0..NODES {
            lose(&trio, number).await?;
        }
        let view = trio.view(0).await?;
        let ops = view.ops.into_values().map(|op| op.value);
        let ops: Vec<_> = ops
            .filter(|op| op.origin.source == Source::NodeLost)
            .collect();
        let settled = |op: &&hax::fence::model::Operation| {
            matches!(op.phase, Phase::Held { .. } | Phase::Ended(_))
        };
        (ops.iter().filter(settled).count() == NODES as usize).then_some(ops)
    })
    .await;
    let fenced = ops.iter().filter_map(|op| op.ended());
    let fenced: Vec<_> = fenced.map(|end| end.outcome).collect();
    assert_eq!(fenced, [Outcome::Succeeded; TARGETS], "{ops:#?}");
    assert_eq!(starts(&trio), TARGETS);
    let held = ops.iter().find_map(|op| match &op.phase {
        Phase::Held { reason, .. } => Some((op.clone(), reason.clone())),
        _ => None,
    });
    let (held, reason) = held.unwrap();
    assert!(reason.contains("storm"), "{reason}");

    let (id, url) = (held.id.to_string(), trio.bridges[1].url());
    let args = [
        "fence",
        "--hax",
        &url,
        "release",
        &id,
        "--override",
        "--reason",
        "it burns",
    ];
    expect(&haxctl(&args).await, 0);
    let op = trio.ended(0, &held.id).await;
    assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
    assert_eq!(starts(&trio), TARGETS + 1);
    for number in 0..3 {
        let file = trio.agents.audit_file(trio.name(number));
        let file = file.trim_matches('\'').to_owned();
        eventually("the override in the audit file", async || {
            let text = std::fs::read_to_string(&file).ok()?;
            let mut lines = text.lines();
            let of = |line: &str| {
                line.contains(&id) && line.contains("overrid") && line.contains("it burns")
            };
            lines.any(of).then_some(())
        })
        .await;
    }
}

fn starts(trio: &Trio) -> usize {
    let lines = trio.agents.lines().into_iter();
    lines.filter(|line| line.what == "start").count()
}
