//! A directory of files that others write: what is read there is bounded, regular, and of an owner that
//! is trusted; what is written appears whole or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::FILE_MAX;

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// It is not there, or may not be opened.
    #[error("{0}: {1}; create it, or correct its permissions")]
    Open(PathBuf, io::Error),
    /// Anybody can replace what is in it.
    #[error("{0} may be written by everybody (mode {1:o}); chmod it to 755")]
    WorldWritable(PathBuf, u32),
    /// Somebody else's, who could replace what is in it.
    #[error(
        "{0} belongs to the user {1}, who is not trusted here; chown it to root, or to the user of this program"
    )]
    Owner(PathBuf, u32),
    /// It cannot be made.
    #[error("{0} cannot be made: {1}")]
    Make(PathBuf, io::Error),
    /// It cannot be read and written here.
    #[error("{0} cannot be read and written by this user: {1}")]
    Access(PathBuf, io::Error),
}

/// Whose files are taken: root's, our own, the directory owner's, and those of these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trust(pub Vec<u32>);

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// There is none.
    #[error("it is not there")]
    Missing,
    /// A symbolic link, a pipe, a directory, or one that has another name elsewhere.
    #[error("it is not a regular file of its own")]
    NotRegular,
    /// Another's.
    #[error("it belongs to the user {0}, who is not trusted here")]
    Owner(u32),
    /// Too large.
    #[error("it is larger than {FILE_MAX} bytes")]
    Size,
    /// Anything else.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A file that was read.
#[derive(Debug)]
pub struct Found {
    /// The open file.
    pub file: File,
    /// Its bytes, at most [`FILE_MAX`].
    pub bytes: Vec<u8>,
    /// How long ago it was changed; none: in the future.
    pub age: Option<Duration>,
}

/// An open directory. What is done goes to the directory that was opened, wherever its path leads later.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    owner: u32,
    trust: Trust,
}

impl Dir {
    /// Opens a directory.
    ///
    /// # Errors
    /// It is not there, or everybody may replace what is in it.
    pub fn open(path: &Path, trust: Trust) -> Result<Self, DirError> {
        let failed = |error: Errno| DirError::Open(path.to_owned(), error.into());
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let stat = fs::fstat(&fd).map_err(failed)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            let mode = mode.as_raw_mode() & 0o7777;
            return Err(DirError::WorldWritable(path.to_owned(), mode));
        }
        Ok(Self {
            fd,
            path: path.to_owned(),
            owner: stat.st_uid,
            trust,
        })
    }

    /// Makes a directory, and those above it, where it is missing, and opens it.
    ///
    /// # Errors
    /// It cannot be made or used.
    pub fn make(path: &Path, trust: Trust) -> Result<Self, DirError> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o755).create(path);
        made.map_err(|error| DirError::Make(path.to_owned(), error))?;
        Self::open(path, trust)
    }

    /// Makes a directory in it that only this user may use, where it is missing, and opens it.
    ///
    /// # Errors
    /// It cannot be made, or something else is there.
    pub fn private(&self, name: &str) -> Result<Self, DirError> {
        let path = self.path.join(name);
        match fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(DirError::Make(path, error.into())),
        }
        let failed = |error: Errno| DirError::Open(path.clone(), error.into());
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&self.fd, name, flags, Mode::empty()).map_err(failed)?;
        let stat = fs::fstat(&fd).map_err(failed)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if !self.is_trusted(stat.st_uid) {
            return Err(DirError::Owner(path, stat.st_uid));
        }
        if mode.intersects(Mode::WOTH | Mode::WGRP) {
            let mode = mode.as_raw_mode() & 0o7777;
            return Err(DirError::WorldWritable(path, mode));
        }
        let trust = Trust(self.trust.0.iter().copied().chain([self.owner]).collect());
        Ok(Self {
            fd,
            path,
            owner: stat.st_uid,
            trust,
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path leads to another directory now, or to none.
    pub fn has_moved(&self) -> bool {
        let (Ok(ours), Ok(there)) = (fs::fstat(&self.fd), fs::stat(&self.path)) else {
            return true;
        };
        (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)
    }

    /// Whether files can be read, made and renamed in it.
    ///
    /// # Errors
    /// Not so.
    pub fn access(&self) -> Result<(), DirError> {
        let rights = fs::Access::READ_OK | fs::Access::WRITE_OK | fs::Access::EXEC_OK;
        fs::accessat(&self.fd, ".", rights, AtFlags::EACCESS)
            .map_err(|error| DirError::Access(self.path.clone(), error.into()))
    }

    fn is_trusted(&self, owner: u32) -> bool {
        let own = rustix::process::geteuid().as_raw();
        owner == 0 || owner == own || owner == self.owner || self.trust.0.contains(&owner)
    }

    /// Reads a file that somebody who is trusted has written.
    ///
    /// # Errors
    /// Why it is not read.
    pub fn read(&self, name: &str) -> Result<Found, Unreadable> {
        // Not blocking: opening a pipe would wait for its writer.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Err(Unreadable::Missing),
            Err(Errno::LOOP | Errno::NXIO) => return Err(Unreadable::NotRegular),
            Err(error) => return Err(Unreadable::Io(error.into())),
        };
        let stat = fs::fstat(&fd).map_err(io::Error::from)?;
        // A second name would be somebody's file elsewhere that was linked in here.
        let alone = stat.st_nlink == 1;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !alone {
            return Err(Unreadable::NotRegular);
        }
        if !self.is_trusted(stat.st_uid) {
            return Err(Unreadable::Owner(stat.st_uid));
        }
        let mut bytes = Vec::new();
        let mut file = File::from(fd);
        Read::by_ref(&mut file)
            .take(FILE_MAX + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(Unreadable::Size);
        }
        let age = age(&stat);
        Ok(Found { file, bytes, age })
    }

    /// Writes a file under a temporary name, and gives it its own when it is on disk. The file is returned
    /// open and locked (flock), and is visible only from then on.
    ///
    /// # Errors
    /// It is not written; perhaps it is, if only the directory could not be synced.
    pub fn publish(&self, temporary: &str, name: &str, bytes: &[u8]) -> io::Result<File> {
        let written = self.write(temporary, bytes);
        let renamed = written.and_then(|file| {
            fs::renameat(&self.fd, temporary, &self.fd, name)?;
            Ok(file)
        });
        if renamed.is_err() {
            self.remove(temporary).ok();
        }
        let file = renamed?;
        self.sync()?;
        Ok(file)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let fd = match fs::openat(&self.fd, name, flags, mode) {
            // Left by one that was killed while it wrote the same file.
            Err(Errno::EXIST) => {
                self.remove(name)?;
                fs::openat(&self.fd, name, flags, mode)?
            }
            opened => opened?,
        };
        fs::flock(&fd, FlockOperation::NonBlockingLockExclusive)?;
        let mut file = File::from(fd);
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(file)
    }

    /// Gives a file another name or another directory. Of several who do this with one file, exactly one
    /// is told `true`: rename(2) decides.
    ///
    /// # Errors
    /// Anything but that there is no such file, which is `false`.
    pub fn rename(&self, from: &str, to: &Dir, name: &str) -> io::Result<bool> {
        match fs::renameat(&self.fd, from, &to.fd, name) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        to.sync()?;
        self.sync()?;
        Ok(true)
    }

    /// Removes a file; whether there was one.
    ///
    /// # Errors
    /// Anything else.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        match fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes an empty file, if there is none of that name.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn mark(&self, name: &str) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(_) | Err(Errno::EXIST) => self.sync(),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether somebody who is trusted has made a file of that name.
    pub fn is_marked(&self, name: &str) -> bool {
        self.stat(name)
            .is_some_and(|stat| self.is_trusted(stat.st_uid))
    }

    /// How long ago a file was changed; none: it is not there, or from the future.
    pub fn age(&self, name: &str) -> Option<Duration> {
        age(&self.stat(name)?)
    }

    fn stat(&self, name: &str) -> Option<Stat> {
        fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// The names in it, at most `max`, in order; those that are not UTF-8 are left out.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn names(&self, max: usize) -> io::Result<Vec<String>> {
        let entries = fs::Dir::read_from(&self.fd)?;
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_str().map(ToOwned::to_owned);
            names.extend(name.ok().filter(|name| name != "." && name != ".."));
            if names.len() >= max {
                break;
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What has been renamed and removed is on disk.
    ///
    /// # Errors
    /// It may not be.
    pub fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.fd)?)
    }
}

/// Whether a process holds the lock of a file that it has published.
pub(super) fn is_held(file: &File) -> bool {
    fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_err()
}

fn age(stat: &Stat) -> Option<Duration> {
    let changed = u64::try_from(stat.st_mtime).ok()?;
    let changed = UNIX_EPOCH.checked_add(Duration::from_secs(changed))?;
    SystemTime::now().duration_since(changed).ok()
}

#[cfg(test)]
mod tests;
