//! How runs end that do not end by themselves, and what is left of them.

use super::super::run::{Call, Ending, run};
use super::*;

/// Starts a process that TERM does not end, and which writes its number to the file `child`.
const STUBBORN_CHILD: &str =
    r#"sh -c 'trap "" TERM; echo $$ > "$1/child"; exec sleep 600' sh "$1" &"#;

#[tokio::test]
async fn a_timeout_ends_the_whole_group_also_those_who_ignore_term() {
    let dir = TempDir::new().unwrap();
    // The second dies of TERM itself; its child does not.
    for before in ["trap '' TERM;", ""] {
        let script = format!(r#"{before} {STUBBORN_CHILD} echo $$ > "$1/own"; wait; wait"#);
        let rule = Rule {
            timeout: Duration::from_secs(2),
            ..rule("stubborn", dir.path(), &script)
        };
        let shown = at_work(
            config(1, 1, vec![rule]),
            async |probe: std::rc::Rc<Probe>| {
                probe.set("a", "A");
                probe.counted("runs", 1).await;
            },
        )
        .await;
        assert_eq!(shown["timed_out"], 1);
        assert_eq!(shown["failed"], 0);
        for name in ["own", "child"] {
            let pid = line_of(&dir.path().join(name)).await;
            // KILL was sent; nobody here can wait for a grandchild.
            until(|| !alive(&pid)).await;
        }
    }
}

#[tokio::test]
async fn who_ends_after_term_has_the_time_to_and_is_not_killed() {
    let dir = TempDir::new().unwrap();
    let script = r#"trap 'echo cleaned > "$1/mark"; exit 0' TERM; sleep 600 & wait"#;
    let rule = Rule {
        timeout: Duration::from_secs(1),
        ..rule("tidy", dir.path(), script)
    };
    let call = Call {
        command: &rule.command,
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        timeout: rule.timeout,
    };
    let report = run(call, &CancellationToken::new(), &|_, _| {}).await;
    assert_eq!(report.ending, Ending::TimedOut { killed: false });
    assert_eq!(line_of(&dir.path().join("mark")).await, "cleaned");
}

#[tokio::test]
async fn what_a_command_leaves_in_its_group_is_ended_with_it() {
    let dir = TempDir::new().unwrap();
    let script = format!(r#"{STUBBORN_CHILD} until [ -s "$1/child" ]; do sleep 0.01; done"#);
    let rule = rule("untidy", dir.path(), &script);
    let shown = at_work(
        config(1, 1, vec![rule]),
        async |probe: std::rc::Rc<Probe>| {
            probe.set("a", "A");
            probe.counted("runs", 1).await;
        },
    )
    .await;
    assert_eq!(shown["failed"], 0);
    let pid = line_of(&dir.path().join("child")).await;
    until(|| !alive(&pid)).await;
}

#[tokio::test]
async fn a_stop_ends_what_runs_and_starts_nothing_more() {
    let dir = TempDir::new().unwrap();
    let script = r#"trap 'echo "$HAX_PROCESS" >> "$1/ended"; exit 0' TERM
        echo $$ > "$1/pid"; sleep 600 & wait"#;
    let rules = vec![rule("long", dir.path(), script)];
    let shown = at_work(config(1, 8, rules), async |probe: std::rc::Rc<Probe>| {
        for process in ["a", "b", "c"] {
            probe.set(process, "A");
        }
        line_of(&dir.path().join("pid")).await;
        probe.counted("pending", 2).await;
    })
    .await;
    assert_eq!(shown["stopped"], 1);
    assert_eq!(shown["runs"], 1);
    assert_eq!(shown["dropped"], 2);
    let pid = line_of(&dir.path().join("pid")).await;
    assert!(!alive(&pid));
    assert_eq!(line_of(&dir.path().join("ended")).await, "a");
}

#[tokio::test]
async fn an_instance_that_is_dropped_leaves_no_process() {
    let dir = TempDir::new().unwrap();
    let script = format!(r#"trap '' TERM; {STUBBORN_CHILD} echo $$ > "$1/own"; wait"#);
    let config = config(1, 1, vec![rule("long", dir.path(), &script)]);
    let hub = Hub::default();
    let (context, _probe) = context(&hub, 8, &CancellationToken::new());
    let umh = Box::new(Umh::prepare(config, "here").unwrap());
    let mut running = umh.run(context);
    set(&hub, "a", "A");
    let pids = tokio::select! {
        _ = &mut running => panic!("the instance has ended"),
        pids = async {
            [
                line_of(&dir.path().join("own")).await,
                line_of(&dir.path().join("child")).await,
            ]
        } => pids,
    };
    drop(running);
    for pid in pids {
        until(|| !alive(&pid)).await;
    }
}
