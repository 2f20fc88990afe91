//! The state of fencing, as this node sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Bridge;
use super::super::reply::Refusal;
use super::super::router::Shared;
use super::handle;
use crate::fence::model::{
    Action, DeviceName, NodeName, NodeRecord, OpId, Operation, PeerRecord, Phase, Reach, Source,
    Target, UnixMillis,
};
use crate::fence::{About, DeviceAbout, FenceView};

/// The answer to `GET /v1/fence`. Times of day are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Always true: without fencing there is no such answer.
    pub enabled: bool,
    /// This node.
    pub node: Option<NodeName>,
    /// The session of this node's locks; none: Consul has none of it, and this node does nothing.
    pub session: Option<String>,
    /// Nodes that take part.
    pub peers: Vec<PeerRow>,
    /// Nodes that have been fenced at some time.
    pub nodes: Vec<NodeRow>,
    /// Operations that have not ended, the oldest first.
    pub operations: Vec<OpRow>,
    /// Maintenance.
    pub inhibits: Vec<InhibitRow>,
    /// Keys that cannot be read, and why.
    pub malformed: BTreeMap<String, String>,
    /// What is doubtful in the configuration.
    pub lint: Vec<String>,
    /// Of each node, when it was last shown that it could be fenced.
    pub readiness: Vec<Readiness>,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// Its node.
    pub node: NodeName,
    /// Whether a session holds its key.
    pub alive: bool,
    /// That session.
    pub session: Option<String>,
    /// What it has published.
    #[serde(flatten)]
    pub record: PeerRecord,
}

/// A node that has been fenced at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Which.
    pub node: NodeName,
    /// Its epoch, and whether it is fenced or quarantined.
    #[serde(flatten)]
    pub record: NodeRecord,
}

/// An operation that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpRow {
    /// Its number.
    pub id: OpId,
    /// What is fenced.
    pub target: Target,
    /// How.
    pub action: Action,
    /// By what it was set off.
    pub source: Source,
    /// By whom.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Since when, by the clock of who was asked.
    pub since: UnixMillis,
    /// Who takes the decisions.
    pub driver: NodeName,
    /// `requested`, `held` or `active`.
    pub phase: String,
    /// Which gate keeps it, and why.
    pub held: Option<String>,
    /// Attempts so far.
    pub attempts: usize,
}

/// An inhibit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InhibitRow {
    /// Of what; `*` is all.
    pub target: String,
    /// Until when.
    pub until: UnixMillis,
    /// How long that is from now, by this node's clock, in milliseconds; 0: it is over.
    pub remaining_ms: u64,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// When it was last shown that a node could be fenced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// The node.
    pub node: NodeName,
    /// How long ago its newest drill succeeded, by the clocks of that peer and of this node, in
    /// milliseconds; none: never.
    pub age_ms: Option<u64>,
    /// Through which device.
    pub device: Option<DeviceName>,
    /// From which peer.
    pub peer: Option<NodeName>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRow {
    /// Its name.
    pub device: DeviceName,
    /// As configured on this node; none: here it is not.
    pub configured: Option<DeviceAbout>,
    /// What each peer knows of it.
    pub reach: BTreeMap<NodeName, Reach>,
}

impl Status {
    /// Of a view.
    pub fn new(view: &FenceView, about: &About, now: UnixMillis) -> Self {
        let own = about.node.as_ref().and_then(|node| view.peers.get(node));
        let open = view.ops.values().map(|stored| &stored.value);
        let inhibits = view.inhibits.iter();
        Self {
            enabled: true,
            node: about.node.clone(),
            session: own.and_then(|peer| peer.session.as_ref().map(ToString::to_string)),
            peers: view
                .peers
                .iter()
                .map(|(node, peer)| PeerRow {
                    node: node.clone(),
                    alive: peer.session.is_some(),
                    session: peer.session.as_ref().map(ToString::to_string),
                    record: peer.record.clone(),
                })
                .collect(),
            nodes: view
                .nodes
                .iter()
                .map(|(node, stored)| NodeRow {
                    node: node.clone(),
                    record: stored.value.clone(),
                })
                .collect(),
            operations: open.filter_map(OpRow::new).collect(),
            inhibits: inhibits
                .map(|(target, stored)| InhibitRow {
                    target: target.clone(),
                    until: stored.value.until,
                    remaining_ms: stored.value.until.0.saturating_sub(now.0),
                    who: stored.value.who.clone(),
                    reason: stored.value.reason.clone(),
                })
                .collect(),
            malformed: view.malformed.clone(),
            lint: about.lint.clone(),
            readiness: readiness(view, about, now),
        }
    }
}

impl OpRow {
    fn new(op: &Operation) -> Option<Self> {
        let (phase, held) = match &op.phase {
            Phase::Requested => ("requested", None),
            Phase::Held { reason, .. } => ("held", Some(reason.clone())),
            Phase::Active => ("active", None),
            Phase::Ended(_) => return None,
        };
        Some(Self {
            id: op.id.clone(),
            target: op.target.clone(),
            action: op.action,
            source: op.origin.source,
            who: op.origin.who.clone(),
            reason: op.origin.reason.clone(),
            since: op.origin.at,
            driver: op.driver.clone(),
            phase: phase.to_owned(),
            held,
            attempts: op.attempts.len(),
        })
    }
}

/// Every node that is a peer, or that some device is for.
fn readiness(view: &FenceView, about: &About, now: UnixMillis) -> Vec<Readiness> {
    let mut nodes: BTreeSet<&NodeName> = view.peers.keys().collect();
    nodes.extend(about.devices.iter().flat_map(|device| &device.hosts));
    let mut newest: BTreeMap<&NodeName, (UnixMillis, &DeviceName, &NodeName)> = BTreeMap::new();
    for (peer, record) in &view.peers {
        for (device, reach) in &record.record.devices {
            for (node, at) in &reach.drilled {
                nodes.insert(node);
                let drill = (*at, device, peer);
                let last = newest.entry(node).or_insert(drill);
                *last = drill.max(*last);
            }
        }
    }
    let row = |node: &NodeName| {
        let drill = newest.get(node);
        Readiness {
            node: node.clone(),
            age_ms: drill.map(|(at, ..)| now.0.saturating_sub(at.0)),
            device: drill.map(|(_, device, _)| (*device).clone()),
            peer: drill.map(|(.., peer)| (*peer).clone()),
        }
    };
    nodes.into_iter().map(row).collect()
}

fn device_rows(view: &FenceView, about: &About) -> Vec<DeviceRow> {
    let mut rows: BTreeMap<&DeviceName, DeviceRow> = BTreeMap::new();
    let row = |device: &DeviceName, configured| DeviceRow {
        device: device.clone(),
        configured,
        reach: BTreeMap::new(),
    };
    for device in &about.devices {
        let configured = Some(device.clone());
        rows.insert(&device.device, row(&device.device, configured));
    }
    for (node, peer) in &view.peers {
        for (device, reach) in &peer.record.devices {
            let row = rows.entry(device).or_insert_with(|| row(device, None));
            row.reach.insert(node.clone(), reach.clone());
        }
    }
    rows.into_values().collect()
}

/// Now, by this node's clock.
fn now() -> UnixMillis {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

pub(super) async fn status<B: Bridge>(shared: State<Shared<B>>) -> Result<Json<Status>, Refusal> {
    let handle = handle(&shared)?;
    Ok(Json(Status::new(&handle.view(), handle.about(), now())))
}

pub(super) async fn devices<B: Bridge>(shared: State<Shared<B>>) -> Result<Json<Value>, Refusal> {
    let handle = handle(&shared)?;
    let devices = device_rows(&handle.view(), handle.about());
    Ok(Json(json!({ "devices": devices })))
}
