//! What the daemon and the watchdog process tell each other: one JSON value a line.

use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::fence::WatchdogAction;
use crate::death::Identified;

/// Version of what is told. A daemon does not use a watchdog process of another one.
pub(in crate::fence::watchdog) const VERSION: u32 = 1;

/// Bytes of a line at most: the death watch follows 4096 processes, each some 80 bytes here.
pub(in crate::fence::watchdog) const LINE_MAX: usize = 1 << 20;

/// What the daemon says. Instants are milliseconds of CLOCK_BOOTTIME.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::fence::watchdog) enum Order {
    /// The first line of each daemon.
    Hello {
        version: u32,
        stop_max_ms: u64,
        action: Act,
    },
    /// A beat was sent at `sent` and has come through: it acts at `deadline`, unless another comes.
    Beat {
        sent: u64,
        deadline: u64,
        /// Nothing is known against this node; it is said back.
        clear: bool,
    },
    /// All processes that may be alive, as far as the daemon knows. Those of earlier lists are kept
    /// until they have ended.
    Processes(Vec<Identified>),
    /// Act at once.
    Strike(String),
    /// Nobody counts on it any more.
    Disarm,
}

/// What the watchdog process says: `Acts` by itself, a state after every order and after it has acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::fence::watchdog) enum Report {
    /// It is about to kill.
    Acts {
        why: String,
        armed: bool,
    },
    /// What it has done, for the log.
    Did(String),
    State(Standing),
}

/// How it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::fence::watchdog) struct Standing {
    pub(in crate::fence::watchdog) version: u32,
    /// There is a deadline.
    pub(in crate::fence::watchdog) armed: bool,
    /// It has acted, and no beat has counted since.
    pub(in crate::fence::watchdog) acted: bool,
    /// This answers a beat that counted and was clear.
    pub(in crate::fence::watchdog) clear: bool,
    /// Processes that it was told of and cannot hold, with the reason.
    pub(in crate::fence::watchdog) missing: Vec<String>,
}

/// What comes after the processes have been ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::fence::watchdog) enum Act {
    Nothing,
    Command(Vec<String>),
    Reboot,
}

impl From<&WatchdogAction> for Act {
    fn from(action: &WatchdogAction) -> Self {
        match action {
            WatchdogAction::Processes => Self::Nothing,
            WatchdogAction::Command(words) => Self::Command(words.clone()),
            WatchdogAction::Reboot => Self::Reboot,
        }
    }
}

/// The name by which the watchdog process of a node is found: it is the one for an HA endpoint, of which
/// a machine has one bridge at most. Abstract, so that it goes with the process.
pub(in crate::fence::watchdog) fn name_of(endpoint: &str) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(endpoint.as_bytes());
    let mut name = "hax-watchdog-".to_owned();
    for byte in digest.iter().take(16) {
        // Writing to a string does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The address of that name.
pub(in crate::fence::watchdog) fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name.as_bytes())
}

/// Everybody of the machine can bind and connect to abstract names.
///
/// # Errors
/// The other end is another user.
pub(in crate::fence::watchdog) fn check_peer(socket: &impl AsFd) -> io::Result<()> {
    let peer = socket_peercred(socket)?;
    if peer.uid == geteuid() {
        return Ok(());
    }
    let why = format!("the other end belongs to user {}", peer.uid.as_raw());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

/// A line.
pub(in crate::fence::watchdog) fn line(value: &impl Serialize) -> Vec<u8> {
    // Plain data with text keys always has a JSON form.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
