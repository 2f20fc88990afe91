//! Debian's `pacemaker-fenced`, alone, with `fence_recorder` as its agent.
//!
//! The fencer looks for agents in `/usr/sbin` only. Here it has one of its own, with nothing but the agent
//! and `stonith_admin` in it, in a private mount namespace: the machine is not changed. Its sockets and
//! shared memory are private in the same way.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::responder::{DONE, Files};

const FENCER: &str = "/usr/lib/pacemaker/pacemaker-fenced";
const ADMIN: &str = "/usr/sbin/stonith_admin";

/// $1: the directory of the test; $2: the agent; $3: what is run when the fencer answers.
const SCENE: &str = r#"
set -u
mount -t tmpfs tmpfs /dev/shm || exit 90
cp /usr/sbin/stonith_admin "$1/stonith_admin" || exit 91
mount -t tmpfs tmpfs /usr/sbin || exit 92
cp "$1/stonith_admin" "$2" /usr/sbin/ || exit 93
/usr/lib/pacemaker/pacemaker-fenced -s -l "$1/fenced.log" > "$1/fenced.out" 2>&1 &
fencer=$!
tries=300
until stonith_admin -L > "$1/ready" 2>&1; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { cat "$1/fenced.log"; exit 94; }
  sleep 0.1
done
dirs="-o request_dir=$1/requests -o response_dir=$1/responses -o log_dir=$1/log"
eval "$3"
kill "$fencer"
wait "$fencer"
exit 0
"#;

/// Whether the test can be run here. Where everything has to be tested, it must.
fn is_here() -> bool {
    let missing = if !Path::new(FENCER).exists() || !Path::new(ADMIN).exists() {
        "Pacemaker's pacemaker-fenced and stonith_admin are not installed"
    } else if !rustix::process::geteuid().is_root() {
        "only root can make a mount namespace"
    } else {
        return true;
    };
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    println!("skipped: {missing}");
    false
}

/// Runs shell lines beside a fencer; what they have printed.
async fn beside_fencer(files: &Files, lines: &str) -> String {
    let scene = Command::new("unshare")
        .args([
            "--mount",
            "--ipc",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(["sh", "-c", SCENE, "scene"])
        .arg(files.root.path())
        .arg(env!("CARGO_BIN_EXE_fence_recorder"))
        .arg(lines)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(120), scene).await;
    let output = output.expect("the fencer has not ended").unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {out}\n{err}", output.status);
    format!("{out}{err}")
}

#[tokio::test]
async fn the_fencer_knows_the_agent() {
    if !is_here() {
        return;
    }
    let files = Files::new();
    let out = beside_fencer(
        &files,
        "stonith_admin -M -a fence_recorder; echo metadata=$?
         stonith_admin -K -a fence_recorder $dirs; echo valid=$?
         stonith_admin -I | grep recorder; echo installed=$?
         stonith_admin -R named -a fence_recorder $dirs -o plug=ssu7; echo registered=$?
         stonith_admin -l ssu7; echo can=$?
         stonith_admin -l ssu8; echo cannot=$?
         stonith_admin -Q named; echo monitored=$?",
    )
    .await;
    for word in [
        "<resource-agent name=\"fence_recorder\"",
        "metadata=0",
        "Validation of fence_recorder succeeded",
        "valid=0",
        "installed=0",
        "registered=0",
        "can=0",
        "monitored=0",
    ] {
        assert!(out.contains(word), "{word}: {out}");
    }
    // An instance with a plug lists that node, and no other.
    let cannot = out.split("can=0").nth(1).unwrap();
    assert!(
        !cannot.contains("named\n") || cannot.contains("cannot=19"),
        "{out}"
    );
    assert_eq!(files.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn the_fencer_fences_through_files() {
    if !is_here() {
        return;
    }
    let files = Files::served(DONE);
    let out = beside_fencer(
        &files,
        "stonith_admin -R rec -a fence_recorder $dirs -o pcmk_host_list='ssu1 ssu2'
         stonith_admin -r ssu2 -i 1 -v rec; echo level=$?
         stonith_admin -F ssu1 -t 20; echo off=$?
         stonith_admin -U ssu1 -t 20; echo on=$?
         stonith_admin -B ssu2 -t 20; echo reboot=$?
         stonith_admin -H '*' -V; echo history=$?",
    )
    .await;
    for word in ["level=0", "off=0", "on=0", "reboot=0", "history=0"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    let log = files.log("fence-events-readable.log");
    for line in [
        "ACTION=off TARGET=ssu1 STATUS=completed",
        "ACTION=on TARGET=ssu1 STATUS=completed",
        "ACTION=reboot TARGET=ssu2 STATUS=completed",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert_eq!(files.seen().matches("request_id").count(), 3);
}

#[tokio::test]
async fn a_fence_that_is_refused_or_not_answered_fails() {
    if !is_here() {
        return;
    }
    let no = DONE.replace(r#""success": true"#, r#""success": false"#);
    let mut files = Files::served(&no);
    let register = "stonith_admin -R rec -a fence_recorder $dirs -o pcmk_host_list=ssu1 \
                    -o pcmk_off_retries=1\n";
    let fence = format!("{register} stonith_admin -F ssu1 -t 10; echo off=$?");
    let out = beside_fencer(&files, &fence).await;
    assert!(out.contains("off=") && !out.contains("off=0"), "{out}");
    // Nobody answers: the fencer kills the agent, and nothing is left that could fire later.
    files = Files::new();
    let fence = format!(
        "{register} stonith_admin -F ssu1 -t 2; echo off=$?
        until grep -q STATUS=failed $1/log/fence-events-readable.log; do sleep 0.1; done"
    );
    let out = beside_fencer(&files, &fence).await;
    assert!(out.contains("off=") && !out.contains("off=0"), "{out}");
    let log = files.log("fence-events-readable.log");
    assert!(
        log.contains("STATUS=failed DETAILS=the agent was killed"),
        "{log}"
    );
    assert_eq!(files.requests(), Vec::<String>::new());
}
