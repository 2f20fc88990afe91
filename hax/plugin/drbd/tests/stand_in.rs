//! A source that watches a stand-in for `drbdsetup`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::super::source::{Bounds, DrbdSource};
use crate::config::plugin::DrbdConfig;
use crate::plugin::event::{Event, EventKind};
use crate::plugin::feed::{Feed, Told};
use crate::plugin::hub::{Hub, SourceId, SourceStatus};

/// Long enough for any machine; a test that works never waits for it.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const BOUNDS: Bounds = Bounds {
    first_dump: PATIENCE,
    backoff_min: Duration::from_millis(10),
    backoff_max: Duration::from_millis(40),
    grace: PATIENCE,
};

/// The source, the directory of the stand-in, and an instance's feed.
pub(super) struct Watched {
    pub(super) dir: TempDir,
    pub(super) hub: Hub,
    pub(super) feed: Feed,
    fifos: BTreeMap<usize, File>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Watched {
    /// Starts the source; nothing is printed yet.
    pub(super) fn start(bounds: Bounds, statistics_interval: Duration, starts: usize) -> Self {
        let watched = Self::without_program(bounds, statistics_interval, starts);
        watched.install();
        watched
    }

    pub(super) fn without_program(bounds: Bounds, interval: Duration, starts: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let fifo = |start| {
            let path = dir.path().join(format!("lines-{start}"));
            mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
            // Opened for both, so that neither this nor the stand-in waits for the other.
            let file = OpenOptions::new().read(true).write(true).open(&path);
            (start, file.unwrap())
        };
        let fifos = (1..=starts).map(fifo).collect();
        let hub = Hub::default();
        let config = DrbdConfig {
            drbdsetup: dir.path().join("drbdsetup"),
            statistics_interval: interval,
        };
        let stop = CancellationToken::new();
        let source = DrbdSource::new(config, hub.clone()).with_bounds(bounds);
        Self {
            feed: hub.subscribe(1000),
            task: tokio::spawn(source.run(stop.clone())),
            dir,
            hub,
            fifos,
            stop,
        }
    }

    /// A link: a file that was just written may still be open in a process that another test starts.
    pub(super) fn install(&self) {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/drbd/drbdsetup");
        std::os::unix::fs::symlink(program, self.dir.path().join("drbdsetup")).unwrap();
    }

    /// Has the stand-in's nth start print this.
    pub(super) fn print(&mut self, start: usize, lines: &str) {
        let fifo = self.fifos.get_mut(&start).unwrap();
        fifo.write_all(lines.as_bytes()).unwrap();
    }

    /// Ends the stand-in's nth start.
    pub(super) fn close(&mut self, start: usize) {
        self.fifos.remove(&start).unwrap();
    }

    /// What an instance is told until everything that the nth start has printed is taken over.
    pub(super) async fn told(&mut self, start: usize) -> Vec<String> {
        self.print(
            start,
            "create resource name:mark\ndestroy resource name:mark\n",
        );
        let mut told = Vec::new();
        loop {
            let event = match timeout(PATIENCE, self.feed.next()).await.unwrap() {
                Told::Event(event) => describe(&event),
                Told::Missed(missed) => panic!("{missed} events are missed"),
            };
            match event.as_str() {
                "create resource mark" => {}
                "destroy resource mark" => return told,
                _ => told.push(event),
            }
        }
    }

    pub(super) fn status(&self) -> SourceStatus {
        let mut sources = self.hub.sources();
        sources.remove(&SourceId::Drbd).unwrap_or_default()
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Whether the process of the nth start is there.
    pub(super) fn is_running(&self, start: usize) -> bool {
        let pid = self.read(&format!("pid-{start}"));
        assert!(pid.ends_with('\n'), "start {start} has not been seen");
        Path::new("/proc").join(pid.trim()).exists()
    }

    /// Whether anything of the nth start is there: its process, and what that has started.
    pub(super) fn has_group(&self, start: usize) -> bool {
        let group = self.read(&format!("pid-{start}"));
        let group = group.trim();
        let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.any(|entry| {
            // NUMBER (NAME) STATE PARENT GROUP ...; it may be gone by now.
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
            let fields: Vec<_> = fields.split_whitespace().take(3).collect();
            matches!(fields.as_slice(), [state, _, of] if *of == group && *state != "Z")
        })
    }

    pub(super) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let met = async {
            while !condition(self) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let met = timeout(PATIENCE, met).await;
        assert!(met.is_ok(), "not {what}: {:?}", self.status());
    }

    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        timeout(PATIENCE, &mut self.task).await.unwrap().unwrap();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The child is killed with its source.
        self.task.abort();
    }
}

/// The event in one line, a change with the fields that differ.
fn describe(event: &Event) -> String {
    let mut line = format!("{} {}", event.kind.word(), event.key);
    if event.kind == EventKind::Change {
        let (old, new) = (event.old.as_ref().unwrap(), event.new.as_ref().unwrap());
        for (field, value) in new.fields() {
            let before = old.field(field);
            if before.as_ref() != Some(&value) {
                let before = before.map_or("-".to_owned(), |value| value.to_string());
                line.push_str(&format!(" {field}:{before}->{value}"));
            }
        }
        for (field, value) in old.fields() {
            if new.field(field).is_none() {
                line.push_str(&format!(" {field}:{value}->-"));
            }
        }
    }
    line
}
