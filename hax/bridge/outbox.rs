//! Sending over links: replies, broadcasts, and the two notes that retire a process.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use halink::{
    Delivery, DeliveryOutcome, FailureVec, Fid, FidType, HaState, Handle, LinkId, NOTES_MAX, Note,
    NvecSet, SendError,
};
use tokio_util::task::TaskTracker;
use tracing::{Level, debug, info, warn};

use super::counters::Counters;
use super::links::Links;

/// How long `retire` waits for the library to take note. Its self link is in memory: this is a
/// bound for a library that is stuck, not a delay.
const RETIRE_WAIT: Duration = Duration::from_secs(1);

/// How long a process that has stopped may take to acknowledge what was sent to it. A Motr process
/// that comes back takes 5 s to give its old link up; what is sent meanwhile is tried again after
/// 1, 2, 4 and 8 s, and the acknowledgement of its last words with it.
const MEND_WAIT: Duration = Duration::from_secs(8);

/// Notes of a message that the log shows.
const NOTES_SHOWN: usize = 64;

/// How long an acknowledgement that libmotr has may take to leave: it does not say when, and
/// drops it with the link. A process whose STOPPED is not acknowledged never ends.
const LEAVE_WAIT: Duration = Duration::from_secs(1);

/// The sending side of the bridge.
#[derive(Debug, Clone)]
pub struct Outbox {
    handle: Handle,
    links: Arc<Links>,
    counters: Arc<Counters>,
    deliveries: TaskTracker,
    retiring: Arc<tokio::sync::Mutex<()>>,
}

impl Outbox {
    /// An outbox over the links of `handle`.
    pub fn new(handle: Handle, links: Arc<Links>, counters: Arc<Counters>) -> Self {
        Self {
            handle,
            links,
            counters,
            deliveries: TaskTracker::new(),
            retiring: Arc::default(),
        }
    }

    /// The interface's handle.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Sends notes to every other process, and those that are not of processes to the bridge's
    /// own link (`rfc/5-hax.md`, "Links"). Links in `except` are left out. Returns the links
    /// reached: the message is on its way, which is not yet delivered. `asked` is when the broadcast
    /// was asked for.
    pub async fn broadcast(&self, notes: &[Note], except: &[LinkId], asked: Instant) -> usize {
        self.counters.broadcasts.increment();
        let except: HashSet<_> = except.iter().collect();
        let mut others = self.links.others();
        others.retain(|link| !except.contains(link));
        let reached = self.send_all(others, notes, Some(asked)).await;
        if let Some(own) = self.links.own_link() {
            let of_process = |note: &&Note| note.object.fid_type() != Some(FidType::Process);
            let own_notes: Vec<Note> = notes.iter().filter(of_process).copied().collect();
            self.send_all(vec![own], &own_notes, None).await;
        }
        reached
    }

    /// Sends notes to one process.
    pub async fn tell(&self, link: LinkId, notes: &[Note]) {
        self.send_all(vec![link], notes, None).await;
    }

    /// Waits for the ends of all messages: the interface has stopped, and nothing sends any more.
    pub async fn join(&self) {
        self.deliveries.close();
        self.deliveries.wait().await;
    }

    /// Sends notes to links, and returns how many took all of them. A link that does not take one
    /// message gets none of the later ones.
    async fn send_all(
        &self,
        mut links: Vec<LinkId>,
        notes: &[Note],
        asked: Option<Instant>,
    ) -> usize {
        if notes.is_empty() {
            return 0;
        }
        for vector in split(notes) {
            let shown = shown(&vector.notes);
            let mut sent = Vec::with_capacity(links.len());
            for (link, result) in self.handle.broadcast(&links, vector).await {
                match result {
                    Ok(delivery) => sent.push(delivery),
                    Err(error) => self.not_sent(link, &error),
                }
            }
            links = sent.iter().map(Delivery::link).collect();
            if asked.is_some() {
                self.counters.broadcast_messages.add(sent.len() as u64);
            }
            self.follow(sent, asked, shown);
        }
        links.len()
    }

    /// Answers an NVEC GET.
    pub async fn answer_nvec(&self, link: LinkId, id_of_get: u64, notes: Vec<Note>) {
        let vector = NvecSet {
            id_of_get,
            ignore_same_state: true,
            notes,
        };
        // Of one link, so that the notes are not copied.
        for (link, result) in self.handle.broadcast(&[link], Arc::new(vector)).await {
            match result {
                Ok(delivery) => self.follow(vec![delivery], None, None),
                Err(error) => self.not_sent(link, &error),
            }
        }
    }

    /// Answers a failure vector.
    pub async fn answer_failure_vec(&self, link: LinkId, vector: &FailureVec) {
        match self.handle.send_failure_vec(link, vector).await {
            Ok(delivery) => self.follow(vec![delivery], None, None),
            Err(error) => self.not_sent(link, &error),
        }
    }

    /// Drops every link that a process has now: TRANSIENT, then FAILED, over the self link. The
    /// library acts on FAILED only when another state went before. When this returns, links that
    /// are made from here on are not touched.
    pub async fn retire(&self, process: Fid, why: &str) {
        if process != self.links.own_process() {
            self.retire_if(process, why, |_| true).await;
        }
    }

    /// Drops the link of a process that has stopped, once the acknowledgement of its last words
    /// has left: while messages to the process wait for the link to be mended, so does that.
    pub async fn retire_stopped(&self, link: LinkId, process: Fid) {
        let outbox = self.clone();
        self.deliveries.spawn(async move {
            let settled = outbox.links.settled(link);
            if tokio::time::timeout(MEND_WAIT, settled).await.is_err() {
                info!(%process, %link, "a process that has stopped acknowledges nothing");
            }
            if crate::version::is_libmotr() {
                tokio::time::sleep(LEAVE_WAIT).await;
            }
            let still = |links: &[LinkId]| links.contains(&link);
            outbox.retire_if(process, "it has stopped", still).await;
        });
    }

    /// Drops the link of a process that has died, if it is still there; that of a new incarnation
    /// is not touched, for it is made only after this one has been retired.
    pub async fn retire_dead(&self, link: LinkId, process: Fid) {
        let still = |links: &[LinkId]| links.contains(&link);
        self.retire_if(process, "it has died", still).await;
    }

    /// Retires a process if `wanted` of its links, unless none is left.
    async fn retire_if(&self, process: Fid, why: &str, wanted: impl Fn(&[LinkId]) -> bool) {
        // One at a time: who comes second finds the links retired, and goes on when they are.
        let _retiring = self.retiring.lock().await;
        let links = self.links.of(process);
        let Some(own) = self.links.own_link() else {
            return;
        };
        if links.is_empty() || !wanted(&links) {
            return;
        }
        info!(%process, why, "dropping the links of the process");
        self.counters.retired.increment();
        self.fail(own, &[process]).await;
        self.links.set_retired(&links);
    }

    /// Drops every link of every other process: all at once, where the library's own stop takes
    /// them one after another and waits for each that is dead.
    pub async fn retire_all(&self) {
        let _retiring = self.retiring.lock().await;
        let processes = self.links.processes();
        let Some(own) = self.links.own_link() else {
            return;
        };
        if !processes.is_empty() {
            info!(
                number = processes.len(),
                "dropping the links of all processes"
            );
            self.fail(own, &processes).await;
        }
    }

    /// Tells the library that processes have failed, after another state of theirs.
    async fn fail(&self, own: LinkId, processes: &[Fid]) {
        for state in [HaState::Transient, HaState::Failed] {
            let note = |object: &Fid| Note {
                object: *object,
                state,
            };
            let notes: Vec<Note> = processes.iter().map(note).collect();
            for vector in split(&notes) {
                match self.handle.send_nvec(own, &vector).await {
                    Ok(delivery) => match tokio::time::timeout(RETIRE_WAIT, delivery).await {
                        Ok(DeliveryOutcome::Delivered) => {}
                        Ok(DeliveryOutcome::NotDelivered) => return,
                        Err(_) => warn!("the self link does not take notes"),
                    },
                    Err(error) => return self.not_sent(own, &error),
                }
            }
        }
    }

    /// Counts how a message ends on each link, by one task for all of them. There are at most 1,024
    /// unfinished ones on a link. Those of a broadcast that was `asked` for are counted and measured
    /// apart; the end of one with notes to show is logged.
    fn follow(&self, sent: Vec<Delivery>, asked: Option<Instant>, notes: Option<String>) {
        if sent.is_empty() {
            return;
        }
        for delivery in &sent {
            self.links.count_sent(delivery.link());
        }
        let (links, counters) = (Arc::clone(&self.links), Arc::clone(&self.counters));
        let end = async |delivery: Delivery| (delivery.link(), delivery.await);
        let mut ends: FuturesUnordered<_> = sent.into_iter().map(end).collect();
        self.deliveries.spawn(async move {
            while let Some((link, outcome)) = ends.next().await {
                if let (Some(notes), true) = (&notes, outcome.is_delivered()) {
                    let process = links.process_of(link).map(|fid| fid.to_string());
                    debug!(%link, process, notes, "notes delivered");
                }
                links.count_ended(link);
                match outcome {
                    DeliveryOutcome::Delivered => {
                        counters.delivered.increment();
                        if let Some(asked) = asked {
                            counters.broadcast_delivered.increment();
                            counters.latencies.broadcast_delivered.record_since(asked);
                        }
                    }
                    DeliveryOutcome::NotDelivered => {
                        debug!(%link, "a message was not delivered: its link has ended");
                        counters.not_delivered.increment();
                        if asked.is_some() {
                            counters.broadcast_not_delivered.increment();
                        }
                    }
                }
            }
        });
    }

    fn not_sent(&self, link: LinkId, error: &SendError) {
        warn!(%link, %error, "a message was not sent");
        self.counters.send_errors.increment();
    }
}

/// Notes for the log, if it shows them.
fn shown(notes: &[Note]) -> Option<String> {
    if !tracing::enabled!(Level::DEBUG) {
        return None;
    }
    let shown = |note: &Note| format!("{}={}", note.object, note.state.as_str());
    let first = notes.iter().take(NOTES_SHOWN).map(shown);
    let more = notes.len().saturating_sub(NOTES_SHOWN);
    let more = (more > 0).then(|| format!("and {more} more"));
    Some(first.chain(more).collect::<Vec<_>>().join(" "))
}

fn split(notes: &[Note]) -> impl Iterator<Item = Arc<NvecSet>> {
    notes.chunks(NOTES_MAX).map(|notes| {
        Arc::new(NvecSet {
            id_of_get: 0,
            ignore_same_state: true,
            notes: notes.to_vec(),
        })
    })
}
