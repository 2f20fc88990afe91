//! `[[fence.device]]`: what all types have in common, and what only all devices together can get wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::hosts;
use super::kind::{self, Type};
use super::model::{
    DeviceConfig, DeviceKind, FilesConfig, HostCheck, Hosts, Timeouts, Unfence, WatchdogConfig,
};
use super::{schema as keys, value};
use crate::config::build::{choice, duration};
use crate::config::reader::Reader;
use crate::config::schema::KeyDoc;
use crate::fence::model::DeviceName;

const SECTION: &str = "fence.device";

/// The devices, as far as they could be read.
pub(super) struct Devices {
    /// All of them, if each is right.
    pub(super) read: Option<Vec<DeviceConfig>>,
    /// The names, also of those that are wrong otherwise.
    pub(super) names: BTreeSet<DeviceName>,
}

/// Reads all devices.
pub(super) fn read_all(
    r: &mut Reader<'_>,
    session_ttl: Option<Duration>,
    responder: Option<&FilesConfig>,
) -> Devices {
    let total = r.elements(SECTION);
    let mut names = BTreeSet::new();
    let mut devices = Vec::new();
    let mut watchdogs = Watchdogs::default();
    for index in 0..total {
        if !r.enter(SECTION, index) {
            continue;
        }
        let name = r.text(&keys::DEVICE_NAME, value::device);
        if let Some(name) = &name
            && !names.insert(name.clone())
        {
            let why = format!("there is another device of the name {name}");
            r.refuse(&keys::DEVICE_NAME, why);
        }
        let device = device(r, name, session_ttl, responder);
        if let Some(device) = &device {
            watchdogs.add(r, device);
        }
        devices.extend(device);
    }
    Devices {
        read: (devices.len() == total).then_some(devices),
        names,
    }
}

fn device(
    r: &mut Reader<'_>,
    name: Option<DeviceName>,
    session_ttl: Option<Duration>,
    responder: Option<&FilesConfig>,
) -> Option<DeviceConfig> {
    let retries = r.number(&keys::DEVICE_RETRIES);
    let own_concurrency = r.is_given(&keys::DEVICE_CONCURRENCY);
    let concurrency = r.number(&keys::DEVICE_CONCURRENCY);
    let parallel = r.boolean(&keys::DEVICE_PARALLEL);
    let kill_grace = duration(r, &keys::DEVICE_KILL_GRACE);
    let timeouts = timeouts(r);
    let unfence = choice(r, &keys::DEVICE_UNFENCE, |word| match word {
        "metadata" => Some(Unfence::Metadata),
        "never" => Some(Unfence::Never),
        "automatic" => Some(Unfence::Automatic),
        "on-target" => Some(Unfence::AutomaticOnTarget),
        _ => None,
    });
    // What is not known to fit any type is not looked into.
    let kind = choice(r, &keys::DEVICE_TYPE, Type::parse)?;
    kind::check_keys(r, kind);
    let concurrency = concurrency.or((!own_concurrency).then_some(kind.concurrency()));
    let hosts = match kind {
        Type::Process => Some(Hosts {
            check: HostCheck::None,
            list: Vec::new(),
            map: BTreeMap::new(),
        }),
        Type::Watchdog => hosts::of_watchdog(r),
        _ => {
            let askable = kind.askable(r);
            hosts::with_ports(r, &askable)
        }
    };
    let peers = hosts::peers(r);
    let delay = hosts::delay(r, hosts.as_ref());
    let kind = kind::read(r, kind, session_ttl, responder);
    let (kind, kill_grace) = (kind?, kill_grace?);
    let unfence = unfence?;
    let unfences = matches!(unfence, Unfence::Automatic | Unfence::AutomaticOnTarget);
    if unfences && matches!(&kind, DeviceKind::Command(command) if command.on.is_none()) {
        r.refuse(&keys::DEVICE_UNFENCE, "needs the command on".to_owned());
    }
    let mut timeouts = timeouts?;
    if let DeviceKind::Watchdog(WatchdogConfig { timeout, .. }) = &kind {
        // The wait must not be cut short by its own bound.
        let bound = timeout.saturating_add(kill_grace);
        (timeouts.off, timeouts.reboot) = (bound, bound);
    }
    Some(DeviceConfig {
        name: name?,
        kind,
        peers: peers?,
        hosts: hosts?,
        timeouts,
        kill_grace,
        retries: u8::try_from(retries?).ok()?,
        delay: delay?,
        concurrency: u8::try_from(concurrency?).ok()?,
        parallel: parallel?,
        unfence,
    })
}

fn timeouts(r: &mut Reader<'_>) -> Option<Timeouts> {
    let mut of = |key: &KeyDoc| duration(r, key);
    let off = of(&keys::DEVICE_OFF_TIMEOUT);
    let on = of(&keys::DEVICE_ON_TIMEOUT);
    let reboot = of(&keys::DEVICE_REBOOT_TIMEOUT);
    let status = of(&keys::DEVICE_STATUS_TIMEOUT);
    let monitor = of(&keys::DEVICE_MONITOR_TIMEOUT);
    let list = of(&keys::DEVICE_LIST_TIMEOUT);
    Some(Timeouts {
        off: off?,
        on: on?,
        reboot: reboot?,
        status: status?,
        monitor: monitor?,
        list: list?,
    })
}

/// The watchdogs so far. A node has one at most: its beat has one bound.
#[derive(Default)]
struct Watchdogs(Vec<(DeviceName, Hosts)>);

impl Watchdogs {
    fn add(&mut self, r: &mut Reader<'_>, device: &DeviceConfig) {
        if !matches!(device.kind, DeviceKind::Watchdog(_)) {
            return;
        }
        let hosts = &device.hosts;
        let both = |other: &Hosts| {
            let any = hosts.list.is_empty() || other.list.is_empty();
            any || hosts.list.iter().any(|node| other.list.contains(node))
        };
        if let Some((name, _)) = self.0.iter().find(|(_, other)| both(other)) {
            let why = format!("a node has one watchdog, and {name} is for some of the same nodes");
            r.refuse(&keys::DEVICE_HOSTS, why);
        }
        self.0.push((device.name.clone(), hosts.clone()));
    }
}
