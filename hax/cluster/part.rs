//! The parts of the view: what each is read from, and how it is told to be current
//! (`rfc/9-view.md`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use consul_client::{Client, Error, Index, Kv, ReadOptions, Response, StateFilter, WatchOptions};
use futures_util::stream::{BoxStream, StreamExt};
use tokio::time::Instant;

use super::{ConfTree, Failing, ProcessTable, Snapshot, process, read};

/// Prefix of the configuration tree.
const CONF_PREFIX: &str = "m0conf/";

/// A key that nobody writes. The index of a missing key is that of the whole store.
const NO_KEY: &str = "m0conf/-";

/// How long the same index means the same content. Consul remembers a deletion for 15 min; when it
/// has forgotten it, the index of the prefix falls back to what it was before.
const TRUST: Duration = Duration::from_secs(300);

/// How much of `m0conf/` the view keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What 5/HAX needs.
    States,
    /// What profile `hare` needs besides: [`ConfTree::relations`].
    Relations,
}

/// A part of the view, each with an index of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `m0conf/`.
    Conf,
    /// `processes/`.
    Processes,
    /// Critical checks.
    Failing,
}

/// The content of a part.
#[derive(Debug)]
pub(super) enum Piece {
    Conf(Arc<ConfTree>),
    Processes(Arc<ProcessTable>),
    Failing(Arc<Failing>),
}

/// Where in the history of Consul a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Index of the part.
    pub(super) index: Index,
    /// Index that the whole store had before the part was found current.
    store: Option<Index>,
    /// The part is no older than this.
    pub(super) current_at: Instant,
}

/// What came of looking.
#[derive(Debug)]
pub(super) enum Found {
    /// The part has not changed.
    Same(Mark),
    /// It may have, and was read.
    New {
        mark: Mark,
        piece: Piece,
        /// An index went backwards: Consul has lost or restored its data.
        reset: bool,
    },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conf => "m0conf",
            Self::Processes => "processes",
            Self::Failing => "checks",
        })
    }
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Conf, Self::Processes, Self::Failing];

    /// The prefix of a part that is in KV, and a separator that leaves few of its keys.
    fn prefix(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Conf => Some((CONF_PREFIX, "/")),
            Self::Processes => Some((process::PREFIX, ":")),
            Self::Failing => None,
        }
    }

    /// An index whenever the part may have changed. It says when to look, and never what is there.
    pub(super) fn signals(self, consul: &Client) -> BoxStream<'static, Result<Index, Error>> {
        let watcher = consul.watch(WatchOptions::default());
        match self.prefix() {
            Some((prefix, separator)) => watcher.kv_keys(prefix, separator).map(index).boxed(),
            None => watcher.checks(StateFilter::Critical).map(index).boxed(),
        }
    }

    /// Makes sure of the part: `known` is returned if it is still true, or what is now.
    ///
    /// With `trusted`, the same index means the same content; without, everything is read.
    /// Every request is answered by a leader that has asked a majority whether it still leads, so
    /// the answer is no older than the call.
    pub(super) async fn look(
        self,
        consul: &Client,
        detail: Detail,
        known: Option<Mark>,
        trusted: bool,
    ) -> Result<Found, Error> {
        let look = Look {
            consul,
            detail,
            known,
            trusted: known.filter(|_| trusted),
            begin: Instant::now(),
        };
        match self.prefix() {
            Some((prefix, separator)) => look.in_kv(self, prefix, separator).await,
            None => look.in_health().await,
        }
    }
}

fn index<T>(state: Result<Response<T>, Error>) -> Result<Index, Error> {
    state.map(|response| response.index)
}

/// One look at a part.
struct Look<'a> {
    consul: &'a Client,
    detail: Detail,
    known: Option<Mark>,
    trusted: Option<Mark>,
    begin: Instant,
}

impl Look<'_> {
    async fn in_kv(self, part: Part, prefix: &str, separator: &str) -> Result<Found, Error> {
        // Consul walks the whole prefix to tell its index. That is much for the tree alone.
        let store = match part {
            Part::Conf => self.store_index().await?,
            _ => None,
        };
        // Going back means another history, in which the same index proves nothing.
        let trusted = self.trusted.filter(|mark| store >= mark.store);
        if let Some(mark) = trusted {
            let same = |mark| Ok(Found::Same(Mark { store, ..mark }));
            if store.is_some_and(|store| mark.proves(mark.store, store)) {
                return same(self.mark(mark.index));
            }
            let index = self.kv().keys(prefix, Some(separator)).await?.index;
            if mark.proves(Some(mark.index), index) {
                return same(self.mark(index));
            }
        }
        let Response { value, index, .. } = self.kv().listing(prefix).await?;
        let piece = match part {
            Part::Processes => Piece::Processes(read::decode(value, read::table).await?.into()),
            _ => Piece::Conf(match self.detail {
                Detail::States => read::decode(value, read::tree).await?.into(),
                Detail::Relations => read::decode(value, read::related_tree).await?.into(),
            }),
        };
        let mark = Mark {
            store,
            ..self.mark(index)
        };
        Ok(self.found(mark, piece))
    }

    async fn in_health(self) -> Result<Found, Error> {
        let health = self.consul.health().with(ReadOptions::consistent());
        // The answer is as small as any that would tell its index alone.
        let Response { value, index, .. } = health.state(StateFilter::Critical).await?;
        let mark = self.mark(index);
        if self
            .trusted
            .is_some_and(|known| known.proves(Some(known.index), index))
        {
            return Ok(Found::Same(mark));
        }
        Ok(self.found(mark, Piece::Failing(read::failing(&value).into())))
    }

    /// The index of the last change of any key; `None` if somebody has written [`NO_KEY`].
    async fn store_index(&self) -> Result<Option<Index>, Error> {
        let nothing = self.kv().get(NO_KEY).await?;
        let known = nothing.value.is_none() && nothing.index > Index(0);
        Ok(known.then_some(nothing.index))
    }

    fn kv(&self) -> Kv<'_> {
        self.consul.kv().with(ReadOptions::consistent())
    }

    fn mark(&self, index: Index) -> Mark {
        Mark {
            index,
            store: None,
            current_at: self.begin,
        }
    }

    fn found(&self, mark: Mark, piece: Piece) -> Found {
        let reset = self
            .known
            .is_some_and(|known| mark.index < known.index || mark.store < known.store);
        Found::New { mark, piece, reset }
    }
}

impl Mark {
    /// Whether an answer with this index says that nothing has changed. It is asked when the answer
    /// is there: who was stopped in between must not take the time before for now. A reply without
    /// an index proves nothing.
    fn proves(&self, known: Option<Index>, answered: Index) -> bool {
        let fresh = self.current_at.elapsed() < TRUST;
        fresh && known == Some(answered) && answered > Index(0)
    }
}

impl Piece {
    /// Makes this the part's content.
    pub(super) fn put(self, snapshot: &mut Snapshot) {
        match self {
            Self::Conf(tree) => snapshot.tree = tree,
            Self::Processes(table) => snapshot.processes = table,
            Self::Failing(failing) => snapshot.failing = failing,
        }
    }
}
