//! Standing for the leader (`rfc/5-hax.md`, "Leader election").
//!
//! ```text
//!            own confd passes              lock acquired
//!  ineligible ────────────▶ candidate ────────────────────▶ leader
//!      ▲                      │  ▲                             │
//!      └── own confd fails ───┘  └── session or lock is gone ──┘
//! ```
//!
//! The session is made when the node becomes a candidate. Consul ends it when one of its checks
//! turns critical, so a node whose bridge hangs or dies loses the lock without its help.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consul_client::{
    Attempt, CheckStatus, Checks, Client, Error, KvPair, NewSession, Response, ServiceEntry,
    SessionId, Watch, WatchOptions,
};
use futures_util::StreamExt;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// The key whose lock makes the leader.
pub const LEADER_KEY: &str = "leader";

/// How often what has no event of its own is tried again: a lock whose delay runs, a session
/// that could not be made.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Where this node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The bridge does not stand for the leader (`leader.elect = false`).
    #[default]
    Off,
    /// No confd of this node passes its checks, or its `hax` service does not.
    Ineligible,
    /// The bridge tries to get the lock.
    Candidate,
    /// The bridge holds the lock.
    Leader,
}

/// What the election knows, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LeaderStatus {
    /// Where this node stands.
    pub standing: Standing,
    /// The node in the value of `leader`, if a session holds it.
    pub node: Option<String>,
    /// The session that holds `leader`.
    pub session: Option<String>,
}

/// The shared status of the election.
#[derive(Debug, Clone, Default)]
pub struct Leader(Arc<Mutex<LeaderStatus>>);

impl Leader {
    /// The status.
    pub fn status(&self) -> LeaderStatus {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn update(&self, change: impl FnOnce(&mut LeaderStatus)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The election's task.
#[derive(Debug)]
pub struct LeaderTask {
    consul: Client,
    node: String,
    lock_delay: Duration,
    status: Leader,
    session: Option<SessionId>,
    /// Checks of a confd that passes them all.
    confd_checks: Option<Vec<String>>,
    /// Checks of the `hax` service, if it passes them all; empty if it is not registered.
    hax_checks: Option<Vec<String>>,
    holder: Option<SessionId>,
}

impl LeaderTask {
    /// An election for `node`, the name of the local agent's node.
    pub fn new(consul: &Client, node: &str, lock_delay: Duration, status: &Leader) -> Self {
        Self {
            consul: consul.clone(),
            node: node.to_owned(),
            lock_delay,
            status: status.clone(),
            session: None,
            confd_checks: None,
            hax_checks: None,
            holder: None,
        }
    }

    /// Stands for the leader until `cancel` is cancelled, then gives the lock up.
    pub async fn run(mut self, cancel: CancellationToken) {
        let watcher = self.consul.watch(WatchOptions::default());
        let mut confds: Watch<Vec<ServiceEntry>> = watcher.health_service("confd");
        let mut bridges: Watch<Vec<ServiceEntry>> = watcher.health_service("hax");
        let mut key: Watch<Option<KvPair>> = watcher.kv_key(LEADER_KEY);
        self.stand(Standing::Ineligible);
        loop {
            let again = self.checks().is_some() && self.standing() != Standing::Leader;
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(confds) = confds.next() => match confds {
                    Ok(confds) => self.confd_checks = self.passing(&confds),
                    Err(error) => { lost_sight(&error); continue }
                },
                Some(bridges) = bridges.next() => match bridges {
                    Ok(bridges) => self.hax_checks = self.own_checks(&bridges),
                    Err(error) => { lost_sight(&error); continue }
                },
                Some(pair) = key.next() => match pair {
                    Ok(pair) => self.key_changed(pair),
                    Err(error) => { lost_sight(&error); continue }
                },
                () = tokio::time::sleep(TRY_AGAIN), if again => {}
                else => break,
            }
            if let Err(error) = self.step().await {
                warn!(%error, "the election does not go on");
            }
        }
        self.resign().await;
    }

    /// Check IDs of the first instance of a service on this node that passes all its checks.
    fn passing(&self, entries: &Response<Vec<ServiceEntry>>) -> Option<Vec<String>> {
        let own = |entry: &&ServiceEntry| {
            entry.node.name == self.node && entry.status() == CheckStatus::Passing
        };
        let entry = entries.value.iter().find(own)?;
        let checks = entry
            .checks
            .iter()
            .filter(|check| !check.service_id.is_empty());
        Some(checks.map(|check| check.check_id.clone()).collect())
    }

    /// Check IDs of the bridge's own service, none if it is not registered. A session that is not
    /// bound to them would outlive the bridge.
    fn own_checks(&self, entries: &Response<Vec<ServiceEntry>>) -> Option<Vec<String>> {
        let registered = entries
            .value
            .iter()
            .any(|entry| entry.node.name == self.node);
        if registered {
            self.passing(entries)
        } else {
            Some(Vec::new())
        }
    }

    /// What the session is to be bound to; `None` while this node may not stand.
    fn checks(&self) -> Option<Checks> {
        let (confd, hax) = (self.confd_checks.as_ref()?, self.hax_checks.as_ref()?);
        let checks = confd.iter().chain(hax);
        Some(checks.fold(Checks::serf_health(), |all, check| all.and_service(check)))
    }

    fn key_changed(&mut self, pair: Response<Option<KvPair>>) {
        let pair = pair.value;
        self.holder = pair.as_ref().and_then(|pair| pair.session.clone());
        let node = pair.and_then(|pair| pair.text().ok().map(str::to_owned));
        let holder = self.holder.as_ref().map(ToString::to_string);
        self.status.update(|status| {
            status.node = node.filter(|_| holder.is_some());
            status.session = holder;
        });
        if self.standing() == Standing::Leader && self.holder != self.session {
            // The session is kept: this may be an older state of the key than our own lock, and
            // then the next attempt says that we have it.
            self.stand(Standing::Candidate);
        }
    }

    async fn step(&mut self) -> Result<(), Error> {
        let Some(checks) = self.checks() else {
            if self.standing() == Standing::Candidate {
                self.resign().await;
                self.stand(Standing::Ineligible);
            }
            return Ok(());
        };
        match self.standing() {
            Standing::Off | Standing::Ineligible => self.stand(Standing::Candidate),
            Standing::Candidate => {}
            Standing::Leader => return Ok(()),
        }
        if self.holder.is_some() && self.holder != self.session {
            return Ok(());
        }
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.make_session(checks).await?,
        };
        match self
            .consul
            .lock()
            .acquire(LEADER_KEY, &session, self.node.clone())
            .await
        {
            Ok(Attempt::Acquired) => {
                self.holder = Some(session);
                self.stand(Standing::Leader);
            }
            Ok(Attempt::Held { session, .. }) => self.holder = Some(session),
            Ok(Attempt::Delayed) => {}
            Err(Error::SessionInvalid { .. }) => self.session = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn make_session(&mut self, checks: Checks) -> Result<SessionId, Error> {
        let mut new = NewSession::new(LEADER_KEY);
        new.checks = checks;
        new.lock_delay = self.lock_delay;
        let session = self.consul.session().create(&new).await?;
        self.session = Some(session.clone());
        Ok(session)
    }

    /// Ends the session, and with it the lock.
    async fn resign(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        if let Err(error) = self.consul.session().destroy(&session).await {
            warn!(%session, %error, "the leader session is left for Consul to end");
        }
    }

    fn standing(&self) -> Standing {
        self.status.status().standing
    }

    fn stand(&self, standing: Standing) {
        info!(?standing, "leader election");
        self.status.update(|status| status.standing = standing);
    }
}

/// The watch tries again by itself, with pauses; the view asks the same agent and warns.
fn lost_sight(error: &Error) {
    debug!(%error, "a watch of the election has failed");
}
