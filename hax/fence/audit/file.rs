//! The file itself: appended to, synchronised, cut where a crash has left half a line, and followed by
//! another when it is large.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::OFlags;
use std::os::unix::fs::PermissionsExt;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::chain::{Chain, Hash};
use super::entry::{Entry, Event};
use super::follow::Head;
use crate::fence::model::{NodeName, UnixMillis};

/// Bytes of a line at most. What it is made of is stored in Consul, which takes half of that.
pub const LINE_MAX: u64 = 1 << 20;
/// Characters that are kept of a line that was cut off.
const CUT_MAX: usize = 4096;

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes from which another file is begun.
    pub file: u64,
    /// Earlier files that are kept.
    pub earlier: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        let file = 8 << 20;
        Self { file, earlier: 9 }
    }
}

/// Why there is no audit file.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It cannot be opened, read or written.
    #[error("fence.audit_file {path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no file of its own.
    #[error(
        "fence.audit_file {0}: is not a regular file; name one that is, or that is not there yet"
    )]
    NotAFile(PathBuf),
    /// It is larger than hax would have written it.
    #[error("fence.audit_file {0}: is too large to be an audit file; move it away")]
    TooLarge(PathBuf),
}

/// An open audit file.
#[derive(Debug)]
pub struct AuditFile {
    path: PathBuf,
    node: NodeName,
    bounds: Bounds,
    file: File,
    /// Bytes up to the end of the last line that was written to its end.
    size: u64,
    /// Bytes may be behind `size`: a write has failed.
    torn: bool,
    /// It has been renamed, and its successor not been begun.
    moved: Option<String>,
    head: Head,
}

impl AuditFile {
    /// Opens the file, or begins it, and says in it what was found. Also returns the lines of the last two
    /// files, for what has been recorded.
    ///
    /// # Errors
    /// It cannot be opened, or is none. A broken chain is no error: it is recorded, and goes on.
    pub async fn open(
        path: &Path,
        node: NodeName,
        bounds: Bounds,
    ) -> Result<(Self, Vec<u8>), AuditError> {
        let failed = |error| AuditError::Io {
            path: path.to_owned(),
            error,
        };
        let mut chain = Chain::default();
        let mut recorded = Vec::new();
        let mut found = Vec::new();
        let earlier = earlier(path).await.map_err(failed)?.pop();
        if let Some((_, name)) = &earlier {
            let path = path.with_file_name(name);
            let mut file = regular(&path, OpenOptions::new().read(true)).await?;
            recorded = read(&path, &mut file, bounds).await?;
            if let Err(broken) = chain.take_file(&recorded) {
                found.push(format!("{name}, {broken}"));
            }
        }
        let options = &mut OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(0o600);
        let mut file = regular(path, options).await?;
        let private = std::fs::Permissions::from_mode(0o600);
        file.set_permissions(private).await.map_err(failed)?;
        let mut bytes = read(path, &mut file, bounds).await?;
        let whole = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let cut = bytes.split_off(whole);
        let is_new = bytes.is_empty();
        if let Err(broken) = chain.take_file(&bytes) {
            found.push(broken.to_string());
        }
        let (seq, hash) = chain.last.unwrap_or_default();
        let mut this = Self {
            path: path.to_owned(),
            node,
            bounds,
            file,
            size: bytes.len() as u64,
            torn: !cut.is_empty(),
            moved: None,
            head: Head { seq, hash },
        };
        let mut events = Vec::new();
        if let (true, Some((_, file))) = (is_new, earlier) {
            events.push(Event::Continued { file });
        }
        if !cut.is_empty() {
            let text = String::from_utf8_lossy(&cut);
            events.push(Event::Truncated {
                bytes: cut.len() as u64,
                text: text.chars().take(CUT_MAX).collect(),
            });
        }
        events.extend(
            found
                .into_iter()
                .map(|detail| Event::ChainBroken { detail }),
        );
        let version = env!("CARGO_PKG_VERSION").to_owned();
        events.push(Event::Opened { version });
        for event in events {
            this.append(event).await.map_err(failed)?;
        }
        this.sync_directory().await.map_err(failed)?;
        recorded.extend(bytes);
        Ok((this, recorded))
    }

    /// The last line.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Writes a line; it is on the disk when this returns. Must be polled to its end.
    ///
    /// # Errors
    /// It was not written; it may be written again.
    pub async fn append(&mut self, event: Event) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.size).await?;
            self.torn = false;
        }
        if self.moved.is_some() || self.size >= self.bounds.file {
            self.rotate().await?;
        }
        self.write(event).await
    }

    async fn write(&mut self, event: Event) -> io::Result<()> {
        let seq = self.head.seq.saturating_add(1);
        let entry = Entry {
            seq,
            at: now(),
            node: self.node.clone(),
            prev: self.head.hash,
            event,
        };
        let mut line = serde_json::to_vec(&entry)?;
        let hash = Hash::of(&line);
        line.push(b'\n');
        // Until it is known to be written, there may be a part of it.
        self.torn = true;
        self.file.write_all(&line).await?;
        self.file.flush().await?;
        self.file.sync_data().await?;
        self.torn = false;
        self.size += line.len() as u64;
        self.head = Head { seq, hash };
        Ok(())
    }

    /// Renames the file and begins the next one. What fails half-way is gone on with the next time, also
    /// after a crash: a file that is not there follows the newest of the earlier ones.
    async fn rotate(&mut self) -> io::Result<()> {
        let name = match self.moved.take() {
            Some(name) => name,
            None => {
                let name = earlier_name(&self.path, self.head.seq);
                fs::rename(&self.path, self.path.with_file_name(&name)).await?;
                name
            }
        };
        self.moved = Some(name.clone());
        let options = &mut OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(0o600);
        let file = regular(&self.path, options)
            .await
            .map_err(io::Error::other)?;
        if file.metadata().await?.len() != 0 {
            let why = format!("{} has appeared meanwhile", self.path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        self.sync_directory().await?;
        (self.file, self.size, self.moved) = (file, 0, None);
        self.write(Event::Continued { file: name }).await?;
        let mut files = earlier(&self.path).await?;
        let kept = files.len().saturating_sub(self.bounds.earlier);
        for (_, name) in files.drain(..kept) {
            fs::remove_file(self.path.with_file_name(name)).await?;
        }
        Ok(())
    }

    async fn sync_directory(&self) -> io::Result<()> {
        let parent = self.path.parent().filter(|path| *path != Path::new(""));
        let directory = File::open(parent.unwrap_or(Path::new("."))).await?;
        directory.sync_all().await
    }
}

/// Opens what is a regular file, and no link to one.
async fn regular(path: &Path, options: &mut OpenOptions) -> Result<File, AuditError> {
    let failed = |error| AuditError::Io {
        path: path.to_owned(),
        error,
    };
    // A pipe is not waited for, either.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let options = options.custom_flags(flags.bits().cast_signed());
    let file = options.open(path).await.map_err(|error| {
        if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return AuditError::NotAFile(path.to_owned());
        }
        failed(error)
    })?;
    if !file.metadata().await.map_err(failed)?.is_file() {
        return Err(AuditError::NotAFile(path.to_owned()));
    }
    Ok(file)
}

async fn read(path: &Path, file: &mut File, bounds: Bounds) -> Result<Vec<u8>, AuditError> {
    let failed = |error| AuditError::Io {
        path: path.to_owned(),
        error,
    };
    // A file is left as soon as it is larger than its bound: by one line, and by half of another.
    let max = bounds.file.saturating_add(2 * LINE_MAX);
    let mut bytes = Vec::new();
    let read = file.take(max + 1).read_to_end(&mut bytes).await;
    if read.map_err(failed)? as u64 > max {
        return Err(AuditError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// Twenty digits, so that names sort by number.
fn earlier_name(path: &Path, seq: u64) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}.{seq:020}")
}

/// The earlier files beside a file, the oldest first, with the numbers in their names.
async fn earlier(path: &Path) -> io::Result<Vec<(u64, String)>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let parent = path.parent().filter(|path| *path != Path::new(""));
    let mut names = fs::read_dir(parent.unwrap_or(Path::new("."))).await?;
    let mut files = Vec::new();
    while let Some(entry) = names.next_entry().await? {
        let entry = entry.file_name().to_string_lossy().into_owned();
        let digits = entry
            .strip_prefix(&*name)
            .and_then(|rest| rest.strip_prefix('.'));
        let Some(digits) = digits.filter(|digits| digits.len() == 20) else {
            continue;
        };
        if let Ok(seq) = digits.parse() {
            files.push((seq, entry));
        }
    }
    files.sort();
    Ok(files)
}

/// Now, by this node's clock.
fn now() -> UnixMillis {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
