//! Ending processes for certain.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use halink::{Fid, LinkId, ProcessType};

use super::process;
use crate::death::held::Proven;
use crate::death::proof::{open, since_boot};
use crate::death::{Claim, Deaths, Evidence, Proc, Survives};

const ENDPOINT: &str = "inet:tcp:127.0.0.1@0";
const LONG: Duration = Duration::from_secs(30);

/// A child that lives until it is killed or dropped.
struct Running(Child);

impl Running {
    fn of(process: Fid) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "echo up; read line", "m0d", "-f"]);
        command.arg(process.to_string()).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        // Before it runs it has no arguments yet.
        std::io::Read::read_exact(&mut output, &mut [0; 3]).unwrap();
        Self(child)
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    fn claim(&self, process: Fid) -> Claim {
        Claim {
            process,
            pid: self.0.id().into(),
            endpoint: ENDPOINT.to_owned(),
            heard: since_boot(),
        }
    }

    /// As the death watch does when it speaks over a link.
    fn heard(&self, deaths: &Deaths, link: u64, process: Fid, prove: bool) {
        let (link, pid) = (LinkId(link), self.0.id().into());
        let _ = deaths.heard(link, process, pid, Some((ProcessType::M0d, false)));
        let claim = self.claim(process);
        deaths.claimed(&claim);
        if prove {
            let (fd, evidence) = open(&Proc::default(), &claim).unwrap();
            deaths.proven(link, pid, Ok(evidence));
            let started = Proc::default().started(self.0.id()).unwrap();
            let fd = Arc::new(fd.watch().unwrap());
            deaths.holds(link, process, Proven { pid, started, fd });
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill(deaths: &Deaths, process: Fid) -> Result<String, Survives> {
    deaths.kill(&Proc::default(), process, LONG)
}

#[tokio::test]
async fn an_identified_process_is_killed_also_when_its_link_has_gone() {
    let deaths = Deaths::new(8);
    let mut child = Running::of(process(0x31));
    child.heard(&deaths, 1, process(0x31), true);
    assert_eq!(deaths.may_live(), [process(0x31)]);
    deaths.forget(LinkId(1));
    let shown = kill(&deaths, process(0x31)).unwrap();
    assert!(shown.contains("was killed and has ended"), "{shown}");
    assert!(!child.is_alive());
    assert_eq!(deaths.may_live(), []);
    // It is still known that this very process has ended.
    let shown = kill(&deaths, process(0x31)).unwrap();
    assert!(shown.contains("had ended"), "{shown}");
}

#[tokio::test]
async fn the_next_incarnation_is_not_taken_for_the_one_that_has_ended() {
    let deaths = Deaths::new(8);
    let first = Running::of(process(0x32));
    first.heard(&deaths, 1, process(0x32), true);
    drop(first);
    let mut second = Running::of(process(0x32));
    deaths.reborn(process(0x32));
    second.heard(&deaths, 2, process(0x32), false);
    let killed = kill(&deaths, process(0x32));
    // Where not all of /proc is to be seen, it cannot be found, and then nothing is claimed.
    match Proc::default().shows_all() {
        true => assert!(killed.unwrap().contains("was found") && !second.is_alive()),
        false => assert!(killed.is_err() && second.is_alive()),
    }
}

#[tokio::test]
async fn a_stranger_is_never_killed() {
    let deaths = Deaths::new(8);
    let mut other = Running::of(process(0x34));
    // It says that it is another, with the pid of this one.
    let claim = other.claim(process(0x33));
    let _ = deaths.heard(LinkId(1), process(0x33), claim.pid, None);
    deaths.claimed(&claim);
    let reason = open(&Proc::default(), &claim).unwrap_err();
    deaths.proven(LinkId(1), claim.pid, Err(reason));
    // Nor is it said of one that was not identified that there is none.
    let error = kill(&deaths, process(0x33)).unwrap_err();
    assert!(matches!(error, Survives::Unknown(_)), "{error}");
    assert!(other.is_alive());
    // Another that speaks for the fid does not make it forgotten.
    deaths.reborn(process(0x33));
    assert!(kill(&deaths, process(0x33)).is_err());
    drop(other);
    if Proc::default().shows_all() {
        assert!(kill(&deaths, process(0x33)).is_ok());
    }
}

#[tokio::test]
async fn a_process_that_names_the_fid_but_cannot_be_proven_is_neither_killed_nor_denied() {
    let mut child = Running::of(process(0x35));
    // Nothing was heard of it, so its endpoint is not known.
    let killed = kill(&Deaths::new(8), process(0x35));
    assert!(matches!(killed, Err(Survives::Unknown(_))), "{killed:?}");
    assert!(child.is_alive());
}

#[tokio::test]
async fn a_kernel_process_is_not_said_to_have_ended() {
    let deaths = Deaths::new(8);
    let claim = Claim {
        process: process(0x36),
        pid: 0,
        endpoint: ENDPOINT.to_owned(),
        heard: since_boot(),
    };
    let _ = deaths.heard(LinkId(1), process(0x36), 0, None);
    deaths.claimed(&claim);
    deaths.proven(LinkId(1), 0, Ok(Evidence::Arguments));
    assert!(matches!(
        kill(&deaths, process(0x36)),
        Err(Survives::Unknown(_))
    ));
}
