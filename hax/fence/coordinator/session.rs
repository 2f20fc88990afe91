//! The daemon's one session: all its locks stand and fall with it (`rfc/12-fencing.md`, "Stored data").

use std::sync::Arc;
use std::time::Duration;

use consul_client::{Client, Error, NewSession, SessionId};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::fence::executor::BootInstant;

/// Between two tries to make a session, and to renew one after a failure.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A session that is alive, as far as this daemon can know.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The session.
    pub id: SessionId,
    /// Cancelled when the session is lost, and when it ends in order.
    pub lost: CancellationToken,
}

/// Makes the session, renews it, and says when it is lost.
pub(super) struct Keeper {
    consul: Client,
    new: NewSession,
    ttl: Duration,
    leases: watch::Sender<Option<Lease>>,
    doubts: Arc<Notify>,
    /// A session that was lost by our own clock; Consul may still have it.
    left: Option<SessionId>,
}

/// Why a session was not kept.
enum Over {
    /// The daemon stops.
    Stopped,
    /// Consul has no such session any more.
    Gone,
    /// It was not renewed within its TTL.
    NotRenewed,
}

impl Keeper {
    /// A keeper that tells `leases`, and looks at once whenever `doubts` is notified.
    pub(super) fn new(
        consul: &Client,
        (ttl, lock_delay): (Duration, Duration),
        leases: watch::Sender<Option<Lease>>,
        doubts: Arc<Notify>,
    ) -> Self {
        let mut new = NewSession::new("hax fence");
        new.ttl = Some(ttl);
        new.lock_delay = lock_delay;
        Self {
            consul: consul.clone(),
            new,
            ttl,
            leases,
            doubts,
            left: None,
        }
    }

    /// Keeps a session until `cancel` is cancelled, then destroys it.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        loop {
            let (id, until) = tokio::select! {
                () = cancel.cancelled() => return,
                made = self.make() => made,
            };
            info!(session = %id, "the session of fencing is made");
            let lost = CancellationToken::new();
            self.leases.send_replace(Some(Lease {
                id: id.clone(),
                lost: lost.clone(),
            }));
            let over = self.keep(&id, until, &cancel).await;
            lost.cancel();
            self.leases.send_replace(None);
            match over {
                Over::Gone => warn!(session = %id, "Consul has ended the session of fencing"),
                Over::NotRenewed => {
                    warn!(session = %id, ttl = ?self.ttl, "the session of fencing was not renewed in time");
                    self.left = Some(id);
                }
                Over::Stopped => {
                    if let Err(error) = self.consul.session().destroy(&id).await {
                        warn!(session = %id, %error, "the session of fencing is left for Consul to end");
                    }
                    return;
                }
            }
        }
    }

    /// A new session, and until when it lasts without a renewal.
    async fn make(&mut self) -> (SessionId, BootInstant) {
        let mut warned = false;
        loop {
            match self.try_make().await {
                Ok(made) => return made,
                Err(error) if warned => tracing::debug!(%error, "still no session of fencing"),
                Err(error) => {
                    warn!(%error, "no session of fencing can be made; it is tried again");
                    warned = true;
                }
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    async fn try_make(&mut self) -> Result<(SessionId, BootInstant), Error> {
        if let Some(left) = &self.left {
            // It still holds the peer's key, and its runs have been told to end.
            self.consul.session().destroy(left).await?;
            self.left = None;
        }
        let sent = BootInstant::now();
        let id = self.consul.session().create(&self.new).await?;
        Ok((id, sent.after(self.ttl)))
    }

    /// Renews every third of the TTL. The TTL counts from before a renewal was sent, so it is over here
    /// before it is over at the servers.
    async fn keep(
        &self,
        id: &SessionId,
        mut until: BootInstant,
        cancel: &CancellationToken,
    ) -> Over {
        let mut failed = false;
        loop {
            let left = until.0.saturating_sub(BootInstant::now().0);
            if left.is_zero() {
                return Over::NotRenewed;
            }
            let pause = if failed { TRY_AGAIN } else { self.ttl / 3 };
            tokio::select! {
                () = cancel.cancelled() => return Over::Stopped,
                () = tokio::time::sleep(pause.min(left)) => {}
                () = self.doubts.notified() => {}
            }
            let sent = BootInstant::now();
            let left = until.0.saturating_sub(sent.0);
            let bound = left.min(self.ttl / 3);
            match tokio::time::timeout(bound, self.consul.session().renew(id)).await {
                Ok(Ok(Some(_))) => {
                    until = sent.after(self.ttl);
                    failed = false;
                }
                Ok(Ok(None)) => return Over::Gone,
                Ok(Err(error)) => {
                    if !failed {
                        warn!(session = %id, %error, "the session of fencing cannot be renewed");
                    }
                    failed = true;
                }
                Err(_) => failed = true,
            }
        }
    }
}
