//! The responder's steps on disk. Each is one call, and may be the last one before a crash
//! (`rfc/12-fencing.md`, "Request files").

use std::io;
use std::time::Duration;

use super::super::dir::{Dir, DirError, Trust, Unreadable};
use super::super::exchange::{is_left_over, old};
use super::super::message::{Request, Response, now, plain, seconds};
use super::super::name::FileName;
use crate::config::fence::FilesConfig;
use crate::fence::model::Action;

/// The directory, below that of requests, of those that are taken.
pub const TAKEN_DIR: &str = ".taken";

/// Names looked at in one scan.
const SCAN_MAX: usize = 1024;

/// How far in the future a request may say to be from: clocks of two machines differ.
const SKEW_SECONDS: i64 = 5;

/// After this long responses and left-overs are removed.
const CLEANUP_MAX_AGE: Duration = Duration::from_secs(300);

/// The responder's directories.
#[derive(Debug)]
pub struct Store {
    requests: Dir,
    taken: Dir,
    /// Where responses are written.
    pub responses: Dir,
    max_age: Duration,
}

/// A directory of `[fence.files]` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("fence.files.{key}: {why}")]
pub struct Unusable {
    /// The key that names it.
    key: &'static str,
    /// Why.
    why: DirError,
}

/// Requests, and what is none: names of files, with the reason.
pub type Waiting = (Vec<FileName>, Vec<(String, String)>);

/// What is to be done about a request that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The coordinator is asked, unless that has happened before.
    Ask {
        /// What it asks for.
        request: Request,
        /// How.
        action: Action,
        /// For how long it may still fire.
        left: Duration,
    },
    /// It must not be asked any more, being too old, or because nobody waits. It may have been asked before a
    /// restart; if the coordinator does not know of it, this is the response.
    Recall(Request, Response),
    /// It never fires: this is the response.
    Refuse(Response),
    /// It has been answered; only the end is missing.
    Answered,
    /// It cannot be read, and nobody could be answered.
    Drop(String),
}

impl Store {
    /// Opens the directories, and makes them where they are missing: those below /run are gone after a boot.
    ///
    /// # Errors
    /// One cannot be made or used, or may be written by everybody.
    pub fn open(config: &FilesConfig) -> Result<Self, Unusable> {
        let make = |path| {
            let dir = Dir::make(path, Trust(config.owners.clone()))?;
            dir.access()?;
            Ok(dir)
        };
        let of = |key| move |why| Unusable { key, why };
        let requests = make(&config.request_dir).map_err(of("request_dir"))?;
        let responses = make(&config.response_dir).map_err(of("response_dir"))?;
        let taken = requests.private(TAKEN_DIR);
        Ok(Self {
            taken: taken.map_err(of("request_dir"))?,
            requests,
            responses,
            max_age: config.max_age,
        })
    }

    /// Whether a directory was replaced by another one.
    pub fn has_moved(&self) -> bool {
        self.requests.has_moved() || self.taken.has_moved() || self.responses.has_moved()
    }

    /// Requests that wait to be taken, at most `max`.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn waiting(&self, max: usize) -> io::Result<Waiting> {
        let (mut names, mut others) = (Vec::new(), Vec::new());
        for text in self.requests.names(SCAN_MAX)? {
            if text.starts_with('.') {
                continue;
            }
            let why = match text.parse::<FileName>() {
                Err(bad) => bad.to_string(),
                Ok(name) => match self.requests.read(&text) {
                    // What is in it is looked at when it is taken, and nobody can change its name.
                    Ok(_) | Err(Unreadable::Size) => {
                        if names.len() < max {
                            names.push(name);
                        }
                        continue;
                    }
                    Err(Unreadable::Missing) => continue,
                    Err(why) => why.to_string(),
                },
            };
            others.push((text, why));
        }
        Ok((names, others))
    }

    /// Takes a request; false if it was withdrawn, or taken by another.
    ///
    /// # Errors
    /// Nobody knows who has it.
    pub fn take(&self, name: &FileName) -> io::Result<bool> {
        let text = name.to_string();
        self.requests.rename(&text, &self.taken, &text)
    }

    /// Requests that are taken: those of before a restart, too.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn taken(&self) -> io::Result<Vec<FileName>> {
        let names = self.taken.names(SCAN_MAX)?;
        Ok(names.iter().filter_map(|text| text.parse().ok()).collect())
    }

    /// Looks at a request that is taken.
    pub fn judge(&self, name: &FileName) -> Verdict {
        let text = name.to_string();
        if let Ok(found) = self.responses.read(&text)
            && Response::parse(&found.bytes).is_ok_and(|it| it.request_id == *name.id())
        {
            return Verdict::Answered;
        }
        let found = match self.taken.read(&text) {
            Ok(found) => found,
            Err(Unreadable::Size) => return refuse(name, "", "the request is too large"),
            Err(why) => return Verdict::Drop(why.to_string()),
        };
        let request = match Request::parse(&found.bytes) {
            Ok(request) => request,
            Err(why) => return refuse(name, "", &format!("the request does not count: {why}")),
        };
        if let Err(why) = request.agrees(name) {
            return refuse(
                name,
                &request.action,
                &format!("the request does not count: {why}"),
            );
        }
        let Some(action) = request.fencing_action() else {
            let why = format!(
                "{:?} is never a request: only on, off and reboot are",
                plain(&request.action, 64)
            );
            return refuse(name, &request.action, &why);
        };
        if self.is_cancelled(name) {
            let why = refusal(name, &request.action, "cancelled before it was begun");
            return Verdict::Recall(request, why);
        }
        let says = seconds(&now()).and_then(|now| Ok(now - seconds(&request.timestamp)?));
        let (Some(written), Ok(says)) = (found.age, says) else {
            return refuse(name, &request.action, "the request is from the future");
        };
        if says < -SKEW_SECONDS {
            return refuse(name, &request.action, "the request is from the future");
        }
        let age = written.max(Duration::from_secs(u64::try_from(says).unwrap_or(0)));
        match self.max_age.checked_sub(age) {
            Some(left) if !left.is_zero() => Verdict::Ask {
                request,
                action,
                left,
            },
            _ => {
                let why = refusal(name, &request.action, "expired before it was begun");
                Verdict::Recall(request, why)
            }
        }
    }

    /// Whether nobody waits for a request that is taken.
    pub fn is_cancelled(&self, name: &FileName) -> bool {
        self.requests.is_marked(&name.cancel_mark())
    }

    /// Writes the response.
    ///
    /// # Errors
    /// It may not be on disk.
    pub fn answer(&self, name: &FileName, response: &Response) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(response).map_err(io::Error::other)?;
        bytes.push(b'\n');
        let text = name.to_string();
        self.responses.publish(&name.temporary(), &text, &bytes)?;
        Ok(())
    }

    /// Forgets a request whose response is on disk.
    ///
    /// # Errors
    /// It is still there.
    pub fn finish(&self, name: &FileName) -> io::Result<()> {
        self.taken.remove(&name.to_string())?;
        self.taken.sync()?;
        self.requests.remove(&name.cancel_mark())?;
        Ok(())
    }

    /// Removes what is old: responses, marks of requests that are not taken, temporary files, and files that
    /// are no requests.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn clean(&self) -> io::Result<()> {
        let taken: Vec<String> = self.taken()?.iter().map(FileName::cancel_mark).collect();
        let max_age = CLEANUP_MAX_AGE.max(self.max_age);
        for text in self.requests.names(SCAN_MAX)? {
            let foreign = !text.starts_with('.') && text.parse::<FileName>().is_err();
            if foreign || is_left_over(&text) && !taken.contains(&text) {
                old(&self.requests, &text, max_age);
            }
        }
        for text in self.responses.names(SCAN_MAX)? {
            if text.parse::<FileName>().is_ok() || is_left_over(&text) {
                old(&self.responses, &text, CLEANUP_MAX_AGE);
            }
        }
        Ok(())
    }
}

/// A response that says no.
pub fn refusal(name: &FileName, action: &str, why: &str) -> Response {
    Response {
        request_id: name.id().clone(),
        success: false,
        action_performed: plain(action, 64),
        target_node: name.node().clone(),
        message: plain(why, super::super::MESSAGE_MAX),
        timestamp: now(),
    }
}

fn refuse(name: &FileName, action: &str, why: &str) -> Verdict {
    Verdict::Refuse(refusal(name, action, why))
}

#[cfg(test)]
mod tests;
