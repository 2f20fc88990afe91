//! Locks: keys held by sessions (Consul guide, "Leader election").

use crate::client::{Client, ReadOptions, Response};
use crate::error::Error;
use crate::kv::KvPair;
use crate::session::SessionId;

/// Handle to locks; see [`Client::lock`].
///
/// A lock is advisory and lasts as long as its session. Who acts under one must confirm it in
/// the same transaction as the act, with [`TxnOp::check_session`](crate::TxnOp::check_session).
#[derive(Debug, Clone, Copy)]
pub struct Lock<'c> {
    client: &'c Client,
}

/// Outcome of one attempt to take a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The session holds the lock, from now or already before.
    Acquired,
    /// Another session holds it.
    Held {
        /// The holder.
        session: SessionId,
        /// The key with the value the holder wrote.
        pair: KvPair,
    },
    /// Nobody holds it, yet it cannot be taken: the lock-delay of a holder that was invalidated
    /// is running, or the lock became free just now. Try again later.
    Delayed,
}

impl<'c> Lock<'c> {
    pub(crate) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// Tries once to lock `key` with `session` and to write `value` to it. A holder that acquires
    /// again only changes the value.
    ///
    /// # Errors
    /// [`Error::SessionInvalid`] when the session does not exist.
    pub async fn acquire(
        &self,
        key: &str,
        session: &SessionId,
        value: impl Into<Vec<u8>>,
    ) -> Result<Attempt, Error> {
        if self.client.kv().acquire(key, value, session).await? {
            return Ok(Attempt::Acquired);
        }
        Ok(match self.holder(key).await?.value {
            // The answer to an earlier, repeated attempt may have been lost.
            Some((holder, _)) if holder == *session => Attempt::Acquired,
            Some((session, pair)) => Attempt::Held { session, pair },
            None => Attempt::Delayed,
        })
    }

    /// Gives up the lock and writes `value`: Consul replaces the value on release. No lock-delay
    /// follows. Returns whether the session held it.
    pub async fn release(
        &self,
        key: &str,
        session: &SessionId,
        value: impl Into<Vec<u8>>,
    ) -> Result<bool, Error> {
        self.client.kv().release(key, value, session).await
    }

    /// Who holds the lock, with the key. A consistent read.
    pub async fn holder(&self, key: &str) -> Result<Response<Option<(SessionId, KvPair)>>, Error> {
        let response = self
            .client
            .kv()
            .with(ReadOptions::consistent())
            .get(key)
            .await?;
        Ok(response.map(|pair| {
            let pair = pair?;
            Some((pair.session.clone()?, pair))
        }))
    }
}
