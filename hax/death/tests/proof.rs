//! Who is taken for a Motr process, and who is not.

use std::fs;
use std::io::{self, Read};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::process;
use crate::death::proof::{open, since_boot};
use crate::death::{Claim, Evidence, Proc, Unproven, prove};

/// An endpoint of this machine on which nobody listens: port 0.
const ENDPOINT: &str = "inet:tcp:127.0.0.1@0";

/// A child that lives until it is dropped: it waits for its standard input to end.
struct Waiting(Child);

impl Waiting {
    fn with(arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "echo up; read line", "waiting"]);
        command.args(arguments).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // As one that has sent a message: before it runs it has no arguments yet.
        let mut line = [0; 3];
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut line).unwrap();
        Self(child)
    }

    fn claim(&self, endpoint: &str) -> Claim {
        claim(self.0.id(), endpoint)
    }

    fn prove(&self, endpoint: &str) -> Result<Evidence, Unproven> {
        prove(&Proc::default(), self.0.id(), &self.claim(endpoint))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn claim(pid: u32, endpoint: &str) -> Claim {
    Claim {
        process: process(0x12),
        pid: pid.into(),
        endpoint: endpoint.to_owned(),
        heard: since_boot(),
    }
}

#[test]
fn a_process_is_known_by_an_argument_that_is_its_fid_or_its_endpoint() {
    for argument in [
        "<0x7200000000000001:0x12>",
        "0x7200000000000001:0x12",
        "0x7200000000000001:12",
        "7200000000000001:12",
        "--process=0x7200000000000001:0x12",
        ENDPOINT,
        "libfab:inet:tcp:127.0.0.1@0",
        "-e=libfab:inet:tcp:127.0.0.1@0",
    ] {
        let child = Waiting::with(&["-f", argument]);
        assert_eq!(child.prove(ENDPOINT), Ok(Evidence::Arguments), "{argument}");
    }
}

#[test]
fn nobody_else_is() {
    for argument in [
        "",
        "<0x7200000000000001:0x13>",
        "0x7300000000000001:0x12",
        "log-0x7200000000000001:0x12",
        "m0d -f 0x7200000000000001:0x12",
        "inet:tcp:127.0.0.1@01",
        "xinet:tcp:127.0.0.1@0",
    ] {
        let child = Waiting::with(&[argument]);
        let outcome = child.prove(ENDPOINT);
        assert_eq!(outcome, Err(Unproven::Stranger), "{argument}");
    }
    // Whatever runs as pid 1 is no Motr process.
    assert!(prove(&Proc::default(), 1, &claim(1, ENDPOINT)).is_err());
    // Without an endpoint every argument would end in it.
    let child = Waiting::with(&["inet:"]);
    assert_eq!(child.prove(""), Err(Unproven::Stranger));
}

#[test]
fn an_address_of_another_machine_is_not_watched_here() {
    let child = Waiting::with(&["<0x7200000000000001:0x12>"]);
    for endpoint in ["inet:tcp:192.0.2.7@21002", "192.0.2.7@tcp:12345:44:1", "?"] {
        assert_eq!(
            child.prove(endpoint),
            Err(Unproven::Elsewhere),
            "{endpoint}"
        );
    }
}

#[test]
fn the_listening_socket_of_the_endpoint_proves_it_and_disproves_all_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ep");
    let _unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let six = TcpListener::bind("[::]:0").ok();
    let mut endpoints = vec![
        format!("unix:{}", path.display()),
        format!("inet:tcp:127.0.0.1@{}", tcp.local_addr().unwrap().port()),
    ];
    // A machine may have no IPv6.
    endpoints.extend(six.as_ref().map(|six| {
        let port = six.local_addr().unwrap().port();
        format!("inet:stream:127.0.0.1@{port}")
    }));
    for endpoint in endpoints {
        let own = std::process::id();
        let proven = prove(&Proc::default(), own, &claim(own, &endpoint));
        assert_eq!(proven, Ok(Evidence::Socket), "{endpoint}");
        // As one that launches it in a container has the same arguments.
        let child = Waiting::with(&["<0x7200000000000001:0x12>", &endpoint]);
        assert_eq!(
            child.prove(&endpoint),
            Err(Unproven::OtherListener),
            "{endpoint}"
        );
    }
}

#[test]
fn a_process_that_was_started_after_the_message_did_not_send_it() {
    // Longer than a clock tick.
    let heard = since_boot() - Duration::from_millis(100);
    let child = Waiting::with(&["<0x7200000000000001:0x12>"]);
    let claim = Claim {
        heard,
        ..child.claim(ENDPOINT)
    };
    assert_eq!(
        prove(&Proc::default(), child.0.id(), &claim),
        Err(Unproven::Younger)
    );
    assert_eq!(child.prove(ENDPOINT), Ok(Evidence::Arguments));
}

#[test]
fn only_what_lives_is_opened() {
    let proc = Proc::default();
    let mut child = Waiting::with(&["<0x7200000000000001:0x12>"]);
    let claim = child.claim(ENDPOINT);
    let (fd, evidence) = open(&proc, &claim).unwrap();
    assert_eq!(evidence, Evidence::Arguments);
    assert!(!fd.has_died().unwrap());
    child.0.kill().unwrap();
    // Its end cannot be awaited without reaping it; the pidfd tells.
    let died = rustix::event::PollFlags::IN;
    let mut fds = [rustix::event::PollFd::new(&fd, died)];
    rustix::event::poll(&mut fds, None).unwrap();
    assert!(fd.has_died().unwrap());
    // A zombie still has its pid.
    assert_eq!(open(&proc, &claim).unwrap_err(), Unproven::Died);
    child.0.wait().unwrap();
    assert_eq!(open(&proc, &claim).unwrap_err(), Unproven::NoProcess);
    for pid in [0, 1 << 31, 1 << 32, u64::MAX] {
        let claim = Claim {
            pid,
            ..claim.clone()
        };
        assert_eq!(open(&proc, &claim).unwrap_err(), Unproven::NoPid, "{pid}");
    }
}

/// A `/proc` with processes: pid, its pids by namespace, an argument.
fn fake(root: &Path, own: u32, processes: &[(u32, &str, &str)]) -> Proc {
    symlink(own.to_string(), root.join("self")).unwrap();
    for (pid, pids, argument) in processes {
        let directory = root.join(pid.to_string());
        fs::create_dir(&directory).unwrap();
        let status = format!("Name:\tm0d\nNSpid:\t{pids}\nThreads:\t1\n");
        fs::write(directory.join("status"), status).unwrap();
        let stat = format!("{pid} (m0d ) S) S {} 5 0", "0 ".repeat(18));
        fs::write(directory.join("stat"), stat).unwrap();
        fs::write(directory.join("cmdline"), format!("m0d\0-f\0{argument}\0")).unwrap();
    }
    Proc::at(root)
}

#[test]
fn pids_of_other_namespaces_are_not_ours() {
    let fid = "<0x7200000000000001:0x12>";
    let own = std::process::id();
    let alone: &[_] = &[(7, "7", fid)];
    for (own, processes, expected) in [
        (own, alone, Ok(Evidence::Arguments)),
        (
            own + 1,
            alone,
            Err(Unproven::NoProc(io::ErrorKind::NotFound)),
        ),
        (own, &[(7, "7 1", fid)][..], Err(Unproven::Namespace)),
        (own, &[(7, "7", "x")], Err(Unproven::Stranger)),
        // One in a container has the same pid there, and the same name.
        (own, &[(7, "7", fid), (9, "9 7", fid)], Err(Unproven::Rival)),
        (
            own,
            &[(7, "7", fid), (9, "9 7", "x")],
            Ok(Evidence::Arguments),
        ),
        (
            own,
            &[(7, "7", fid), (9, "9 8", fid)],
            Ok(Evidence::Arguments),
        ),
        (own, &[], Err(Unproven::NoProc(io::ErrorKind::NotFound))),
    ] {
        let root = tempfile::tempdir().unwrap();
        let proc = fake(root.path(), own, processes);
        let outcome = prove(&proc, 7, &claim(7, ENDPOINT));
        assert_eq!(outcome, expected, "{own} {processes:?}");
    }
}
