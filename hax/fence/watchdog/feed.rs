//! The task that feeds the watchdog process, and says whether the peers may count on it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use halink::{Fid, ProcessEvent};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::arming::Arming;
use super::link::Link;
use super::process::{Order, Report, VERSION};
use crate::bridge::SharedVerdicts;
use crate::cluster::{Snapshot, StoredType};
use crate::config::fence::WatchdogConfig;
use crate::death::{Deaths, Identified};
use crate::fence::executor::BootInstant;
use crate::fence::model::NodeName;

/// Orders that wait at most.
const ORDERS_MAX: usize = 16;

/// Between two tries to reach, or to start, the watchdog process.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked at whether answers are overdue.
const LOOK: Duration = Duration::from_secs(1);

/// What the feed is made of.
pub struct Feed {
    /// The name of the watchdog process: [`super::name_of`].
    pub name: String,
    /// The watchdog of this node.
    pub watchdog: WatchdogConfig,
    /// `fence.session_ttl`.
    pub ttl: Duration,
    /// This node.
    pub me: NodeName,
    /// The bridge's own process.
    pub own: Fid,
    /// `ha.death_watch`: without it no process is ever identified.
    pub death_watch: bool,
    /// Who can be ended for certain.
    pub deaths: Arc<Deaths>,
    /// What processes have said last.
    pub view: watch::Receiver<Snapshot>,
    /// No process is let in from when it acts until a beat finds nothing against this node.
    pub verdicts: SharedVerdicts,
    /// Where the peers are told of the bound, in milliseconds, while they may count on it.
    pub armed: watch::Sender<Option<u64>>,
}

/// What the feed is told.
#[derive(Debug)]
enum Request {
    Give(Order),
    /// From here on the peers are told that it is not armed.
    Withdraw,
    /// The end of it, in order. The answer comes when the watchdog process has taken it.
    Disarm(oneshot::Sender<()>),
}

/// Tells the feed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FeedHandle(mpsc::Sender<Request>);

impl FeedHandle {
    /// A beat that was sent then: the node may go on for `ttl`. `clear`: nothing is known against it.
    pub async fn beat(&self, sent: BootInstant, ttl: Duration, clear: bool) {
        let beat = Order::Beat {
            sent: sent.millis(),
            deadline: sent.after(ttl).millis(),
            clear,
        };
        self.tell(Request::Give(beat)).await;
    }

    /// The node is to act at once.
    pub async fn strike(&self, why: String) {
        self.tell(Request::Give(Order::Strike(why))).await;
    }

    /// The peers are told that it is not armed; it is all the same.
    pub async fn withdraw(&self) {
        self.tell(Request::Withdraw).await;
    }

    /// Nobody counts on it any more. Whether it has taken that.
    pub async fn disarm(&self) -> bool {
        let (done, taken) = oneshot::channel();
        self.tell(Request::Disarm(done)).await;
        taken.await.is_ok()
    }

    async fn tell(&self, request: Request) {
        // The feed ends only with the daemon.
        let _ = self.0.send(request).await;
    }
}

/// One connection.
struct Session {
    link: Link,
    /// Since when an order is not answered, and how many are not.
    unanswered: Option<Instant>,
    count: u64,
    /// The beat that it was told last, as one that says nothing of this node; none when it is disarmed.
    last: Option<Order>,
    arming: Arming,
    /// The list as it was told last.
    told: Option<Vec<Identified>>,
    /// Whose end is waited for.
    disarming: Option<oneshot::Sender<()>>,
}

impl Feed {
    /// Starts it. It runs until it is cancelled; the watchdog process goes on without it.
    pub fn spawn(self, cancel: CancellationToken) -> (FeedHandle, impl Future<Output = ()>) {
        let (sender, requests) = mpsc::channel(ORDERS_MAX);
        (FeedHandle(sender), self.run(requests, cancel))
    }

    async fn run(self, mut requests: mpsc::Receiver<Request>, cancel: CancellationToken) {
        let mut withdrawn = false;
        let mut said = false;
        let mut last = None;
        let whole = async {
            loop {
                match self.open(last.as_ref()).await {
                    Ok(mut session) => {
                        said = false;
                        let end = self
                            .serve(&mut session, &mut requests, &mut withdrawn)
                            .await;
                        last = session.last;
                        if let Err(error) = end {
                            error!(%error, "the watchdog process is lost");
                        }
                    }
                    Err(error) if !said => {
                        error!(%error, "there is no watchdog process: the watchdog is not armed");
                        said = true;
                    }
                    Err(_) => {}
                }
                self.publish(None);
                // What it should have been told meanwhile is of no use to the next one; beats and
                // strikes are repeated.
                while let Ok(request) = requests.try_recv() {
                    withdrawn |= matches!(request, Request::Withdraw);
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        cancel.run_until_cancelled(whole).await;
    }

    /// `last`: the beat that a lost watchdog process was told, and has to be kept by the next one.
    async fn open(&self, last: Option<&Order>) -> io::Result<Session> {
        let (mut link, was_there) = Link::open(&self.name).await?;
        let hello = Order::Hello {
            version: VERSION,
            stop_max_ms: millis(self.watchdog.stop_max),
            action: (&self.watchdog.action).into(),
        };
        link.give(&hello).await?;
        info!(was_there, "the watchdog process is there");
        let mut session = Session {
            link,
            unanswered: Some(Instant::now()),
            count: 1,
            last: None,
            arming: Arming::new(&self.watchdog.action, self.death_watch, was_there),
            told: None,
            disarming: None,
        };
        if let Some(beat) = last {
            // The processes first: it may have to act at once.
            let list = self.deaths.guarded().identified.into_iter().collect();
            session.give(&Order::Processes(list)).await?;
            session.give(beat).await?;
        }
        Ok(session)
    }

    /// Feeds it until it is lost.
    async fn serve(
        &self,
        session: &mut Session,
        requests: &mut mpsc::Receiver<Request>,
        withdrawn: &mut bool,
    ) -> io::Result<()> {
        let mut guarded = self.deaths.guarded_changes();
        let mut view = self.view.clone();
        loop {
            view.mark_unchanged();
            self.look(session, *withdrawn).await?;
            tokio::select! {
                report = session.link.next() => self.take(session, report?)?,
                Some(request) = requests.recv() => match request {
                    Request::Give(order) => session.give(&order).await?,
                    Request::Withdraw => *withdrawn = true,
                    Request::Disarm(done) => {
                        session.give(&Order::Disarm).await?;
                        session.disarming = Some(done);
                    }
                },
                Ok(()) = guarded.changed() => {}
                Ok(()) = view.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Tells it whom it has to end, and the peers whether they may count on that.
    async fn look(&self, session: &mut Session, withdrawn: bool) -> io::Result<()> {
        let guarded = self.deaths.guarded();
        let list: Vec<_> = guarded.identified.iter().copied().collect();
        if session.told.as_ref() != Some(&list) {
            session.give(&Order::Processes(list.clone())).await?;
            session.told = Some(list);
        }
        let late = self.ttl / 3;
        let overdue = session
            .unanswered
            .is_some_and(|since| since.elapsed() > late);
        let unlinked = self.unlinked(&guarded.accounted);
        let armed = session
            .arming
            .may_be_counted_on(&guarded, &unlinked, overdue)
            && !withdrawn;
        let bound = self.ttl + self.watchdog.stop_max;
        self.publish(armed.then(|| millis(bound)));
        Ok(())
    }

    fn take(&self, session: &mut Session, report: Report) -> io::Result<()> {
        match report {
            Report::Acts { why, armed } => {
                error!(why, armed, "THE WATCHDOG ACTS");
                self.close(true);
            }
            Report::Did(what) => warn!(what, "the watchdog has done"),
            Report::State(state) => {
                if state.version != VERSION {
                    let why = format!(
                        "the watchdog process is of another version of hax; it ends when the Motr \
                         processes that it holds have ended: {} instead of {VERSION}",
                        state.version
                    );
                    return Err(io::Error::other(why));
                }
                session.count = session.count.saturating_sub(1);
                session.unanswered = (session.count > 0).then(Instant::now);
                if state.acted || state.clear {
                    self.close(state.acted);
                }
                if !state.armed
                    && let Some(done) = session.disarming.take()
                {
                    // Who asked may have stopped waiting.
                    let _ = done.send(());
                }
                session.arming.stands(state);
            }
        }
        Ok(())
    }

    fn close(&self, stopped: bool) {
        if self.verdicts.update(|verdicts| verdicts.stopped = stopped) {
            match stopped {
                true => warn!("the watchdog lets no process of this node start"),
                false => info!("the watchdog lets processes of this node start again"),
            }
        }
    }

    /// Processes of this node that may be running without a link: by their last word they have not
    /// stopped, and nothing more is known of them.
    fn unlinked(&self, accounted: &BTreeSet<Fid>) -> Vec<Fid> {
        let view = self.view.borrow();
        let verdicts = self.verdicts.now();
        let mut unlinked = view.tree.processes_on(self.me.as_str()).to_vec();
        unlinked.retain(|process| {
            *process != self.own
                && !accounted.contains(process)
                && self.deaths.confirmed(*process).is_none()
                && !verdicts.is_confirmed(*process, &view)
                && may_write(*process, &view)
        });
        unlinked
    }

    fn publish(&self, bound: Option<u64>) {
        self.armed.send_if_modified(|armed| {
            let changed = *armed != bound;
            *armed = bound;
            changed
        });
    }
}

impl Session {
    async fn give(&mut self, order: &Order) -> io::Result<()> {
        match *order {
            Order::Beat { sent, deadline, .. } => {
                let clear = false;
                self.last = Some(Order::Beat {
                    sent,
                    deadline,
                    clear,
                });
            }
            Order::Disarm => self.last = None,
            _ => {}
        }
        self.link.give(order).await?;
        self.count += 1;
        self.unanswered.get_or_insert_with(Instant::now);
        Ok(())
    }
}

/// Whether the last word of a process is that of one that may write.
fn may_write(process: Fid, view: &Snapshot) -> bool {
    let status = view.processes.get(process);
    status.is_some_and(|status| {
        let bridge = matches!(status.kind, StoredType::Bridge(_));
        status.state != ProcessEvent::Stopped && !bridge && !view.tree.has_service(process, "ha")
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
