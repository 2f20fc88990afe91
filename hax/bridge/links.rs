//! The links that are alive.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use halink::{EntrypointRequest, Fid, Link, LinkId, RequestId};
use tokio::sync::Notify;

use crate::cluster::ProcessTable;

/// The table of links. Its lock is held for look-ups only.
#[derive(Debug)]
pub struct Links {
    own: Fid,
    links: Mutex<BTreeMap<LinkId, Entry>>,
    /// A message has ended.
    ended: Notify,
    /// Unanswered requests of processes that had a link before, with their pids. Every request
    /// ends with one event of a link, which takes it out.
    resuming: Mutex<HashMap<RequestId, u64>>,
}

#[derive(Debug)]
struct Entry {
    process: Fid,
    endpoint: String,
    connected: Instant,
    received: u64,
    /// Raft index of the status with which the process has reported over this link that it
    /// serves requests.
    up_since: Option<u64>,
    /// The process had a link before, to an earlier run of the bridge: what it reported then is
    /// in KV.
    resumed: bool,
    /// Messages sent and not yet acknowledged.
    unacknowledged: u64,
    /// The library has been told to drop it.
    retired: bool,
}

/// One link, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The link.
    pub id: LinkId,
    /// The process at the other end.
    pub process: Fid,
    /// Its endpoint.
    pub endpoint: String,
    /// Since when the link exists.
    pub age: Duration,
    /// Messages received over it.
    pub received: u64,
    /// Messages sent over it and not yet acknowledged.
    pub undelivered: u64,
    /// Whether the process has reported over it that it is up.
    pub up: bool,
    /// Whether this is the bridge's link to itself.
    pub own: bool,
}

impl Links {
    /// An empty table; `own` is the bridge's own process.
    pub fn new(own: Fid) -> Self {
        Self {
            own,
            links: Mutex::default(),
            ended: Notify::new(),
            resuming: Mutex::default(),
        }
    }

    /// The bridge's own process.
    pub fn own_process(&self) -> Fid {
        self.own
    }

    /// A process asks for its entrypoint.
    pub fn asked(&self, request: &EntrypointRequest) {
        if !request.first {
            self.resuming().insert(request.req_id, request.pid);
        }
    }

    /// The request has been answered and made no new link.
    pub fn answered(&self, request: RequestId) {
        self.resuming().remove(&request);
    }

    /// A link exists from here on. Returns the pid of the process if it had a link before, to an
    /// earlier run of the bridge.
    pub fn add(&self, link: &Link) -> Option<u64> {
        let resumed = self.resuming().remove(&link.req_id);
        let entry = Entry {
            process: link.process,
            endpoint: link.endpoint.clone(),
            connected: Instant::now(),
            received: 0,
            up_since: None,
            resumed: resumed.is_some(),
            unacknowledged: 0,
            retired: false,
        };
        self.lock().insert(link.id, entry);
        resumed
    }

    /// A link is ending; nothing is sent on it any more.
    pub fn remove(&self, link: LinkId) -> Option<Fid> {
        let removed = self.lock().remove(&link).map(|entry| entry.process);
        self.ended.notify_waiters();
        removed
    }

    /// A message was sent.
    pub fn count_sent(&self, link: LinkId) {
        if let Some(entry) = self.lock().get_mut(&link) {
            entry.unacknowledged += 1;
        }
    }

    /// A message has been acknowledged, or never will be.
    pub fn count_ended(&self, link: LinkId) {
        if let Some(entry) = self.lock().get_mut(&link) {
            entry.unacknowledged = entry.unacknowledged.saturating_sub(1);
        }
        self.ended.notify_waiters();
    }

    /// Whether a message has been sent over the link that is not yet acknowledged.
    pub fn is_owed(&self, link: LinkId) -> bool {
        self.lock()
            .get(&link)
            .is_some_and(|entry| entry.unacknowledged > 0)
    }

    /// Waits until nothing is owed over the link, or it has gone.
    pub async fn settled(&self, link: LinkId) {
        loop {
            let ended = self.ended.notified();
            let mut ended = std::pin::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            if !self.is_owed(link) {
                return;
            }
            ended.await;
        }
    }

    /// The library has been told to drop these links.
    pub fn set_retired(&self, retired: &[LinkId]) {
        let mut links = self.lock();
        for link in retired {
            if let Some(entry) = links.get_mut(link) {
                entry.retired = true;
            }
        }
    }

    /// A message came over a link.
    pub fn count_received(&self, link: LinkId) {
        if let Some(entry) = self.lock().get_mut(&link) {
            entry.received += 1;
        }
    }

    /// The process has reported over its link that it is up, at this Raft index, or that it is not.
    pub fn set_up(&self, link: LinkId, process: Fid, up_since: Option<u64>) {
        if let Some(entry) = self.lock().get_mut(&link)
            && entry.process == process
        {
            entry.up_since = up_since;
        }
    }

    /// The bridge's link to itself.
    pub fn own_link(&self) -> Option<LinkId> {
        self.lock()
            .iter()
            .find(|(_, entry)| entry.process == self.own)
            .map(|(id, _)| *id)
    }

    /// The links of all other processes, without those that are about to go.
    pub fn others(&self) -> Vec<LinkId> {
        self.lock()
            .iter()
            .filter(|(_, entry)| entry.process != self.own && !entry.retired)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The other processes that have links.
    pub fn processes(&self) -> Vec<Fid> {
        let others: BTreeSet<Fid> = self
            .lock()
            .values()
            .map(|entry| entry.process)
            .filter(|process| *process != self.own)
            .collect();
        others.into_iter().collect()
    }

    /// The links of a process, without those that are about to go.
    pub fn of(&self, process: Fid) -> Vec<LinkId> {
        self.lock()
            .iter()
            .filter(|(_, entry)| entry.process == process && !entry.retired)
            .map(|(id, _)| *id)
            .collect()
    }

    /// The process at the other end of a link.
    pub fn process_of(&self, link: LinkId) -> Option<Fid> {
        self.lock().get(&link).map(|entry| entry.process)
    }

    /// The endpoint of the process at the other end of a link.
    pub fn endpoint_of(&self, link: LinkId) -> Option<String> {
        self.lock().get(&link).map(|entry| entry.endpoint.clone())
    }

    /// The Raft index at which a process reported that it is up, if it has a link over which it did.
    pub fn up_since(&self, process: Fid) -> Option<u64> {
        let links = self.lock();
        let of = links.values().filter(|entry| entry.process == process);
        of.filter_map(|entry| entry.up_since).max()
    }

    /// Whether a process has a link, not about to go, over which it serves requests, by its own
    /// word: over this link or, before the bridge was restarted, in KV.
    pub fn is_up(&self, process: Fid, known: &ProcessTable) -> bool {
        let up = |entry: &Entry| {
            entry.up_since.is_some() || entry.resumed && known.up_since(process).is_some()
        };
        self.lock()
            .values()
            .any(|entry| entry.process == process && !entry.retired && up(entry))
    }

    /// All links, by number.
    pub fn status(&self) -> Vec<LinkStatus> {
        let status = |(id, entry): (&LinkId, &Entry)| LinkStatus {
            id: *id,
            process: entry.process,
            endpoint: entry.endpoint.clone(),
            age: entry.connected.elapsed(),
            received: entry.received,
            undelivered: entry.unacknowledged,
            up: entry.up_since.is_some(),
            own: entry.process == self.own,
        };
        self.lock().iter().map(status).collect()
    }

    fn resuming(&self) -> MutexGuard<'_, HashMap<RequestId, u64>> {
        self.resuming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No code panics with the lock held, so a poisoned table is still a whole one.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<LinkId, Entry>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Fid = Fid::new(1, 0);

    fn link(id: u64, process: u64, request: u64) -> Link {
        Link {
            id: LinkId(id),
            req_id: RequestId { hi: 0, lo: request },
            process: Fid::new(1, process),
            endpoint: String::new(),
        }
    }

    #[tokio::test]
    async fn a_link_is_settled_when_all_is_acknowledged_or_it_has_gone() {
        let links = Links::new(OWN);
        for id in 1..=2 {
            links.add(&link(id, id, id));
            links.count_sent(LinkId(id));
            links.count_sent(LinkId(id));
        }
        links.settled(LinkId(3)).await;
        let mut first = std::pin::pin!(links.settled(LinkId(1)));
        let mut second = std::pin::pin!(links.settled(LinkId(2)));
        links.count_ended(LinkId(1));
        let pending = futures_util::poll!(first.as_mut()).is_pending();
        assert!(pending && futures_util::poll!(second.as_mut()).is_pending());
        links.count_ended(LinkId(1));
        first.await;
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        links.remove(LinkId(2));
        second.await;
    }

    #[test]
    fn links_that_are_about_to_go_are_neither_told_nor_retired_again() {
        let links = Links::new(OWN);
        for (id, process) in [(1, 0), (2, 5), (3, 5), (4, 6)] {
            links.add(&link(id, process, id));
        }
        links.set_retired(&[LinkId(2)]);
        assert_eq!(links.of(Fid::new(1, 5)), [LinkId(3)]);
        assert_eq!(links.others(), [LinkId(3), LinkId(4)]);
        assert_eq!(links.processes(), [Fid::new(1, 5), Fid::new(1, 6)]);
    }
}
