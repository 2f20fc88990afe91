//! Debian's `pacemaker-fenced`, alone, with `fence_recorder` as its agent.
//!
//! The fencer looks for agents in `/usr/sbin` only. Here it has one of its own, with nothing but the agent
//! and `stonith_admin` in it, in a private mount namespace: the machine is not changed. Its sockets and
//! shared memory are private in the same way.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use super::responder::{DONE, Files};
use super::served::Served;

const FENCER: &str = "/usr/lib/pacemaker/pacemaker-fenced";
const ADMIN: &str = "/usr/sbin/stonith_admin";

const COROSYNC: &str = "/usr/sbin/corosync";

/// $1: the directory of the test; $2: the agent; $3: what is run when the fencer answers; $4: whether it is
/// one of a cluster.
const SCENE: &str = r#"
set -u
mount -t tmpfs tmpfs /dev/shm || exit 90
cp /usr/sbin/stonith_admin "$1/stonith_admin" || exit 91
if [ "$4" = true ]; then
  ip link set lo up || exit 95
  mount -t tmpfs tmpfs /run || exit 96
  cp /usr/sbin/corosync "$1/corosync" || exit 97
  mkdir "$1/state"
  export HA_cluster_type=corosync
  alone=
  "$1/corosync" -f -c "$1/corosync.conf" > "$1/corosync.out" 2>&1 &
else
  alone=-s
fi
mount -t tmpfs tmpfs /usr/sbin || exit 92
cp "$1/stonith_admin" "$2" /usr/sbin/ || exit 93
start() {
  /usr/lib/pacemaker/pacemaker-fenced $alone -l "$1/fenced.log" > "$1/fenced.out" 2>&1 &
  fencer=$!
}
start "$1"
tries=500
until stonith_admin -L > "$1/ready" 2>&1; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || { cat "$1/fenced.log" "$1/corosync.out"; exit 94; }
  sleep 0.1
  # It ends where corosync does not answer yet.
  kill -0 "$fencer" 2> /dev/null || start "$1"
done
dirs="-o request_dir=$1/requests -o response_dir=$1/responses -o log_dir=$1/log"
eval "$3"
exit 0
"#;

/// A cluster of this node alone.
const CLUSTER: &str = "totem {
  version: 2
  cluster_name: test
  transport: udpu
}
nodelist {
  node {
    ring0_addr: 127.0.0.1
    name: n1
    nodeid: 1
  }
}
quorum {
  provider: corosync_votequorum
}
logging {
  to_stderr: yes
  to_syslog: no
}
system {
  state_dir: ROOT/state
}
";

/// Whether the test can be run here. Where everything has to be tested, it must.
fn is_here() -> bool {
    let missing = if !Path::new(FENCER).exists() || !Path::new(ADMIN).exists() {
        "Pacemaker's pacemaker-fenced and stonith_admin are not installed"
    } else if !rustix::process::geteuid().is_root() {
        "only root can make a mount namespace"
    } else {
        return true;
    };
    skipped(missing)
}

fn skipped(missing: &str) -> bool {
    assert!(std::env::var_os("CI").is_none(), "{missing}");
    println!("skipped: {missing}");
    false
}

/// Runs shell lines beside a fencer that is alone, and so has no history; what they have printed.
async fn beside_fencer(files: &Files, lines: &str) -> String {
    beside(files, lines, false).await
}

/// Runs shell lines beside the fencer of a cluster.
async fn in_cluster(files: &Files, lines: &str) -> String {
    let root = files.root.path().display().to_string();
    std::fs::write(files.path("corosync.conf"), CLUSTER.replace("ROOT", &root)).unwrap();
    beside(files, lines, true).await
}

async fn beside(files: &Files, lines: &str, cluster: bool) -> String {
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
        .arg(cluster.to_string())
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
    // An instance with a plug is for that node, and for no other.
    assert!(out.contains("named\n1 fence device found\ncan=0"), "{out}");
    assert!(out.contains("can=0\n0 fence devices found\n"), "{out}");
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
         stonith_admin -B ssu2 -t 20; echo reboot=$?",
    )
    .await;
    for word in ["level=0", "off=0", "on=0", "reboot=0"] {
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

/// The whole way: the fencer of a cluster, the recorder, hax and its Consul, and a device.
#[tokio::test]
async fn the_fencer_fences_through_hax() {
    if !is_here() {
        return;
    }
    if !Path::new(COROSYNC).exists() {
        skipped("corosync is not installed");
        return;
    }
    let served = Served::start(&["ssu1", "ssu2", "ssu3", "ssu4"]).await;
    let body = json!({ "who": "a test", "reason": "maintenance", "for_ms": 600_000 });
    let url = format!("{}/v1/fence/inhibit/ssu3", served.bridge.url());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.put(url).header("content-type", "application/json");
    let response = request.body(body.to_string()).send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    // The first takes longer than the fencer waits.
    served.agents.behave("pdu.off.once", 0, 3.5);
    let out = in_cluster(
        &served.files,
        "stonith_admin -R rec -a fence_recorder $dirs -o pcmk_off_retries=1 \
           -o pcmk_host_list='ssu1 ssu2 ssu3 ssu4 nobody'
         stonith_admin -F ssu4 -t 2; echo late=$?
         stonith_admin -F ssu1 -t 40; echo off=$?
         stonith_admin -U ssu1 -t 40; echo on=$?
         stonith_admin -B ssu2 -t 40; echo reboot=$?
         stonith_admin -F ssu3 -t 40; echo inhibited=$?
         stonith_admin -F nobody -t 40; echo unknown=$?
         stonith_admin -H '*' -V",
    )
    .await;
    for word in ["off=0", "on=0", "reboot=0"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    for word in ["late=0", "inhibited=0", "unknown=0"] {
        assert!(!out.contains(word), "{word}: {out}");
    }
    for (event, times) in [
        ("of ssu1 successful", 2),
        ("of ssu2 successful", 1),
        ("of ssu3 failed", 1),
        ("of ssu4 failed", 1),
        ("of nobody failed", 1),
    ] {
        assert_eq!(out.matches(event).count(), times, "{event}: {out}");
    }
    assert_eq!(served.runs("ssu1"), ["off", "on"]);
    assert_eq!(served.runs("ssu2"), ["reboot"]);
    assert_eq!(served.runs("ssu3"), Vec::<String>::new());
    // It was under way when nobody waited for it any more, and came to its end once.
    assert_eq!(served.runs("ssu4"), ["off"]);
    assert_eq!(served.files.requests(), Vec::<String>::new());
}
