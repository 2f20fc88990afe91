//! What is refused of snippets, and in which words.

use super::{parse, report};
use crate::config::plugin::check_snippet;

/// The report on a rule of processes with these lines, counted from the first of them.
fn rule(lines: &str) -> String {
    let report = report(&format!(
        "[[umh]]\n[[umh.process]]\ncommand = [\"/x\"]\n{lines}\n"
    ));
    let shifted = report.lines().map(|line| {
        let mut parts = line.splitn(4, ':');
        let (_, nr) = (parts.next(), parts.next().unwrap().parse::<i32>().unwrap());
        format!(
            "{}:{}:{}",
            nr - 3,
            parts.next().unwrap(),
            parts.next().unwrap()
        )
    });
    shifted.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_snippet_is_one_table_of_one_kind() {
    let none = "x.toml:1:1: there is no plugin in it; a snippet holds one table: [[debugger]], [[umh]], \
                [[prometheus]] or [[promoter]]";
    for text in ["", "# nothing\n", "umh = []\n"] {
        assert_eq!(report(text), none, "{text}");
    }
    for (text, expected) in [
        (
            "[[debugger]]\n[[debugger]]\n",
            "x.toml:2:1: debugger: a snippet is one instance; move this one into a file of its own",
        ),
        (
            "[[prometheus]]\n[[debugger]]\n",
            "x.toml:2:1: debugger: a snippet is one instance; move this one into a file of its own",
        ),
        (
            "[debugger]\n",
            "x.toml:1:2: debugger: expected tables, [[debugger]], got a table",
        ),
        (
            "[[debuger]]\n",
            "x.toml:1:3: [[debuger]]: unknown section; did you mean debugger?",
        ),
        (
            "[[qqqq]]\n",
            "x.toml:1:3: [[qqqq]]: unknown section; known here: umh, prometheus, debugger, promoter",
        ),
        (
            "[[debugger]]\nlevel = \"info\"\n",
            "x.toml:2:1: debugger.level: unknown key; there are no keys here",
        ),
        (
            "[[umh]]\n",
            "x.toml:1:1: umh: has no rule; write one or more, such as [[umh.process]]",
        ),
    ] {
        assert_eq!(report(text), expected, "{text}");
    }
}

#[test]
fn everything_wrong_with_a_file_is_reported_at_once() {
    assert_eq!(
        report(
            "[[umh]]\nconcurency = 1\npending_max = -1\n[[umh.process]]\nname = \"tell\"\nnew.stat = \"x\"\n\
             [[umh.proces]]\n[[umh.node]]\ncommand = 5\n"
        ),
        "x.toml:2:1: umh.concurency: unknown key; did you mean umh.concurrency?\n\
         x.toml:3:15: umh.pending_max: -1 is out of range, 0 to 65536\n\
         x.toml:4:1: umh.process[tell].command: required, but not given; it is an absolute path, then arguments; \
         with `shell` a line for `/bin/sh -c`\n\
         x.toml:6:5: umh.process[tell].new.stat: unknown key; did you mean umh.process.new.state?\n\
         x.toml:7:7: umh.proces: unknown key; did you mean umh.process?\n\
         x.toml:9:11: umh.node[#1].command: expected an array of strings, or a string, got an integer"
    );
}

#[test]
fn rules_are_answered_with_what_to_write() {
    for (lines, expected) in [
        (
            "name = \"\"",
            "1:8: umh.process[#1].name: is empty; leave the key out for a name by number",
        ),
        (
            "events = []",
            "1:10: umh.process[#1].events: is empty, so that the rule is for nothing; leave the key out for the default",
        ),
        (
            "events = [\"Change\", \"gone\"]",
            "1:11: umh.process[#1].events: \"Change\" is written in lower case: \"change\"\n\
             1:21: umh.process[#1].events: \"gone\" is not one of exists, create, change, destroy",
        ),
        (
            "events = [\"create\"]\nold.state = \"x\"",
            "2:13: umh.process[#1].old.state: never matches: `events` has neither change nor destroy, and others have \
             no old state",
        ),
        (
            "events = [\"destroy\"]\nnew.state = \"x\"",
            "2:13: umh.process[#1].new.state: never matches: `events` has only destroy, which has no new state",
        ),
        (
            "state = { operator = \"Matches\", value = \"(\" }",
            "1:41: umh.process[#1].state: \"(\" is not a regular expression: unclosed group",
        ),
        (
            "state = { operator = \"Is\", value = \"x\" }",
            "1:36: umh.process[#1].state: the operator \"Is\" is not one of Equals, NotEquals, Matches",
        ),
        (
            "state = { operater = \"Equals\" }",
            "1:9: umh.process[#1].state: needs a value: { operator, value }\n\
             1:11: umh.process[#1].state.operater: unknown key; known here: operator, value",
        ),
        (
            "state = 1.5",
            "1:9: umh.process[#1].state: expected a string, a boolean or a whole number, got a float",
        ),
        (
            "old = 1",
            "1:1: umh.process[#1].old: expected a table, [umh.process.old], got an integer",
        ),
        (
            "timeout = \"0s\"",
            "1:11: umh.process[#1].timeout: \"0s\" is out of range, 100ms to 24h",
        ),
        (
            "[[umh.node]]\nname = \"process-1\"\ncommand = [\"/x\"]",
            "1:1: umh.node: there is another rule of the name \"process-1\"",
        ),
        (
            "env = { HAX_X = \"1\", \"a b\" = \"2\", C = 3 }",
            "1:9: umh.process[#1].env.HAX_X: HAX_… and DRBD_… say what has happened; use another name\n\
             1:22: umh.process[#1].env.a b: is not the name of a variable: letters, digits and `_`\n\
             1:35: umh.process[#1].env.C: expected a string, got: integer",
        ),
    ] {
        assert_eq!(rule(lines), expected, "{lines}");
    }
}

#[test]
fn commands_are_lists_unless_the_shell_is_asked_for() {
    let of = |lines: &str| report(&format!("[[umh]]\n[[umh.node]]\n{lines}\n"));
    for (lines, words) in [
        (
            "command = \"/bin/tell s3cret\"",
            "is a string: write a list",
        ),
        ("command = \"tell\"\nshell = false", "add shell = true"),
        (
            "command = [\"/x\"]\nshell = true",
            "is a list, but shell = true",
        ),
        ("command = []", "is empty; an absolute path is wanted"),
        (
            "command = [\"tell\", \"s3cret\"]",
            "does not begin with an absolute path",
        ),
        (
            "command = [\"/x\", \"s3cret\\u0000\"]",
            "has an argument that has a NUL character",
        ),
        ("command = \" \"\nshell = true", "is empty"),
    ] {
        let report = of(lines);
        assert!(
            report.starts_with("x.toml:3:11: umh.node[#1].command: "),
            "{report}"
        );
        assert!(
            report.contains(words) && !report.contains("s3cret"),
            "{report}"
        );
    }
}

#[test]
fn addresses_that_others_reach_must_be_meant() {
    let of = |line: &str| report(&format!("[[prometheus]]\n{line}\n"));
    assert_eq!(
        of("address = \":9942\""),
        "x.toml:2:11: prometheus.address: \":9942\" names no address; write \"127.0.0.1:9942\", or for all addresses \
         \"0.0.0.0:9942\" with allow_remote = true"
    );
    assert_eq!(
        of("address = \"0.0.0.0:9942\""),
        "x.toml:2:11: prometheus.address: \"0.0.0.0:9942\" can be reached by other machines, and there is no \
         authentication; if that is meant, write allow_remote = true"
    );
    assert!(of("address = \"here\"").contains("is not `IP:PORT`"));
}

#[test]
fn instances_have_names_and_snippets_a_size() {
    let of = |name: &str, text: &str| check_snippet(name, text).unwrap_err().to_string();
    assert_eq!(
        of("", "[[debugger]]"),
        ".toml: the name of the instance is empty"
    );
    assert!(of(".a", "[[debugger]]").contains("begins with"));
    let large = "#".repeat(256 * 1024 + 1);
    assert!(of("a", &large).contains("larger than 262144 bytes"));
    assert!(parse(&format!("[[debugger]]\n{}", "#".repeat(1000))).is_ok());
    let many = "[[umh.node]]\ncommand = [\"/x\"]\n".repeat(257);
    assert_eq!(
        of("a", &format!("[[umh]]\n{many}")),
        "a.toml:1:1: umh: an instance has 256 rules at most; use several snippets"
    );
}
