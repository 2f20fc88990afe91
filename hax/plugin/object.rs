//! What has a state that plugins are told of (rfc/14, "Objects").

use std::fmt;

use serde::Serialize;

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Text; fids, addresses and words of DRBD are text.
    Text(String),
    /// `yes` or `no` in DRBD's words.
    Boolean(bool),
    /// A number.
    Number(u64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// A field of an object, of its key or of its state; what is not known has no field.
pub type Field = (&'static str, Value);

/// What tells an object from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// The kind.
    pub kind: Kind,
    /// The values of the fields that are its key, in their order.
    pub id: Vec<Value>,
}

/// Defines the objects: for each its fields, those of its key first, then those of its state, then statistics.
macro_rules! objects {
    ($($(#[$doc:meta])* $object:ident = $word:literal {
        key { $($(#[$kdoc:meta])* $key:ident: $kty:ty,)* }
        state { $($(#[$sdoc:meta])* $state:ident: $sty:ty,)* }
        statistics { $($(#[$tdoc:meta])* $stat:ident,)* }
    })*) => {
        /// The kinds of objects.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $object,)*
        }

        impl Kind {
            /// All kinds, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$object,)*];

            /// Its word, in configuration, environment and JSON.
            pub fn word(self) -> &'static str {
                match self { $(Self::$object => $word,)* }
            }

            /// The fields that rules can name: key and state.
            pub fn fields(self) -> &'static [&'static str] {
                match self {
                    $(Self::$object => &[$(stringify!($key),)* $(stringify!($state),)*],)*
                }
            }
        }

        /// An object with its state.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Object {
            $($(#[$doc])* $object($object),)*
        }

        impl Object {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$object(_) => Kind::$object,)* }
            }

            /// What tells it from all others.
            pub fn key(&self) -> Key {
                match self {
                    $(Self::$object(object) => Key { kind: Kind::$object, id: object.id() },)*
                }
            }

            /// Key and state; fields that are not known are left out.
            pub fn fields(&self) -> Vec<Field> {
                match self { $(Self::$object(object) => object.fields(),)* }
            }

            /// Numbers a change of which is no event.
            pub fn statistics(&self) -> Vec<(&'static str, u64)> {
                match self { $(Self::$object(object) => object.statistics(),)* }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Default)]
            pub struct $object {
                $($(#[$kdoc])* pub $key: $kty,)*
                $($(#[$sdoc])* pub $state: Option<$sty>,)*
                $($(#[$tdoc])* pub $stat: Option<u64>,)*
            }

            impl $object {
                #[allow(clippy::vec_init_then_push, unused_mut, reason = "some have no such field")]
                fn id(&self) -> Vec<Value> {
                    let mut id = Vec::new();
                    $(id.push(Value::from(self.$key.clone()));)*
                    id
                }

                fn fields(&self) -> Vec<Field> {
                    let mut fields: Vec<Field> = Vec::new();
                    $(fields.push((stringify!($key), Value::from(self.$key.clone())));)*
                    $(if let Some(value) = &self.$state {
                        fields.push((stringify!($state), Value::from(value.clone())));
                    })*
                    fields
                }

                #[allow(unused_mut, reason = "some have none")]
                fn statistics(&self) -> Vec<(&'static str, u64)> {
                    let mut statistics = Vec::new();
                    $(if let Some(value) = self.$stat {
                        statistics.push((stringify!($stat), value));
                    })*
                    statistics
                }
            }

            impl From<$object> for Object {
                fn from(object: $object) -> Self {
                    Self::$object(object)
                }
            }
        )*
    };
}

objects! {
    /// An ha_link.
    Link = "link" {
        key {
            /// Its number, as `/v1/status` shows it.
            link: u64,
        }
        state {
            /// Fid of the process at the other end.
            process: String,
            /// Its endpoint.
            endpoint: String,
            /// Whether it is the bridge's link to itself.
            own: bool,
            /// Whether the process has reported that it is up.
            up: bool,
        }
        statistics {}
    }
    /// A Motr process.
    Process = "process" {
        key {
            /// Its fid.
            process: String,
        }
        state {
            /// Its node's name.
            node: String,
            /// What Motr is told of it, `M0_NC_*`.
            state: String,
            /// What it has reported, `M0_CONF_HA_PROCESS_*`.
            status: String,
            /// `M0_CONF_HA_PROCESS_M0D` and the like.
            kind: String,
        }
        statistics {}
    }
    /// A Motr service.
    Service = "service" {
        key {
            /// Its fid.
            service: String,
        }
        state {
            /// Fid of its process.
            process: String,
            /// `confd`, `ios`, …
            kind: String,
            /// What Motr is told of it, `M0_NC_*`.
            state: String,
        }
        statistics {}
    }
    /// A node of the catalog.
    Node = "node" {
        key {
            /// Its name.
            node: String,
        }
        state {
            /// `alive` or `lost`.
            state: String,
            /// Whether it has been fenced and not been brought back.
            fenced: bool,
        }
        statistics {}
    }
    /// A process's check that fails.
    Check = "check" {
        key {
            /// Fid of the process.
            process: String,
        }
        state {
            /// The process's node.
            node: String,
            /// `critical`.
            status: String,
        }
        statistics {}
    }
    /// The election.
    LeaderObject = "leader" {
        key {}
        state {
            /// Where this node stands.
            standing: String,
            /// The node that leads.
            node: String,
            /// Its session.
            session: String,
        }
        statistics {}
    }
    /// An operation of fencing.
    Fence = "fence" {
        key {
            /// Its number.
            operation: String,
        }
        state {
            /// What is fenced.
            target: String,
            /// `off`, `on`, `reboot`.
            action: String,
            /// Where it is in its life.
            phase: String,
            /// How it has ended.
            result: String,
            /// By what it was set off.
            source: String,
            /// By whom.
            who: String,
            /// Why.
            reason: String,
        }
        statistics {}
    }
    /// The bridge's queue.
    Queue = "queue" {
        key {}
        state {
            /// Whether more messages are held than `dispatch.queue_max`.
            over_bound: bool,
            /// Messages that Consul refuses for good.
            dead_letters: u64,
            /// `reachable` or `unreachable`.
            consul: String,
        }
        statistics {
            /// Messages that wait.
            waiting,
        }
    }
    /// A DRBD resource.
    Resource = "resource" {
        key {
            /// Its name.
            name: String,
        }
        state {
            /// `Primary` or `Secondary`.
            role: String,
            /// `no`, or why: `user`, `quorum`, `no-data`, `fencing`.
            suspended: String,
            /// Whether it could be promoted now.
            may_promote: bool,
            /// How good this node would be.
            promotion_score: u64,
            /// `flush`, `barrier`, …
            write_ordering: String,
            /// Whether I/O errors are forced.
            force_io_failures: bool,
        }
        statistics {}
    }
    /// A volume of a DRBD resource on this node.
    Device = "device" {
        key {
            /// Its resource.
            name: String,
            /// Its number in the resource.
            volume: u64,
        }
        state {
            /// Its minor number.
            minor: u64,
            /// `UpToDate`, `Diskless`, …
            disk: String,
            /// Whether it is meant to have no disk.
            client: bool,
            /// Whether it has quorum.
            quorum: bool,
            /// The disk below.
            backing_dev: String,
        }
        statistics {
            /// Size in KiB.
            size,
            /// KiB read.
            read,
            /// KiB written.
            written,
            /// Writes to the activity log.
            al_writes,
            /// Writes to the bitmap.
            bm_writes,
            /// Requests from above that have not ended.
            upper_pending,
            /// Requests to the disk that have not ended.
            lower_pending,
        }
    }
    /// A connection of a DRBD resource to a peer.
    Connection = "connection" {
        key {
            /// Its resource.
            name: String,
            /// The peer's node ID.
            peer_node_id: u64,
        }
        state {
            /// The peer's name.
            conn_name: String,
            /// `Connected`, `StandAlone`, …
            connection: String,
            /// The peer's role.
            role: String,
            /// Whether the connection is congested.
            congested: bool,
        }
        statistics {
            /// Application requests in flight, in sectors.
            ap_in_flight,
            /// Resync requests in flight, in sectors.
            rs_in_flight,
        }
    }
    /// A volume of a DRBD resource on a peer.
    PeerDevice = "peer_device" {
        key {
            /// Its resource.
            name: String,
            /// The peer's node ID.
            peer_node_id: u64,
            /// Its number in the resource.
            volume: u64,
        }
        state {
            /// The peer's name.
            conn_name: String,
            /// `Established`, `SyncSource`, …
            replication: String,
            /// State of the peer's disk.
            peer_disk: String,
            /// Whether the peer is meant to have no disk.
            peer_client: bool,
            /// `no`, or why.
            resync_suspended: String,
        }
        statistics {
            /// KiB received.
            received,
            /// KiB sent.
            sent,
            /// KiB out of sync.
            out_of_sync,
            /// Requests that have not ended.
            pending,
            /// Requests that have not been acknowledged.
            unacked,
        }
    }
}

impl Kind {
    /// The kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// Whether DRBD is its source.
    pub fn is_drbd(self) -> bool {
        matches!(
            self,
            Self::Resource | Self::Device | Self::Connection | Self::PeerDevice
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        self.id.iter().try_for_each(|value| write!(f, " {value}"))
    }
}

impl Object {
    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<Value> {
        let mut fields = self.fields().into_iter();
        fields
            .find(|(field, _)| *field == name)
            .map(|(_, value)| value)
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("object", &self.kind())?;
        for (name, value) in self.fields() {
            map.serialize_entry(name, &value)?;
        }
        for (name, value) in self.statistics() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}
