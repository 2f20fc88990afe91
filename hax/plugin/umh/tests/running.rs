//! What commands are given, and what is taken from them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::super::output::{LINE_MAX, LINES_MAX, Stream};
use super::super::run::{Call, Ending, Report, run};
use super::*;

#[tokio::test]
async fn the_environment_has_what_it_should_and_nothing_of_the_daemons() {
    let dir = TempDir::new().unwrap();
    // What the shell was started with: it may have added to its own since.
    let script = r#"tr '\0' '\n' < /proc/$$/environ > "$1/new"; pwd >> "$1/new"
        if read -r line; then echo input >> "$1/new"; fi; mv "$1/new" "$1/all""#;
    let rule = Rule {
        env: [("TOKEN".to_owned(), "se cret".to_owned())].into(),
        ..rule("tell", dir.path(), script)
    };
    // Else the test shows nothing.
    assert!(std::env::vars_os().count() > 0);
    at_work(
        config(1, 1, vec![rule]),
        async |probe: std::rc::Rc<Probe>| {
            probe.set("0x1:2", "A");
            probe.counted("runs", 1).await;
            assert_eq!(probe.count("failed"), 0);
        },
    )
    .await;
    let all = std::fs::read_to_string(dir.path().join("all")).unwrap();
    let mut lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines.pop(), Some("/"), "working directory: {all}");
    let variables: BTreeMap<_, _> = lines
        .iter()
        .filter_map(|line| line.split_once('='))
        .collect();
    let expected = BTreeMap::from([
        ("PATH", crate::fence::executor::AGENT_PATH),
        ("TOKEN", "se cret"),
        ("HAX_EVENT", "create"),
        ("HAX_OBJECT", "process"),
        ("HAX_LOCAL_NODE", "here"),
        ("HAX_INSTANCE", "tell-all"),
        ("HAX_RULE", "tell"),
        ("HAX_PROCESS", "0x1:2"),
        ("HAX_STATE", "A"),
        ("HAX_NEW_PROCESS", "0x1:2"),
        ("HAX_NEW_STATE", "A"),
    ]);
    assert_eq!(variables, expected);
}

#[tokio::test]
async fn a_command_that_cannot_be_started_changes_nothing_else() {
    let dir = TempDir::new().unwrap();
    let gone = dir.path().join("gone");
    std::fs::copy("/bin/sh", &gone).unwrap();
    let broken = Rule {
        command: Commands::Program(vec![gone.to_str().unwrap().to_owned()]),
        ..rule("broken", dir.path(), "")
    };
    let good = rule("good", dir.path(), r#"echo "$HAX_STATE" >> "$1/states""#);
    let bad = rule("bad", dir.path(), "exit 3");
    let rules = vec![broken, good, bad];
    let shown = at_work(config(1, 8, rules), async |probe: std::rc::Rc<Probe>| {
        std::fs::remove_file(&gone).unwrap();
        probe.set("a", "A");
        probe.set("a", "B");
        probe.counted("runs", 6).await;
    })
    .await;
    assert_eq!(shown["not_started"], 2);
    assert_eq!(shown["failed"], 4);
    assert_eq!(shown["timed_out"], 0);
    let states = std::fs::read_to_string(dir.path().join("states")).unwrap();
    assert_eq!(states, "A\nB\n");
}

async fn output_of(line: &str) -> (Report, Vec<(Stream, String)>) {
    let lines = RefCell::new(Vec::new());
    let log = |stream, line: &str| lines.borrow_mut().push((stream, line.to_owned()));
    let call = Call {
        command: &Commands::Shell(line.to_owned()),
        environment: Vec::new(),
        timeout: PATIENCE,
    };
    let report = run(call, &CancellationToken::new(), &log).await;
    (report, lines.into_inner())
}

#[tokio::test]
async fn output_is_read_to_its_end_and_logged_within_its_bounds() {
    let line = "/usr/bin/yes line | /usr/bin/head -n 30000; echo over >&2; exit 4";
    let (report, lines) = output_of(line).await;
    assert_eq!(report.ending, Ending::Exited(4));
    assert_eq!(lines.len() as u64, LINES_MAX);
    assert_eq!(report.output.logged, LINES_MAX);
    assert_eq!(report.output.left_out, 30_001 - LINES_MAX);
}

#[tokio::test]
async fn a_long_line_is_cut_and_both_streams_are_told_apart() {
    let line = "/usr/bin/head -c 100000 /dev/zero | /usr/bin/tr '\\0' x; printf 'a\\033b' >&2";
    let (report, mut lines) = output_of(line).await;
    lines.sort_by_key(|(stream, _)| stream.word());
    let long = "x".repeat(LINE_MAX);
    let expected = [(Stream::Stderr, "ab".to_owned()), (Stream::Stdout, long)];
    assert_eq!(lines, expected);
    assert_eq!(report.output.cut, 100_000 - LINE_MAX as u64);
}
