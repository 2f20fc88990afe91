//! What Motr processes of this node say of others (`rfc/12-fencing.md`, "Triggers").
//!
//! A process whose RPC gets no reply says of the service TRANSIENT with EVENT_RPC, once, and ONLINE when a
//! reply has come; an NVEC SET may say FAILED or TRANSIENT of a process or service. The bridge tells nobody of
//! it (5/HAX): it is only noted here.

use std::collections::BTreeMap;
use std::sync::Arc;

use halink::{Fid, FidType, HaState, LinkId};
use tokio::sync::watch;
use tokio::time::Instant;

/// Reports that are remembered; more are not.
const REPORTS_MAX: usize = 1_024;

/// Who says it over which link, and of which process or service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportId {
    /// The process or service.
    pub object: Fid,
    /// The link of the process that says so.
    pub link: LinkId,
}

/// A report that was not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The process that says so.
    pub by: Fid,
    /// When it said so first.
    pub since: Instant,
}

/// All that were not taken back.
pub type Reports = BTreeMap<ReportId, Report>;

/// The present reports, shared by who notes and who counts them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedReports {
    wanted: bool,
    reports: watch::Sender<Arc<Reports>>,
}

impl SharedReports {
    /// None yet. Not `wanted`: there never are any.
    pub fn new(wanted: bool) -> Self {
        let reports = watch::Sender::default();
        Self { wanted, reports }
    }

    /// Told whenever they change.
    pub fn changes(&self) -> watch::Receiver<Arc<Reports>> {
        self.reports.subscribe()
    }

    /// A process says something of another process or of a service. States that are no failure, but for
    /// ONLINE, which takes a report back, say nothing here.
    pub fn say(&self, link: LinkId, by: Fid, object: Fid, state: HaState) {
        let is_fenced = matches!(object.fid_type(), Some(FidType::Process | FidType::Service));
        if !self.wanted || !is_fenced {
            return;
        }
        let id = ReportId { object, link };
        self.update(|reports| match state {
            HaState::Failed | HaState::Transient if reports.len() < REPORTS_MAX => {
                let since = Instant::now();
                reports.entry(id).or_insert(Report { by, since });
            }
            HaState::Online => _ = reports.remove(&id),
            _ => {}
        });
    }

    /// A link has ended: who was there takes nothing back any more.
    pub fn gone(&self, link: LinkId) {
        self.update(|reports| reports.retain(|id, _| id.link != link));
    }

    fn update(&self, change: impl FnOnce(&mut Reports)) {
        if !self.wanted {
            return;
        }
        self.reports.send_if_modified(|reports| {
            let mut changed = Reports::clone(reports);
            change(&mut changed);
            let differs = changed != **reports;
            if differs {
                *reports = Arc::new(changed);
            }
            differs
        });
    }
}
