//! What the agent is asked for: on the command line, or on stdin as `key=value`.

use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;

use clap::{ArgAction, Parser};

use super::say;
use crate::fence::files::message::plain;
use crate::fence::model::{Action, NodeName};

/// Bytes of stdin at most.
const STDIN_MAX: u64 = 64 * 1024;

/// Writes fence requests to a directory and waits for their responses.
///
/// Without any option they are read from stdin, as key=value lines. FENCE_TIMEOUT, POLL_INTERVAL and
/// CLEANUP_MAX_AGE in the environment are seconds.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "fence_recorder", version = crate::version::VERSION)]
struct Args {
    /// on, off, reboot, status, list, list-status, monitor, metadata or validate-all [default: reboot]
    #[arg(short = 'o', long, value_name = "ACTION")]
    action: Option<String>,
    /// The node to fence
    #[arg(short = 'n', long, visible_alias = "port", value_name = "NODE")]
    plug: Option<String>,
    /// The node to fence, where no plug is given
    #[arg(short = 'N', long, value_name = "NODE")]
    nodename: Option<String>,
    /// Directory for requests [default: /var/run/fence_recorder/requests]
    #[arg(long, alias = "request_dir", value_name = "DIR")]
    request_dir: Option<PathBuf>,
    /// Directory for responses [default: /var/run/fence_recorder/responses]
    #[arg(long, alias = "response_dir", value_name = "DIR")]
    response_dir: Option<PathBuf>,
    /// Directory for the logs [default: /var/log/cluster]
    #[arg(long, alias = "log_dir", value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Seconds to wait for a response, instead of FENCE_TIMEOUT
    #[arg(long, alias = "fence_timeout", value_name = "SECONDS")]
    fence_timeout: Option<String>,
    /// Say more on stderr
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Say nothing on stderr but errors; it is so anyway
    #[arg(short, long)]
    quiet: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// The only one that becomes a request.
    Fence(Action),
    Status,
    List,
    ListStatus,
    Monitor,
    Metadata,
    ValidateAll,
}

/// What the agent is asked for.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) verb: Verb,
    /// The node that was configured or given as plug.
    pub(super) plug: Option<NodeName>,
    /// The node that the fencer names.
    pub(super) nodename: Option<NodeName>,
    pub(super) request_dir: Option<PathBuf>,
    pub(super) response_dir: Option<PathBuf>,
    pub(super) log_dir: Option<PathBuf>,
    pub(super) fence_timeout: Option<String>,
    pub(super) verbose: bool,
}

/// There is nothing to do.
#[derive(Debug)]
pub(super) enum NoOptions {
    /// Help, version or an error of the command line was printed; the exit code.
    Told(u8),
    /// What is wrong.
    Bad(String),
}

impl Options {
    /// Reads the command line, or stdin where that has no options.
    pub(super) fn read(args: Vec<OsString>) -> Result<Self, NoOptions> {
        let args = if args.len() > 1 {
            Args::try_parse_from(args).map_err(|error| {
                error.print().ok();
                NoOptions::Told(u8::from(error.use_stderr()))
            })?
        } else {
            let mut bytes = Vec::new();
            let read = std::io::stdin().take(STDIN_MAX + 1).read_to_end(&mut bytes);
            read.map_err(|error| NoOptions::Bad(format!("stdin: {error}")))?;
            from_lines(&bytes).map_err(NoOptions::Bad)?
        };
        Self::check(args).map_err(NoOptions::Bad)
    }

    /// Who is to be fenced: the plug, else the node that the fencer names.
    pub(super) fn target(&self) -> Option<&NodeName> {
        self.plug.as_ref().or(self.nodename.as_ref())
    }

    fn check(args: Args) -> Result<Self, String> {
        let verb = match args.action.as_deref() {
            None | Some("reboot") => Verb::Fence(Action::Reboot),
            Some("off") => Verb::Fence(Action::Off),
            Some("on") => Verb::Fence(Action::On),
            Some("status") => Verb::Status,
            Some("list") => Verb::List,
            Some("list-status") => Verb::ListStatus,
            Some("monitor") => Verb::Monitor,
            Some("metadata" | "meta-data") => Verb::Metadata,
            Some("validate-all") => Verb::ValidateAll,
            Some(other) => {
                return Err(format!(
                    "action {other:?} is not known: on, off, reboot, status, list, list-status, monitor, \
                     metadata or validate-all"
                ));
            }
        };
        let options = Self {
            verb,
            plug: node("plug", args.plug)?,
            nodename: node("nodename", args.nodename)?,
            request_dir: args.request_dir,
            response_dir: args.response_dir,
            log_dir: args.log_dir,
            fence_timeout: args.fence_timeout,
            verbose: args.verbose > 0,
        };
        let wants = matches!(verb, Verb::Fence(_) | Verb::Status);
        if wants && options.target().is_none() {
            return Err("no target: give plug or nodename".to_owned());
        }
        Ok(options)
    }
}

fn node(what: &str, text: Option<String>) -> Result<Option<NodeName>, String> {
    let text = text.filter(|text| !text.is_empty());
    let node = text.map(|text| text.parse::<NodeName>()).transpose();
    node.map_err(|error| format!("{what}: {error}"))
}

/// `key=value` lines: the last one of a key counts, `#` begins a line that does not.
fn from_lines(bytes: &[u8]) -> Result<Args, String> {
    if bytes.len() as u64 > STDIN_MAX {
        return Err(format!("stdin has more than {STDIN_MAX} bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "stdin is not UTF-8".to_owned())?;
    let mut args = Args::default();
    let mut unknown = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        let owned = || Some(value.to_owned());
        let path = || Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
        match key.trim().replace('-', "_").as_str() {
            "action" => args.action = owned(),
            "plug" | "port" => args.plug = owned(),
            "nodename" => args.nodename = owned(),
            "request_dir" => args.request_dir = path(),
            "response_dir" => args.response_dir = path(),
            "log_dir" => args.log_dir = path(),
            "fence_timeout" => args.fence_timeout = owned(),
            "verbose" => args.verbose = u8::from(!matches!(value, "0" | "false" | "no" | "off")),
            "quiet" => {}
            _ => unknown.push(plain(key, 64)),
        }
    }
    if args.verbose > 0 && !unknown.is_empty() {
        say(&format!("ignored on stdin: {}", unknown.join(", ")));
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Result<Options, String> {
        from_lines(text.as_bytes()).and_then(Options::check)
    }

    #[test]
    fn lines_are_read_as_agents_read_them() {
        let text = "# a comment\naction=off\n\nplug=n1\nrequest-dir=/a=b\nresponse_dir=/c d#e\n\
                    whatever=1\nplug=n2\nnodename=n3\nverbose=1\n";
        let options = lines(text).unwrap();
        assert_eq!(options.verb, Verb::Fence(Action::Off));
        assert_eq!(options.target().unwrap().as_str(), "n2");
        assert_eq!(options.request_dir, Some(PathBuf::from("/a=b")));
        assert_eq!(options.response_dir, Some(PathBuf::from("/c d#e")));
        assert!(options.verbose);
        let named = lines("action=reboot\nnodename=n3\nplug=\n").unwrap();
        assert_eq!(named.target().unwrap().as_str(), "n3");
        let port = lines("nodename=n3\nport=n4").unwrap();
        assert_eq!(port.verb, Verb::Fence(Action::Reboot));
        assert_eq!(port.target().unwrap().as_str(), "n4");
    }

    #[test]
    fn bad_options_are_named() {
        for (text, word) in [
            ("action=kill\nplug=a", "\"kill\""),
            ("action=off", "no target"),
            ("action=status", "no target"),
            ("action=off\nplug=../a", "plug"),
            ("action=off\nplug=a/b", "plug"),
            ("action=off\nnodename=a b", "nodename"),
        ] {
            let error = lines(text).unwrap_err();
            assert!(error.contains(word), "{text:?}: {error}");
        }
        assert!(from_lines(b"plug=\xff").is_err());
        assert!(from_lines(&vec![b'a'; STDIN_MAX as usize + 1]).is_err());
    }

    #[test]
    fn only_on_off_and_reboot_fence() {
        for action in [
            "status",
            "list",
            "list-status",
            "monitor",
            "metadata",
            "meta-data",
            "validate-all",
        ] {
            let options = lines(&format!("action={action}\nplug=a")).unwrap();
            assert!(!matches!(options.verb, Verb::Fence(_)), "{action}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = from_lines(&bytes).and_then(Options::check);
        }
    }
}
