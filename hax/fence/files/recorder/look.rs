//! `status`, `list` and `list-status`: what a responder has published, and what is configured.

use std::fmt::Write;

use super::options::{Options, Verb};
use super::{FAILED, OFF, OK, print, say};
use crate::fence::files::dir::Dir;
use crate::fence::files::nodes::{NodePower, NodesFile};

/// 0 on, 2 off, 1 not known.
pub(super) fn status(responses: &Dir, options: &Options) -> u8 {
    let Some(target) = options.target() else {
        return FAILED;
    };
    let nodes = match NodesFile::read(responses) {
        Ok(file) => file.nodes,
        Err(why) => {
            say(&format!("status of {target} is not known: {why}"));
            return FAILED;
        }
    };
    match nodes.get(target) {
        Some(NodePower::On) => OK,
        Some(NodePower::Off) => OFF,
        Some(NodePower::Unknown) | None => {
            say(&format!("status of {target} is not known to the responder"));
            FAILED
        }
    }
}

/// What can be fenced. An instance with a plug is for that node, whatever there is besides.
pub(super) fn list(responses: &Dir, options: &Options) -> u8 {
    if options.plug.is_some() && options.verb == Verb::List {
        return list_plug(options);
    }
    let nodes = match NodesFile::read(responses) {
        Ok(file) => file.nodes,
        Err(why) => {
            if options.verbose {
                say(&why);
            }
            return list_plug(options);
        }
    };
    let mut text = String::new();
    for (node, power) in &nodes {
        if options.plug.as_ref().is_some_and(|plug| plug != node) {
            continue;
        }
        let _ = match (options.verb, power) {
            (Verb::List, _) => writeln!(text, "{node}"),
            (_, NodePower::On) => writeln!(text, "{node},,ON"),
            (_, NodePower::Off) => writeln!(text, "{node},,OFF"),
            (_, NodePower::Unknown) => writeln!(text, "{node},,UNKNOWN"),
        };
    }
    print(&text)
}

/// The node that is configured, if there is one.
pub(super) fn list_plug(options: &Options) -> u8 {
    let end = match options.verb {
        Verb::ListStatus => ",,UNKNOWN",
        _ => "",
    };
    match &options.plug {
        Some(plug) => print(&format!("{plug}{end}\n")),
        None => OK,
    }
}
