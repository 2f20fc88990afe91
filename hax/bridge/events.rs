//! Process events: runs of them become transactions (`rfc/7-ordering.md`, "Runs").

use std::collections::VecDeque;

use consul_client::{Error, Index};
use halink::{Fid, LinkId, ProcessEvent, ProcessType};
use tracing::{debug, error, info};

use super::job::{Job, Task};
use super::record::Write;
use super::replies::Replies;
use super::state_tree::Written;
use super::store::Store;
use super::work::Work;
use crate::cluster::{StoredStatus, StoredType, process::key};

/// A message with the status it writes.
struct Pending<A> {
    write: Write,
    job: Job<A>,
}

impl<S: Store, R: Replies> Work<S, R> {
    /// Writes the statuses of a run in their order, as many in one transaction as it holds, and
    /// acknowledges each message when its own is in KV.
    pub(super) async fn statuses(&self, run: Vec<Job<R::Ack>>) {
        let mut pending = VecDeque::with_capacity(run.len());
        for job in run {
            if job.replayed && self.letters.is_superseded(&job.task, job.number) {
                info!(what = %job, "a later message of the process has been written meanwhile");
                self.letters.settled(&job.task);
                self.replies.delivered(job.ack).await;
            } else if let Task::Isolate(process) = job.task
                && self.verdicts.now().enabled
            {
                // STOPPED would say that it writes nothing any more. It is fenced instead.
                self.replies.delivered(job.ack).await;
                self.retire_isolated(job.link, process).await;
            } else if let Some(write) = self.write_of(&job.task) {
                pending.push_back(Pending { write, job });
            }
        }
        let capacity = self.record.capacity();
        let mut limit = capacity;
        while !pending.is_empty() {
            let count = pending.len().min(limit);
            let writes: Vec<Write> = pending.iter().take(count).map(|next| next.write).collect();
            match self.write(&writes).await {
                Ok(Written { index, notes, to }) => {
                    // What is to be told is so of one status: then the transaction holds one.
                    let mut told = Some(Written { index, notes, to });
                    for written in pending.drain(..count) {
                        self.written(written, index, told.take()).await;
                    }
                    limit = capacity.min(limit * 2);
                }
                // One of them is refused, and takes the others with it: the rest must not wait.
                Err(error) if count > 1 => {
                    debug!(%error, count, "a transaction is refused; trying its parts");
                    limit = count / 2;
                }
                Err(error) => {
                    if let Some(refused) = pending.pop_front() {
                        self.refused(refused, &error).await;
                    }
                }
            }
        }
    }

    fn write_of(&self, task: &Task) -> Option<Write> {
        match task {
            Task::Status { process, status } => Some(Write {
                process: *process,
                status: StoredStatus {
                    state: status.event,
                    kind: status.kind.into(),
                },
            }),
            Task::Isolate(process) => Some(Write {
                process: *process,
                status: StoredStatus {
                    state: ProcessEvent::Stopped,
                    kind: self.kind_of(*process),
                },
            }),
            Task::Get(_) => None,
        }
    }

    /// Writes statuses until Consul has them, or never will.
    async fn write(&self, writes: &[Write]) -> Result<Written, Error> {
        let what = match writes {
            [] => return Ok(Written::silent(Index(0))),
            [one] => format!("writing {}", key(one.process)),
            [first, ..] => format!("writing {} and more", key(first.process)),
        };
        let attempt = || self.record.write(&self.store, writes);
        self.retry.run(&what, &self.counters.retries, attempt).await
    }

    async fn written(
        &self,
        Pending { write, job }: Pending<R::Ack>,
        index: Index,
        told: Option<Written>,
    ) {
        let Write { process, status } = write;
        let Job {
            number,
            link,
            task,
            ack,
            replayed,
            arrived,
        } = job;
        self.counters.process_events.increment();
        self.counters.latencies.event_written.record_since(arrived);
        for superseded in self.letters.written(process, number) {
            info!(what = %superseded, "a dead letter is superseded by a later status");
            self.counters.dead_letters_superseded.increment();
            self.replies.delivered(superseded.ack).await;
        }
        if replayed {
            self.letters.settled(&task);
        }
        if let Some(told) = told {
            self.replies.tell(process, told).await;
        }
        match task {
            Task::Status { status: said, .. } => {
                self.links
                    .set_up(link, process, status.is_up().then_some(index.0));
                self.replies.delivered(ack).await;
                info!(%process, state = %status.state, kind = %status.kind, pid = said.pid,
                    "process status is in KV");
                // Nothing else would ever drop the link of a process that has stopped.
                if status.state == ProcessEvent::Stopped && self.is_of(link, process) {
                    self.replies.retire_stopped(link, process).await;
                }
            }
            Task::Isolate(_) => {
                self.replies.delivered(ack).await;
                self.retire_isolated(link, process).await;
            }
            Task::Get(_) => {}
        }
    }

    /// Puts a message with the dead letters, and goes on with what its effect does not need.
    async fn refused(&self, Pending { write, job }: Pending<R::Ack>, error: &Error) {
        let Write { process, status } = write;
        let Job { link, ref task, .. } = job;
        let isolated = matches!(task, Task::Isolate(_));
        if job.replayed {
            self.letters.settled(task);
        }
        self.counters.final_errors.increment();
        let (id, dropped) = self.letters.add(job, error.to_string());
        error!(%process, ?status, %error, id,
            "the status cannot be written: it is a dead letter, and the process sends it again \
             when the bridge is restarted");
        if dropped {
            self.counters.dead_letters_dropped.increment();
        }
        if isolated {
            self.retire_isolated(link, process).await;
        }
    }

    async fn retire_isolated(&self, link: LinkId, process: Fid) {
        if self.is_of(link, process) {
            self.replies
                .retire(process, "it sent a fatal message")
                .await;
        }
    }

    /// Whether this link of the process is still there: else what is there belongs to its next
    /// incarnation.
    fn is_of(&self, link: LinkId, process: Fid) -> bool {
        self.links.process_of(link) == Some(process)
    }

    /// What kind of process KV has on record, M0D if none.
    fn kind_of(&self, process: Fid) -> StoredType {
        let status = self.store.last_status(process);
        status.map_or(StoredType::Motr(ProcessType::M0d), |status| status.kind)
    }
}
