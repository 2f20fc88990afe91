//! The promises of 7/ORDER while links between processes and the bridge fail.

use std::time::Duration;

use halink::ProcessEvent;
use hax::sim::client::End;
use hax::sim::wire::LinkStatus;

use super::link_proxy::LinkFault;
use super::random::Random;
use super::scene::Scene;
use super::{delivered, send};
use crate::harness::soon;

/// Repeats the decisions of these tests.
const SEED: &str = "HAX_LINK_SEED";

/// Connections meet the fault one after another while events and questions are on their way.
async fn a_lost_connection_loses_nothing(fault: LinkFault) {
    let mut scene = Scene::begin(&mut Random::from_env(SEED)).await;
    for round in 0..5 {
        scene.links.order(fault, 3);
        scene.say(3).await;
        let asked = scene.ask();
        scene.say(2).await;
        scene.links.wait_happened().await;
        scene.answered(asked).await;
        scene.settled().await;
        scene.broadcast(30 + round).await;
    }
    let verdict = scene.check().await;
    // What comes again on a link that is alive is known to the bridge.
    assert_eq!((verdict.events, verdict.again), (3 * 26, 0));
    assert_eq!(scene.bridge.counter("retries").await, 0);
}

#[tokio::test]
async fn a_connection_that_is_cut_loses_nothing() {
    a_lost_connection_loses_nothing(LinkFault::Cut).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_inside_a_frame_loses_nothing() {
    a_lost_connection_loses_nothing(LinkFault::Half).await;
}

/// A first request may not come twice: it would be a new incarnation. So each connection that is
/// doubled is one that has come back.
#[tokio::test]
async fn a_second_connection_of_a_link_neither_loses_nor_doubles() {
    let mut scene = Scene::begin(&mut Random::from_env(SEED)).await;
    for (sim, _) in &scene.processes {
        sim.disconnect(Duration::ZERO).await.unwrap();
        let again = sim.wait(|state| state.connected && state.connects == 2);
        soon("a second connection", again).await.unwrap();
        let reused = Some(LinkStatus::Reused);
        let linked = sim.wait(|state| state.link.map(|link| link.0) == reused);
        soon("the link", linked).await.unwrap();
    }
    for _ in 0..5 {
        scene.links.order(LinkFault::Twice, 3);
        scene.say(5).await;
        let asked = scene.ask();
        scene.links.wait_happened().await;
        scene.answered(asked).await;
        scene.settled().await;
    }
    let verdict = scene.check().await;
    assert_eq!((verdict.events, verdict.again), (3 * 26, 0));
}

#[tokio::test]
async fn a_link_that_is_delayed_delays_no_other() {
    let mut scene = Scene::begin(&mut Random::from_env(SEED)).await;
    scene.links.set_delay(true);
    scene.say(5).await;
    let asked = scene.ask();
    // It connects without the proxy.
    let other = scene.bridge.sim(20).await;
    delivered(send(&other, ProcessEvent::Starting).await).await;
    let states = soon("an answer", other.nvec_get(&[other.fid()])).await;
    assert_eq!(states.unwrap().len(), 1);
    for (_, ledger) in &scene.processes {
        assert_eq!(ledger.delivered(), 1, "it was to be delayed");
    }
    scene.links.set_delay(false);
    scene.answered(asked).await;
    let verdict = scene.check().await;
    assert_eq!((verdict.events, verdict.again), (3 * 6, 0));
}

#[tokio::test]
async fn garbage_costs_its_own_link_and_nothing_else() {
    let mut scene = Scene::begin(&mut Random::from_env(SEED)).await;
    let mut config = scene.bridge.sim_config(20);
    config.ha = scene.links.endpoint.clone();
    let (victim, _) = scene.bridge.spawn_sim(config.clone());
    soon("an entrypoint", victim.ready()).await.unwrap();
    delivered(send(&victim, ProcessEvent::Starting).await).await;
    scene.links.order(LinkFault::Garbage, 1);
    let unheard = send(&victim, ProcessEvent::Started).await;
    let end = soon("the end of the process", victim.ended()).await;
    assert_eq!(end, End::Absent);
    assert!(unheard.wait().await.is_err());
    scene.cluster.wait_stored(20, "STARTING").await;
    scene.say(5).await;
    let asked = scene.ask();
    let (next, _) = scene.bridge.spawn_sim(config);
    soon("an entrypoint", next.ready()).await.unwrap();
    delivered(send(&next, ProcessEvent::Starting).await).await;
    scene.answered(asked).await;
    scene.broadcast(30).await;
    let verdict = scene.check().await;
    assert_eq!((verdict.events, verdict.again), (3 * 6, 0));
}
