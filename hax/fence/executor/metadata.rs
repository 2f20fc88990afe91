//! What a fence agent says of itself with `action=metadata`.

use roxmltree::{Document, Node, ParsingOptions};

/// Bytes of it at most.
pub(super) const METADATA_MAX: usize = 1 << 20;

/// Elements and texts of it at most.
const NODES_MAX: u32 = 50_000;

/// An agent's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Metadata {
    pub(super) parameters: Vec<Parameter>,
    pub(super) actions: Vec<AgentAction>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) deprecated: bool,
    pub(super) has_default: bool,
    /// The deprecated name that it is the successor of.
    pub(super) obsoletes: Option<String>,
    pub(super) content: Content,
}

/// What a parameter holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Boolean,
    Integer,
    Seconds,
    /// One of these.
    Select(Vec<String>),
}

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentAction {
    pub(super) name: String,
    pub(super) on_target: bool,
    pub(super) automatic: bool,
}

impl Metadata {
    /// Reads it. Document types and entities are refused.
    ///
    /// # Errors
    /// It is not XML, not of a fence agent, or too large.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let options = ParsingOptions {
            allow_dtd: false,
            nodes_limit: NODES_MAX,
            ..ParsingOptions::default()
        };
        let document = Document::parse_with_options(text.trim_start(), options)
            .map_err(|error| format!("its metadata is not XML: {error}"))?;
        let root = document.root_element();
        if !root.has_tag_name("resource-agent") {
            let name = root.tag_name().name();
            return Err(format!(
                "its metadata begins with <{name}>, not <resource-agent>"
            ));
        }
        let metadata = Self {
            parameters: children(root, "parameters", "parameter")
                .filter_map(parameter)
                .collect(),
            actions: children(root, "actions", "action")
                .filter_map(action)
                .collect(),
        };
        if metadata.actions.is_empty() {
            return Err("its metadata names no action".to_owned());
        }
        Ok(metadata)
    }

    /// A parameter by its name.
    pub(super) fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|known| known.name == name)
    }

    /// An action by its name.
    pub(super) fn action(&self, name: &str) -> Option<&AgentAction> {
        self.actions.iter().find(|known| known.name == name)
    }

    /// The parameter that takes the port.
    pub(super) fn port(&self) -> Option<&str> {
        let names = ["plug", "port"].iter();
        names.copied().find(|name| self.parameter(name).is_some())
    }
}

fn children<'a, 'i>(
    root: Node<'a, 'i>,
    list: &'static str,
    each: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    let lists = root.children().filter(move |node| node.has_tag_name(list));
    lists
        .flat_map(|list| list.children())
        .filter(move |node| node.has_tag_name(each))
}

fn parameter(node: Node<'_, '_>) -> Option<Parameter> {
    let content = node.children().find(|node| node.has_tag_name("content"));
    Some(Parameter {
        name: node.attribute("name")?.to_owned(),
        required: is_true(node, "required"),
        deprecated: is_true(node, "deprecated"),
        has_default: content.is_some_and(|content| content.has_attribute("default")),
        obsoletes: node.attribute("obsoletes").map(str::to_owned),
        content: content.map_or(Content::Text, content_of),
    })
}

fn content_of(content: Node<'_, '_>) -> Content {
    match content.attribute("type") {
        Some("boolean") => Content::Boolean,
        Some("integer") => Content::Integer,
        Some("second") => Content::Seconds,
        Some("select") => {
            let options = content
                .children()
                .filter(|node| node.has_tag_name("option"));
            let values = options.filter_map(|node| node.attribute("value").map(str::to_owned));
            Content::Select(values.collect())
        }
        _ => Content::Text,
    }
}

fn action(node: Node<'_, '_>) -> Option<AgentAction> {
    Some(AgentAction {
        name: node.attribute("name")?.to_owned(),
        on_target: is_true(node, "on_target"),
        automatic: is_true(node, "automatic"),
    })
}

fn is_true(node: Node<'_, '_>, attribute: &str) -> bool {
    matches!(node.attribute(attribute), Some("1" | "true" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"<?xml version="1.0"?>
        <resource-agent name="fence_x">
          <parameters>
            <parameter name="ip" required="1" obsoletes="ipaddr"><content type="string"/></parameter>
            <parameter name="ipaddr" required="1" deprecated="1"/>
            <parameter name="plug" required="1"/><parameter name="port" deprecated="1"/>
            <parameter name="method"><content type="select" default="onoff">
              <option value="onoff"/><option value="cycle"/></content></parameter>
            <parameter name="delay"><content type="second" default="0"/></parameter>
          </parameters>
          <actions><action name="on" automatic="1" on_target="1"/><action name="off"/></actions>
        </resource-agent>"#;

    #[test]
    fn parameters_and_actions_are_those_of_the_agent() {
        let metadata = Metadata::parse(SMALL).unwrap();
        assert_eq!(metadata.port(), Some("plug"));
        let method = metadata.parameter("method").unwrap();
        assert!(method.has_default && !method.required);
        let options = ["onoff", "cycle"].map(str::to_owned).to_vec();
        assert_eq!(method.content, Content::Select(options));
        let ip = metadata.parameter("ip").unwrap();
        assert_eq!(ip.obsoletes.as_deref(), Some("ipaddr"));
        assert!(metadata.parameter("ipaddr").unwrap().deprecated);
        let on = metadata.action("on").unwrap();
        assert!(on.automatic && on.on_target);
        assert!(!metadata.action("off").unwrap().automatic);
        assert_eq!(metadata.action("list"), None);
    }

    #[test]
    fn what_is_no_metadata_is_refused() {
        let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><resource-agent>&b;
            <actions><action name="off"/></actions></resource-agent>"#;
        let external = r#"<!DOCTYPE x SYSTEM "file:///etc/passwd"><resource-agent/>"#;
        let many = format!("<resource-agent>{}</resource-agent>", "<a/>".repeat(60_000));
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        let none = "<resource-agent><actions/></resource-agent>";
        for bad in [
            "", "usage: x", "<html/>", "<a", bomb, external, &many, &deep, none,
        ] {
            let start: String = bad.chars().take(40).collect();
            assert!(Metadata::parse(bad).is_err(), "{start}");
        }
    }
}
