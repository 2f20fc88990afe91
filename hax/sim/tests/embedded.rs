//! The process's end against the C end, which share no code.

use std::time::Duration;

use halink::{
    Confd, EntrypointReply, Error, Event, FailureVec, Fid, FidType, HaState, Handle, Interface,
    InterfaceConfig, LinkId, Message, Note, NvecSet, ProcessEvent, ProcessType, RequestId,
};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, mpsc};

use super::bridge::{CONFD, PROCESS, RM, config};
use crate::sim::client::{Config, End, SimProcess};
use crate::sim::process::{self, Profile};
use crate::sim::wire::LinkStatus;

const BRIDGE: Fid = Fid::typed(FidType::Process, 1, 1);

/// A process has one interface at a time.
static TURN: Mutex<()> = Mutex::const_new(());

struct Site {
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    async fn take() -> Site {
        let turn = TURN.lock().await;
        Site {
            dir: TempDir::new().unwrap(),
            _turn: turn,
        }
    }

    fn config(&self) -> Config {
        config(self.dir.path().join("ha"))
    }
}

/// What the bridge's user saw of one process.
#[derive(Debug)]
enum Saw {
    Request { first: bool, req_id: RequestId },
    Connected(LinkId),
    Reused,
    Absent,
    Gone,
    Message { link: LinkId, message: Message },
}

/// A bridge that answers whatever comes, and says what that was.
struct Real {
    interface: Interface,
    handle: Handle,
    own: LinkId,
    saw: mpsc::Receiver<Saw>,
    task: tokio::task::JoinHandle<()>,
}

impl Real {
    /// `hold`: entrypoint requests of processes are left to the test.
    async fn start(site: &Site, hold: bool) -> Real {
        let config = || InterfaceConfig {
            endpoint: format!("unix:{}", site.dir.path().join("ha").display()),
            process: BRIDGE,
            ha_service: Fid::typed(FidType::Service, 1, 1),
            rm_service: Fid::typed(FidType::Service, 1, 2),
            node_uuid: None,
            queue_max: std::num::NonZeroU32::MAX,
        };
        let (interface, events) = loop {
            match Interface::spawn(config()) {
                // Another test of this very process has it.
                Err(Error::AlreadyOpen) => tokio::task::yield_now().await,
                other => break other.unwrap(),
            }
        };
        let handle = interface.handle();
        let (to, saw) = mpsc::channel(16 * 1024);
        let (own_to, mut own) = mpsc::channel(1);
        let task = tokio::spawn(serve(handle.clone(), events, to, own_to, hold));
        interface.started().await.unwrap();
        let own = own.recv().await.unwrap();
        Real {
            interface,
            handle,
            own,
            saw,
            task,
        }
    }

    async fn stop(self) {
        self.interface.stop().await.unwrap();
        self.task.await.unwrap();
    }

    async fn next(&mut self) -> Saw {
        self.saw.recv().await.unwrap()
    }

    async fn link(&mut self) -> LinkId {
        loop {
            if let Saw::Connected(link) = self.next().await {
                return link;
            }
        }
    }

    async fn until(&mut self, met: impl Fn(&Saw) -> bool) {
        while !met(&self.next().await) {}
    }

    async fn set(&self, link: LinkId, object: Fid, state: HaState) {
        let notes = vec![Note { object, state }];
        let set = NvecSet {
            id_of_get: 0,
            ignore_same_state: true,
            notes,
        };
        assert!(
            self.handle
                .send_nvec(link, &set)
                .await
                .unwrap()
                .await
                .is_delivered()
        );
    }
}

fn entrypoint() -> EntrypointReply {
    let confds = vec![Confd {
        fid: CONFD,
        endpoint: "inet:tcp:127.0.0.1@22101".into(),
    }];
    EntrypointReply {
        quorum: 1,
        rm: RM,
        rm_endpoint: "inet:tcp:127.0.0.1@22101".into(),
        confds,
    }
}

async fn serve(
    handle: Handle,
    mut events: halink::Events,
    saw: mpsc::Sender<Saw>,
    own_to: mpsc::Sender<LinkId>,
    hold: bool,
) {
    let mut own = None;
    while let Some(event) = events.recv().await {
        let it = match event {
            Event::Entrypoint(req) => {
                if req.process == BRIDGE || !hold {
                    handle
                        .entrypoint_reply(req.req_id, &entrypoint())
                        .await
                        .unwrap();
                }
                if req.process == BRIDGE {
                    continue;
                }
                Saw::Request {
                    first: req.first,
                    req_id: req.req_id,
                }
            }
            Event::LinkConnected(link) if link.process == BRIDGE => {
                own = Some(link.id);
                own_to.send(link.id).await.unwrap();
                continue;
            }
            Event::LinkConnected(link) => Saw::Connected(link.id),
            Event::LinkReused(_) => Saw::Reused,
            Event::LinkAbsent { .. } => Saw::Absent,
            Event::LinkDisconnected(link) if Some(link) == own => continue,
            Event::LinkDisconnected(_) => Saw::Gone,
            Event::LinkDisconnecting(_) => continue,
            Event::Message(received) => {
                let (link, message) = (received.link, received.message.clone());
                answer(&handle, link, &message).await;
                received.delivered().await;
                if Some(link) == own {
                    continue;
                }
                Saw::Message { link, message }
            }
        };
        let _ = saw.send(it).await;
    }
}

async fn answer(handle: &Handle, link: LinkId, message: &Message) {
    match message {
        Message::NvecGet(get) => {
            let online = |object: &Fid| Note {
                object: *object,
                state: HaState::Online,
            };
            let notes = get.objects.iter().map(online).collect();
            let set = NvecSet {
                id_of_get: get.id,
                ignore_same_state: true,
                notes,
            };
            drop(handle.send_nvec(link, &set).await.unwrap());
        }
        Message::FailureVecReq(req) => {
            let vector = FailureVec {
                pool: req.pool,
                cookie: req.cookie,
                notes: vec![],
            };
            drop(handle.send_failure_vec(link, &vector).await.unwrap());
        }
        _ => {}
    }
}

async fn rpc_event(sim: &SimProcess, attempts: u64) {
    let body = crate::sim::wire::Body::Rpc { attempts, state: 0 };
    sim.send(sim.draft(CONFD, body)).await.unwrap();
}

fn attempts(saw: &Saw) -> Option<u64> {
    match saw {
        Saw::Message {
            message: Message::Rpc(event),
            ..
        } => Some(event.attempts),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_life() {
    let site = Site::take().await;
    let mut real = Real::start(&site, false).await;
    let (sim, _) = SimProcess::spawn(site.config());
    let profile = Profile {
        kind: ProcessType::M0d,
        confd: false,
        services: vec!["ios:0x7300000000000001:6".parse().unwrap()],
        pools: vec![Fid::typed(FidType::Pool, 1, 1)],
        objects: (0..1500)
            .map(|key| Fid::typed(FidType::Sdev, 1, key))
            .collect(),
    };
    process::start(&sim, &profile).await.unwrap();
    let link = real.link().await;
    real.set(link, CONFD, HaState::Failed).await;
    sim.wait_state(CONFD, HaState::Failed).await.unwrap();
    assert_eq!(sim.state().borrow().objects.len(), 1500 + 3);
    process::stop(&sim, &profile).await.unwrap();
    sim.wait_all_delivered().await.unwrap();
    sim.close().await;
    let stopped = |saw: &Saw| {
        matches!(saw, Saw::Message { link: from, message: Message::Process(status) }
            if *from == link && status.event == ProcessEvent::Stopped && status.pid == 42)
    };
    real.until(stopped).await;
    real.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_lost_on_the_way_lose_and_repeat_nothing() {
    const EVENTS: u64 = 600;
    let site = Site::take().await;
    let mut real = Real::start(&site, false).await;
    let sim = SimProcess::connect(site.config()).await.unwrap();
    let link = real.link().await;
    for n in 0..EVENTS {
        rpc_event(&sim, n).await;
        if n % 40 == 7 {
            sim.disconnect(Duration::ZERO).await.unwrap();
        }
        if n % 40 == 20 {
            let object = Fid::typed(FidType::Sdev, 1, n);
            let notes = vec![Note {
                object,
                state: HaState::Transient,
            }];
            let set = NvecSet {
                id_of_get: 0,
                ignore_same_state: true,
                notes,
            };
            drop(real.handle.send_nvec(link, &set).await.unwrap());
        }
    }
    sim.wait_all_delivered().await.unwrap();
    sim.wait(|s| s.objects.len() == 15).await.unwrap();
    let mut got = Vec::new();
    while got.len() < EVENTS as usize {
        got.extend(attempts(&real.next().await));
    }
    assert_eq!(got, (0..EVENTS).collect::<Vec<_>>());
    // None came twice from either side.
    rpc_event(&sim, EVENTS).await;
    real.until(|saw| attempts(saw).map(|n| assert_eq!(n, EVENTS)).is_some())
        .await;
    assert_eq!(sim.state().borrow().received["nvec_set"], 15);
    assert!(sim.state().borrow().connects > 1);
    real.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_declared_failed_finds_its_link_absent() {
    let site = Site::take().await;
    let mut real = Real::start(&site, false).await;
    let sim = SimProcess::connect(site.config()).await.unwrap();
    real.link().await;
    real.set(real.own, PROCESS, HaState::Online).await;
    real.set(real.own, PROCESS, HaState::Failed).await;
    assert_eq!(sim.ended().await, End::Absent);
    real.until(|saw| matches!(saw, Saw::Gone)).await;
    real.until(|saw| matches!(saw, Saw::Request { first: false, .. }))
        .await;
    real.until(|saw| matches!(saw, Saw::Absent)).await;
    real.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_frame_costs_a_process_its_link_and_no_other() {
    let site = Site::take().await;
    let real = Real::start(&site, false).await;
    let other = SimProcess::connect(site.config()).await.unwrap();
    for bytes in [&b"HAXL\x01\x00\x09\x00"[..], b"GET / HTTP/1.1\r\n\r\n"] {
        let sim = SimProcess::connect(site.config()).await.unwrap();
        let mut bytes = bytes.to_vec();
        bytes.resize(32, 0);
        sim.raw(bytes).await.unwrap();
        assert_eq!(sim.ended().await, End::Absent);
    }
    let notes = other.nvec_get(&[PROCESS]).await.unwrap();
    assert_eq!(notes[0].state, HaState::Online.raw());
    assert_eq!(other.state().borrow().closes, 0);
    real.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn again_until_the_bridge_can_answer() {
    let site = Site::take().await;
    let mut real = Real::start(&site, true).await;
    let (sim, _) = SimProcess::spawn(site.config());
    for n in 0..4 {
        let (first, req_id) = loop {
            if let Saw::Request { first, req_id } = real.next().await {
                break (first, req_id);
            }
        };
        assert_eq!(first, n == 0);
        match n {
            3 => real
                .handle
                .entrypoint_reply(req_id, &entrypoint())
                .await
                .unwrap(),
            _ => real.handle.entrypoint_again(req_id).await.unwrap(),
        }
    }
    sim.ready().await.unwrap();
    real.until(|saw| matches!(saw, Saw::Reused)).await;
    assert_eq!(sim.state().borrow().again, 3);
    real.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_run_of_the_bridge_gets_what_was_not_delivered() {
    let site = Site::take().await;
    let mut real = Real::start(&site, false).await;
    let sim = SimProcess::connect(site.config()).await.unwrap();
    real.link().await;
    rpc_event(&sim, 1).await;
    sim.wait_all_delivered().await.unwrap();
    let instance = |sim: &SimProcess| sim.state().borrow().link.unwrap().1;
    let before = instance(&sim);
    real.stop().await;
    for n in 2..50 {
        rpc_event(&sim, n).await;
    }

    let mut real = Real::start(&site, false).await;
    let link = real.link().await;
    let mut got = Vec::new();
    while got.len() < 48 {
        got.extend(attempts(&real.next().await));
    }
    assert_eq!(got, (2..50).collect::<Vec<_>>());
    real.set(link, PROCESS, HaState::Online).await;
    sim.wait_state(PROCESS, HaState::Online).await.unwrap();
    sim.wait_all_delivered().await.unwrap();
    assert_ne!(instance(&sim), before);
    assert_eq!(sim.state().borrow().link.unwrap().0, LinkStatus::Connected);
    real.stop().await;
}
