//! The guard's work: starts the agent, waits, and ends it.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitCode, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, kill_process_group, pidfd_open, set_child_subreaper,
};

use super::super::api::BootInstant;
use super::output::Output;
use super::wire::{Ending, JOB_MAX, Job, Message, Report, UNKILLABLE};
use super::{remains, stage};

/// Longest sleep: `poll` does not count the time in which the machine is suspended.
const NAP: Duration = Duration::from_secs(1);

/// Runs the job on stdin.
pub(super) fn run() -> ExitCode {
    let Some(job) = read_job() else {
        return ExitCode::FAILURE;
    };
    let report = match Running::start(&job) {
        Ok(running) => running.wait(),
        Err(error) => Report::without_agent(Ending::Broken(error.to_string())),
    };
    match say(&Message::Over(report)) {
        Ok(()) => ExitCode::SUCCESS,
        // The daemon has gone, and so has the agent.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Reads the line with the job, and not a byte more.
fn read_job() -> Option<Job> {
    let mut line = Vec::new();
    let mut byte = [0; 4096];
    while !line.ends_with(b"\n") {
        match rustix::io::read(io::stdin(), &mut byte) {
            Ok(0) => return None,
            Ok(size) => line.extend_from_slice(byte.get(..size)?),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
        if line.len() > JOB_MAX {
            return None;
        }
    }
    serde_json::from_slice(&line).ok()
}

fn say(message: &Message) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

/// What is written to the agent's stdin, as far as it takes it.
struct Input<'a> {
    pipe: Option<ChildStdin>,
    rest: &'a [u8],
}

impl Input<'_> {
    fn give(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.write(self.rest) {
            Ok(size) => self.rest = self.rest.get(size..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The agent does not want the rest.
            Err(_) => self.rest = &[],
        }
        if self.rest.is_empty() {
            self.pipe = None;
        }
    }
}

/// What has been done to the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    Terminated,
    /// At this instant.
    Killed {
        since: u64,
    },
}

/// The agent, and its group. Whoever lets go of it has ended it.
struct Agent {
    child: Child,
    group: Pid,
}

impl Agent {
    fn spawn(job: &Job, token: &str) -> io::Result<Self> {
        let mut child = stage::command(token, job)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = pid {
            return Ok(Self { child, group });
        }
        child.kill()?;
        child.wait()?;
        Err(io::ErrorKind::InvalidData.into())
    }

    /// Until it has been waited for, its pid and the group's are nobody else's.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal(Signal::KILL);
        }
    }
}

struct Running<'a> {
    job: &'a Job,
    token: String,
    agent: Agent,
    pidfd: OwnedFd,
    input: Input<'a>,
    stdout: Output<ChildStdout>,
    stderr: Output<ChildStderr>,
    done: Done,
    /// Why it was ended.
    why: Option<Ending>,
}

impl<'a> Running<'a> {
    fn start(job: &'a Job) -> io::Result<Self> {
        // Without it those who leave the group are out of reach; the run itself is as good.
        let _ = set_child_subreaper(Some(getpid()));
        let token = uuid::Uuid::new_v4().to_string();
        let mut agent = Agent::spawn(job, &token)?;
        let pidfd = pidfd_open(agent.group, PidfdFlags::empty())?;
        let stdout = Output::new(agent.child.stdout.take(), job.head)?;
        let stderr = Output::new(agent.child.stderr.take(), 0)?;
        let pipe = agent.child.stdin.take();
        if let Some(pipe) = &pipe {
            ioctl_fionbio(pipe, true)?;
        }
        let rest = job.input.as_bytes();
        let mut input = Input { pipe, rest };
        input.give();
        // If nobody reads it any more, stdin says so, too.
        let _ = say(&Message::Agent(agent.group.as_raw_nonzero().get()));
        Ok(Self {
            job,
            token,
            agent,
            pidfd,
            input,
            stdout,
            stderr,
            done: Done::Nothing,
            why: None,
        })
    }

    fn wait(mut self) -> Report {
        loop {
            let now = BootInstant::now().millis();
            self.by_the_clock(now);
            if let Done::Killed { since, .. } = self.done
                && now > since.saturating_add(millis(UNKILLABLE))
            {
                let mut report = Report::without_agent(Ending::Unkillable);
                report.stdout = self.stdout.finish().1;
                report.stderr = self.stderr.finish().1;
                return report;
            }
            match self.poll(now) {
                Ok(false) => {}
                Ok(true) => return self.over(),
                Err(error) => {
                    self.agent.signal(Signal::KILL);
                    return Report::without_agent(Ending::Broken(error.to_string()));
                }
            }
        }
    }

    fn by_the_clock(&mut self, now: u64) {
        let kill_at = self.job.deadline.saturating_add(self.job.grace);
        match self.done {
            Done::Nothing if now >= self.job.deadline => {
                self.agent.signal(Signal::TERM);
                self.done = Done::Terminated;
            }
            Done::Terminated if now >= kill_at => self.kill(now),
            _ => return,
        }
        let killed = matches!(self.done, Done::Killed { .. });
        self.why = Some(Ending::TimedOut { killed });
    }

    fn kill(&mut self, since: u64) {
        self.agent.signal(Signal::KILL);
        self.done = Done::Killed { since };
    }

    /// Waits for something to happen, and takes it; whether the agent has ended.
    fn poll(&mut self, now: u64) -> io::Result<bool> {
        let next = match self.done {
            Done::Nothing => self.job.deadline.saturating_sub(now),
            Done::Terminated => (self.job.deadline)
                .saturating_add(self.job.grace)
                .saturating_sub(now),
            Done::Killed { .. } => millis(NAP),
        };
        // A millisecond more: what is over at the next look is over.
        let nap = NAP.min(Duration::from_millis(next.saturating_add(1)));
        let timeout = Timespec {
            tv_sec: i64::try_from(nap.as_secs()).unwrap_or(1),
            tv_nsec: nap.subsec_nanos().into(),
        };
        let stdin = io::stdin();
        let daemon = self.why.is_none().then(|| stdin.as_fd());
        let pipe = self.input.pipe.as_ref().map(AsFd::as_fd);
        let all = [
            (Some(self.pidfd.as_fd()), PollFlags::IN, Who::Agent),
            (daemon, PollFlags::IN, Who::Daemon),
            (self.stdout.fd(), PollFlags::IN, Who::Stdout),
            (self.stderr.fd(), PollFlags::IN, Who::Stderr),
            (pipe, PollFlags::OUT, Who::Input),
        ];
        let open = all
            .into_iter()
            .filter_map(|(fd, flags, who)| Some((fd?, flags, who)));
        let (mut fds, who): (Vec<_>, Vec<_>) = open
            .map(|(fd, flags, who)| (PollFd::from_borrowed_fd(fd, flags), who))
            .unzip();
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = fds
            .iter()
            .zip(who)
            .filter(|(fd, _)| !fd.revents().is_empty());
        let ready: Vec<Who> = ready.map(|(_, who)| who).collect();
        for who in &ready {
            match who {
                Who::Agent => return Ok(true),
                Who::Stdout => drop(self.stdout.take()),
                Who::Stderr => drop(self.stderr.take()),
                Who::Input => self.input.give(),
                Who::Daemon if daemon_has_gone() => {
                    self.why = Some(Ending::Cancelled);
                    self.kill(now);
                }
                Who::Daemon => {}
            }
        }
        Ok(false)
    }

    /// The agent has ended: so does all that it has left.
    fn over(mut self) -> Report {
        self.agent.signal(Signal::KILL);
        let status = self.agent.child.wait();
        let (head, stdout) = self.stdout.finish();
        let (_, stderr) = self.stderr.finish();
        let own = match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(stage::NOT_BECOME), _) => stage::said(&self.token, &stderr.text)
                    .unwrap_or(Ending::Exited(stage::NOT_BECOME)),
                (Some(code), _) => Ending::Exited(code),
                (None, signal) => Ending::Signalled(signal.unwrap_or(0)),
            },
            Err(error) => Ending::Broken(error.to_string()),
        };
        let ending = match (self.why.take(), own) {
            // It had ended before KILL came: what it says is what counts.
            (Some(Ending::Cancelled), own @ Ending::Exited(_)) => own,
            (_, own @ (Ending::TooLate | Ending::NotExecuted(_))) => own,
            (Some(why), _) => why,
            (None, own) => own,
        };
        if matches!(ending, Ending::TooLate | Ending::NotExecuted(_)) {
            return Report::without_agent(ending);
        }
        Report {
            ending,
            head,
            stdout,
            stderr,
            remains: remains::kill_all(),
        }
    }
}

/// Who has something to say.
#[derive(Clone, Copy)]
enum Who {
    Agent,
    Daemon,
    Stdout,
    Stderr,
    Input,
}

/// Whether stdin has ended. Nothing more is expected there: whatever comes is skipped.
fn daemon_has_gone() -> bool {
    let mut bytes = [0; 64];
    match rustix::io::read(io::stdin(), &mut bytes) {
        Ok(size) => size == 0,
        Err(error) => error != rustix::io::Errno::INTR,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
