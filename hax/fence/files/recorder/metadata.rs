//! What the agent says of itself, in the XML of fence agents.

use std::fmt::Write;

/// Name, required, getopt, type, default, description.
type Parameter = (
    &'static str,
    bool,
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
);

const PARAMETERS: [Parameter; 14] = [
    (
        "action",
        true,
        "-o, --action=[action]",
        "string",
        Some("reboot"),
        "What to do",
    ),
    (
        "plug",
        false,
        "-n, --plug=[node]",
        "string",
        None,
        "The node to fence",
    ),
    (
        "nodename",
        false,
        "-N, --nodename=[node]",
        "string",
        None,
        "The node to fence, where no plug is given",
    ),
    (
        "request_dir",
        false,
        "--request-dir=[directory]",
        "string",
        Some("/var/run/fence_recorder/requests"),
        "Directory for requests; absolute",
    ),
    (
        "response_dir",
        false,
        "--response-dir=[directory]",
        "string",
        Some("/var/run/fence_recorder/responses"),
        "Directory for responses; absolute",
    ),
    (
        "log_dir",
        false,
        "--log-dir=[directory]",
        "string",
        Some("/var/log/cluster"),
        "Directory for the logs of events; absolute",
    ),
    (
        "fence_timeout",
        false,
        "--fence-timeout=[seconds]",
        "second",
        None,
        "How long to wait for a response, instead of FENCE_TIMEOUT in the environment or 60 s",
    ),
    // As it is written where attributes of a resource are those of the command line.
    (
        "request-dir",
        false,
        "--request-dir=[directory]",
        "string",
        None,
        "The same as request_dir",
    ),
    (
        "response-dir",
        false,
        "--response-dir=[directory]",
        "string",
        None,
        "The same as response_dir",
    ),
    (
        "log-dir",
        false,
        "--log-dir=[directory]",
        "string",
        None,
        "The same as log_dir",
    ),
    (
        "verbose",
        false,
        "-v, --verbose",
        "boolean",
        None,
        "Say more on stderr",
    ),
    (
        "quiet",
        false,
        "-q, --quiet",
        "boolean",
        None,
        "Say nothing on stderr but errors",
    ),
    (
        "version",
        false,
        "-V, --version",
        "boolean",
        None,
        "Print the version and exit",
    ),
    (
        "help",
        false,
        "-h, --help",
        "boolean",
        None,
        "Print help and exit",
    ),
];

const ACTIONS: [&str; 10] = [
    "<action name=\"on\" automatic=\"0\"/>",
    "<action name=\"off\"/>",
    "<action name=\"reboot\"/>",
    "<action name=\"status\"/>",
    "<action name=\"list\"/>",
    "<action name=\"list-status\"/>",
    "<action name=\"monitor\"/>",
    "<action name=\"metadata\"/>",
    "<action name=\"meta-data\"/>",
    "<action name=\"validate-all\"/>",
];

/// The document.
pub(super) fn xml() -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\"?>\n\
         <resource-agent name=\"fence_recorder\" shortdesc=\"Fencing by request and response files\">\n\
         <longdesc>Writes each request to fence a node into a directory, and waits until a responder has \
         answered it in another one. Only on, off and reboot become requests.</longdesc>\n\
         <vendor-url/>\n<parameters>\n",
    );
    for (name, required, getopt, kind, default, about) in PARAMETERS {
        let required = u8::from(required);
        let default = default.map_or(String::new(), |text| format!(" default=\"{text}\""));
        let _ = writeln!(
            xml,
            "<parameter name=\"{name}\" unique=\"0\" required=\"{required}\">\n\
             \t<getopt mixed=\"{getopt}\"/>\n\
             \t<content type=\"{kind}\"{default}/>\n\
             \t<shortdesc lang=\"en\">{about}</shortdesc>\n\
             </parameter>"
        );
    }
    xml.push_str("</parameters>\n<actions>\n");
    for action in ACTIONS {
        let _ = writeln!(xml, "{action}");
    }
    xml.push_str("</actions>\n</resource-agent>\n");
    xml
}
