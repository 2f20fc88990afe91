//! What `/proc` tells of processes (`proc(5)`).

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Arguments read of a process at most: 2 MiB is what the kernel allows for most.
const ARGUMENTS_MAX: u64 = 2 << 20;

/// The initial pid namespace: `PROC_PID_INIT_INO` of `linux/proc_ns.h`.
const INITIAL: &str = "pid:[4026531836]";

/// A `/proc`.
#[derive(Debug, Clone)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    fn default() -> Self {
        Self::at("/proc")
    }
}

impl Proc {
    /// The `/proc` that is mounted there.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Whether pids mean here what they mean to us: the mount is of our own pid namespace.
    pub(super) fn is_ours(&self) -> bool {
        let own = std::process::id().to_string();
        fs::read_link(self.root.join("self")).is_ok_and(|link| link == Path::new(&own))
    }

    /// Whether every process of the machine can be seen: the mount is of the initial pid namespace, and
    /// does not hide the processes of others (`hidepid`).
    pub fn shows_all(&self) -> bool {
        let namespace = fs::read_link(self.root.join("self/ns/pid"));
        let initial = namespace.is_ok_and(|link| link == Path::new(INITIAL));
        self.is_ours() && initial && fs::metadata(self.file(1, "stat")).is_ok()
    }

    /// The pids of a process: in the namespace of `/proc`, then in each one below it to its own.
    pub(super) fn namespace_pids(&self, pid: u32) -> io::Result<Vec<u32>> {
        let status = fs::read_to_string(self.file(pid, "status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let pids = line.map(|pids| pids.split_whitespace().map(str::parse).collect());
        match pids {
            Some(Ok(pids)) => Ok(pids),
            _ => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    /// When a process was started, in clock ticks since boot.
    ///
    /// # Errors
    /// There is no such process, or it cannot be seen.
    pub fn started(&self, pid: u32) -> io::Result<u64> {
        let stat = fs::read(self.file(pid, "stat"))?;
        let stat = String::from_utf8_lossy(&stat);
        // The name of the program may hold anything; what comes after it is numbers, from field 3.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
        let started = fields.and_then(|fields| fields.split_whitespace().nth(22 - 3));
        started
            .and_then(|ticks| ticks.parse().ok())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// The arguments of a process, the name it was started under included. None: a kernel
    /// thread, or a process that has ended.
    pub(super) fn arguments(&self, pid: u32) -> io::Result<Vec<String>> {
        let mut bytes = Vec::new();
        let file = fs::File::open(self.file(pid, "cmdline"))?;
        file.take(ARGUMENTS_MAX).read_to_end(&mut bytes)?;
        let arguments = bytes.split(|byte| *byte == 0).filter(|a| !a.is_empty());
        Ok(arguments
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect())
    }

    /// The inodes of the sockets that a process has open.
    ///
    /// # Errors
    /// Permission: the process is another user's.
    pub(super) fn sockets(&self, pid: u32) -> io::Result<Vec<u64>> {
        let mut inodes = Vec::new();
        for entry in fs::read_dir(self.file(pid, "fd"))? {
            // A descriptor may be closed meanwhile.
            let Ok(target) = entry.and_then(|entry| fs::read_link(entry.path())) else {
                continue;
            };
            let inode: Option<u64> = target.to_str().and_then(|target| {
                let inode = target.strip_prefix("socket:[")?;
                inode.strip_suffix(']')?.parse().ok()
            });
            inodes.extend(inode);
        }
        Ok(inodes)
    }

    /// The lines of a table of sockets, of the network namespace of a process, without the
    /// heading; none if it cannot be read.
    pub(super) fn socket_table(&self, pid: u32, name: &str) -> impl Iterator<Item = String> {
        let file = fs::File::open(self.file(pid, "net").join(name));
        let lines = file.into_iter().flat_map(|f| BufReader::new(f).lines());
        lines.map_while(Result::ok).skip(1)
    }

    /// The pids of all processes that can be seen.
    pub(super) fn pids(&self) -> io::Result<Vec<u32>> {
        let entries = fs::read_dir(&self.root)?;
        let pid = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        Ok(entries.filter_map(pid).collect())
    }

    fn file(&self, pid: u32, name: &str) -> PathBuf {
        self.root.join(pid.to_string()).join(name)
    }
}
