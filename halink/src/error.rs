//! Errors of the interface and of its commands.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::entrypoint::CONFDS_MAX;
use crate::id::{LinkId, RequestId};
use crate::lifecycle::IllegalStep;
use crate::state::NOTES_MAX;

/// An errno of the C side, displayed by name and number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(i32);

impl Errno {
    pub(crate) const ENOENT: Errno = Errno(2);
    pub(crate) const EAGAIN: Errno = Errno(11);
    pub(crate) const ENOMEM: Errno = Errno(12);
    pub(crate) const EBUSY: Errno = Errno(16);
    pub(crate) const EINVAL: Errno = Errno(22);
    pub(crate) const ENOBUFS: Errno = Errno(105);

    /// The errno of a C function that returns 0 or a negative errno.
    pub(crate) fn check(rc: i32) -> Result<(), Errno> {
        if rc == 0 {
            Ok(())
        } else {
            Err(Errno(rc.saturating_abs()))
        }
    }

    /// The number, positive.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The name, of those the library and the sockets below it are known to return.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "EPERM",
            2 => "ENOENT",
            4 => "EINTR",
            5 => "EIO",
            7 => "E2BIG",
            11 => "EAGAIN",
            12 => "ENOMEM",
            13 => "EACCES",
            14 => "EFAULT",
            16 => "EBUSY",
            17 => "EEXIST",
            19 => "ENODEV",
            20 => "ENOTDIR",
            21 => "EISDIR",
            22 => "EINVAL",
            23 => "ENFILE",
            24 => "EMFILE",
            28 => "ENOSPC",
            30 => "EROFS",
            32 => "EPIPE",
            36 => "ENAMETOOLONG",
            38 => "ENOSYS",
            61 => "ENODATA",
            71 => "EPROTO",
            90 => "EMSGSIZE",
            93 => "EPROTONOSUPPORT",
            95 => "EOPNOTSUPP",
            97 => "EAFNOSUPPORT",
            98 => "EADDRINUSE",
            99 => "EADDRNOTAVAIL",
            101 => "ENETUNREACH",
            104 => "ECONNRESET",
            105 => "ENOBUFS",
            107 => "ENOTCONN",
            108 => "ESHUTDOWN",
            110 => "ETIMEDOUT",
            111 => "ECONNREFUSED",
            113 => "EHOSTUNREACH",
            114 => "EALREADY",
            115 => "EINPROGRESS",
            125 => "ECANCELED",
            _ => return None,
        })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errno {}

/// The interface could not be opened, or is not open any more.
#[derive(Debug, Error)]
pub enum Error {
    /// The process has an interface; the library allows one at a time.
    #[error("an HA interface is open in this process already")]
    AlreadyOpen,
    /// A string of the configuration has a NUL in it.
    #[error("the {0} has a NUL character in it")]
    Nul(&'static str),
    /// A thread could not be made.
    #[error("cannot start thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The environment can be changed only while there is one thread.
    #[error("the process has more than one thread")]
    Threads,
    /// The library's environment could not be set.
    #[error("cannot set the environment of the library: {0}")]
    Prepare(Errno),
    /// `m0_halon_interface_init` failed.
    #[error("cannot initialise the HA interface: {0}")]
    Init(Errno),
    /// The library did not adopt the thread that sends.
    #[error("cannot adopt the sending thread: {0}")]
    Adopt(Errno),
    /// `m0_halon_interface_start` failed.
    #[error("cannot start the HA interface at {endpoint}: {errno}")]
    Start {
        /// Where it was to listen.
        endpoint: String,
        /// Why not.
        errno: Errno,
    },
    /// A call came in a state of the interface that has no place for it.
    #[error(transparent)]
    Lifecycle(#[from] IllegalStep),
    /// The interface was stopped before it had started, or its thread is gone.
    #[error("the HA interface is stopped")]
    Stopped,
}

impl Error {
    /// Whether another interface of this process is in the way.
    #[must_use]
    pub fn is_already_open(&self) -> bool {
        matches!(self, Error::AlreadyOpen)
    }

    /// Whether the cause is a stop somebody asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self, Error::Stopped)
    }
}

/// A message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The link is gone or going; there is nobody to send to.
    #[error("link {0} is gone")]
    LinkGone(LinkId),
    /// The process has left too many messages undelivered. It may take them later; until then
    /// nothing more can be sent to it.
    #[error("too many messages on link {0} are not delivered yet")]
    TooManyUndelivered(LinkId),
    /// More notes than a message holds.
    #[error("{0} notes do not fit into one message, which holds {NOTES_MAX}")]
    TooManyNotes(usize),
    /// The interface is stopped.
    #[error("the HA interface is stopped")]
    Stopped,
    /// Anything else the library says.
    #[error("cannot send on link {link}: {errno}")]
    Library {
        /// The link.
        link: LinkId,
        /// What the library says.
        errno: Errno,
    },
}

impl SendError {
    pub(crate) fn new(link: LinkId, errno: Errno) -> SendError {
        match errno {
            Errno::ENOENT => SendError::LinkGone(link),
            Errno::ENOBUFS => SendError::TooManyUndelivered(link),
            _ => SendError::Library { link, errno },
        }
    }

    /// Whether the link is gone, so that no attempt will ever succeed.
    #[must_use]
    pub fn is_link_gone(&self) -> bool {
        matches!(self, SendError::LinkGone(_))
    }

    /// Whether the interface is stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self, SendError::Stopped)
    }

    /// Whether the same message may be accepted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            SendError::TooManyUndelivered(_) => true,
            SendError::Library { errno, .. } => *errno == Errno::ENOMEM,
            SendError::LinkGone(_) | SendError::TooManyNotes(_) | SendError::Stopped => false,
        }
    }
}

/// An entrypoint request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// There is no such request, or it has its answer.
    #[error("entrypoint request {0} is unknown or answered")]
    Unknown(RequestId),
    /// More confds than a reply holds.
    #[error("{0} confds do not fit into one reply, which holds {CONFDS_MAX}")]
    TooManyConfds(usize),
    /// An endpoint that is too long, or has a NUL in it.
    #[error("{0:?} cannot be an endpoint")]
    Endpoint(String),
    /// The interface is stopped.
    #[error("the HA interface is stopped")]
    Stopped,
    /// Anything else the library says.
    #[error("cannot answer entrypoint request {req_id}: {errno}")]
    Library {
        /// The request.
        req_id: RequestId,
        /// What the library says.
        errno: Errno,
    },
}

impl ReplyError {
    pub(crate) fn new(req_id: RequestId, errno: Errno) -> ReplyError {
        match errno {
            Errno::ENOENT => ReplyError::Unknown(req_id),
            _ => ReplyError::Library { req_id, errno },
        }
    }

    /// Whether the request is not waiting for an answer (any more).
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, ReplyError::Unknown(_))
    }

    /// Whether the reply itself is bad, so that the same reply will fail for every request.
    #[must_use]
    pub fn is_bad_reply(&self) -> bool {
        match self {
            ReplyError::TooManyConfds(_) | ReplyError::Endpoint(_) => true,
            ReplyError::Library { errno, .. } => *errno == Errno::EINVAL,
            ReplyError::Unknown(_) | ReplyError::Stopped => false,
        }
    }

    /// Whether the interface is stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self, ReplyError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_has_name_and_number() {
        assert_eq!(Errno::EINVAL.to_string(), "EINVAL (22)");
        assert_eq!(Errno(4000).to_string(), "errno 4000");
        assert_eq!(Errno::check(0), Ok(()));
        assert_eq!(Errno::check(-2), Err(Errno::ENOENT));
        assert_eq!(Errno::check(i32::MIN), Err(Errno(i32::MAX)));
    }

    #[test]
    fn names_are_those_of_the_system() {
        for (errno, kind) in [
            (Errno::ENOENT, io::ErrorKind::NotFound),
            (Errno::EAGAIN, io::ErrorKind::WouldBlock),
            (Errno(98), io::ErrorKind::AddrInUse),
            (Errno(13), io::ErrorKind::PermissionDenied),
            (Errno(111), io::ErrorKind::ConnectionRefused),
        ] {
            assert_eq!(
                io::Error::from_raw_os_error(errno.raw()).kind(),
                kind,
                "{errno}"
            );
        }
    }

    #[test]
    fn errors_of_the_library_are_told_apart() {
        let link = LinkId(3);
        assert!(SendError::new(link, Errno::ENOENT).is_link_gone());
        assert!(SendError::new(link, Errno::ENOBUFS).is_retryable());
        assert!(SendError::new(link, Errno::ENOMEM).is_retryable());
        assert!(!SendError::new(link, Errno::EINVAL).is_retryable());
        let req_id = RequestId { hi: 0, lo: 1 };
        assert!(ReplyError::new(req_id, Errno::ENOENT).is_unknown());
        assert!(ReplyError::new(req_id, Errno::EINVAL).is_bad_reply());
    }
}
