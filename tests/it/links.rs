//! Several links of one process fid, one after another.

use consul_client::CheckStatus;
use halink::{HaState, ProcessEvent, ProcessType};
use hax::sim::client::{End, SimProcess};
use hax::sim::wire::LinkStatus;

use crate::harness::{Bridge, Cluster, process, service, soon};

async fn report(sim: &SimProcess, event: ProcessEvent, kind: ProcessType) {
    let delivery = sim.process_event(event, kind).await.unwrap();
    soon("the event to be delivered", delivery.wait())
        .await
        .unwrap();
}

fn link(sim: &SimProcess) -> u64 {
    let state = sim.state();
    let state = state.borrow();
    let (status, _, link) = state.link.unwrap();
    assert_eq!(status, LinkStatus::Connected);
    link
}

/// The link numbers of a process, as the bridge knows them.
async fn links_of(bridge: &Bridge, key: u64) -> Vec<u64> {
    let status = bridge.status().await;
    let links = status["links"].as_array().unwrap();
    let of = links
        .iter()
        .filter(|link| link["process"] == process(key).to_string());
    of.map(|link| link["link"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn m0mkfs_stops_and_m0d_starts_on_a_link_of_its_own() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let mkfs = bridge.sim(2).await;
    let old = link(&mkfs);
    for event in [
        ProcessEvent::Starting,
        ProcessEvent::Started,
        ProcessEvent::Stopping,
        ProcessEvent::Stopped,
    ] {
        report(&mkfs, event, ProcessType::M0mkfs).await;
    }
    assert_eq!(soon("m0mkfs to end", mkfs.ended()).await, End::Absent);
    bridge.wait_links(&[]).await;
    assert_eq!(bridge.counter("retired").await, 1);

    let (m0d, heard) = bridge.recorded(2).await;
    assert!(link(&m0d) > old);
    report(&m0d, ProcessEvent::Starting, ProcessType::M0d).await;
    let objects = [process(2), service(5)];
    let answer = soon("a GET to be answered", m0d.nvec_get(&objects)).await;
    // m0mkfs stopped, which says nothing of m0d.
    let states: Vec<u32> = answer.unwrap().iter().map(|note| note.state).collect();
    assert_eq!(states, [HaState::Online.raw(); 2]);
    report(&m0d, ProcessEvent::Started, ProcessType::M0d).await;
    assert_eq!(links_of(&bridge, 2).await, [link(&m0d)]);
    assert_eq!(heard.messages().len(), 1);
    assert_eq!(m0d.state().borrow().closes, 0);
}

#[tokio::test]
async fn the_link_of_a_killed_m0mkfs_is_retired_before_m0d_has_one() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let mkfs = bridge.sim(2).await;
    report(&mkfs, ProcessEvent::Started, ProcessType::M0mkfs).await;
    let old = link(&mkfs);
    mkfs.close().await;
    // Nothing tells the bridge that it is gone.
    assert_eq!(links_of(&bridge, 2).await, [old]);

    let m0d = bridge.sim(2).await;
    let new = link(&m0d);
    assert!(new > old);
    bridge.wait_counter("retired", 1).await;
    bridge.wait_links(&[2]).await;
    assert_eq!(links_of(&bridge, 2).await, [new]);

    // What is broadcast reaches the new link and no other.
    let (other, _) = bridge.recorded(3).await;
    report(&other, ProcessEvent::Started, ProcessType::M0d).await;
    report(&m0d, ProcessEvent::Started, ProcessType::M0d).await;
    assert_eq!(bridge.counter("send_errors").await, 0);
    assert_eq!(m0d.state().borrow().closes, 0);
}

#[tokio::test]
async fn a_new_incarnation_replaces_one_that_lives_and_each_gets_its_own_replies() {
    let cluster = Cluster::small(1).await;
    let bridge = Bridge::start(&cluster).await;
    let (older, to_older) = bridge.recorded(2).await;
    let answer = soon("a GET to be answered", older.nvec_get(&[process(2)])).await;
    assert_eq!(answer.unwrap().len(), 1);

    let (newer, to_newer) = bridge.recorded(2).await;
    let answer = soon(
        "a GET to be answered",
        newer.nvec_get(&[service(4), service(5)]),
    )
    .await;
    assert_eq!(answer.unwrap().len(), 2);
    assert_eq!(
        soon("the older one to end", older.ended()).await,
        End::Absent
    );
    assert_eq!(to_older.messages().len(), 1);
    assert_eq!(to_newer.messages().len(), 1);
    assert_eq!(to_newer.replies().len(), 1);
    assert_eq!(links_of(&bridge, 2).await, [link(&newer)]);
    assert_eq!(newer.state().borrow().closes, 0);
}

#[tokio::test]
async fn a_new_incarnation_survives_a_critical_check_that_is_older_than_its_started() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    let first = bridge.sim(2).await;
    report(&first, ProcessEvent::Started, ProcessType::M0d).await;
    first.close().await;
    cluster.set_check(2, CheckStatus::Critical).await;
    let (other, heard) = bridge.recorded(3).await;

    let (second, told) = bridge.recorded(2).await;
    report(&second, ProcessEvent::Starting, ProcessType::M0d).await;
    report(&second, ProcessEvent::Started, ProcessType::M0d).await;
    bridge.wait_known(2, "STARTED").await;
    // The check has not run since. This is what a watch posts when any instance changes.
    let stale = cluster.service_payload("ios").await;
    let (code, outcome) = bridge.post("/watch/service", stale).await;
    assert_eq!(code, 200);
    assert_eq!(outcome["ignored"], 1, "{outcome}");
    for sim in [&other, &second] {
        let state = sim.wait_state(process(3), HaState::Online);
        soon("the rest of the post to be told", state)
            .await
            .unwrap();
    }
    assert_eq!(heard.states_of(process(2)), []);
    assert_eq!(told.states_of(process(2)), []);
    let answer = soon("a GET to be answered", other.nvec_get(&[process(2)])).await;
    assert_eq!(answer.unwrap()[0].state, HaState::Online.raw());

    // The check runs, passes, and fails later: now it counts.
    cluster.set_check(2, CheckStatus::Passing).await;
    cluster.set_check(2, CheckStatus::Critical).await;
    let fresh = cluster.service_payload("ios").await;
    let (_, outcome) = bridge.post("/watch/service", fresh).await;
    assert_eq!(outcome["ignored"], 0, "{outcome}");
    let state = other.wait_state(process(2), HaState::Failed);
    soon("FAILED to be told", state).await.unwrap();
    assert_eq!(
        soon("the process to end", second.ended()).await,
        End::Absent
    );
    bridge.wait_links(&[3]).await;
}

#[tokio::test]
async fn a_process_that_is_still_starting_keeps_its_link_when_its_check_is_critical() {
    let cluster = Cluster::small(2).await;
    cluster.set_check(2, CheckStatus::Critical).await;
    let bridge = Bridge::start(&cluster).await;
    let sim = bridge.sim(2).await;
    report(&sim, ProcessEvent::Starting, ProcessType::M0d).await;
    let other = bridge.sim(3).await;
    let (code, _) = bridge
        .post("/watch/service", cluster.service_payload("ios").await)
        .await;
    assert_eq!(code, 200);
    let state = other.wait_state(process(2), HaState::Failed);
    soon("FAILED to be told", state).await.unwrap();
    report(&sim, ProcessEvent::Started, ProcessType::M0d).await;
    assert_eq!(bridge.counter("retired").await, 0);
    assert_eq!(sim.state().borrow().closes, 0);
}

/// The bridge's view of KV follows with a delay, and the post may be faster.
#[tokio::test]
async fn a_stale_post_right_after_started_is_left_out() {
    let cluster = Cluster::small(2).await;
    let bridge = Bridge::start(&cluster).await;
    cluster.set_check(2, CheckStatus::Critical).await;
    let stale = cluster.service_payload("ios").await;
    for _ in 0..20 {
        let (sim, told) = bridge.recorded(2).await;
        report(&sim, ProcessEvent::Starting, ProcessType::M0d).await;
        report(&sim, ProcessEvent::Started, ProcessType::M0d).await;
        let (_, outcome) = bridge.post("/watch/service", stale.clone()).await;
        assert_eq!(outcome["ignored"], 1, "{outcome}");
        let state = sim.wait_state(process(3), HaState::Online);
        soon("the rest of the post to be told", state)
            .await
            .unwrap();
        assert_eq!(told.states_of(process(2)), []);
        assert_eq!(sim.state().borrow().closes, 0);
    }
}

#[tokio::test]
async fn a_process_resumed_after_a_restart_of_the_bridge_is_retired_when_it_fails() {
    let cluster = Cluster::small(2).await;
    let mut bridge = Bridge::start(&cluster).await;
    let failing = bridge.sim(2).await;
    let starting = bridge.sim(3).await;
    report(&failing, ProcessEvent::Started, ProcessType::M0d).await;
    report(&starting, ProcessEvent::Starting, ProcessType::M0d).await;
    bridge.kill();
    bridge.restart().await;
    bridge.wait_links(&[2, 3]).await;
    bridge.wait_known(2, "STARTED").await;

    // STARTED was said to the run of the bridge that is gone; KV has it.
    cluster.set_check(2, CheckStatus::Passing).await;
    cluster.set_check(2, CheckStatus::Critical).await;
    cluster.set_check(3, CheckStatus::Critical).await;
    let (code, _) = bridge
        .post("/watch/service", cluster.service_payload("ios").await)
        .await;
    assert_eq!(code, 200);
    assert_eq!(
        soon("the failed process to end", failing.ended()).await,
        End::Absent
    );
    bridge.wait_links(&[3]).await;
}
