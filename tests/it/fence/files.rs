//! `fence_recorder` against a responder of a few lines, and each hole that it closes.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use super::installed::{find, installed};
use super::responder::{DONE, Files, ended, names};
use crate::common::eventually;

const LOOKS: [&str; 6] = [
    "status",
    "list",
    "list-status",
    "monitor",
    "metadata",
    "validate-all",
];

#[tokio::test]
async fn a_request_is_answered_and_logged() {
    let files = Files::served(DONE);
    for action in ["off", "on", "reboot"] {
        let ended = files
            .recorder("30", &format!("action={action}\nplug=ssu1\nnodename=ssu1"))
            .await;
        assert_eq!(ended.code, Some(0), "{action}: {ended:?}");
    }
    assert_eq!(files.requests(), Vec::<String>::new());
    assert_eq!(names(&files.path("responses")).len(), 3);
    let readable = files.log("fence-events-readable.log");
    assert!(
        readable.contains("ACTION=reboot TARGET=ssu1 STATUS=completed DETAILS=done by a script"),
        "{readable}"
    );
    assert_eq!(files.log("fence-events.log").lines().count(), 6);
    let detailed = files.log("fence-events-detailed.jsonl");
    let lines: Vec<Value> = detailed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let statuses: Vec<&str> = lines
        .iter()
        .map(|it| it["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["requested", "completed"].repeat(3));
    for member in [
        "timestamp",
        "action",
        "target_node",
        "details",
        "recorder_node",
    ] {
        assert!(lines[0][member].is_string(), "{member}: {}", lines[0]);
    }
    let seen = files.seen();
    for member in [
        "request_id",
        "timestamp",
        "action",
        "target_node",
        "recorder_node",
    ] {
        assert_eq!(seen.matches(&format!("\"{member}\"")).count(), 3, "{seen}");
    }
}

#[tokio::test]
async fn the_command_line_does_as_stdin_does() {
    let files = Files::served(DONE);
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fence_recorder"))
            .args(args)
            .arg("--request-dir")
            .arg(files.path("requests"))
            .arg("--response-dir")
            .arg(files.path("responses"))
            .arg("--log-dir")
            .arg(files.path("log"))
            .output();
        output.unwrap()
    };
    assert_eq!(run(&["-o", "off", "-n", "ssu1"]).status.code(), Some(0));
    assert_eq!(
        run(&["--action=reboot", "--nodename", "ssu1"])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(run(&["-o", "monitor"]).status.code(), Some(0));
    assert_eq!(run(&["-o", "kill", "-n", "ssu1"]).status.code(), Some(1));
    assert_eq!(run(&["--no-such-option"]).status.code(), Some(1));
    assert_eq!(run(&["--help"]).status.code(), Some(0));
    assert_eq!(files.seen().matches("request_id").count(), 2);
}

#[tokio::test]
async fn a_look_never_becomes_a_request() {
    let files = Files::served(DONE);
    for action in LOOKS {
        let ended = files
            .recorder("2", &format!("action={action}\nplug=ssu1"))
            .await;
        let expected = i32::from(action == "status");
        assert_eq!(ended.code, Some(expected), "{action}: {ended:?}");
    }
    assert_eq!(files.seen(), "");
    assert_eq!(files.log("fence-events.log"), "");
}

#[tokio::test]
async fn monitor_makes_the_directories() {
    let files = Files::new();
    for name in ["requests", "responses"] {
        std::fs::remove_dir(files.path(name)).unwrap();
    }
    let ended = files.recorder("2", "action=monitor").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(files.path("requests").is_dir() && files.path("responses").is_dir());
    std::fs::remove_dir(files.path("responses")).unwrap();
    std::fs::write(files.path("responses"), "").unwrap();
    let ended = files.recorder("2", "action=monitor").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("responses"), "{ended:?}");
}

#[tokio::test]
async fn a_directory_for_everybody_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::served(DONE);
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(files.path("responses"), open).unwrap();
    for action in ["monitor", "off"] {
        let ended = files
            .recorder("2", &format!("action={action}\nplug=ssu1"))
            .await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("chmod"), "{ended:?}");
    }
    assert_eq!(files.seen(), "");
}

#[tokio::test]
async fn list_and_status_tell_what_is_published() {
    let files = Files::new();
    let ended = files.recorder("2", "action=list").await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""));
    let ended = files.recorder("2", "action=list\nplug=ssu1").await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "ssu1\n"));
    let now = hax::fence::files::now();
    let publish = |timestamp: &str| {
        let text = format!(
            r#"{{"timestamp":"{timestamp}","nodes":{{"ssu1":"on","ssu2":"off","ssu3":"unknown"}}}}"#
        );
        std::fs::write(files.path("responses/.nodes.json"), text).unwrap();
    };
    publish(&now);
    let ended = files.recorder("2", "action=list").await;
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(0), "ssu1\nssu2\nssu3\n")
    );
    let ended = files.recorder("2", "action=list-status").await;
    assert_eq!(ended.out, "ssu1,,ON\nssu2,,OFF\nssu3,,UNKNOWN\n");
    for (node, code) in [("ssu1", 0), ("ssu2", 2), ("ssu3", 1), ("ssu4", 1)] {
        let ended = files
            .recorder("2", &format!("action=status\nnodename={node}"))
            .await;
        assert_eq!(ended.code, Some(code), "{node}: {ended:?}");
    }
    publish("2025-10-20T14:30:00Z");
    let ended = files.recorder("2", "action=status\nnodename=ssu1").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[tokio::test]
async fn what_is_no_answer_is_no_success() {
    for (from, to) in [
        (r#""success": true"#, r#""success": "false""#),
        (r#""success": true"#, r#""success": "true""#),
        (r#""success": true"#, r#""success": false"#),
        (
            r#""request_id": "ID""#,
            r#""request_id": "550e8400-e29b-41d4-a716-446655440000""#,
        ),
        (r#""target_node": "TARGET""#, r#""target_node": "ssu2""#),
        (
            r#""action_performed": "ACTION""#,
            r#""action_performed": "status""#,
        ),
        (
            r#""action_performed": "ACTION""#,
            r#""action_performed": "on""#,
        ),
        (
            r#""timestamp": "NOW""#,
            r#""timestamp": "2025-10-20T14:30:15Z""#,
        ),
    ] {
        let files = Files::served(&DONE.replace(from, to));
        let ended = files.recorder("30", "action=off\nplug=ssu1").await;
        assert_eq!(ended.code, Some(1), "{to}: {ended:?}");
        let log = files.log("fence-events-readable.log");
        assert!(log.contains("STATUS=failed"), "{to}: {log}");
        assert_eq!(files.requests(), Vec::<String>::new(), "{to}");
    }
}

#[tokio::test]
async fn half_an_answer_is_waited_for_but_never_taken() {
    let files = Files::served(&DONE[..DONE.len() - 20]);
    let ended = files.recorder("1", "action=off\nplug=ssu1").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("no response within 1 s"), "{ended:?}");
}

/// What is put where the response should be, by somebody else or through a link.
#[tokio::test]
async fn a_foreign_or_linked_response_is_not_read() {
    for how in ["symlink", "hard link", "owner", "pipe"] {
        if how == "owner" && !rustix::process::geteuid().is_root() {
            println!("skipped: only root can give a file away");
            continue;
        }
        let files = Files::new();
        let recorder = files.start("2", "action=off\nplug=ssu1").await;
        let name = eventually("the request", async || files.requests().pop()).await;
        let id = hax::fence::files::FileName::id(&name.parse().unwrap()).to_string();
        let answer = DONE
            .replace("ID", &id)
            .replace("ACTION", "off")
            .replace("TARGET", "ssu1")
            .replace("NOW", &hax::fence::files::now());
        let (aside, place) = (files.path("aside"), files.path("responses").join(&name));
        std::fs::write(&aside, &answer).unwrap();
        match how {
            "symlink" => symlink(&aside, &place).unwrap(),
            "hard link" => std::fs::hard_link(&aside, &place).unwrap(),
            "owner" => {
                std::os::unix::fs::chown(&aside, Some(12345), None).unwrap();
                std::fs::rename(&aside, &place).unwrap();
            }
            _ => {
                let made = Command::new("mkfifo").arg(&place).status().unwrap();
                assert!(made.success());
            }
        }
        let ended = ended(recorder).await;
        assert_eq!(ended.code, Some(1), "{how}: {ended:?}");
        assert!(ended.err.contains("does not count yet"), "{how}: {ended:?}");
    }
}

#[tokio::test]
async fn a_request_that_times_out_is_withdrawn() {
    let mut files = Files::new();
    let ended = files.recorder("1", "action=off\nplug=ssu1").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("is withdrawn"), "{ended:?}");
    assert_eq!(names(&files.path("requests")), Vec::<String>::new());
    // A responder that comes later has nothing to do but what is asked then.
    files.serve(DONE);
    let ended = files.recorder("30", "action=on\nplug=ssu2").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!files.seen().contains("ssu1"), "{}", files.seen());
}

#[tokio::test]
async fn a_signal_withdraws_the_request() {
    for signal in ["TERM", "INT"] {
        let files = Files::new();
        let recorder = files.start("60", "action=off\nplug=ssu1").await;
        eventually("the request", async || files.requests().pop()).await;
        let pid = recorder.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
        let ended = ended(recorder).await;
        assert_eq!(ended.code, Some(1), "{signal}: {ended:?}");
        assert!(ended.err.contains("signal"), "{signal}: {ended:?}");
        assert_eq!(names(&files.path("requests")), Vec::<String>::new());
    }
}

/// A responder that has renamed the request first has it, and is told that nobody waits.
#[tokio::test]
async fn a_request_that_was_taken_is_marked_instead() {
    let files = Files::new();
    std::fs::create_dir(files.path("requests/.taken")).unwrap();
    let recorder = files.start("2", "action=off\nplug=ssu1").await;
    let name = eventually("the request", async || files.requests().pop()).await;
    let taken = files.path("requests/.taken").join(&name);
    std::fs::rename(files.path("requests").join(&name), &taken).unwrap();
    let ended = ended(recorder).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("has taken the request"), "{ended:?}");
    let mark = format!(".{name}.cancel");
    assert_eq!(names(&files.path("requests")), [mark, ".taken".to_owned()]);
    assert!(taken.exists());
}

/// KILL is how a fencer ends an agent that takes too long.
#[tokio::test]
async fn a_request_of_a_killed_recorder_is_withdrawn() {
    let files = Files::new();
    let mut killed = files.start("60", "action=off\nplug=ssu1").await;
    eventually("the request", async || files.requests().pop()).await;
    killed.kill().await.unwrap();
    eventually("the withdrawal", async || {
        files.requests().is_empty().then_some(())
    })
    .await;
    let log = async || {
        let log = files.log("fence-events-readable.log");
        log.contains("DETAILS=the agent was killed; the request is withdrawn")
            .then_some(())
    };
    eventually("the entry in the log", log).await;
}

/// What a machine that has crashed leaves is removed by the next recorder of the node, and not what somebody
/// waits for.
#[tokio::test]
async fn an_old_request_is_cleaned_up() {
    let mut files = Files::new();
    let waits = files.start("60", "action=off\nplug=ssu2").await;
    let name = eventually("the request", async || files.requests().pop()).await;
    let whole = std::fs::read_to_string(files.path("requests").join(&name)).unwrap();
    let id = "550e8400-e29b-41d4-a716-446655440000";
    let other: Value = serde_json::from_str(&whole).unwrap();
    let orphan = whole
        .replace("ssu2", "ssu1")
        .replace(other["request_id"].as_str().unwrap(), id);
    std::fs::write(
        files.path("requests").join(format!("ssu1-{id}.json")),
        orphan,
    )
    .unwrap();
    assert_eq!(files.requests().len(), 2);
    for name in files.requests() {
        let file = std::fs::File::options()
            .append(true)
            .open(files.path("requests").join(name));
        let hour = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        file.unwrap().set_modified(hour).unwrap();
    }
    let third = files.recorder("1", "action=off\nplug=ssu3").await;
    assert_eq!(third.code, Some(1));
    let left = files.requests();
    assert!(left.len() == 1 && left[0].starts_with("ssu2-"), "{left:?}");
    files.serve(DONE);
    assert_eq!(ended(waits).await.code, Some(0));
    assert!(!files.seen().contains("ssu1"), "{}", files.seen());
}

#[tokio::test]
async fn bad_input_is_named_and_leaves_nothing() {
    let files = Files::served(DONE);
    for (timeout, lines, word) in [
        ("abc", "action=off\nplug=ssu1", "FENCE_TIMEOUT"),
        ("-3", "action=off\nplug=ssu1", "FENCE_TIMEOUT"),
        ("0", "action=off\nplug=ssu1", "FENCE_TIMEOUT"),
        ("5", "action=off\nplug=../../etc/ssu1", "plug"),
        ("5", "action=off\nplug=a/b", "plug"),
        ("5", "action=off\nplug=a\u{1b}[2Jb", "plug"),
        ("5", "action=off", "no target"),
        ("5", "action=poweroff\nplug=ssu1", "poweroff"),
        ("5", "action=off\nplug=ssu1\nrequest_dir=x/y", "request-dir"),
    ] {
        let ended = files.recorder(timeout, lines).await;
        assert_eq!(ended.code, Some(1), "{lines}: {ended:?}");
        assert!(ended.err.contains(word), "{lines}: {ended:?}");
        assert!(!ended.err.contains('\u{1b}'), "{ended:?}");
    }
    assert_eq!(files.seen(), "");
}

/// What a responder says cannot write lines of its own into the logs.
#[tokio::test]
async fn a_message_is_one_line_of_the_log() {
    let message = r"done\n2025-10-20T14:30:00Z ACTION=off TARGET=x STATUS=completed DETAILS=forged";
    let files = Files::served(&DONE.replace("done by a script", message));
    let ended = files.recorder("30", "action=off\nplug=ssu1").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for name in [
        "fence-events.log",
        "fence-events-readable.log",
        "fence-events-detailed.jsonl",
    ] {
        assert_eq!(files.log(name).lines().count(), 2, "{}", files.log(name));
    }
}

/// Its metadata is what the schema of fence agents allows.
#[test]
fn the_metadata_is_valid() {
    let schema = "/usr/share/cluster/relaxng/metadata.rng";
    // The path of the schema is one, too.
    if !installed(&["xmllint", schema]) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("metadata.xml");
    for action in ["metadata", "meta-data"] {
        let output = Command::new(env!("CARGO_BIN_EXE_fence_recorder"))
            .args(["-o", action])
            .output()
            .unwrap();
        assert!(output.status.success());
        std::fs::write(&file, output.stdout).unwrap();
        let lint = Command::new(find("xmllint").unwrap())
            .args(["--noout", "--relaxng", schema])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&lint.stderr);
        assert!(lint.status.success(), "{said}");
    }
}
