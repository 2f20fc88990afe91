//! Standing for the leader (`rfc/5-hax.md`, "Leader election").
//!
//! ```text
//!           confd and bridge pass           lock acquired
//!  ineligible ──────────────▶ candidate ────────────────────▶ leader
//!      ▲                        │  ▲                             │
//!      └── one does not pass ───┘  └── session or lock is gone ──┘
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
    /// No confd of this node passes its checks, or the bridge does not pass its own.
    Ineligible,
    /// The bridge tries to get the lock.
    Candidate,
    /// The bridge holds the lock.
    Leader,
}

impl Standing {
    /// Its word, as JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Ineligible => "ineligible",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        }
    }
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

/// A service of this node, as the catalog has it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Registered {
    /// Consul has not said yet.
    Unknown,
    Not,
    NotPassing,
    /// With the IDs of its checks.
    Passing(Vec<String>),
}

/// The election's task.
#[derive(Debug)]
pub struct LeaderTask {
    consul: Client,
    node: String,
    lock_delay: Duration,
    status: Leader,
    session: Option<SessionId>,
    confd: Registered,
    bridge: Registered,
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
            confd: Registered::Unknown,
            bridge: Registered::Unknown,
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
            let again = self.standing() == Standing::Candidate;
            // Errors are taken too: a branch whose pattern does not match is not polled again.
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(confds) = confds.next() => match confds {
                    Ok(confds) => self.confd = self.own(&confds),
                    Err(error) => lost_sight(&error),
                },
                Some(bridges) = bridges.next() => match bridges {
                    Ok(bridges) => self.bridge = self.own(&bridges),
                    Err(error) => lost_sight(&error),
                },
                Some(pair) = key.next() => match pair {
                    Ok(pair) => self.key_changed(pair),
                    Err(error) => lost_sight(&error),
                },
                () = tokio::time::sleep(TRY_AGAIN), if again => {}
            }
            if let Err(error) = self.step().await {
                warn!(%error, "the election does not go on");
            }
        }
        self.resign().await;
    }

    /// The instance of a service on this node; the best one, if there are several.
    fn own(&self, entries: &Response<Vec<ServiceEntry>>) -> Registered {
        let mut found = Registered::Not;
        for entry in entries
            .value
            .iter()
            .filter(|entry| entry.node.name == self.node)
        {
            if entry.status() == CheckStatus::Passing {
                let checks = entry
                    .checks
                    .iter()
                    .filter(|check| !check.service_id.is_empty());
                return Registered::Passing(checks.map(|check| check.check_id.clone()).collect());
            }
            found = Registered::NotPassing;
        }
        found
    }

    /// The checks a session is bound to; `None` if this node cannot stand. A bridge that is not
    /// registered has no checks; one that is must pass them, or nothing would end the
    /// session of a bridge that dies.
    fn checks(&self) -> Option<Checks> {
        let Registered::Passing(confd) = &self.confd else {
            return None;
        };
        let bridge = match &self.bridge {
            Registered::Not => &[][..],
            Registered::Unknown | Registered::NotPassing => return None,
            Registered::Passing(checks) => checks,
        };
        let ids = confd.iter().chain(bridge);
        Some(ids.fold(Checks::serf_health(), |checks, id| checks.and_service(id)))
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
                self.status.update(|status| {
                    status.node = Some(self.node.clone());
                    status.session = Some(session.to_string());
                });
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

/// The view warns of it: it asks the same agent.
fn lost_sight(error: &Error) {
    debug!(%error, "a watch of the election has failed");
}
