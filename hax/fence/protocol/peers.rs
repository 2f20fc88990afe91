//! Who can do a step, and who decides.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::fence::model::{NodeName, Operation, Step, Target};
use crate::fence::view::Peer;

use super::World;

/// Whether a peer is alive.
pub(super) fn alive(peers: &BTreeMap<NodeName, Peer>, node: &NodeName) -> bool {
    peers.get(node).is_some_and(|peer| peer.session.is_some())
}

/// Whether a session still stands for a peer.
pub(super) fn holds(peers: &BTreeMap<NodeName, Peer>, node: &NodeName, session: &str) -> bool {
    let held = peers.get(node).and_then(|peer| peer.session.as_ref());
    held.is_some_and(|held| held.as_str() == session)
}

/// The live peers that can do a step, in the order in which they are asked, and whether each has
/// verified that it reaches the device: first those that have, the newest proof first; then by name.
/// The proofs' times are of several clocks: they make an order, nothing depends on their being right.
///
/// The target's own node is never among them, but for a step that runs on the target: then it is the
/// only one.
pub fn candidates(
    step: &Step,
    target: &Target,
    peers: &BTreeMap<NodeName, Peer>,
) -> Vec<(NodeName, bool)> {
    let node = target.node();
    let mut found: Vec<_> = peers
        .iter()
        .filter(|(name, peer)| peer.session.is_some() && (*name == node) == step.on_target)
        .filter_map(|(name, peer)| {
            let reach = peer.record.devices.get(&step.device)?;
            let capable = reach.targets.as_ref().is_none_or(|all| all.contains(node));
            let verified = reach.verified.is_some() && reach.error.is_none();
            capable.then_some((Reverse((verified, reach.verified)), name))
        })
        .collect();
    found.sort();
    let found = found.into_iter();
    found
        .map(|(Reverse((verified, _)), name)| (name.clone(), verified))
        .collect()
}

/// Whether it is this peer's turn to decide about an operation: the originator's while it is alive, then
/// that of the first live peer by name that is not the target; the target's own only when nobody else is
/// alive. Two that both think so, or none for a moment, do no harm.
pub fn is_driver(op: &Operation, world: &World<'_>) -> bool {
    let live = |name: &&NodeName| alive(world.peers, name);
    let origin = Some(&op.origin.node).filter(live);
    let target = op.target.node();
    let other = || world.peers.keys().filter(live).find(|name| *name != target);
    let driver = origin.or_else(other).or_else(|| Some(target).filter(live));
    driver == Some(world.me)
}
