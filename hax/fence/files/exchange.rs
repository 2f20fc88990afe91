//! The two directories as the side sees them that asks: publish, wait, withdraw.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::dir::{Dir, DirError, Trust, Unreadable, is_held};
use super::message::{Malformed, Request, Response};
use super::name::FileName;
use crate::fence::model::BadName;

/// Files looked at in one go when old ones are cleaned up.
const CLEAN_MAX: usize = 4096;

/// The directories of requests and responses.
#[derive(Debug)]
pub struct Exchange {
    /// Where requests are written.
    pub requests: Dir,
    /// Where responses appear.
    pub responses: Dir,
}

/// A request that cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum Unpublished {
    /// Its target.
    #[error(transparent)]
    Name(#[from] BadName),
    /// Something is there that claims to answer it already.
    #[error("{0} is there before its request")]
    Answered(String),
    /// The directory.
    #[error("the request cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// A request that is on disk. The lock of its file says that somebody waits for it.
#[derive(Debug)]
pub struct Pending {
    /// What was asked for.
    pub request: Request,
    name: FileName,
    _lock: File,
}

/// What was found where the response should be.
#[derive(Debug)]
pub enum Heard {
    /// Nothing yet.
    Nothing,
    /// It answers the request: `success` is what it says.
    Answer(Response),
    /// Something that may yet become one, or that somebody else has put there.
    Unfit(String),
    /// The responder has answered something else: it will not get better.
    Wrong(Malformed),
}

/// What came of a withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawn {
    /// The request was still where it was put; nobody takes it any more.
    Back,
    /// A responder has taken it; it has been told that nobody waits.
    Taken,
}

impl Exchange {
    /// Opens both directories.
    ///
    /// # Errors
    /// Which one cannot be used.
    pub fn open(requests: &Path, responses: &Path) -> Result<Self, DirError> {
        Ok(Self {
            requests: Dir::open(requests, Trust::default())?,
            responses: Dir::open(responses, Trust::default())?,
        })
    }

    /// Opens both, makes them where they are missing, and looks whether they can be written.
    ///
    /// # Errors
    /// Which one cannot be used.
    pub fn make(requests: &Path, responses: &Path) -> Result<Self, DirError> {
        let exchange = Self {
            requests: Dir::make(requests, Trust::default())?,
            responses: Dir::make(responses, Trust::default())?,
        };
        exchange.requests.access()?;
        exchange.responses.access()?;
        Ok(exchange)
    }

    /// Publishes a request.
    ///
    /// # Errors
    /// It is not on disk, or cannot be told from one that somebody else has answered.
    pub fn publish(&self, request: Request) -> Result<Pending, Unpublished> {
        let name = request.file()?;
        let text = name.to_string();
        match self.responses.read(&text) {
            Err(Unreadable::Missing) => {}
            _ => return Err(Unpublished::Answered(text)),
        }
        let mut bytes = serde_json::to_vec_pretty(&request).map_err(io::Error::other)?;
        bytes.push(b'\n');
        let published = self.requests.publish(&name.temporary(), &text, &bytes);
        let lock = published.inspect_err(|_| {
            // Where only the sync has failed it is visible; nobody will wait for it.
            self.requests.remove(&text).ok();
        })?;
        Ok(Pending {
            request,
            name,
            _lock: lock,
        })
    }

    /// Looks for the response.
    pub fn hear(&self, pending: &Pending) -> Heard {
        let found = match self.responses.read(&pending.name.to_string()) {
            Ok(found) => found,
            Err(Unreadable::Missing) => return Heard::Nothing,
            Err(why) => return Heard::Unfit(why.to_string()),
        };
        let response = match Response::parse(&found.bytes) {
            Ok(response) => response,
            // Perhaps its writer does not rename, and has not come to the end.
            Err(why) if serde_json::from_slice::<serde::de::IgnoredAny>(&found.bytes).is_err() => {
                return Heard::Unfit(why.to_string());
            }
            Err(why) => return Heard::Wrong(why),
        };
        match response.answers(&pending.request) {
            Ok(()) => Heard::Answer(response),
            Err(why) => Heard::Wrong(why),
        }
    }

    /// Takes a request back: it is renamed, so that either this or the responder's own rename has it.
    ///
    /// # Errors
    /// Nobody knows who has it.
    pub fn withdraw(&self, pending: &Pending) -> io::Result<Withdrawn> {
        self.withdraw_file(&pending.name)
    }

    /// The same, by name.
    pub(super) fn withdraw_file(&self, name: &FileName) -> io::Result<Withdrawn> {
        let away = name.withdrawn();
        if self
            .requests
            .rename(&name.to_string(), &self.requests, &away)?
        {
            self.requests.remove(&away)?;
            return Ok(Withdrawn::Back);
        }
        self.requests.mark(&name.cancel_mark())?;
        Ok(Withdrawn::Taken)
    }

    /// An answered request must not be there when a responder starts again. Its response stays for people,
    /// until it is cleaned up.
    ///
    /// # Errors
    /// It is still there.
    pub fn finish(&self, pending: &Pending) -> io::Result<()> {
        self.requests.remove(&pending.name.to_string()).map(|_| ())
    }

    /// Removes requests of this node that nobody waits for any more: their file is not locked, and they are
    /// older than `patience`. Removes what is older than `max_age` otherwise: responses, marks and temporary
    /// files. How many files were removed.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn clean(&self, me: &str, patience: Duration, max_age: Duration) -> io::Result<usize> {
        let mut removed = 0;
        for text in self.requests.names(CLEAN_MAX)? {
            let gone = match text.parse::<FileName>() {
                Ok(name) if self.is_orphan(&text, me, patience) => {
                    matches!(self.withdraw_file(&name), Ok(Withdrawn::Back))
                }
                Ok(_) => false,
                Err(_) => is_left_over(&text) && old(&self.requests, &text, max_age),
            };
            removed += usize::from(gone);
        }
        for text in self.responses.names(CLEAN_MAX)? {
            let ours = text.parse::<FileName>().is_ok() || is_left_over(&text);
            removed += usize::from(ours && old(&self.responses, &text, max_age));
        }
        Ok(removed)
    }

    fn is_orphan(&self, name: &str, me: &str, patience: Duration) -> bool {
        let Ok(found) = self.requests.read(name) else {
            return false;
        };
        let mine = Request::parse(&found.bytes).is_ok_and(|it| it.recorder_node == me);
        mine && found.age.is_some_and(|age| age > patience) && !is_held(&found.file)
    }
}

/// Whether a name is that of a mark or of a temporary file of this protocol.
pub(super) fn is_left_over(text: &str) -> bool {
    let inner = text.strip_prefix('.').and_then(|text| {
        [".tmp", ".cancel", ".withdrawn"]
            .iter()
            .find_map(|end| text.strip_suffix(end))
    });
    inner.is_some_and(|name| name.parse::<FileName>().is_ok())
}

/// Removes a file that is too old.
pub(super) fn old(dir: &Dir, name: &str, max_age: Duration) -> bool {
    dir.age(name).is_some_and(|age| age > max_age) && dir.remove(name).unwrap_or(false)
}

#[cfg(test)]
mod tests;
