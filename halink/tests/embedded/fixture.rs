//! A started interface with what the tests need around it.

use std::num::NonZeroU32;
use std::path::PathBuf;

use halink::{
    Confd, EntrypointReply, EntrypointRequest, Event, Events, Fid, FidType, Handle, Interface,
    InterfaceConfig, Link, Received,
};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard, mpsc};

pub(crate) const BRIDGE: Fid = Fid::typed(FidType::Process, 1, 1);
pub(crate) const PROCESS: Fid = Fid::typed(FidType::Process, 1, 2);

/// Events a test may leave unread.
const EVENTS_MAX: usize = 4096;

static TURN: Mutex<()> = Mutex::const_new(());

/// A test's turn to have the interface of this process, and a place for its socket.
pub(crate) struct Turn {
    pub(crate) socket: PathBuf,
    pub(crate) queue_max: NonZeroU32,
    _dir: TempDir,
    _guard: MutexGuard<'static, ()>,
}

impl Turn {
    pub(crate) async fn take() -> Turn {
        let guard = TURN.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("ha");
        Turn {
            socket,
            queue_max: NonZeroU32::new(16_384).unwrap(),
            _dir: dir,
            _guard: guard,
        }
    }

    pub(crate) fn config(&self) -> InterfaceConfig {
        InterfaceConfig {
            endpoint: format!("unix:{}", self.socket.display()),
            process: BRIDGE,
            ha_service: Fid::typed(FidType::Service, 1, 1),
            rm_service: Fid::typed(FidType::Service, 1, 2),
            node_uuid: None,
            queue_max: self.queue_max,
        }
    }

    pub(crate) fn spawn(&self) -> (Interface, Events) {
        Interface::spawn(self.config()).unwrap()
    }
}

pub(crate) fn reply() -> EntrypointReply {
    let confd = |key| Confd {
        fid: Fid::typed(FidType::Service, 1, key),
        endpoint: format!("inet:tcp:127.0.0.1@{key}"),
    };
    EntrypointReply {
        quorum: 2,
        rm: Fid::typed(FidType::Service, 1, 9),
        rm_endpoint: "inet:tcp:127.0.0.1@9".to_owned(),
        confds: vec![confd(3), confd(4), confd(5)],
    }
}

/// The next entrypoint request; what comes before it is acknowledged.
pub(crate) async fn request(events: &mut Events) -> EntrypointRequest {
    loop {
        match events.recv().await.expect("the interface is stopped") {
            Event::Entrypoint(request) => return request,
            Event::Message(received) => received.delivered().await,
            _ => {}
        }
    }
}

/// Acknowledges everything until the end: a stop waits for the last messages to be acknowledged.
pub(crate) async fn acknowledge(events: &mut Events) {
    while let Some(event) = events.recv().await {
        if let Event::Message(received) = event {
            received.delivered().await;
        }
    }
}

pub(crate) async fn stop(interface: Interface, events: &mut Events) {
    let (result, ()) = tokio::join!(interface.stop(), acknowledge(events));
    result.unwrap();
}

/// A started interface. A task answers entrypoint requests and acknowledges what the bridge tells
/// itself; the test sees everything else.
pub(crate) struct Bridge {
    pub(crate) turn: Turn,
    pub(crate) handle: Handle,
    /// The link of the bridge to itself.
    pub(crate) own_link: Link,
    interface: Interface,
    events: mpsc::Receiver<Event>,
}

impl Bridge {
    pub(crate) async fn start() -> Bridge {
        Bridge::start_in(Turn::take().await).await
    }

    pub(crate) async fn start_in(turn: Turn) -> Bridge {
        let (interface, events) = turn.spawn();
        let handle = interface.handle();
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(pump(handle.clone(), events, sender));
        interface.started().await.unwrap();
        let mut events = receiver;
        let own_link = match events.recv().await {
            Some(Event::LinkConnected(link)) if link.process == BRIDGE => link,
            other => panic!("not our own link: {other:?}"),
        };
        Bridge {
            turn,
            handle,
            own_link,
            interface,
            events,
        }
    }

    /// Stops, and leaves the place for another start.
    pub(crate) async fn stop(self) -> Turn {
        let Bridge {
            turn,
            interface,
            mut events,
            ..
        } = self;
        let drain = async { while events.recv().await.is_some() {} };
        let (result, ()) = tokio::join!(interface.stop(), drain);
        result.unwrap();
        turn
    }

    pub(crate) async fn event(&mut self) -> Event {
        self.events.recv().await.expect("the interface is stopped")
    }

    pub(crate) async fn connected(&mut self) -> Link {
        match self.event().await {
            Event::LinkConnected(link) => link,
            other => panic!("not a new link: {other:?}"),
        }
    }

    pub(crate) async fn received(&mut self) -> Received {
        match self.event().await {
            Event::Message(received) => received,
            other => panic!("not a message: {other:?}"),
        }
    }
}

async fn pump(handle: Handle, mut events: Events, sender: mpsc::Sender<Event>) {
    let mut own_link = None;
    while let Some(event) = events.recv().await {
        match event {
            Event::Entrypoint(request) => {
                handle
                    .entrypoint_reply(request.req_id, &reply())
                    .await
                    .unwrap();
            }
            Event::Message(received) if Some(received.link) == own_link => {
                received.delivered().await;
            }
            event => {
                if let Event::LinkConnected(link) = &event
                    && link.process == BRIDGE
                {
                    own_link = Some(link.id);
                }
                // A test that has seen enough drops its end.
                let _ = sender.send(event).await;
            }
        }
    }
}
