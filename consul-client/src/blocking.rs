//! Blocking queries as streams (Consul API, "Blocking Queries").

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::mem::{Discriminant, discriminant};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, Stream};
use tokio::time::Instant;

use crate::CatalogService;
use crate::client::{Client, Consistency, Index, ReadOptions, Response};
use crate::error::Error;
use crate::health::StateFilter;
use crate::kv::KvPair;
use crate::listing::Listing;
use crate::retry::{Delays, RetryPolicy};
use crate::types::{HealthCheck, Node, ServiceEntry};

/// Longest time Consul waits in a blocking query.
pub const MAX_WAIT: Duration = Duration::from_secs(600);

/// How to follow changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchOptions {
    /// Which servers may answer.
    pub consistency: Consistency,
    /// Longest time of one query without a change, up to [`MAX_WAIT`].
    pub wait: Duration,
    /// Shortest time from the begin of one query to the begin of the next. It bounds the load
    /// when what is watched changes all the time; a change after a quiet time is not delayed.
    pub min_interval: Duration,
    /// Pauses after failures.
    pub retry: RetryPolicy,
}

impl Default for WatchOptions {
    /// Default consistency, 5 min, 20 ms, pauses from 100 ms to 5 s.
    fn default() -> Self {
        Self {
            consistency: Consistency::Default,
            wait: Duration::from_secs(300),
            min_interval: Duration::from_millis(20),
            retry: RetryPolicy::default(),
        }
    }
}

/// A never-ending stream of the states of something in Consul. Dropping it cancels the query.
///
/// - The first item is the state at the begin; then an item follows whenever the index moved.
///   Consul may move the index although the value is the same, and several changes may become
///   one item: items are states, not events.
/// - A failure is one `Err` item. The query is repeated with growing pauses, and the same kind of
///   failure is not reported again until something else happens. Failures that are not
///   [retryable](Error::is_retryable) are repeated too, with the longest pause: permissions and
///   certificates can be mended while we run. Who does not want that drops the stream.
/// - After a failure the first success is an item even if nothing has changed, so the consumer
///   knows that it is current again. A change of leader is such a failure
///   ([`Error::NoLeader`]), or unnoticeable.
/// - When the index goes backwards, everything is read anew and the item has
///   [`Response::reset`] set. This happens when the servers lost or restored their data, and
///   rarely when Consul forgets about deleted keys.
///
/// `next()` may be cancelled (as in `select!`) without losing anything.
#[must_use = "a stream does nothing unless polled"]
pub struct Watch<T> {
    stream: BoxStream<'static, Result<Response<T>, Error>>,
}

impl<T> Stream for Watch<T> {
    type Item = Result<Response<T>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(cx)
    }
}

impl<T> fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// Makes watches; see [`Client::watch`].
#[derive(Debug, Clone)]
pub struct Watcher {
    client: Client,
    options: WatchOptions,
}

impl Watcher {
    pub(crate) fn new(client: Client, options: WatchOptions) -> Self {
        Self { client, options }
    }

    /// One key.
    pub fn kv_key(&self, key: impl Into<String>) -> Watch<Option<KvPair>> {
        self.follow(key.into(), |client, read, key| async move {
            client.kv().with(read).get(&key).await
        })
    }

    /// All pairs whose key begins with `prefix`.
    pub fn kv_prefix(&self, prefix: impl Into<String>) -> Watch<Vec<KvPair>> {
        self.follow(prefix.into(), |client, read, prefix| async move {
            client.kv().with(read).list(&prefix).await
        })
    }

    /// Like [`kv_prefix`](Self::kv_prefix), for large prefixes: the pairs are decoded by the caller.
    pub fn kv_listing(&self, prefix: impl Into<String>) -> Watch<Listing> {
        self.follow(prefix.into(), |client, read, prefix| async move {
            client.kv().with(read).listing(&prefix).await
        })
    }

    /// What [`Kv::keys`](crate::Kv::keys) lists, cut at `separator`. An item follows every change
    /// under the prefix, of values too: with a separator, a small way to learn that a listing
    /// is no longer current.
    pub fn kv_keys(
        &self,
        prefix: impl Into<String>,
        separator: &'static str,
    ) -> Watch<Vec<String>> {
        self.follow(prefix.into(), move |client, read, prefix| async move {
            client.kv().with(read).keys(&prefix, Some(separator)).await
        })
    }

    /// All nodes of the catalog.
    pub fn nodes(&self) -> Watch<Vec<Node>> {
        self.follow((), |client, read, ()| async move {
            client.catalog().with(read).nodes().await
        })
    }

    /// Names of all services with their tags.
    pub fn services(&self) -> Watch<BTreeMap<String, Vec<String>>> {
        self.follow((), |client, read, ()| async move {
            client.catalog().with(read).services().await
        })
    }

    /// Instances of a service.
    pub fn catalog_service(&self, name: impl Into<String>) -> Watch<Vec<CatalogService>> {
        self.follow(name.into(), |client, read, name| async move {
            client.catalog().with(read).service(&name).await
        })
    }

    /// Instances of a service with their nodes and checks.
    pub fn health_service(&self, name: impl Into<String>) -> Watch<Vec<ServiceEntry>> {
        self.follow(name.into(), |client, read, name| async move {
            client.health().with(read).service(&name).await
        })
    }

    /// Checks in a state.
    pub fn checks(&self, filter: StateFilter) -> Watch<Vec<HealthCheck>> {
        self.follow(filter, |client, read, filter| async move {
            client.health().with(read).state(filter).await
        })
    }

    fn follow<T, S, F, Fut>(&self, subject: S, read: F) -> Watch<T>
    where
        T: Send + 'static,
        S: Clone + Send + 'static,
        F: Fn(Client, ReadOptions, S) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Response<T>, Error>> + Send + 'static,
    {
        let client = self.client.clone();
        follow(self.options, move |options| {
            read(client.clone(), options, subject.clone())
        })
    }
}

fn follow<T, F, Fut>(options: WatchOptions, read: F) -> Watch<T>
where
    T: Send + 'static,
    F: Fn(ReadOptions) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Response<T>, Error>> + Send + 'static,
{
    let state = State {
        read,
        cursor: Cursor::default(),
        delays: options.retry.delays(),
        failing: None,
        not_before: None,
        options,
    };
    let stream = stream::unfold(state, |mut state| async move {
        let item = state.next().await;
        Some((item, state))
    });
    Watch {
        stream: Box::pin(stream),
    }
}

struct State<F> {
    read: F,
    options: WatchOptions,
    cursor: Cursor,
    delays: Delays,
    failing: Option<Discriminant<Error>>,
    not_before: Option<Instant>,
}

impl<F> State<F> {
    async fn next<T, Fut>(&mut self) -> Result<Response<T>, Error>
    where
        F: Fn(ReadOptions) -> Fut,
        Fut: Future<Output = Result<Response<T>, Error>>,
    {
        loop {
            if let Some(instant) = self.not_before.take() {
                tokio::time::sleep_until(instant).await;
            }
            let begin = Instant::now();
            match (self.read)(self.read_options()).await {
                Ok(mut response) => {
                    if self.failing.take().is_some() {
                        self.delays = self.options.retry.delays();
                    }
                    self.not_before = Some(begin + self.options.min_interval);
                    match self.cursor.advance(response.index) {
                        Step::Same | Step::ReadAnew => {}
                        Step::Item { reset } => {
                            response.reset = reset;
                            return Ok(response);
                        }
                    }
                }
                Err(error) => {
                    self.cursor.lost_touch();
                    let pause = if error.is_retryable() {
                        self.delays.next()
                    } else {
                        self.options.retry.max_delay
                    };
                    self.not_before = Some(Instant::now() + pause);
                    let kind = discriminant(&error);
                    if self.failing.replace(kind) != Some(kind) {
                        return Err(error);
                    }
                    tracing::debug!(%error, "watch still failing");
                }
            }
        }
    }

    fn read_options(&self) -> ReadOptions {
        let options = ReadOptions {
            consistency: self.options.consistency,
            wait: None,
        };
        match self.cursor.wait_for() {
            Some(index) => options.waiting(index, self.options.wait),
            None => options,
        }
    }
}

/// Where a watch stands.
#[derive(Debug, Default)]
struct Cursor {
    /// Last index seen; zero before the first success.
    index: Index,
    /// The last query succeeded, so the next one may wait for a change.
    in_touch: bool,
    /// The index went backwards and no item said so yet.
    reset: bool,
}

/// What to do with a response.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing changed.
    Same,
    /// The index went backwards in a waiting query: read again without waiting.
    ReadAnew,
    /// Tell the consumer.
    Item { reset: bool },
}

impl Cursor {
    fn wait_for(&self) -> Option<Index> {
        self.in_touch.then_some(self.index)
    }

    fn lost_touch(&mut self) {
        self.in_touch = false;
    }

    fn advance(&mut self, index: Index) -> Step {
        // A query waiting from zero would not wait: Consul asks clients to treat zero as one.
        let index = index.max(Index(1));
        let waited = std::mem::replace(&mut self.in_touch, true);
        let last = std::mem::replace(&mut self.index, index);
        if index < last {
            self.reset = true;
            if waited {
                self.in_touch = false;
                return Step::ReadAnew;
            }
        } else if waited && index == last {
            return Step::Same;
        }
        Step::Item {
            reset: std::mem::take(&mut self.reset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_read_then_changes() {
        let mut cursor = Cursor::default();
        assert_eq!(cursor.wait_for(), None);
        assert_eq!(cursor.advance(Index(5)), Step::Item { reset: false });
        assert_eq!(cursor.wait_for(), Some(Index(5)));
        assert_eq!(cursor.advance(Index(5)), Step::Same);
        assert_eq!(cursor.advance(Index(6)), Step::Item { reset: false });
    }

    #[test]
    fn zero_counts_as_one() {
        let mut cursor = Cursor::default();
        cursor.advance(Index(0));
        assert_eq!(cursor.wait_for(), Some(Index(1)));
    }

    #[test]
    fn backwards_reads_anew_and_marks_the_item() {
        let mut cursor = Cursor::default();
        cursor.advance(Index(9));
        assert_eq!(cursor.advance(Index(4)), Step::ReadAnew);
        assert_eq!(cursor.wait_for(), None);
        assert_eq!(cursor.advance(Index(4)), Step::Item { reset: true });
        assert_eq!(cursor.advance(Index(5)), Step::Item { reset: false });
    }

    #[test]
    fn backwards_mark_survives_a_failure() {
        let mut cursor = Cursor::default();
        cursor.advance(Index(9));
        assert_eq!(cursor.advance(Index(4)), Step::ReadAnew);
        cursor.lost_touch();
        assert_eq!(cursor.advance(Index(5)), Step::Item { reset: true });
    }

    #[test]
    fn after_a_failure_the_same_index_is_an_item() {
        let mut cursor = Cursor::default();
        cursor.advance(Index(9));
        cursor.lost_touch();
        assert_eq!(cursor.wait_for(), None);
        assert_eq!(cursor.advance(Index(9)), Step::Item { reset: false });
        cursor.lost_touch();
        assert_eq!(cursor.advance(Index(2)), Step::Item { reset: true });
    }
}
