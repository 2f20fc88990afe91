//! Arguments, text and exit codes.

use std::path::PathBuf;

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::ctl::args::Cli;
use crate::fence::PlanReport;
use crate::fence::audit::{AuditFile, Bounds, Event, Hash};
use crate::fence::model::{NodeRecord, Operation};
use crate::http::fence::Status;

const ID: &str = "01900000-0000-7000-8000-000000000001";

fn exits(args: &str) -> i32 {
    let args = ["haxctl", "fence"].into_iter().chain(args.split(' '));
    match Cli::try_parse_from(args) {
        Ok(_) => 0,
        Err(error) => error.exit_code(),
    }
}

#[test]
fn arguments_are_right_or_refused() {
    for good in [
        "status",
        "--json status",
        "devices --json",
        "ping pdu --hax 127.0.0.1:1",
        "targets pdu",
        "plan ssu2",
        "plan ssu2 --action reboot",
        "run ssu2 --reason why",
        "run 0x7200000000000001:0x2@ssu2 --reason why --tolerance 5m --timeout 90s --device pdu",
        "run ssu2 --reason why --no-wait --override --delay 2s --expire 1m",
        "confirm ssu2 --reason why",
        "history",
        "history --target ssu2 --action off --outcome failed --limit 1000",
        "inhibit ssu2 --for 2h --reason why",
        "inhibit --all --end --reason why",
        "release ssu2 --reason why",
        "audit verify a b",
    ] {
        assert_eq!(exits(good), 0, "{good}");
    }
    assert_eq!(exits(&format!("explain {ID}")), 0);
    for bad in [
        "run ssu2",
        "run ../x --reason why",
        "run a/b --reason why",
        "run a?x=1 --reason why",
        "run 0x7300000000000001:0x2@ssu2 --reason why",
        "run ssu2 --reason why --action kill",
        "run ssu2 --reason why --tolerance abc",
        "run ssu2 --reason why --tolerance -3s",
        "run ssu2 --reason why --timeout 5",
        "run ssu2 --reason why --timeout 5s --no-wait",
        "run ssu2 --reason why --device a/b",
        "ping ../x",
        "confirm ssu2",
        "explain 7",
        "cancel x --reason why",
        "history --limit 0",
        "history --limit 1001",
        "history --outcome dead",
        "inhibit --for 1h --reason why",
        "inhibit ssu2 --all --for 1h --reason why",
        "inhibit ssu2 --reason why",
        "inhibit ssu2 --for 1h --end --reason why",
        "audit verify",
        "audit verify a --expect 12",
    ] {
        assert_eq!(exits(bad), 2, "{bad}");
    }
}

fn operation(changes: Value) -> Operation {
    let mut op = json!({
        "id": ID, "target": "ssu2", "action": "off", "driver": "ssu1",
        "origin": { "node": "ssu1", "source": "operator", "who": "root@ssu1", "reason": "its fan burns",
                    "at": 1_700_000_000_000_u64 },
        "options": { "expire_ms": 60_000 },
        "phase": { "phase": "requested" },
    });
    for (key, value) in changes.as_object().unwrap() {
        op[key] = value.clone();
    }
    serde_json::from_value(op).unwrap()
}

fn ended(outcome: Value) -> Operation {
    operation(json!({
        "phase": { "phase": "ended", "outcome": outcome, "detail": "so it is", "at": 1_700_000_009_400_u64 },
    }))
}

fn active() -> Value {
    json!({
        "phase": { "phase": "active" },
        "options": { "expire_ms": 1, "overridden": "root: it burns" },
        "joined": [{ "node": "ssu3", "source": "node-lost", "who": "serfHealth", "reason": "lost", "at": 5 }],
        "plan": { "epoch": 3, "levels": [{ "level": 1, "steps": [
            { "device": "pdu", "action": "off", "group": 0, "required": true, "tries": 2, "delay_ms": 1000,
              "delay_max_ms": 4000, "run_max_ms": 65_000, "on_target": false }] }] },
        "attempts": [
            { "level": 0, "steps": [0], "peer": "ssu3", "verified": false, "state": { "state": "ended",
              "runs": [{ "result": "unreachable", "evidence": "no\u{1b}[31m route", "took_ms": 3100 }] } },
            { "level": 0, "steps": [0], "peer": "ssu1", "verified": true, "state": { "state": "running",
              "session": "s-1", "since": 1_700_000_004_000_u64 } },
        ],
    })
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn an_operation_is_explained() {
    let text = explain::render(&operation(active()), "nothing yet");
    has(
        &text,
        &[
            &format!("operation {ID}: off of ssu2"),
            "asked for  2023-11-14 22:13:20Z at ssu1 by root@ssu1 (operator): its fan burns",
            "joined     1970-01-01 00:00:00Z at ssu3 by serfHealth (node lost): lost",
            "gates      passed, by override of root: it burns",
            "plan       for epoch 3; level 1: off through pdu",
            "ssu3 (not verified)",
            "1 unreachable",
            "3.1 s",
            "running",
            "session s-1",
            "end        it has not ended",
            "means      nothing yet",
        ],
    );
    // What an agent prints is not obeyed by the terminal.
    has(&text, &["no\\u{1b}[31m route"]);
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn what_it_means_depends_on_the_node_as_it_is_now() {
    let fenced = json!({ "epoch": 4, "fenced": { "op": ID, "action": "off", "at": 1 } });
    let fenced: NodeRecord = serde_json::from_value(fenced).unwrap();
    let text = explain::meaning(&ended(json!("succeeded")), Some(&fenced));
    has(
        &text,
        &["FAILED is told", "now ssu2 is fenced, by this, at epoch 4"],
    );
    let back: NodeRecord =
        serde_json::from_value(json!({ "epoch": 4, "quarantined": "thrice" })).unwrap();
    let text = explain::meaning(&ended(json!("succeeded")), Some(&back));
    has(
        &text,
        &[
            "now ssu2 is not fenced, at epoch 4",
            "quarantined (thrice)",
            "haxctl fence release ssu2",
        ],
    );
    let text = explain::meaning(&ended(json!("failed")), None);
    has(
        &text,
        &[
            "it has changed nothing for ssu2",
            "TRANSIENT",
            "ssu2 was never fenced",
        ],
    );
    let text = explain::meaning(&ended(json!("indeterminate")), None);
    has(&text, &["cut off or not", "haxctl fence confirm ssu2"]);
    let text = explain::meaning(&operation(active()), None);
    has(&text, &["nothing is decided"]);
}

#[test]
fn every_end_has_its_exit_code() {
    let code = |outcome| request::failure(&ended(outcome)).map(|failure| failure.code());
    assert_eq!(code(json!("succeeded")), None);
    assert_eq!(code(json!("confirmed")), None);
    assert_eq!(code(json!({ "refused": "inhibited" })), Some(10));
    assert_eq!(code(json!("cancelled")), Some(10));
    assert_eq!(code(json!("expired")), Some(10));
    assert_eq!(code(json!({ "refused": "no-quorum" })), Some(11));
    assert_eq!(code(json!("failed")), Some(12));
    assert_eq!(code(json!("indeterminate")), Some(13));
}

#[test]
fn history_is_a_table() {
    assert_eq!(history::render(&[]), "no operations\n");
    let text = history::render(&[operation(active()), ended(json!({ "refused": "no-peer" }))]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    has(lines[0], &["ASKED FOR", "WHAT", "RESULT", "BY"]);
    has(lines[1], &[ID, "off ssu2", "active", "operator, root@ssu1"]);
    has(
        lines[2],
        &[
            "refused: no peer but the target itself could do it",
            "9.4 s",
        ],
    );
}

#[test]
fn a_plan_tells_how_long_it_can_take() {
    let plan = &active()["plan"];
    let report = json!({
        "target": "ssu2", "action": "off", "plan": plan, "worst_ms": 140_000, "gates": ["a storm"],
        "steps": [{ "level": 1, "device": "pdu", "action": "off", "worst_ms": 140_000,
                    "peers": [["ssu1", true], ["ssu3", false]],
                    "input": [["ipaddr", "10.0.0.1"], ["passwd", "********"]] }],
    });
    let report: PlanReport = serde_json::from_value(report).unwrap();
    has(
        &plan::render(&report),
        &[
            "off of ssu2; nothing was started",
            "gate: a storm",
            "it takes 2 min 20 s at most (140000 ms); epoch 3",
            "level 1\n  off through pdu: 2 tries of 65.0 s at most, after 1.0 s to 5.0 s\n",
            "    from ssu1, ssu3 (not verified); 2 min 20 s at most in all\n",
            "    passwd=********\n",
        ],
    );
}

#[test]
fn the_status_says_what_is_wrong() {
    let status = json!({
        "enabled": true, "node": "ssu1", "session": null,
        "peers": [{ "node": "ssu1", "alive": true, "session": "s", "devices": {
                      "pdu": { "error": "no route" }, "ipmi": { "verified": 5 } } },
                  { "node": "ssu2", "alive": false, "session": null, "watchdog_ms": 15_000 }],
        "nodes": [{ "node": "ssu2", "epoch": 2, "quarantined": "thrice",
                    "fenced": { "op": ID, "action": "off", "at": 1_700_000_000_000_u64 } }],
        "operations": [{ "id": ID, "target": "ssu3", "action": "reboot", "source": "node-lost", "who": "serfHealth",
            "reason": "lost", "since": 5, "driver": "ssu1", "phase": "held", "held": "a storm", "attempts": 0 }],
        "inhibits": [{ "target": "*", "until": 5, "remaining_ms": 0, "who": "root", "reason": "new fans" }],
        "malformed": { "fence/nodes/x": "not JSON" }, "lint": ["no device is for ssu4"],
        "readiness": [{ "node": "ssu2", "age_ms": 7_260_000, "device": "pdu", "peer": "ssu1" },
                      { "node": "ssu3", "age_ms": null, "device": null, "peer": null }],
        "audit": { "seq": 9, "hash": "0".repeat(64) },
    });
    let status: Status = serde_json::from_value(status).unwrap();
    has(
        &status::status(status),
        &[
            "ssu1: session none: this node starts nothing",
            "NOT ALIVE",
            "15.0 s",
            "ipmi pdu?",
            &format!("FENCED by off {ID} at 2023-11-14 22:13:20Z; QUARANTINED: thrice"),
            "reboot ssu3",
            "HELD: a storm",
            "is over",
            "cannot be read: fence/nodes/x: not JSON",
            "doubtful: no device is for ssu4",
            "2 h 1 min ago",
            "NEVER",
            "audit: line 9",
        ],
    );
    assert_eq!(status::devices(&[]), "no devices\n");
}

#[test]
fn who_calls_is_a_plain_word() {
    assert_eq!(who::plain("root\u{1b}[31m@ssu 1\n"), "root31m@ssu1");
    assert_eq!(who::plain(&"x".repeat(500)).len(), 128);
    assert!(who::caller().contains('@'));
}

/// Two files of one chain, and the last hash.
async fn audit_files(dir: &tempfile::TempDir) -> (Vec<PathBuf>, Hash) {
    let path = dir.path().join("audit.jsonl");
    let bounds = Bounds {
        file: 1500,
        earlier: 3,
    };
    let node = "ssu1".parse().unwrap();
    let (mut file, _) = AuditFile::open(&path, node, bounds).await.unwrap();
    for n in 0..10 {
        let target = format!("ssu{n}");
        file.append(Event::Uninhibited { target }).await.unwrap();
    }
    let names = std::fs::read_dir(dir.path()).unwrap();
    let mut files: Vec<PathBuf> = names.map(|name| name.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 2);
    (files, file.head().hash)
}

#[tokio::test]
async fn audit_files_are_checked_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (files, hash) = audit_files(&dir).await;
    // As the shell sorts them, the newest comes first.
    let done = audit::verify(&files, None, false).unwrap();
    has(
        &done.text,
        &[
            "12 lines, 1 to 12",
            "--expect HASH",
            &format!("last hash: {hash}"),
        ],
    );
    let done = audit::verify(&files, Some(hash), true).unwrap();
    let report: Value = serde_json::from_str(&done.text).unwrap();
    assert_eq!(report["hash"], hash.to_string());
    assert_eq!(report["expected"], 12);
    // The newest alone has no beginning.
    let done = audit::verify(&files[..1], None, false).unwrap();
    has(
        &done.text,
        &["what was before the first one is not in these files"],
    );
}

#[tokio::test]
async fn a_broken_audit_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let (files, hash) = audit_files(&dir).await;
    let fails = |expect| {
        let failure = audit::verify(&files, expect, false).unwrap_err();
        assert_eq!(failure.code(), 15);
        failure.to_string()
    };
    let newest = std::fs::read_to_string(&files[0]).unwrap();
    // The tail is removed: a whole chain, but for the hash that was noted.
    let end = newest.trim_end().rfind('\n').unwrap() + 1;
    std::fs::write(&files[0], &newest[..end]).unwrap();
    audit::verify(&files, None, false).unwrap();
    has(&fails(Some(hash)), &["no line has the hash"]);
    // A line of the earlier file is changed.
    std::fs::write(&files[0], &newest).unwrap();
    let earlier = std::fs::read_to_string(&files[1]).unwrap();
    std::fs::write(&files[1], earlier.replace("ssu1\",\"prev", "ssu9\",\"prev")).unwrap();
    has(&fails(None), &[&format!("{}:2: ", files[1].display())]);
    std::fs::write(&files[1], "").unwrap();
    audit::verify(&files, None, false).unwrap();
    std::fs::write(&files[1], "half").unwrap();
    has(&fails(None), &["is incomplete"]);
    let none = dir.path().join("none");
    assert_eq!(audit::verify(&[none], None, false).unwrap_err().code(), 66);
}
