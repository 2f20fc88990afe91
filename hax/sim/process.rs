//! What Motr's processes say on their link, and when.
//!
//! The order is that of real processes as a bridge sees it: m0mkfs and m0d as confd
//! and as ios, and a client. Each step that Motr blocks in blocks here, too.

use halink::{Fid, ProcessEvent, ProcessType, ServiceEvent};

use super::client::{End, SimProcess};
use super::service::{self, Service};
use super::wire::NOTES_MAX;

/// The root object of the configuration, `M0_CONF_ROOT_FID`.
pub const ROOT: Fid = Fid::new(0x7400_0000_0000_0001, 0);

/// What a process is made of.
#[derive(Clone, Debug)]
pub struct Profile {
    pub kind: ProcessType,
    /// A confd reads the configuration itself: it asks for no second entrypoint.
    pub confd: bool,
    /// In the order in which they start.
    pub services: Vec<Service>,
    /// A failure vector is asked for each.
    pub pools: Vec<Fid>,
    /// Objects of the configuration; their states are asked for.
    pub objects: Vec<Fid>,
}

const fn builtin(kind: u64) -> Service {
    Service {
        kind,
        fid: Fid::NIL,
    }
}

/// Before the configuration is read.
const EARLY: [Service; 2] = [builtin(service::UNKNOWN); 2];
/// After it, in an m0d.
const LATE: [Service; 3] = [
    builtin(service::SSS),
    builtin(service::UNKNOWN),
    builtin(service::FDMI),
];
/// After it, in an m0mkfs.
const LATE_MKFS: [Service; 1] = [builtin(service::FDMI)];
/// Built-in services that an m0d stops beyond those it has reported as started.
const STOP_ONLY: [Service; 3] = [builtin(service::UNKNOWN); 3];

struct Actor<'a> {
    process: &'a SimProcess,
    profile: &'a Profile,
}

/// Runs the start-up of the process, up to and with STARTED.
///
/// # Errors
/// The process ended first.
pub async fn start(process: &SimProcess, profile: &Profile) -> Result<(), End> {
    let actor = Actor { process, profile };
    process.ready().await?;
    actor.report(ProcessEvent::Starting).await?;
    if !profile.confd {
        actor.read_configuration().await?;
    }
    match profile.kind {
        ProcessType::M0mkfs => actor.start_mkfs().await,
        ProcessType::M0d => actor.start_m0d().await,
        _ => actor.start_client().await,
    }
}

/// Reports the end of the process, up to and with STOPPED; nothing is waited for.
///
/// # Errors
/// The process ended first.
pub async fn stop(process: &SimProcess, profile: &Profile) -> Result<(), End> {
    let actor = Actor { process, profile };
    match profile.kind {
        ProcessType::M0mkfs => actor.stop_mkfs().await,
        ProcessType::M0d => actor.stop_m0d().await,
        _ => {
            actor.report(ProcessEvent::Stopping).await?;
            actor.report(ProcessEvent::Stopped).await
        }
    }
}

impl Actor<'_> {
    async fn start_m0d(&self) -> Result<(), End> {
        self.services_start(&EARLY).await?;
        self.failure_vecs().await?;
        self.services_start(&LATE).await?;
        self.services_start(&self.profile.services).await?;
        self.states_of_objects().await?;
        self.report(ProcessEvent::Started).await
    }

    /// An m0mkfs reports STARTED before its configured services start.
    async fn start_mkfs(&self) -> Result<(), End> {
        self.services_start(&EARLY).await?;
        self.report(ProcessEvent::Started).await?;
        if self.profile.confd {
            return Ok(());
        }
        self.services_start(&self.profile.services).await?;
        self.services_start(&LATE_MKFS).await?;
        self.failure_vecs().await
    }

    async fn start_client(&self) -> Result<(), End> {
        self.states_of_objects().await?;
        self.failure_vecs().await?;
        self.services_start(&self.profile.services).await?;
        self.report(ProcessEvent::Started).await
    }

    /// An m0d reports services as STOPPING, and none as STOPPED.
    async fn stop_m0d(&self) -> Result<(), End> {
        self.report(ProcessEvent::Stopping).await?;
        let started = [&EARLY[..], &LATE[..], &self.profile.services[..]].concat();
        for service in started.iter().rev().chain(&STOP_ONLY) {
            self.service(*service, ServiceEvent::Stopping).await?;
        }
        self.report(ProcessEvent::Stopped).await
    }

    async fn stop_mkfs(&self) -> Result<(), End> {
        if !self.profile.confd {
            for service in self.profile.services.iter().rev().chain(&LATE_MKFS) {
                self.service_stops(*service).await?;
            }
        }
        self.report(ProcessEvent::Stopping).await?;
        self.service_stops(builtin(service::UNKNOWN)).await?;
        self.report(ProcessEvent::Stopped).await
    }

    /// What rconfc does: the entrypoint once more, and the states of what it names.
    async fn read_configuration(&self) -> Result<(), End> {
        let entrypoint = self.process.entrypoint().await?;
        let mut objects: Vec<Fid> = entrypoint.confds.iter().map(|confd| confd.fid).collect();
        objects.extend([entrypoint.rm, ROOT]);
        self.process.nvec_get(&objects).await?;
        Ok(())
    }

    async fn states_of_objects(&self) -> Result<(), End> {
        for objects in self.profile.objects.chunks(NOTES_MAX) {
            self.process.nvec_get(objects).await?;
        }
        Ok(())
    }

    async fn failure_vecs(&self) -> Result<(), End> {
        for pool in &self.profile.pools {
            self.process.failure_vec(*pool).await?;
        }
        Ok(())
    }

    async fn services_start(&self, services: &[Service]) -> Result<(), End> {
        for service in services {
            self.service(*service, ServiceEvent::Starting).await?;
            self.service(*service, ServiceEvent::Started).await?;
        }
        Ok(())
    }

    async fn service_stops(&self, service: Service) -> Result<(), End> {
        self.service(service, ServiceEvent::Stopping).await?;
        self.service(service, ServiceEvent::Stopped).await
    }

    // Motr waits for the delivery of no event.
    async fn service(&self, service: Service, event: ServiceEvent) -> Result<(), End> {
        self.process
            .service_event(service.fid, event, service.kind)
            .await
            .map(drop)
    }

    async fn report(&self, event: ProcessEvent) -> Result<(), End> {
        self.process
            .process_event(event, self.profile.kind)
            .await
            .map(drop)
    }
}
