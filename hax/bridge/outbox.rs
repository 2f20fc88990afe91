//! Sending over links: replies, broadcasts, and the two notes that retire a process.

use std::sync::Arc;
use std::time::Duration;

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

/// How long an acknowledgement that the library has may take to leave: it does not say when, and
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
    /// reached.
    pub async fn broadcast(&self, notes: &[Note], except: &[LinkId]) -> usize {
        self.counters.broadcasts.increment();
        let vectors = split(notes);
        let mut reached = 0;
        for link in self.links.others() {
            if !except.contains(&link) && self.send_all(link, &vectors).await {
                reached += 1;
            }
        }
        if let Some(own) = self.links.own_link() {
            let of_process = |note: &&Note| note.object.fid_type() != Some(FidType::Process);
            let own_notes: Vec<Note> = notes.iter().filter(of_process).copied().collect();
            self.send_all(own, &split(&own_notes)).await;
        }
        reached
    }

    /// Sends notes to one process.
    pub async fn tell(&self, link: LinkId, notes: &[Note]) {
        self.send_all(link, &split(notes)).await;
    }

    async fn send_all(&self, link: LinkId, vectors: &[NvecSet]) -> bool {
        for vector in vectors {
            match self.handle.send_nvec(link, vector).await {
                Ok(delivery) => {
                    self.counters.broadcast_messages.increment();
                    self.follow(link, delivery, shown(&vector.notes));
                }
                Err(error) => {
                    self.not_sent(link, &error);
                    return false;
                }
            }
        }
        !vectors.is_empty()
    }

    /// Answers an NVEC GET.
    pub async fn answer_nvec(&self, link: LinkId, id_of_get: u64, notes: Vec<Note>) {
        let vector = NvecSet {
            id_of_get,
            ignore_same_state: true,
            notes,
        };
        match self.handle.send_nvec(link, &vector).await {
            Ok(delivery) => self.follow(link, delivery, None),
            Err(error) => self.not_sent(link, &error),
        }
    }

    /// Answers a failure vector.
    pub async fn answer_failure_vec(&self, link: LinkId, vector: &FailureVec) {
        match self.handle.send_failure_vec(link, vector).await {
            Ok(delivery) => self.follow(link, delivery, None),
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
            tokio::time::sleep(LEAVE_WAIT).await;
            let still = |links: &[LinkId]| links.contains(&link);
            outbox.retire_if(process, "it has stopped", still).await;
        });
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

    /// Counts how a message ends. There are at most 1,024 unfinished ones on a link. The end of one
    /// with notes to show is logged.
    fn follow(&self, link: LinkId, delivery: Delivery, notes: Option<String>) {
        let counters = Arc::clone(&self.counters);
        let process = self.links.process_of(link).map(|fid| fid.to_string());
        let links = Arc::clone(&self.links);
        links.count_sent(link);
        self.deliveries.spawn(async move {
            let outcome = delivery.await;
            links.count_ended(link);
            match outcome {
                DeliveryOutcome::Delivered => {
                    counters.delivered.increment();
                    if let Some(notes) = notes {
                        debug!(%link, process, notes, "notes delivered");
                    }
                }
                DeliveryOutcome::NotDelivered => {
                    debug!(%link, "a message was not delivered: its link has ended");
                    counters.not_delivered.increment();
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
    Some(notes.iter().map(shown).collect::<Vec<_>>().join(" "))
}

fn split(notes: &[Note]) -> Vec<NvecSet> {
    notes
        .chunks(NOTES_MAX)
        .map(|notes| NvecSet {
            id_of_get: 0,
            ignore_same_state: true,
            notes: notes.to_vec(),
        })
        .collect()
}
