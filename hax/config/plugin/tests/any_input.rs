//! Any text is read or refused, nothing panics, and no error shows a secret.

use proptest::prelude::*;

use super::parse;

/// Occurs nowhere else.
const SECRET: &str = "s3cretXq";

/// A right snippet, with its secrets.
const RIGHT: &str = "[[umh]]\nconcurrency = 2\n[[umh.process]]\nname = \"tell\"\ncommand = [\"/bin/tell\", \"s3cretXq\"]\n\
                     env = { TOKEN = \"s3cretXq\", OTHER = 'x s3cretXq y' }\nnew.state = \"x\"\n\
                     [[umh.node]]\ncommand = \"tell s3cretXq\"\nshell = true\n[umh.node.env]\nA = \"\"\"\ns3cretXq\n\"\"\"\n";

#[test]
fn secrets_are_not_quoted_by_errors_of_any_kind() {
    parse(RIGHT).unwrap();
    for env in [
        "env = \"s3cretXq\"",
        "env = [\"s3cretXq\"]",
        "env = { T = [\"s3cretXq\"] }",
        "env = { T = \"s3cretXq\\u0000\" }",
        "env = { HAX_T = \"s3cretXq\" }",
        "env = { T = \"s3cretXq }",
        "env = { T = \"s3cretXq\\q\" }",
        "env = { T = \"s3cretXq\" \"s3cretXq\" }",
        "env = { T = \"s3cretXq\", T = \"s3cretXq\" }",
        "env.T = \"s3cretXq\"\nenv.T = \"s3cretXq\"",
        "env = { T = s3cretXq }",
        "envv = { T = \"s3cretXq\" }",
        "old.env = { T = \"s3cretXq\" }",
        "state = { env = \"s3cretXq\" }",
    ] {
        let text = format!("[[umh]]\n[[umh.process]]\ncommand = [\"/x\"]\n{env}\n");
        let report = parse(&text).unwrap_err();
        assert!(!report.contains(SECRET), "{env}: {report}");
    }
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("[[umh]]\n".to_owned()),
        Just("[[umh.process]]\n".to_owned()),
        Just("[[umh.device]]\n".to_owned()),
        Just("[umh.process.env]\n".to_owned()),
        Just("[[prometheus]]\n".to_owned()),
        Just("[[promoter]]\n".to_owned()),
        Just("[promoter.resources.a]\n".to_owned()),
        Just("[[debugger]]\n".to_owned()),
        Just("command = [\"/x\"]\n".to_owned()),
        Just("env = { A = \"s3cretXq\" }\n".to_owned()),
        Just("old.state = { operator = \"Matches\", value = \"(\" }\n".to_owned()),
        Just("events".to_owned()),
        Just(" = ".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("\"".to_owned()),
        Just("\n".to_owned()),
        Just("a-b".to_owned()),
        "\\PC{0,6}",
    ]
}

proptest! {
    #[test]
    fn text_like_a_snippet_never_panics(parts in proptest::collection::vec(words(), 0..40)) {
        if let Err(report) = parse(&parts.concat()) {
            prop_assert!(!report.is_empty());
            prop_assert!(!report.contains(SECRET), "{}", report);
        }
    }

    /// A hand that slips in an editor.
    #[test]
    fn a_right_snippet_with_a_slip_shows_no_secret(
        at in 0..RIGHT.len(), cut in 0..3_usize, insert in "[\\PC\n\"'=\\[\\]{}#\\\\]{0,3}"
    ) {
        let mut text = RIGHT.to_owned();
        text.replace_range(at..(at + cut).min(RIGHT.len()), &insert);
        if let Err(report) = parse(&text) {
            prop_assert!(!report.contains(SECRET), "{}\n{}", text, report);
        }
    }
}
