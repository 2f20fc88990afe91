//! The tasks of fencing beside its coordinator: they join it with the bridge.

use std::sync::Arc;

use consul_client::Client;
use halink::Fid;
use tokio_util::sync::CancellationToken;

use crate::bridge::{SharedReports, SharedVerdicts};
use crate::cluster::View;
use crate::config::fence::{DeviceConfig, FenceConfig, HostCheck, Unfence};
use crate::death::Deaths;
use crate::fence::coordinator::{Coordinator, Prepared, boot_id};
use crate::fence::deaths::DeathRecords;
use crate::fence::files::Responder;
use crate::fence::local::MotrProcesses;
use crate::fence::model::NodeName;
use crate::fence::readmit::Readmission;
use crate::fence::trigger::Triggers;
use crate::fence::watchdog::{self, Beat, Feed};
use crate::fence::{FenceHandle, reports, servers, verdicts};
use crate::tasks::Tasks;

/// What the tasks are made of.
pub(super) struct FenceTasks {
    pub(super) config: Arc<FenceConfig>,
    /// The bridge's own process.
    pub(super) own: Fid,
    /// `ha.endpoint`.
    pub(super) endpoint: String,
    /// `ha.death_watch`
    pub(super) death_watch: bool,
    pub(super) consul: Client,
    pub(super) view: View,
    pub(super) verdicts: SharedVerdicts,
    pub(super) reports: SharedReports,
    pub(super) deaths: Arc<Deaths>,
    pub(super) local: MotrProcesses,
    /// Whether there are devices whose `on` brings this node back.
    pub(super) automatic: bool,
}

/// The names of the tasks, in the order in which they are waited for.
pub(super) const NAMES: [&str; 8] = [
    "fence servers",
    "request files",
    "watchdog",
    "fence triggers",
    "fence reports",
    "fence deaths",
    "readmission",
    "fence verdicts",
];

impl FenceTasks {
    /// Starts them. All end when `stop` is cancelled, before the coordinator does.
    pub(super) fn spawn(
        self,
        handle: &FenceHandle,
        coordinator: &Coordinator,
        tasks: &mut Tasks,
        stop: &CancellationToken,
    ) {
        self.local.set_view(self.view.snapshots());
        let me = self.local.node.clone();
        let follow = verdicts::follow(
            me.clone(),
            handle.views(),
            self.verdicts.clone(),
            stop.clone(),
        );
        let servers = servers::look(self.consul.clone(), stop.clone());
        tasks.add("fence servers", tokio::spawn(servers));
        // The views end only with the coordinator, whose end is seen.
        tasks.add("fence verdicts", tokio::spawn(follow));
        let triggers = Triggers {
            config: Arc::clone(&self.config),
            me: me.clone(),
            own: self.own,
            view: self.view.clone(),
            verdicts: self.verdicts.clone(),
            handle: handle.clone(),
        };
        tasks.add("fence triggers", tokio::spawn(triggers.run(stop.clone())));
        if reports::are_wanted(&self.config) {
            let publisher = reports::Publisher {
                me: me.clone(),
                consul: self.consul.clone(),
                view: self.view.snapshots(),
                reports: self.reports.changes(),
            };
            tasks.add("fence reports", tokio::spawn(publisher.run(stop.clone())));
        }
        let deaths = DeathRecords {
            me: me.clone(),
            consul: self.consul.clone(),
            deaths: Arc::clone(&self.deaths),
            view: self.view.clone(),
            verdicts: self.verdicts.clone(),
            handle: handle.clone(),
        };
        tasks.add("fence deaths", tokio::spawn(deaths.run(stop.clone())));
        let (config, consul, handle_too) = (
            Arc::clone(&self.config),
            self.consul.clone(),
            handle.clone(),
        );
        let (node, cancel, automatic) = (me.clone(), stop.clone(), self.automatic);
        let readmission = async move {
            let readmission = Readmission {
                boot_id: boot_id(&config.boot_id_file).await,
                config,
                me: node,
                automatic,
                consul,
                handle: handle_too,
            };
            readmission.run(cancel).await;
        };
        tasks.add("readmission", tokio::spawn(readmission));
        if let Some(files) = self.config.files.clone() {
            // Requests that are taken stay on disk for the next run.
            let responder = Responder::spawn(files, handle.clone(), stop.clone());
            tasks.add("request files", responder);
        }
        self.watchdog(me, handle, coordinator, tasks, stop);
    }

    fn watchdog(
        self,
        me: NodeName,
        handle: &FenceHandle,
        coordinator: &Coordinator,
        tasks: &mut Tasks,
        stop: &CancellationToken,
    ) {
        let Some(watchdog) = watchdog::of(&self.config, &me).cloned() else {
            return;
        };
        let feed = Feed {
            name: watchdog::name_of(&self.endpoint),
            watchdog,
            ttl: self.config.session_ttl,
            me: me.clone(),
            own: self.own,
            death_watch: self.death_watch,
            deaths: self.deaths,
            view: self.view.snapshots(),
            verdicts: self.verdicts,
            armed: coordinator.watchdog(),
        };
        // It ends with the watchdog's beat, which needs it until its end.
        let ended = CancellationToken::new();
        let (feed, feeding) = feed.spawn(ended.clone());
        let beat = Beat {
            config: self.config,
            me,
            consul: self.consul,
            leases: coordinator.leases(),
            views: handle.views(),
            feed,
        };
        let beating = beat.run(stop.clone());
        let both = async move {
            tokio::join!(feeding, async {
                beating.await;
                ended.cancel();
            });
        };
        tasks.add("watchdog", tokio::spawn(both));
    }
}

/// Whether a device has to switch this node on before it may take part again.
pub(super) fn is_automatic(fence: &Prepared, config: &FenceConfig, me: &NodeName) -> bool {
    let fences_me = |device: &DeviceConfig| {
        let hosts = &device.hosts;
        hosts.check != HostCheck::Static || hosts.list.contains(me) || hosts.map.contains_key(me)
    };
    let automatic = |device: &DeviceConfig| match device.unfence {
        Unfence::Never => false,
        Unfence::Automatic | Unfence::AutomaticOnTarget => true,
        Unfence::Metadata => {
            let traits = fence.traits().get(&device.name);
            traits.is_some_and(|traits| traits.automatic)
        }
    };
    let mut devices = config.devices.iter();
    devices.any(|device| fences_me(device) && automatic(device))
}
