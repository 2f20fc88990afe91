//! Entrypoint requests: content, order, EAGAIN.

use std::time::Duration;

use futures_util::future::join_all;
use hax::sim::client::{Event, SimProcess};
use hax::sim::wire::{Confd, EntrypointRep, LinkStatus};

use crate::harness::{
    Bridge, Cluster, Instance, Recorder, Settings, Until, process, service, soon,
};

const EAGAIN: i32 = -11;

/// A bridge that leaves the leader lock to the test.
async fn bridge_without_election(cluster: &Cluster) -> Bridge {
    let settings = Settings::default()
        .with("leader.elect", "false")
        .until(Until::Running);
    Bridge::start_with(cluster, settings).await
}

/// A process that asks only when it is told to.
fn held(bridge: &Bridge, key: u64) -> SimProcess {
    let mut config = bridge.sim_config(key);
    config.hold_entrypoint = true;
    bridge.spawn_sim(config).0
}

async fn ask(sim: &SimProcess) -> EntrypointRep {
    soon("an entrypoint reply", sim.entrypoint_once())
        .await
        .unwrap()
}

fn confd(key: u64, endpoint: &str) -> Confd {
    Confd {
        fid: service(2 * key + 1),
        endpoint: endpoint.to_owned(),
    }
}

/// `confds` in the order of the catalog.
async fn in_catalog_order(cluster: &Cluster, confds: &[(u64, &str)]) -> Vec<Confd> {
    let catalog = cluster.client.catalog().service("confd").await.unwrap();
    let found = catalog.value.iter().map(|instance| {
        let of = |(key, _): &&(u64, &str)| {
            instance.service_id == key.to_string()
                || instance.service_id == process(*key).to_string()
        };
        let (key, endpoint) = confds.iter().find(of).unwrap();
        confd(*key, endpoint)
    });
    found.collect()
}

#[tokio::test]
async fn the_reply_names_the_confds_their_quorum_and_the_rm_of_the_leader() {
    let cluster = Cluster::small(1).await;
    let bridge = bridge_without_election(&cluster).await;
    cluster.lead(&cluster.node).await;
    let sim = bridge.sim(2).await;
    let mut confds = vec![(1, "inet:tcp:127.0.0.1@21001")];
    let reply = ask(&sim).await;
    let expected = EntrypointRep {
        seq: reply.seq,
        rc: 0,
        status: LinkStatus::Reused,
        instance: reply.instance,
        link: reply.link,
        quorum: 1,
        rm: service(2),
        rm_endpoint: "inet:tcp:127.0.0.1@21001".to_owned(),
        confds: vec![confd(1, confds[0].1)],
    };
    assert_eq!(reply, expected);

    let lnet = Instance {
        address: "192.168.0.2@tcp:12345:44".to_owned(),
        port: 101,
        transport: Some("lnet"),
        id: process(11).to_string(),
        ..Instance::new(11, "confd")
    };
    let unnamed = Instance {
        address: "192.168.0.3@tcp:12345:44".to_owned(),
        port: 102,
        transport: None,
        ..Instance::new(12, "confd")
    };
    let without_address = Instance {
        address: String::new(),
        port: 0,
        ..Instance::new(13, "confd")
    };
    for (number, (key, instance, endpoint, quorum)) in (2..).zip([
        (11, lnet, "192.168.0.2@tcp:12345:44:101", 2),
        (12, unnamed, "192.168.0.3@tcp:12345:44:102", 2),
        // As KV has it.
        (13, without_address, "inet:tcp:127.0.0.1@21013", 3),
    ]) {
        let node = format!("other{number}");
        cluster.add_process(&node, key, ["rms", "confd"]).await;
        cluster.register_on(&node, instance).await;
        confds.push((key, endpoint));
        let reply = ask(&sim).await;
        assert_eq!(reply.rc, 0, "{endpoint}");
        assert_eq!(reply.quorum, quorum);
        assert_eq!(reply.confds, in_catalog_order(&cluster, &confds).await);
        assert_eq!(reply.rm, service(2));
    }
}

#[tokio::test]
async fn the_rm_is_the_one_of_the_leaders_node() {
    let cluster = Cluster::small(1).await;
    cluster.add_process("other", 11, ["rms", "confd"]).await;
    cluster
        .register_on("other", Instance::new(11, "confd"))
        .await;
    let bridge = bridge_without_election(&cluster).await;
    let session = cluster.lead("other").await;
    let sim = bridge.sim(2).await;
    let reply = ask(&sim).await;
    assert_eq!(
        (reply.rm, reply.rm_endpoint.as_str()),
        (service(22), "inet:tcp:127.0.0.1@21011")
    );
    cluster.client.session().destroy(&session).await.unwrap();
    cluster.lead(&cluster.node).await;
    let reply = ask(&sim).await;
    assert_eq!(
        (reply.rm, reply.rm_endpoint.as_str()),
        (service(2), "inet:tcp:127.0.0.1@21001")
    );
}

#[tokio::test]
async fn without_a_leader_a_confd_and_the_bridge_start_and_an_ios_is_told_to_ask_again() {
    let cluster = Cluster::small(1).await;
    // That it runs at all shows that its own process has been served.
    let bridge = bridge_without_election(&cluster).await;
    let reply = ask(&held(&bridge, 1)).await;
    assert_eq!((reply.rc, reply.rm, reply.quorum), (0, service(2), 1));
    let ios = held(&bridge, 2);
    let reply = ask(&ios).await;
    assert_eq!(reply.rc, EAGAIN);
    assert_ne!(reply.link, 0, "every reply binds a link");

    // A value without a session is no leader.
    cluster.put("leader", &cluster.node).await;
    assert_eq!(ask(&ios).await.rc, EAGAIN);

    cluster.lead(&cluster.node).await;
    assert_eq!(ask(&ios).await.rc, 0);
}

#[tokio::test]
async fn what_is_missing_in_consul_means_eagain() {
    let cluster = Cluster::small(1).await;
    let bridge = bridge_without_election(&cluster).await;
    cluster.register_on("other", Instance::new(9, "ios")).await;
    let session = cluster.lead("other").await;
    let ios = held(&bridge, 2);
    // The leader's node has no confd.
    assert_eq!(ask(&ios).await.rc, EAGAIN);
    cluster.client.session().destroy(&session).await.unwrap();
    cluster.lead(&cluster.node).await;
    assert_eq!(ask(&ios).await.rc, 0);

    let rms = format!("m0conf/nodes/{}/processes/1/services/rms", cluster.node);
    cluster.client.kv().delete(&rms).await.unwrap();
    assert_eq!(ask(&ios).await.rc, EAGAIN);
    cluster.put(&rms, "not a key").await;
    assert_eq!(ask(&ios).await.rc, EAGAIN);
    cluster.put(&rms, &service(2).to_string()).await;
    let reply = ask(&ios).await;
    assert_eq!((reply.rc, reply.rm), (0, service(2)));

    cluster.deregister("1").await;
    assert_eq!(ask(&ios).await.rc, EAGAIN);
    assert_eq!(ask(&held(&bridge, 1)).await.rc, EAGAIN, "a confd, too");
    cluster.register(Instance::new(1, "confd")).await;
    assert_eq!(ask(&ios).await.rc, 0);
}

#[tokio::test]
async fn a_process_gets_at_most_one_eagain_a_second() {
    let cluster = Cluster::small(1).await;
    let bridge = bridge_without_election(&cluster).await;
    // It asks again at once, as Motr does.
    let (_sim, events) = bridge.spawn_sim(bridge.sim_config(2));
    let recorder = Recorder::spawn(events);
    let times = recorder
        .wait("three EAGAINs", |events| {
            let again = events.iter().filter_map(|(at, event)| match event {
                Event::Entrypoint(reply) if reply.rc == EAGAIN => Some(*at),
                _ => None,
            });
            let times: Vec<_> = again.collect();
            (times.len() >= 3).then_some(times)
        })
        .await;
    for pair in times.windows(2) {
        let between = pair[1] - pair[0];
        // The pause runs from the sending, which is not when the process reads.
        assert!(between > Duration::from_millis(900), "{between:?}");
    }
}

/// The reply to a first request makes a link, and links are numbered one after another: their
/// numbers are the order of the replies.
#[tokio::test]
async fn a_hundred_requests_of_a_hundred_connections_are_answered_in_their_order() {
    const PROCESSES: u64 = 100;
    let cluster = Cluster::small(0).await;
    let settings = Settings::default()
        .with("entrypoint.timeout", "'60s'")
        .with("consul.timeout", "'60s'");
    let bridge = Bridge::start_with(&cluster, settings).await;
    cluster.consul.freeze();
    let mut sims: Vec<SimProcess> = Vec::new();
    // Neither ascending nor descending by fid.
    for n in 0..PROCESSES {
        let key = 1_000 + n * 37 % PROCESSES;
        let (sim, _) = bridge.spawn_sim(bridge.sim_config(key));
        sims.push(sim);
        let in_hand_and_waiting = n + 1;
        bridge
            .wait_status("the request to have arrived", |status| {
                let queue = &status["queue"];
                let in_hand = u64::from(!queue["in_hand"].is_null());
                queue["waiting"].as_u64().unwrap() + in_hand == in_hand_and_waiting
            })
            .await;
    }
    cluster.consul.thaw();
    for sim in &sims {
        soon("the reply", sim.ready()).await.unwrap();
    }
    let links = sims.iter().map(|sim| sim.state().borrow().link.unwrap().2);
    let links: Vec<u64> = links.collect();
    assert!(links.is_sorted(), "{links:?}");
    bridge
        .wait_counter("entrypoint_replies", 1 + PROCESSES)
        .await;

    // A connection checks by itself that the replies come in the order of its requests.
    let many = sims.iter().flat_map(|sim| (0..16).map(|_| ask(sim)));
    let replies = join_all(many).await;
    assert!(
        replies
            .iter()
            .all(|reply| reply.rc == 0 && reply.status == LinkStatus::Reused)
    );
    for sim in &sims {
        assert_eq!(sim.state().borrow().end, None);
        assert_eq!(sim.state().borrow().closes, 0);
    }
}

#[tokio::test]
async fn a_reply_comes_within_its_bound_when_consul_does_not_answer() {
    let cluster = Cluster::small(1).await;
    let settings = Settings::default()
        .with("entrypoint.timeout", "'300ms'")
        .with("consul.timeout", "'60s'");
    let bridge = Bridge::start_with(&cluster, settings).await;
    let sims = [held(&bridge, 2), held(&bridge, 3)];
    cluster.consul.freeze();
    let replies = join_all(sims.iter().map(ask)).await;
    assert!(
        replies.iter().all(|reply| reply.rc == EAGAIN),
        "{replies:?}"
    );
    cluster.consul.thaw();
    for sim in &sims {
        let reply = soon("the entrypoint", sim.entrypoint()).await.unwrap();
        assert_eq!((reply.rc, reply.rm), (0, service(2)));
    }
}
