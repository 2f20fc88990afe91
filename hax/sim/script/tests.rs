use proptest::prelude::*;

use super::values::timeout;
use super::*;

fn error(text: &str) -> (usize, usize, String) {
    let error = parse(text).unwrap_err();
    (error.line, error.column, error.reason)
}

#[test]
fn errors_name_line_and_column() {
    let cases = [
        ("entrypoint\n  evnt x", 2, 3, "\"evnt\" is no command"),
        ("event GOING", 1, 7, "\"GOING\" is no process event"),
        ("event", 1, 6, "process event is missing"),
        ("event STARTED M0D 7200", 1, 19, "\"7200\" is no fid"),
        ("nvec-set 0x1:0x1", 1, 10, "\"0x1:0x1\" is no FID=STATE"),
        (
            "nvec-set 0x1:0x1=1 0x1:0x1=up",
            1,
            20,
            "\"0x1:0x1=up\" is no FID=STATE",
        ),
        ("stop now", 1, 6, "\"now\" is too much"),
        ("wait 0x1:0x1=failed soon", 1, 21, "\"soon\" is no timeout"),
        (
            "nvec-get-range 0x1:0x1 1025",
            1,
            24,
            "\"1025\" is no count from 1 to 1024",
        ),
        ("async sleep 3", 1, 7, "\"sleep\" waits for nothing"),
        ("async", 1, 6, "command is missing"),
        ("raw 0g", 1, 5, "\"0g\" is no run of hexadecimal bytes"),
        ("raw 123", 1, 5, "\"123\" is no run of hexadecimal bytes"),
        ("stall maybe", 1, 7, "\"maybe\" is no `on` or `off`"),
        ("exit 256", 1, 6, "\"256\" is no exit code"),
        ("event ÄÖ # x", 1, 7, "\"ÄÖ\" is no process event"),
        ("event STARTED ÄÖ x", 1, 15, "\"ÄÖ\" is no process type"),
    ];
    for (text, line, column, reason) in cases {
        assert_eq!(error(text), (line, column, reason.to_owned()), "{text}");
    }
    let many = format!("nvec-get{}", " 1:1".repeat(1025));
    assert_eq!(error(&many), (1, 10 + 4 * 1024, "more than 1024".into()));
    assert_eq!(error(&"x".repeat(LINE_MAX + 1)).1, 1);
}

#[test]
fn comments_and_empty_lines_are_nothing() {
    let steps = parse("\n# stop\n  stop # now\n\t\nraw 48 41 584c").unwrap();
    let want = [
        Step {
            line: 3,
            command: Command::Stop,
        },
        Step {
            line: 5,
            command: Command::Raw(b"HAXL".to_vec()),
        },
    ];
    assert_eq!(steps, want);
}

#[test]
fn timeouts_have_units() {
    for (text, ms) in [("2", 2_000), ("2s", 2_000), ("15ms", 15), ("0", 0)] {
        assert_eq!(timeout(text), Some(Duration::from_millis(ms)), "{text}");
    }
    for text in [
        "",
        "s",
        "ms",
        "-1",
        "1m",
        "99999999999999999999",
        "99999999999",
    ] {
        assert_eq!(timeout(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_parses_or_errs(text in ".{0,60}", words in "[a-z=:0-9 -]{0,40}") {
        let _ = parse(&text);
        for name in ["event", "wait", "raw", "nvec-set", "async", "expect-entrypoint"] {
            let _ = parse(&format!("{name} {words}"));
        }
    }
}
