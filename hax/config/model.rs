//! The validated configuration: what the rest of the daemon sees.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use halink::Fid;

use super::fence::FenceConfig;
use super::plugin::PluginsConfig;
use crate::dispatch::Mode;

/// A configuration every value of which has been checked.
///
/// `Debug` is fit for a log: it shows no secret and not where one is kept.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[node]`
    pub node: NodeConfig,
    /// `[ha]`
    pub ha: HaConfig,
    /// `[entrypoint]`
    pub entrypoint: EntrypointConfig,
    /// `[dispatch]`
    pub dispatch: DispatchConfig,
    /// `[consul]`
    pub consul: ConsulConfig,
    /// `[retry]`
    pub retry: RetryConfig,
    /// `[http]`
    pub http: HttpConfig,
    /// `[leader]`
    pub leader: LeaderConfig,
    /// `[kv]`
    pub kv: KvConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[fence]`; none unless it says `enabled = true`.
    pub fence: Option<FenceConfig>,
    /// `[plugins]`; none unless it names a directory of snippets.
    pub plugins: Option<PluginsConfig>,
}

/// This node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its name in the Consul catalog.
    pub name: String,
}

/// The bridge's side of the ha_links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaConfig {
    /// Where Motr processes connect.
    pub endpoint: Endpoint,
    /// The bridge's own process fid; of type process.
    pub process: Fid,
    /// Its HA service's fid; of type service.
    pub ha_service: Fid,
    /// Its resource manager service's fid; of type service.
    pub rm_service: Fid,
    /// What a fatal message does.
    pub on_fatal_message: FatalMessage,
    /// Whether processes of this machine are watched for their death.
    pub death_watch: bool,
    /// Whose behaviour.
    pub profile: Profile,
    /// Where libmotr leaves its trace files.
    pub state_dir: PathBuf,
}

/// What is done on a message that 5/HAX answers with `m0_panic()` (keepalive, BE I/O
/// error, SNS error).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FatalMessage {
    /// The link it came on is dropped; the other processes keep their bridge.
    Isolate,
    /// The bridge stops, as 5/HAX says.
    Panic,
}

/// Whose behaviour the bridge has where 5/HAX and Hare differ (`rfc/11-hare-profile.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// What 5/HAX says.
    FiveHax,
    /// What Hare's bridge does: it keeps the states of objects under `m0conf/` as well.
    Hare,
}

/// Entrypoint requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntrypointConfig {
    /// Bound of one attempt to reply; then EAGAIN.
    pub timeout: Duration,
}

/// The dispatcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DispatchConfig {
    /// Which requests are kept in order.
    pub mode: Mode,
    /// Messages held for all processes together, from which the embedded backend stops reading
    /// links; 64 to 1,048,576.
    pub queue_max: NonZeroU32,
}

/// The Consul agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulConfig {
    /// Where it listens.
    pub address: ConsulAddress,
    /// File of the ACL token.
    pub token_file: Option<SecretFile>,
    /// File of the authority's certificate.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate and key.
    pub client_certificate: Option<ClientCertificate>,
    /// Bound of a request, without the wait of a blocking query.
    pub timeout: Duration,
    /// Bound of connecting.
    pub connect_timeout: Duration,
    /// Datacenter asked; `None` is the agent's own.
    pub datacenter: Option<String>,
}

/// A client certificate: neither file is of use without the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file of the certificate.
    pub cert_file: PathBuf,
    /// PEM file of the private key.
    pub key_file: SecretFile,
}

/// Exponential backoff; `min` is never above `max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryConfig {
    /// First delay.
    pub min: Duration,
    /// Longest delay.
    pub max: Duration,
    /// Bound of one attempt, all its requests together.
    pub attempt: Duration,
}

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Loopback address it listens on.
    pub listen: SocketAddr,
    /// Largest request body, in bytes; 1 KiB to 256 MiB.
    pub body_limit: usize,
}

/// The leader, whose node holds the principal RM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderConfig {
    /// Whether this node stands for it.
    pub elect: bool,
    /// Consul's LockDelay of the leader session.
    pub lock_delay: Duration,
}

/// What is written to KV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvConfig {
    /// Whether `process/<fid>` is written along with `processes/<fid>`.
    pub process_alias: bool,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Its form.
    pub format: LogFormat,
    /// What is logged.
    pub level: LogDirectives,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// A Motr endpoint: printable ASCII, 1 to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(pub(super) String);

impl Endpoint {
    /// The text Motr takes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Address of a Consul agent: scheme, host and port, without user, path or query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulAddress {
    pub(super) url: String,
    pub(super) tls: bool,
}

impl ConsulAddress {
    /// The URL, without a final `/`.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether the scheme is https.
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

/// `EnvFilter` directives that have been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDirectives(pub(super) String);

impl LogDirectives {
    /// The text `EnvFilter` takes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Path of a file that holds a secret; not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretFile(pub(super) PathBuf);

impl SecretFile {
    /// A file with a secret.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The path, for opening it.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
