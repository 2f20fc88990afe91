//! `hax check-config`, and what `hax run` says when it cannot start.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};

use tempfile::TempDir;

use crate::harness::{free_ports, soon};

const EX_CONFIG: i32 = 78;

/// A configuration that is right, but for what the test adds; nothing listens where it points.
fn good(directory: &Path) -> String {
    let [http, consul] = free_ports();
    format!(
        "node.name = 'n1'\n\
         http.listen = '127.0.0.1:{http}'\n\
         consul.address = 'http://127.0.0.1:{consul}'\n\
         [ha]\n\
         process = '0x7200000000000001:0x0'\n\
         ha_service = '0x7300000000000001:0x0'\n\
         rm_service = '0x7300000000000001:0x1'\n\
         endpoint = 'unix:{}/ha'\n",
        directory.display()
    )
}

async fn hax(command: &str, directory: &TempDir, config: &str) -> Output {
    hax_with(command, &[], directory, config).await
}

async fn hax_with(command: &str, options: &[&str], directory: &TempDir, config: &str) -> Output {
    let file = directory.path().join("hax.toml");
    std::fs::write(&file, config).unwrap();
    let run = tokio::process::Command::new(env!("CARGO_BIN_EXE_hax"))
        .arg(command)
        .arg("-c")
        .arg(file)
        .args(options)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    soon(&format!("hax {command} to end"), run).await.unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[tokio::test]
async fn a_right_configuration_is_called_right() {
    let directory = tempfile::tempdir().unwrap();
    let output = hax("check-config", &directory, &good(directory.path())).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = std::str::from_utf8(&output.stdout).unwrap();
    assert!(said.ends_with("hax.toml: no errors\n"), "{said}");
    assert_eq!(stderr(&output), "");
}

#[tokio::test]
async fn all_errors_are_told_at_once_with_place_and_nearest_key() {
    let directory = tempfile::tempdir().unwrap();
    let config = "node.name = ''\n\
                  [ha]\n\
                  endpont = 'unix:/x'\n\
                  process = '0x7300000000000001:0x0'\n\
                  ha_service = '0x7300000000000001:0x0'\n\
                  rm_service = 7\n\
                  on_fatal_message = 'explode'\n\
                  [entrypiont]\n\
                  timeout = '1s'\n\
                  [retry]\n\
                  min = '5 parsecs'\n";
    for command in ["check-config", "run"] {
        let output = hax(command, &directory, config).await;
        assert_eq!(output.status.code(), Some(EX_CONFIG));
        let said = stderr(&output);
        for expected in [
            "hax.toml:1:13: node.name: ",
            "hax.toml:3:1: ha.endpont: unknown key; did you mean ha.endpoint?",
            "ha.endpoint: required",
            "hax.toml:4:11: ha.process: ",
            "hax.toml:6:14: ha.rm_service: expected",
            "hax.toml:7:20: ha.on_fatal_message: ",
            "hax.toml:8:2: [entrypiont]: unknown section; did you mean entrypoint?",
            "hax.toml:11:7: retry.min: ",
        ] {
            assert!(said.contains(expected), "{expected} is not in:\n{said}");
        }
        assert_eq!(said.lines().count(), 8, "{said}");
    }
}

#[tokio::test]
async fn a_file_that_is_missing_or_is_no_toml_is_an_error_of_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let output = hax("check-config", &directory, "node.name = \n[ha").await;
    assert_eq!(output.status.code(), Some(EX_CONFIG));
    assert!(
        stderr(&output).contains("hax.toml:1:"),
        "{}",
        stderr(&output)
    );

    let run = tokio::process::Command::new(env!("CARGO_BIN_EXE_hax"))
        .args(["run", "-c", "/nonexistent/hax.toml"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = soon("hax run to end", run).await.unwrap();
    assert_eq!(output.status.code(), Some(EX_CONFIG));
    let said = stderr(&output);
    assert!(
        said.contains("/nonexistent/hax.toml: cannot read"),
        "{said}"
    );
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_by_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy_address = busy.local_addr().unwrap();
    // A live bridge: its socket answers.
    let socket = directory.path().join("busy");
    let _bridge = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let good = good(directory.path());
    let with = |key: &str, value: &str| {
        let others = good.lines().filter(|line| !line.starts_with(key));
        let others: Vec<&str> = others.collect();
        format!("{key} = '{value}'\n{}\n", others.join("\n"))
    };
    let endpoint = |value: &str| {
        let table = good.split_once("endpoint = ").unwrap().0;
        format!("{table}endpoint = '{value}'\n")
    };
    for (config, expected) in [
        (
            with("http.listen", &busy_address.to_string()),
            "http.listen: cannot listen on",
        ),
        (
            with("consul.token_file", "/nonexistent/token"),
            "consul.token_file",
        ),
        (endpoint("unix:/nonexistent/dir/ha"), "ha.endpoint: cannot"),
        (
            endpoint(&format!("unix:{}", socket.display())),
            "ha.endpoint: cannot",
        ),
        (endpoint("inet:tcp:203.0.113.1@7"), "ha.endpoint: cannot"),
    ] {
        let output = hax("run", &directory, &config).await;
        let said = stderr(&output);
        assert!(
            output.status.code().is_some_and(|code| code != 0),
            "{}: {said}",
            output.status
        );
        assert!(said.contains(expected), "{expected} is not in:\n{said}");
        // Where a secret is kept is not for the log.
        assert!(!said.contains("/nonexistent/token"), "{said}");
    }
}

#[tokio::test]
async fn what_is_allowed_but_odd_is_told_and_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("{}[fence]\nenabled = true\n", good(directory.path()));
    let output = hax("check-config", &directory, &config).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).ends_with(
            "hax.toml: warning: fence.device: no device is configured: nothing can be fenced\n"
        ),
        "{}",
        stderr(&output)
    );
    let said = std::str::from_utf8(&output.stdout).unwrap();
    assert!(said.ends_with("hax.toml: no errors\n"), "{said}");
}

/// One device, with an agent of this name and these parameters.
fn with_agent(directory: &TempDir, device: &str) -> String {
    format!(
        "{}[fence]\nenabled = true\nagent_dir = '{}'\n[[fence.device]]\nname = 'pdu'\n\
         type = 'agent'\nhosts = ['ssu1']\n{device}\n",
        good(directory.path()),
        directory.path().display(),
    )
}

/// Whoever checks is told what would keep the daemon from starting, by the names of the fields.
#[tokio::test]
async fn an_agent_that_cannot_be_used_is_an_error_on_the_machine_it_is_for() {
    let directory = tempfile::tempdir().unwrap();
    let agent = directory.path().join("fence_toy");
    let metadata = "<?xml version='1.0' ?><resource-agent name='fence_toy'><parameters>\
        <parameter name='plug'><content type='string'/></parameter>\
        <parameter name='ipaddr'><content type='string'/></parameter>\
        <parameter name='port_count'><content type='integer'/></parameter></parameters>\
        <actions><action name='on'/><action name='off'/><action name='reboot'/>\
        <action name='status'/><action name='monitor'/><action name='metadata'/></actions>\
        </resource-agent>";
    let script = format!("#!/bin/sh\ncat > /dev/null\ncat <<'END'\n{metadata}\nEND\n");
    crate::fence::installed::script(&agent, &script);
    let right = "agent = 'fence_toy'\n[fence.device.parameters]\nipaddr = '192.0.2.1'";
    let fine = hax("check-config", &directory, &with_agent(&directory, right)).await;
    assert_eq!(fine.status.code(), Some(0), "{}", stderr(&fine));
    for (device, fields) in [
        (
            "agent = 'fence_of_nobody'",
            &["fence.device[pdu].agent: "][..],
        ),
        (
            "agent = 'fence_toy'\n[fence.device.parameters]\nipadr = '192.0.2.1'\nport_count = 'two'",
            &[
                "fence.device[pdu].parameters.ipadr: the agent has no such parameter; ipaddr is near",
                "fence.device[pdu].parameters.port_count: ",
            ],
        ),
    ] {
        let config = with_agent(&directory, device);
        let checked = hax("check-config", &directory, &config).await;
        assert_eq!(
            checked.status.code(),
            Some(EX_CONFIG),
            "{}",
            stderr(&checked)
        );
        assert!(checked.stdout.is_empty());
        let run = hax("run", &directory, &config).await;
        assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
        for said in [stderr(&checked), stderr(&run)] {
            for field in fields {
                assert!(said.contains(field), "{field} is not in:\n{said}");
            }
        }
        assert!(stderr(&checked).contains("--skip-machine-checks"));
        let elsewhere = hax_with(
            "check-config",
            &["--skip-machine-checks"],
            &directory,
            &config,
        );
        let elsewhere = elsewhere.await;
        assert_eq!(elsewhere.status.code(), Some(0), "{}", stderr(&elsewhere));
    }
    // What the file itself has wrong is an error on every machine.
    let config = with_agent(&directory, "agent = 'fence_toy'\nretries = 'many'");
    let elsewhere = hax_with(
        "check-config",
        &["--skip-machine-checks"],
        &directory,
        &config,
    );
    assert_eq!(elsewhere.await.status.code(), Some(EX_CONFIG));
}
