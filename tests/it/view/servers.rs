//! Three servers, whose leader dies, or is deposed while it does not know.

use consul_client::Client;
use halink::HaState;

use super::{Followed, drive, put_drive, put_status, try_put_drive, try_put_status};
use crate::common::consul::{Consul, Settings as ConsulSettings};
use crate::harness::{Bridge, Cluster, Settings, Until, eventually, process, soon};

async fn servers() -> [Consul; 3] {
    let settings = ConsulSettings {
        node: format!("v{}", crate::harness::free_ports::<1>()[0]),
        config: serde_json::json!({ "performance": { "raft_multiplier": 1 } }),
        ..ConsulSettings::default()
    };
    Consul::start_servers(&settings).await
}

/// Which of the servers leads, in the eyes of one of them.
async fn leader(servers: &[Consul; 3], asked: usize) -> Option<usize> {
    let leader = servers[asked].client().status().leader().await.ok()??;
    let place = servers.iter().position(|server| server.rpc() == leader);
    Some(place.expect("one of the three"))
}

/// Waits until the servers have a leader that is none of `not`.
async fn wait_leader(servers: &[Consul; 3], asked: usize, not: Option<usize>) -> usize {
    eventually("a leader", async || {
        leader(servers, asked)
            .await
            .filter(|place| Some(*place) != not)
    })
    .await
}

/// Writes, however often that has to be tried, and returns the index.
async fn write(consul: &Client, key: u64, event: &str) -> u64 {
    eventually("a write", async || try_put_status(consul, key, event).await).await
}

#[tokio::test]
async fn a_fresh_view_is_right_while_leaders_come_and_go() {
    let mut servers = servers().await;
    let first = wait_leader(&servers, 0, None).await;
    // The view asks a server that stays.
    let stays = (first + 1) % 3;
    let consul = servers[stays].client();
    let followed = Followed::new(&consul);
    let mut last = write(&consul, 1, "STARTED").await;
    for round in 0..3 {
        let leads = wait_leader(&servers, stays, None).await;
        if leads == stays {
            // It leads itself now: nothing to kill without ending the view.
            break;
        }
        servers[leads].kill();
        for event in ["DTM_RECOVERED", "STARTED", "DTM_RECOVERED", "STARTED"] {
            let index = write(&consul, 1, event).await;
            assert!(index > last);
            last = index;
            let told = followed.fresh_at_last().await;
            let told = told.processes.up_since(process(1)).unwrap();
            assert!(told >= index, "round {round}: {told} is older than {index}");
        }
        servers[leads].restart().await;
    }
}

/// Requests that wait in the sockets of a server, unread.
fn unread(server: &Consul) -> usize {
    let (_, port) = server
        .address()
        .rsplit_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let local = format!(":{:04X}", port.parse::<u16>().unwrap());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let waits = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let established = fields[3] == "01";
        established && fields[1].ends_with(&local) && !fields[4].ends_with(":00000000")
    };
    sockets.lines().skip(1).filter(waits).count()
}

/// A leader that was frozen is deposed and does not know. It has our requests in its sockets when it
/// runs on, and answers from what it knows, unless it is made to ask the others first.
#[tokio::test]
async fn a_deposed_leader_validates_nothing() {
    const VIEWS: usize = 16;
    let servers = servers().await;
    for round in 0..3_u64 {
        let old = wait_leader(&servers, 0, None).await;
        let other = (old + 1) % 3;
        let drive = drive(round);
        put_drive(&servers[old].client(), round, HaState::Repair).await;
        let views: Vec<Followed> = (0..VIEWS)
            .map(|_| Followed::new(&servers[old].client()))
            .collect();
        for followed in &views {
            let told = followed.fresh().await.state_of(drive);
            assert_eq!(told, Some(HaState::Repair));
        }
        servers[old].freeze();
        wait_leader(&servers, other, Some(old)).await;
        eventually("a write at the new leader", async || {
            try_put_drive(&servers[other].client(), round, HaState::Repaired).await
        })
        .await;
        let asked = views.iter().map(async |followed| {
            let told = followed.fresh_at_last().await.state_of(drive);
            assert_eq!(
                told,
                Some(HaState::Repaired),
                "a stale answer, round {round}"
            );
        });
        let thaw = async {
            eventually("the requests to be sent", async || {
                (unread(&servers[old]) >= 3 * VIEWS).then_some(())
            })
            .await;
            servers[old].thaw();
        };
        let all = futures_util::future::join(futures_util::future::join_all(asked), thaw);
        soon("the answers", all).await;
    }
}

#[tokio::test]
async fn nvec_answers_are_right_while_the_leader_changes() {
    let mut servers = servers().await;
    let leads = wait_leader(&servers, 0, None).await;
    let stays = (leads + 1) % 3;
    put_status(&servers[leads].client(), 9, "STARTED").await;
    servers.swap(0, stays);
    let [here, mut one, mut two] = servers;
    let cluster = Cluster::around(here).await;
    cluster.fill(1).await;
    let bridge = Bridge::start_with(&cluster, Settings::default().until(Until::Running)).await;
    let sim = bridge.sim(2).await;
    let leader = cluster.client.status().leader().await.unwrap().unwrap();
    let leading = if one.rpc() == leader {
        &mut one
    } else {
        &mut two
    };
    assert_eq!(leading.rpc(), leader, "the bridge asks a follower");
    for round in 0..20 {
        if round == 5 {
            leading.kill();
        }
        let state = [HaState::Repair, HaState::Repaired][round % 2];
        eventually("a write", async || {
            try_put_drive(&cluster.client, 1, state).await
        })
        .await;
        let answer = soon("an answer", sim.nvec_get(&[drive(1)])).await.unwrap();
        assert_eq!(answer[0].state, state.raw(), "round {round}");
    }
}
