//! The source with its child: what instances see of it, and how it ends.

use std::time::Duration;

use super::super::source::Bounds;
use super::recorded;
use super::stand_in::{BOUNDS, Watched};
use crate::plugin::object::Object;

/// Objects in the recorded dump.
const DUMPED: usize = 10;

async fn dumped() -> Watched {
    let mut watched = Watched::start(BOUNDS, Duration::ZERO, 3);
    watched.print(1, &recorded("dump"));
    assert_eq!(watched.told(1).await.len(), DUMPED);
    watched
}

#[tokio::test]
async fn a_dump_is_shown_when_it_is_complete() {
    let mut watched = Watched::start(BOUNDS, Duration::ZERO, 1);
    let dump = recorded("dump");
    watched.print(1, dump.strip_suffix("exists -\n").unwrap());
    watched.print(1, "change resource name:r0 role:Primary\nno such event\n");
    watched
        .until("at the garbage", |it| it.status().malformed == 1)
        .await;
    assert_eq!(
        (watched.hub.world().size(), watched.status().up),
        (0, false)
    );

    watched.print(1, "exists -\n");
    assert_eq!(
        watched.told(1).await,
        [
            "create resource backup",
            "create resource r0",
            "create device backup 0",
            "create device r0 0",
            "create connection backup 2",
            "create connection r0 1",
            "create connection r0 2",
            "create peer_device backup 2 0",
            "create peer_device r0 1 0",
            "create peer_device r0 2 0",
        ]
    );
    let world = watched.hub.world();
    let role = |name: &str| {
        let mut found = world
            .values()
            .filter(|object| object.field("name") == Some(name.into()));
        found.next().unwrap().field("role").unwrap().to_string()
    };
    assert_eq!(
        (role("backup"), role("r0")),
        ("Secondary".into(), "Primary".into())
    );
    assert!(watched.status().up);
    assert_eq!(watched.read("args"), "events2 --full --poll\n");
    watched.stop().await;
    assert!(!watched.is_running(1));
}

#[tokio::test]
async fn a_promotion_and_the_loss_of_quorum_are_told() {
    let mut watched = dumped().await;
    watched.print(1, &recorded("promote"));
    assert_eq!(
        watched.told(1).await,
        ["change resource r0 role:Secondary->Primary may_promote:true->false"]
    );
    watched.print(1, &recorded("quorum-lost"));
    assert_eq!(
        watched.told(1).await,
        [
            "change resource r0 promotion_score:10102->10101",
            "change connection r0 1 connection:Connected->Timeout role:Secondary->Unknown",
            "change peer_device r0 1 0 replication:Established->Off peer_disk:UpToDate->DUnknown",
            "change connection r0 1 connection:Timeout->Unconnected",
            "change connection r0 1 connection:Unconnected->Connecting",
            "change resource r0 suspended:no->quorum promotion_score:10101->0",
            "change connection r0 2 connection:Connected->Timeout role:Secondary->Unknown",
            "change device r0 0 quorum:true->false",
            "change peer_device r0 2 0 replication:Established->Off peer_disk:Diskless->DUnknown \
             peer_client:true->-",
            "change connection r0 2 connection:Timeout->Unconnected",
            "change connection r0 2 connection:Unconnected->Connecting",
        ]
    );
    assert_eq!(watched.status().malformed, 0);
}

#[tokio::test]
async fn the_progress_of_a_resync_is_kept_and_makes_no_event() {
    let mut watched = dumped().await;
    let resync = recorded("resync");
    let (before, after) = resync.split_at(resync.find("done:50.00").unwrap());
    let (before, last) = before.split_at(before.rfind('\n').unwrap() + 1);
    watched.print(1, before);
    assert_eq!(
        watched.told(1).await,
        [
            "change resource r0 promotion_score:10102->10101",
            "change connection r0 1 connection:Connected->Timeout role:Secondary->Unknown",
            "change peer_device r0 1 0 replication:Established->Off peer_disk:UpToDate->DUnknown",
            "change connection r0 1 connection:Timeout->Unconnected",
            "change connection r0 1 connection:Unconnected->Connecting",
            "change connection r0 1 connection:Connecting->Connected role:Unknown->Secondary",
            "change peer_device r0 1 0 replication:Off->WFBitMapS peer_disk:DUnknown->Outdated",
            "change peer_device r0 1 0 replication:WFBitMapS->SyncSource \
             peer_disk:Outdated->Inconsistent",
        ]
    );
    let world = watched.hub.world();
    let syncing = world.values().find_map(|object| match &**object {
        Object::PeerDevice(it) if it.name == "r0" && it.peer_node_id == 1 => Some(it),
        _ => None,
    });
    let syncing = syncing.unwrap();
    assert_eq!(
        (syncing.sent, syncing.out_of_sync),
        (Some(196_608), Some(327_680))
    );
    assert_eq!((syncing.pending, syncing.unacked), (Some(4), Some(7)));

    watched.print(1, &format!("{last}{after}"));
    assert_eq!(
        watched.told(1).await,
        [
            "change peer_device r0 1 0 resync_suspended:no->user",
            "change resource r0 promotion_score:10101->10102",
            "change peer_device r0 1 0 replication:SyncSource->Established \
             peer_disk:Inconsistent->UpToDate resync_suspended:user->no",
        ]
    );
}

#[tokio::test]
async fn what_drbdsetup_does_not_name_is_gone_too() {
    let mut watched = dumped().await;
    watched.print(1, &recorded("destroy"));
    let mut told = watched.told(1).await;
    told.retain(|event| event.starts_with("destroy"));
    assert_eq!(
        told,
        [
            "destroy peer_device r0 1 0",
            "destroy connection r0 1",
            "destroy peer_device r0 2 0",
            "destroy connection r0 2",
            "destroy device r0 0",
            "destroy resource r0",
        ]
    );
    assert_eq!(watched.hub.world().size(), 4);
}

#[tokio::test]
async fn of_a_restart_only_the_difference_is_told() {
    let mut watched = dumped().await;
    // Half a line at the end is nothing.
    watched.print(1, "change resource name:r0 role:Prim");
    watched.close(1);
    watched.until("down", |it| !it.status().up).await;
    assert_eq!(watched.hub.world().size(), DUMPED);
    let (_, error) = watched.status().error.unwrap();
    assert!(
        error.ends_with("events2` has ended (exit status: 20): the kernel has gone away"),
        "{error}"
    );
    watched.print(2, &recorded("dump-after"));
    assert_eq!(
        watched.told(2).await,
        [
            "create resource logs",
            "change resource r0 may_promote:true->false",
            "create device logs 0",
            "change connection r0 1 role:Secondary->Primary",
            "destroy resource backup",
            "destroy device backup 0",
            "destroy connection backup 2",
            "destroy peer_device backup 2 0",
        ]
    );
    let status = watched.status();
    assert_eq!((status.up, status.restarts, status.malformed), (true, 1, 0));
}

#[tokio::test]
async fn nothing_is_gone_because_a_line_of_a_dump_is_not_understood() {
    let mut watched = dumped().await;
    watched.close(1);
    let dump = recorded("dump").replace("exists resource name:r0", "exists resource nam:r0");
    watched.print(2, &dump);
    watched
        .until("up again", |it| it.status().restarts == 1 && it.status().up)
        .await;
    watched.print(2, "change resource name:r0 role:Primary\n");
    assert_eq!(
        watched.told(2).await,
        ["change resource r0 role:Secondary->Primary"]
    );
    assert_eq!(watched.status().malformed, 1);

    watched.close(2);
    watched.print(3, &recorded("dump"));
    watched
        .until("up again", |it| it.status().restarts == 2 && it.status().up)
        .await;
    assert_eq!(
        watched.told(3).await,
        ["change resource r0 role:Primary->Secondary"]
    );
}

// The source must go on while the test writes more than a pipe takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn garbage_is_counted_and_left_out() {
    let mut watched = dumped().await;
    watched.print(1, "\nchange\nchange device name:r0 volume:x disk:Failed\n");
    watched.print(
        1,
        &format!("change resource name:{}\n", "r".repeat(300 * 1024)),
    );
    watched.print(1, "change device name:r0 volume:0 disk:Failed\n");
    assert_eq!(
        watched.told(1).await,
        ["change device r0 0 disk:UpToDate->Failed"]
    );
    assert_eq!(watched.status().malformed, 4);
}

#[tokio::test]
async fn a_dump_that_does_not_come_is_asked_for_again() {
    let bounds = Bounds {
        first_dump: Duration::from_millis(400),
        ..BOUNDS
    };
    // The first start hangs. Others may be slower than the bound on a busy machine.
    let starts = 20;
    let mut watched = Watched::start(bounds, Duration::ZERO, starts);
    watched.print(1, "exists resource name:r0 role:Primary\n");
    for start in 2..=starts {
        watched.print(start, &recorded("dump"));
    }
    watched.until("up", |it| it.status().up).await;
    assert_eq!(watched.hub.world().size(), DUMPED);
    let (_, error) = watched.status().error.unwrap();
    assert!(
        error.ends_with("has written nothing of its first dump for 400ms"),
        "{error}"
    );
    assert!(watched.status().restarts > 0);
    assert!(!watched.is_running(1));
}

#[tokio::test]
async fn statistics_are_asked_for_once_the_dump_is_complete() {
    let mut watched = Watched::start(BOUNDS, Duration::from_millis(10), 1);
    watched.print(1, &recorded("dump"));
    assert_eq!(watched.told(1).await.len(), DUMPED);
    watched
        .until("asked twice", |it| it.read("asked").starts_with("n\nn\n"))
        .await;
    watched.print(1, &recorded("statistics"));
    assert_eq!(watched.told(1).await, [""; 0]);
    let world = watched.hub.world();
    let written = world.values().find_map(|object| match &**object {
        Object::Device(device) if device.name == "r0" => device.written,
        _ => None,
    });
    assert_eq!(written, Some(65_536));
}

#[tokio::test]
async fn a_child_that_ignores_term_is_killed_with_its_group() {
    let bounds = Bounds {
        grace: Duration::from_millis(50),
        ..BOUNDS
    };
    let mut watched = Watched::without_program(bounds, Duration::ZERO, 1);
    std::fs::write(watched.dir.path().join("stubborn"), "").unwrap();
    watched.install();
    watched.print(1, &recorded("dump"));
    watched.until("up", |it| it.status().up).await;
    assert!(watched.is_running(1) && watched.has_group(1));
    watched.stop().await;
    assert!(!watched.is_running(1));
    watched
        .until("rid of the group", |it| !it.has_group(1))
        .await;
    assert!(!watched.status().up);
}

#[tokio::test]
async fn a_program_that_is_not_there_yet_is_waited_for() {
    let mut watched = Watched::without_program(BOUNDS, Duration::ZERO, 1);
    watched
        .until("tried twice", |it| it.status().restarts > 1)
        .await;
    let (_, error) = watched.status().error.unwrap();
    assert!(
        error.contains("drbdsetup` cannot be started: No such file"),
        "{error}"
    );
    watched.install();
    watched.print(1, &recorded("dump"));
    assert_eq!(watched.told(1).await.len(), DUMPED);
    watched.stop().await;
}
