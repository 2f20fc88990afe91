//! The interface: its threads and its life.
//!
//! `ha-interface` owns it: init, start, a wait, stop, fini. `start` blocks until our own entrypoint
//! request is answered, and `stop` until all links are gone, so it cannot execute commands.
//! `ha-sender` does: it is adopted before `start` and shunned after `stop`, because both need
//! commands executed while they run.

use std::ffi::{CStr, CString};
use std::num::NonZeroU32;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread;

use tokio::sync::{mpsc, oneshot, watch};

use crate::delivery::Deliveries;
use crate::entrypoint::StartGate;
use crate::error::Error;
use crate::event::{EventSender, Events};
use crate::ffi::{Bridge, Context, Remote};
use crate::fid::Fid;
use crate::handle::{COMMANDS_MAX, Command, Counters, Handle};
use crate::lifecycle::{Lifecycle, Progress, Status};
use crate::sender;

const INTERFACE_THREAD: &str = "ha-interface";
const SENDER_THREAD: &str = "ha-sender";

/// Who we are and where we listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceConfig {
    /// Endpoint to listen on, in a form of the backend (rfc/6-wire.md for the embedded one).
    pub endpoint: String,
    /// Our process.
    pub process: Fid,
    /// Our HA service.
    pub ha_service: Fid,
    /// Our RM service.
    pub rm_service: Fid,
    /// UUID of the node, for libmotr.
    pub node_uuid: Option<String>,
    /// Messages received over all links and not yet acknowledged, from which the embedded backend
    /// stops reading links (rfc/6-wire.md, "Back-pressure"); libmotr has no such bound.
    pub queue_max: NonZeroU32,
}

/// The HA interface. There is at most one in a process at a time.
///
/// Dropped without [`Interface::stop`] it stops on its own, in the background.
#[derive(Debug)]
pub struct Interface {
    endpoint: String,
    handle: Handle,
    commands: mpsc::Sender<Command>,
    gate: Arc<StartGate>,
    status: watch::Receiver<Status>,
    /// Dropped to ask for the stop.
    stop: Option<oneshot::Sender<()>>,
    /// Closed when the thread is about to end.
    ended: oneshot::Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Interface {
    /// Opens the interface and begins to start it.
    ///
    /// Returns when the library is initialised, for which it blocks: some 100 ms with libmotr. The
    /// start goes on until our own entrypoint request, which arrives as an event like any other, is
    /// answered; see [`Interface::started`].
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyOpen`] if this process has an interface.
    pub fn spawn(config: InterfaceConfig) -> Result<(Interface, Events), Error> {
        let endpoint = config.endpoint.clone();
        let settings = Settings::new(config)?;
        let counters = Arc::new(Counters::default());
        let deliveries = Arc::new(Deliveries::default());
        let gate = Arc::new(StartGate::default());
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (event_sender, events) = EventSender::new(&counters);
        let (progress, status) = Progress::new();
        let (stop, stop_asked) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let (initialised, init_result) = std_mpsc::channel();

        let context = Context::new(
            event_sender,
            commands.clone(),
            Arc::clone(&deliveries),
            Arc::clone(&gate),
            Arc::clone(&counters),
            settings.process,
        );
        let owner = Owner {
            settings,
            commands: commands.clone(),
            queue,
            deliveries,
            gate: Arc::clone(&gate),
            initialised,
            stop_asked,
        };
        let body = move || {
            owner.run(context, progress);
            drop(end);
        };
        let thread = thread::Builder::new()
            .name(INTERFACE_THREAD.to_owned())
            .spawn(body)
            .map_err(|source| Error::Thread {
                name: INTERFACE_THREAD,
                source,
            })?;
        init_result.recv().map_err(|_| Error::Stopped)??;

        let handle = Handle::new(commands.clone(), counters);
        let interface = Interface {
            endpoint,
            handle,
            commands,
            gate,
            status,
            stop: Some(stop),
            ended,
            thread: Some(thread),
        };
        Ok((interface, events))
    }

    /// Waits until the interface is started.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] if the library could not start; nothing remains then but to
    /// [`stop`](Interface::stop). [`Error::Stopped`] if the interface is being stopped.
    pub async fn started(&self) -> Result<(), Error> {
        let mut status = self.status.clone();
        let settled = status
            .wait_for(|status| status.lifecycle == Lifecycle::Started || status.lifecycle.is_over())
            .await
            .map(|status| *status)
            .map_err(|_| Error::Stopped)?;
        match (settled.lifecycle, settled.start_error) {
            (Lifecycle::Started, _) => Ok(()),
            (_, Some(errno)) => Err(Error::Start {
                endpoint: self.endpoint.clone(),
                errno,
            }),
            _ => Err(Error::Stopped),
        }
    }

    /// Where the interface stands.
    #[must_use]
    pub fn lifecycle(&self) -> Lifecycle {
        self.status.borrow().lifecycle
    }

    /// Commands to the interface.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops the interface, finalises it and joins its threads. All links end, and then the events.
    /// A start still under way is brought to its end.
    ///
    /// Receive and acknowledge events meanwhile: our own last messages are waited for, with the
    /// embedded backend for 5 s at most. With libmotr, links to processes that are gone make it last
    /// up to a minute: put a bound to it. If the future is dropped, the stop goes on without it.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] if the interface's thread has panicked.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.ask_for_stop();
        // Closed, never sent.
        let _ = (&mut self.ended).await;
        match self.thread.take() {
            // The thread has nothing left to do, so this does not block.
            Some(thread) => thread.join().map_err(|_| Error::Stopped),
            None => Ok(()),
        }
    }

    fn ask_for_stop(&mut self) {
        self.gate.give_up();
        // If the queue is full, the sending thread is awake anyhow.
        let _ = self.commands.try_send(Command::Wake);
        self.stop = None;
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        self.ask_for_stop();
    }
}

/// The configuration in the form in which C takes it.
#[derive(Debug)]
struct Settings {
    endpoint: CString,
    process: Fid,
    ha_service: Fid,
    rm_service: Fid,
    node_uuid: Option<CString>,
    queue_max: NonZeroU32,
}

impl Settings {
    fn new(config: InterfaceConfig) -> Result<Settings, Error> {
        let string = |text, what| CString::new(text).map_err(|_| Error::Nul(what));
        Ok(Settings {
            endpoint: string(config.endpoint, "endpoint")?,
            process: config.process,
            ha_service: config.ha_service,
            rm_service: config.rm_service,
            node_uuid: config
                .node_uuid
                .map(|uuid| string(uuid, "UUID of the node"))
                .transpose()?,
            queue_max: config.queue_max,
        })
    }
}

/// What the thread `ha-interface` works with.
#[derive(Debug)]
struct Owner {
    settings: Settings,
    commands: mpsc::Sender<Command>,
    queue: mpsc::Receiver<Command>,
    deliveries: Arc<Deliveries>,
    gate: Arc<StartGate>,
    initialised: std_mpsc::Sender<Result<(), Error>>,
    stop_asked: oneshot::Receiver<()>,
}

impl Owner {
    fn run(self, context: Context, progress: Progress) {
        let Owner {
            settings,
            commands,
            queue,
            deliveries,
            gate,
            initialised,
            stop_asked,
        } = self;
        let uuid: Option<&CStr> = settings.node_uuid.as_deref();
        let bridge = match Bridge::init(uuid, settings.queue_max, context, progress) {
            Ok(bridge) => bridge,
            Err(error) => {
                let _ = initialised.send(Err(error));
                return;
            }
        };
        // The scope ends with `ha-sender`, before `fini`.
        thread::scope(|scope| {
            let remote = bridge.remote();
            let (adopted, adopt_result) = std_mpsc::channel();
            let (deliveries, gate) = (&deliveries, &gate);
            let body = move || send_commands(remote, queue, deliveries, gate, &adopted);
            let spawned = thread::Builder::new()
                .name(SENDER_THREAD.to_owned())
                .spawn_scoped(scope, body);
            let result = match spawned {
                Ok(_) => adopt_result.recv().unwrap_or(Err(Error::Stopped)),
                Err(source) => Err(Error::Thread {
                    name: SENDER_THREAD,
                    source,
                }),
            };
            let usable = result.is_ok();
            let _ = initialised.send(result);
            if usable {
                start_and_stop(&bridge, &settings, stop_asked);
                // Fails only if `ha-sender` has ended already.
                let _ = commands.blocking_send(Command::Shutdown);
            }
        });
        deliveries.close();
    }
}

fn start_and_stop(bridge: &Bridge, settings: &Settings, stop_asked: oneshot::Receiver<()>) {
    let Settings {
        endpoint,
        process,
        ha_service,
        rm_service,
        ..
    } = settings;
    let started = bridge.start(endpoint, *process, *ha_service, *rm_service);
    if let Err(error) = &started {
        tracing::error!(%error, "the HA interface does not start");
    }
    // Nothing is sent: the other end is dropped.
    let _ = stop_asked.blocking_recv();
    if started.is_ok()
        && let Err(error) = bridge.stop()
    {
        tracing::error!(%error, "the HA interface does not stop");
    }
}

/// Body of the thread `ha-sender`.
fn send_commands(
    remote: Remote<'_>,
    queue: mpsc::Receiver<Command>,
    deliveries: &Arc<Deliveries>,
    gate: &StartGate,
    adopted: &std_mpsc::Sender<Result<(), Error>>,
) {
    match remote.adopt() {
        Ok(library) => {
            let _ = adopted.send(Ok(()));
            sender::run(&library, queue, deliveries, gate);
        }
        Err(errno) => {
            let _ = adopted.send(Err(Error::Adopt(errno)));
        }
    }
}
