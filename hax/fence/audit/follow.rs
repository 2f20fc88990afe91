//! The task that writes the file.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::chain::Hash;
use super::diff::diff;
use super::entry::{Entry, Event};
use super::file::{AuditError, AuditFile, Bounds};
use crate::fence::FenceView;
use crate::fence::model::NodeName;

/// Notes of operators' commands that may wait to be written.
const NOTES_MAX: usize = 256;
/// Between two tries to write.
const RETRY: Duration = Duration::from_secs(1);

/// The last line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its hash. Noted elsewhere, it shows whether lines have been removed from the end.
    pub hash: Hash,
}

/// The way to the file for what is not in Consul: what operators ask. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditLink {
    notes: mpsc::Sender<Event>,
    head: watch::Receiver<Head>,
}

impl AuditLink {
    /// Has it written. Does not wait: where too much waits already, it goes to the log instead.
    pub fn note(&self, event: Event) {
        if let Err(lost) = self.notes.try_send(event) {
            error!(%lost, "this is missing in fence.audit_file");
        }
    }

    /// The last line.
    pub fn head(&self) -> Head {
        *self.head.borrow()
    }
}

/// An open audit file, and what is to be written into it.
#[derive(Debug)]
pub struct Audit {
    file: AuditFile,
    node: NodeName,
    /// What is in the file from before; asked for the first view that has anything.
    recorded: HashSet<Hash>,
    notes: mpsc::Receiver<Event>,
    head: watch::Sender<Head>,
}

impl Audit {
    /// Opens the file of a node.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub async fn open(
        path: &Path,
        node: NodeName,
        bounds: Bounds,
    ) -> Result<(Self, AuditLink), AuditError> {
        let (file, lines) = AuditFile::open(path, node.clone(), bounds).await?;
        let lines = lines.split(|byte| *byte == b'\n');
        let entries = lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok());
        let recorded = entries.filter_map(|entry| fingerprint(&entry.event));
        let (notes, receiver) = mpsc::channel(NOTES_MAX);
        let (sender, head) = watch::channel(file.head());
        let audit = Self {
            recorded: recorded.collect(),
            file,
            node,
            notes: receiver,
            head: sender,
        };
        Ok((audit, AuditLink { notes, head }))
    }
}

fn fingerprint(event: &Event) -> Option<Hash> {
    serde_json::to_vec(event).ok().map(|text| Hash::of(&text))
}

/// Writes what happens until it is cancelled; what is known then is written, if it can be at once. What cannot
/// be written is tried again: views are not lost meanwhile, and operators' commands up to a bound.
pub async fn follow(
    mut views: watch::Receiver<Arc<FenceView>>,
    mut audit: Audit,
    cancel: CancellationToken,
) {
    let mut seen = Arc::<FenceView>::default();
    loop {
        let now = Arc::clone(&views.borrow_and_update());
        let mut events = diff(&seen, &now, &audit.node);
        if *seen == FenceView::default() && *now != FenceView::default() {
            // After a start, everything is new. What has been recorded before is not recorded again.
            let recorded = std::mem::take(&mut audit.recorded);
            events.retain(|event| fingerprint(event).is_none_or(|it| !recorded.contains(&it)));
        }
        seen = now;
        for event in events {
            write(&mut audit, event, &cancel).await;
        }
        while let Ok(event) = audit.notes.try_recv() {
            write(&mut audit, event, &cancel).await;
        }
        if cancel.is_cancelled() {
            return;
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => {}
            Some(event) = audit.notes.recv() => write(&mut audit, event, &cancel).await,
            // Without a coordinator, operators are still written down.
            changed = views.changed() => if changed.is_err() {
                without_views(&mut audit, &cancel).await;
                return;
            },
        }
    }
}

async fn without_views(audit: &mut Audit, cancel: &CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            event = audit.notes.recv() => match event {
                Some(event) => write(audit, event, cancel).await,
                None => return,
            },
        }
    }
}

async fn write(audit: &mut Audit, event: Event, cancel: &CancellationToken) {
    let mut failed = false;
    loop {
        let error: io::Error = match audit.file.append(event.clone()).await {
            Ok(()) => {
                audit.head.send_replace(audit.file.head());
                return;
            }
            Err(error) => error,
        };
        if !failed {
            error!(%error, ?event, "fence.audit_file cannot be written; it is tried again");
            failed = true;
        }
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = sleep(RETRY) => {}
        }
    }
}
