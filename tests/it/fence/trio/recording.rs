//! Devices that write down what they are asked for: tests judge by that, not by what hax says.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

/// What an agent has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// `start`, `end`, `ended` by a signal, or `overlap`.
    pub(crate) what: String,
    /// Nanoseconds since 1970.
    pub(crate) at: u128,
    pub(crate) device: String,
    pub(crate) action: String,
    pub(crate) target: String,
    /// The node whose hax has run it.
    pub(crate) peer: String,
    pub(crate) pid: i32,
}

/// The devices of one cluster.
pub(crate) struct Agents(TempDir);

impl Agents {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("agent");
        std::fs::write(&program, include_str!("agent.sh")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        Self(directory)
    }

    /// From now on: this exit code, after this many seconds. `of` is `device.action`,
    /// `device.action.peer`, or `device.action.once`.
    pub(crate) fn behave(&self, of: &str, exit: i32, seconds: f64) {
        let new = self.path("new");
        std::fs::write(&new, format!("{exit} {seconds}\n")).unwrap();
        std::fs::rename(new, self.path(of)).unwrap();
    }

    /// Two at one time are no fault from now on.
    pub(crate) fn allow_parallel(&self) {
        std::fs::write(self.path("parallel"), "").unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A device as the configuration of a peer has it, with more of its keys.
    pub(crate) fn device(&self, (name, more): (&str, &str), peer: &str) -> String {
        let agent = self.path("agent");
        let action = |action: &str| {
            let agent = agent.display();
            format!("{action} = ['{agent}', '{name}', '{action}', '{{target}}', '{peer}']")
        };
        let actions = ["off", "on", "reboot"].map(action).join(", ");
        format!(
            "{{ name = '{name}', type = 'command', host_check = 'none', {actions}, kill_grace = '300ms', {more} }}"
        )
    }

    /// All that was written so far.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        let lines = text.lines().map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap();
            Line {
                what: word(),
                at: word().parse().unwrap(),
                device: word(),
                action: word(),
                target: word(),
                peer: word(),
                pid: word().parse().unwrap(),
            }
        });
        lines.collect()
    }

    /// The runs for a target that have started, in order.
    pub(crate) fn starts(&self, target: &str) -> Vec<Line> {
        self.of(target, "start")
    }

    /// The runs for a target that came to their own end.
    pub(crate) fn ends(&self, target: &str) -> Vec<Line> {
        self.of(target, "end")
    }

    fn of(&self, target: &str, what: &str) -> Vec<Line> {
        let lines = self.lines().into_iter();
        lines
            .filter(|line| line.target == target && line.what == what)
            .collect()
    }

    /// No two have acted on one target at one time.
    pub(crate) fn no_overlap(&self) {
        let lines = self.lines();
        let overlap = lines.iter().find(|line| line.what == "overlap");
        assert_eq!(overlap, None, "{lines:#?}");
    }
}
