//! One line of `drbdsetup events2`.
//!
//! ```text
//! VERB OBJECT KEY:VALUE KEY:VALUE ...     exists device name:r0 volume:0 minor:1000 disk:UpToDate ...
//! exists -                                the first dump is complete
//! ```
//!
//! Newer versions of DRBD add keys and objects: what is not known is ignored. A value that is not what its
//! key has is an error, for a state that is guessed is worse than one that is old.

use crate::plugin::object::{Connection, Device, Key, Object, PeerDevice, Resource};

/// Bytes of a line.
pub(super) const LINE_MAX: usize = 256 * 1024;

/// Characters of a wrong word that are shown.
const SHOWN_MAX: usize = 40;

/// What an older module does not count is printed as all ones; what is printed in KiB as half of it.
const NOT_COUNTED: [u64; 3] = [u64::MAX, u64::MAX / 2, u32::MAX as u64];

/// What is wrong with a line; to follow "line N".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("is longer than {LINE_MAX} bytes")]
    TooLong,
    #[error("is not UTF-8")]
    NotText,
    #[error("begins with `{0}`, which is no event")]
    UnknownVerb(String),
    #[error("names no object")]
    NoObject,
    #[error("has `{0}` where `key:value` belongs")]
    NoValue(String),
    #[error("has no `{0}`")]
    Missing(&'static str),
    #[error("has `{value}` for `{key}`, which is {wanted}")]
    BadValue {
        key: String,
        value: String,
        wanted: &'static str,
    },
}

/// A line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// The first dump is complete.
    Complete,
    /// An object, or what has changed of it.
    Told(Box<Told<'a>>),
    /// The object is gone, and everything below it.
    Gone(Key),
    /// The resource has another name.
    Renamed { from: &'a str, to: &'a str },
    /// What has no state here: a path, a helper, an object of a newer DRBD.
    Other,
}

/// What a line says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told<'a> {
    /// With nothing but what the line says.
    object: Object,
    /// Whether the line says only what has changed.
    partial: bool,
    words: &'a str,
}

impl Told<'_> {
    pub(super) fn key(&self) -> Key {
        self.object.key()
    }

    /// The object as it is now; `known` is what it was before.
    pub(super) fn onto(self, known: Option<&Object>) -> Object {
        match known {
            Some(known) if self.partial => fill(known.clone(), self.words).unwrap_or(self.object),
            _ => self.object,
        }
    }
}

/// Reads a line, without its newline.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, LineError> {
    if line.len() > LINE_MAX {
        return Err(LineError::TooLong);
    }
    let line = std::str::from_utf8(line).map_err(|_| LineError::NotText)?;
    let (verb, rest) = cut(line);
    let (kind, words) = cut(rest);
    match verb {
        "exists" if kind == "-" => return Ok(Line::Complete),
        "exists" | "create" | "change" | "destroy" | "rename" => {}
        "call" | "response" => return Ok(Line::Other),
        _ => return Err(LineError::UnknownVerb(shown(verb))),
    }
    let (blank, needed): (Object, &[&'static str]) = match kind {
        "resource" => (Resource::default().into(), &["name"]),
        "device" => (Device::default().into(), &["name", "volume"]),
        "connection" => (Connection::default().into(), &["name", "peer-node-id"]),
        "peer-device" => {
            let needed = &["name", "peer-node-id", "volume"];
            (PeerDevice::default().into(), needed)
        }
        "" => return Err(LineError::NoObject),
        _ => return Ok(Line::Other),
    };
    if verb == "rename" {
        return match blank {
            Object::Resource(_) => Ok(Line::Renamed {
                from: need(words, "name")?,
                to: need(words, "new_name")?,
            }),
            _ => Ok(Line::Other),
        };
    }
    let object = fill(blank, words)?;
    for key in needed {
        need(words, key)?;
    }
    if verb == "destroy" {
        return Ok(Line::Gone(object.key()));
    }
    Ok(Line::Told(Box::new(Told {
        object,
        partial: verb == "change",
        words,
    })))
}

/// The first word, and what follows it.
fn cut(text: &str) -> (&str, &str) {
    let text = text.trim_ascii_start();
    text.split_once(|c: char| c.is_ascii_whitespace())
        .unwrap_or((text, ""))
}

fn need<'a>(words: &'a str, key: &'static str) -> Result<&'a str, LineError> {
    words
        .split_ascii_whitespace()
        .filter_map(|word| word.split_once(':'))
        .find_map(|(name, value)| (name == key && !value.is_empty()).then_some(value))
        .ok_or(LineError::Missing(key))
}

/// Writes what the words say over what the object says.
fn fill(mut object: Object, words: &str) -> Result<Object, LineError> {
    for word in words.split_ascii_whitespace() {
        let Some((key, value)) = word.split_once(':') else {
            return Err(LineError::NoValue(shown(word)));
        };
        let word = Word { key, value };
        match &mut object {
            Object::Resource(resource) => fill_resource(resource, &word)?,
            Object::Device(device) => fill_device(device, &word)?,
            Object::Connection(connection) => fill_connection(connection, &word)?,
            Object::PeerDevice(peer_device) => fill_peer_device(peer_device, &word)?,
            _ => {}
        }
    }
    Ok(object)
}

fn fill_resource(resource: &mut Resource, word: &Word<'_>) -> Result<(), LineError> {
    match word.key {
        "name" => resource.name = word.text()?,
        "role" => resource.role = Some(word.text()?),
        "suspended" => resource.suspended = Some(word.text()?),
        "may_promote" => resource.may_promote = word.yes_no()?,
        "promotion_score" => resource.promotion_score = Some(word.number()?),
        "write-ordering" => resource.write_ordering = Some(word.text()?),
        "force-io-failures" => resource.force_io_failures = word.yes_no()?,
        _ => {}
    }
    Ok(())
}

fn fill_device(device: &mut Device, word: &Word<'_>) -> Result<(), LineError> {
    match word.key {
        "name" => device.name = word.text()?,
        "volume" => device.volume = word.number()?,
        "minor" => device.minor = Some(word.number()?),
        "disk" => device.disk = Some(word.text()?),
        "client" => device.client = word.yes_no()?,
        "quorum" => device.quorum = word.yes_no()?,
        "backing_dev" => device.backing_dev = Some(word.text()?).filter(|dev| dev != "none"),
        "size" => device.size = word.statistic()?,
        "read" => device.read = word.statistic()?,
        "written" => device.written = word.statistic()?,
        "al-writes" => device.al_writes = word.statistic()?,
        "bm-writes" => device.bm_writes = word.statistic()?,
        "upper-pending" => device.upper_pending = word.statistic()?,
        "lower-pending" => device.lower_pending = word.statistic()?,
        _ => {}
    }
    Ok(())
}

fn fill_connection(connection: &mut Connection, word: &Word<'_>) -> Result<(), LineError> {
    match word.key {
        "name" => connection.name = word.text()?,
        "peer-node-id" => connection.peer_node_id = word.number()?,
        "conn-name" => connection.conn_name = Some(word.text()?),
        "connection" => connection.connection = Some(word.text()?),
        "role" => connection.role = Some(word.text()?),
        "congested" => connection.congested = word.yes_no()?,
        "ap-in-flight" => connection.ap_in_flight = word.statistic()?,
        "rs-in-flight" => connection.rs_in_flight = word.statistic()?,
        _ => {}
    }
    Ok(())
}

fn fill_peer_device(peer_device: &mut PeerDevice, word: &Word<'_>) -> Result<(), LineError> {
    match word.key {
        "name" => peer_device.name = word.text()?,
        "peer-node-id" => peer_device.peer_node_id = word.number()?,
        "volume" => peer_device.volume = word.number()?,
        "conn-name" => peer_device.conn_name = Some(word.text()?),
        "replication" => peer_device.replication = Some(word.text()?),
        "peer-disk" => peer_device.peer_disk = Some(word.text()?),
        "peer-client" => peer_device.peer_client = word.yes_no()?,
        "resync-suspended" => peer_device.resync_suspended = Some(word.text()?),
        "received" => peer_device.received = word.statistic()?,
        "sent" => peer_device.sent = word.statistic()?,
        "out-of-sync" => peer_device.out_of_sync = word.statistic()?,
        "pending" => peer_device.pending = word.statistic()?,
        "unacked" => peer_device.unacked = word.statistic()?,
        _ => {}
    }
    Ok(())
}

/// `key:value`.
struct Word<'a> {
    key: &'a str,
    value: &'a str,
}

impl Word<'_> {
    fn text(&self) -> Result<String, LineError> {
        match self.value {
            "" => Err(self.bad("not to be empty")),
            value => Ok(value.to_owned()),
        }
    }

    fn number(&self) -> Result<u64, LineError> {
        let number = self.value.parse();
        number.map_err(|_| self.bad("a number from 0 to 2^64-1"))
    }

    fn statistic(&self) -> Result<Option<u64>, LineError> {
        let number = self.number()?;
        Ok((!NOT_COUNTED.contains(&number)).then_some(number))
    }

    /// `None`: the module does not tell.
    fn yes_no(&self) -> Result<Option<bool>, LineError> {
        match self.value {
            "yes" => Ok(Some(true)),
            "no" => Ok(Some(false)),
            "unknown" => Ok(None),
            _ => Err(self.bad("`yes`, `no` or `unknown`")),
        }
    }

    fn bad(&self, wanted: &'static str) -> LineError {
        LineError::BadValue {
            key: shown(self.key),
            value: shown(self.value),
            wanted,
        }
    }
}

fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let head = chars.by_ref().take(SHOWN_MAX).flat_map(char::escape_debug);
    let mut shown: String = head.collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}
