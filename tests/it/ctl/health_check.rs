//! `scripts/health-check.sh`: every row of its table, with real processes.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::stdout;
use crate::common::consul::{Consul, Settings, free_ports, on_path, program};
use crate::common::eventually;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/health-check.sh");
const FID: &str = "0x7200000000000001:0x1f";
const KEY: &str = "processes/0x7200000000000001:0x1f";

/// A process that does nothing, under a command line of one's choice.
pub(super) struct Process(Child);

impl Process {
    pub(super) fn start(command_line: &str) -> Self {
        let mut command = Command::new("sleep");
        Self(
            command
                .arg0(command_line)
                .arg("1000")
                .stdin(Stdio::null())
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A pattern no other test and no other run has.
struct Pattern {
    text: String,
    _directory: TempDir,
}

impl Pattern {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().file_name().unwrap().to_str().unwrap();
        Self {
            text: format!("m0d-{} -f <0x7200000000000001:0x1f>", &name[1..]),
            _directory: directory,
        }
    }
}

/// A check to be run.
struct Check<'a> {
    address: String,
    fid: &'a str,
    pattern: &'a str,
    env: Vec<(&'a str, String)>,
    timeout: &'a str,
}

impl<'a> Check<'a> {
    fn new(address: String, pattern: &'a str) -> Self {
        Self {
            address,
            fid: FID,
            pattern,
            env: Vec::new(),
            timeout: "5",
        }
    }

    async fn run(&self) -> (i32, String) {
        let mut command = tokio::process::Command::new("/bin/sh");
        for name in ["TOKEN", "TOKEN_FILE", "SSL"] {
            command.env_remove(format!("CONSUL_HTTP_{name}"));
        }
        command
            .env("CONSUL_HTTP_ADDR", &self.address)
            .env("HAX_CHECK_TIMEOUT", self.timeout);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
            .args([SCRIPT, self.fid, self.pattern])
            .stdin(Stdio::null());
        let output: Output = command.output().await.unwrap();
        let text = stdout(&output).to_owned();
        assert_eq!(text.lines().count(), 1, "one line says why: {text:?}");
        assert_eq!(super::stderr(&output), "");
        (output.status.code().unwrap(), text)
    }

    async fn expect(&self, code: i32, why: &str) {
        let (found, text) = self.run().await;
        assert!(
            found == code && text.contains(why),
            "{found} {text:?}; wanted {code} {why:?}"
        );
    }
}

/// A PATH with what the script needs, but only one of curl and consul.
fn path_with(client: &str, directory: &Path) -> String {
    let tools = [
        "cat", "cut", "grep", "head", "pgrep", "sed", "sh", "timeout", "tr",
    ];
    for tool in tools {
        let path = on_path(Path::new(tool)).unwrap_or_else(|| panic!("{tool} is not installed"));
        symlink(path, directory.join(tool)).unwrap();
    }
    let path = if client == "consul" {
        Some(program())
    } else {
        on_path(Path::new(client))
    };
    let path = path.unwrap_or_else(|| panic!("{client} is not installed"));
    symlink(path, directory.join(client)).unwrap();
    directory.to_str().unwrap().to_owned()
}

fn status(event: &str) -> String {
    let (state, kind) = (
        format!("M0_CONF_HA_PROCESS_{event}"),
        "M0_CONF_HA_PROCESS_M0D",
    );
    json!({ "state": state, "type": kind }).to_string()
}

async fn table(client: &str) {
    let consul = Consul::start().await;
    let kv = consul.client();
    let pattern = Pattern::new();
    let tools = tempfile::tempdir().unwrap();
    let mut check = Check::new(consul.address(), &pattern.text);
    check.env.push(("PATH", path_with(client, tools.path())));
    let values = [
        (None, 1, "no status in KV"),
        (Some(status("STARTING")), 1, "STARTING"),
        (Some(status("STARTED")), 0, "STARTED"),
        (Some(status("DTM_RECOVERED")), 0, "DTM_RECOVERED"),
        (Some(status("STOPPING")), 1, "STOPPING"),
        (Some(status("STOPPED")), 2, "KV says STOPPED"),
        (Some(status("BORN")), 1, "not understood"),
        (Some("no JSON".to_owned()), 1, "not understood"),
        (Some(String::new()), 1, "not understood"),
        (
            Some(
                "{\n  \"type\" : \"x\",\n  \"state\" : \"M0_CONF_HA_PROCESS_STARTED\"\n}\n"
                    .to_owned(),
            ),
            0,
            "STARTED",
        ),
    ];
    for (value, code, why) in values {
        if let Some(value) = &value {
            kv.kv().put(KEY, value.as_str()).await.unwrap();
        }
        check.expect(2, "no process matches").await;
        let process = Process::start(&pattern.text);
        check.expect(code, why).await;
        drop(process);
    }
}

#[tokio::test]
async fn kv_and_process_decide_together() {
    table("curl").await;
}

#[tokio::test]
async fn without_curl_the_consul_program_is_asked() {
    table("consul").await;
}

#[tokio::test]
async fn every_spelling_of_the_fid_means_the_same_key() {
    let consul = Consul::start().await;
    consul
        .client()
        .kv()
        .put(KEY, status("STARTED"))
        .await
        .unwrap();
    let pattern = Pattern::new();
    let _process = Process::start(&pattern.text);
    let mut check = Check::new(consul.address(), &pattern.text);
    for fid in [
        "0x7200000000000001:0x001F",
        "<7200000000000001:1f>",
        "<0X7200000000000001:0x1f>",
        "31",
    ] {
        check.fid = fid;
        check.expect(0, FID).await;
    }
    for fid in [
        "",
        "0x7300000000000001:0x1f",
        "31x",
        "-1",
        "1:2:3",
        "0x7200000000000001:",
    ] {
        check.fid = fid;
        check.expect(2, "usage: ").await;
    }
    check.fid = FID;
    check.pattern = "";
    check.expect(2, "usage: ").await;
}

#[tokio::test]
async fn an_unreachable_consul_is_a_warning_in_bounded_time() {
    let [port] = free_ports();
    let pattern = Pattern::new();
    let mut check = Check::new(format!("127.0.0.1:{port}"), &pattern.text);
    check.expect(2, "no process matches").await;
    let _process = Process::start(&pattern.text);
    check.expect(1, "Consul cannot be asked").await;

    let consul = Consul::start().await;
    consul.freeze();
    check.address = consul.address();
    check.timeout = "1";
    let began = Instant::now();
    check.expect(1, "Consul cannot be asked").await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    consul.thaw();
}

#[tokio::test]
async fn a_dead_process_that_nobody_has_waited_for_does_not_run() {
    let [port] = free_ports();
    let directory = tempfile::tempdir().unwrap();
    // A zombie has no command line; pgrep takes the name of its program, 15 characters.
    let name = format!("zombie-{}", std::process::id());
    let program = directory.path().join(&name);
    symlink("/bin/true", &program).unwrap();
    let mut zombie = Command::new(&program).spawn().unwrap();
    let stat = format!("/proc/{}/stat", zombie.id());
    eventually("a zombie", async || {
        std::fs::read_to_string(&stat)
            .unwrap()
            .contains(") Z ")
            .then_some(())
    })
    .await;
    let check = Check::new(format!("127.0.0.1:{port}"), &name);
    check.expect(2, "no process matches").await;
    zombie.wait().unwrap();
}

#[tokio::test]
async fn checks_do_not_find_each_other_or_the_shell_that_started_them() {
    let [port] = free_ports();
    let pattern = Pattern::new();
    let line = format!(
        "for n in 1 2 3 4 5 6 7 8; do {SCRIPT} {FID} '{}' & done; wait",
        pattern.text
    );
    let mut command = tokio::process::Command::new("/bin/sh");
    command
        .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{port}"))
        .args(["-c", &line]);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 8);
    assert!(
        text.lines().all(|line| line.contains("no process matches")),
        "{text}"
    );
}

#[tokio::test]
async fn a_process_started_beside_its_check_is_found() {
    let [port] = free_ports();
    // The shell's command line names the script, and the shell is the process's parent.
    let line = format!("\"$@\" & pid=$!; {SCRIPT} {FID} 'sleep 10[0]1$'; kill $pid; wait");
    let mut command = tokio::process::Command::new("/bin/sh");
    command.env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{port}"));
    command.args(["-c", &line, "sh", "sleep", "1001"]);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    assert!(
        stdout(&output).contains("runs; Consul cannot be asked"),
        "{output:?}"
    );
}

#[tokio::test]
async fn the_token_is_taken_from_the_environment_or_a_file() {
    let secret = "5ecd4e1c-7fc5-4c1c-9a3e-2a1b5d0c9a01";
    let settings = Settings {
        config: json!({ "acl": { "enabled": true, "default_policy": "deny",
                                 "tokens": { "master": secret, "agent": secret } } }),
        token: Some(secret.to_owned()),
        ..Settings::default()
    };
    let consul = Consul::start_with(&settings).await;
    consul
        .client()
        .kv()
        .put(KEY, status("STARTED"))
        .await
        .unwrap();
    let pattern = Pattern::new();
    let _process = Process::start(&pattern.text);
    let mut check = Check::new(consul.address(), &pattern.text);
    // Without a token a reader sees nothing, or is refused.
    let (code, text) = check.run().await;
    assert_eq!(code, 1, "{text}");

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{secret}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    for (name, value) in [
        ("CONSUL_HTTP_TOKEN", secret),
        ("CONSUL_HTTP_TOKEN_FILE", path),
    ] {
        check.env = vec![(name, value.to_owned())];
        check.expect(0, "STARTED").await;
    }
    check.env = vec![("CONSUL_HTTP_TOKEN_FILE", "/nonexistent".to_owned())];
    check.expect(1, "the token file cannot be read").await;
}
