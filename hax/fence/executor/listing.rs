//! What devices list: a target on each line, `port`, or `port` and alias with a separator between.

use crate::fence::model::NodeName;

use super::api::Listed;

/// Targets of one device at most; what comes after them is left out.
const LISTED_MAX: usize = 10_000;

/// Reads a list.
pub(super) fn parse(text: &str) -> Vec<Listed> {
    text.lines().filter_map(line).take(LISTED_MAX).collect()
}

fn line(line: &str) -> Option<Listed> {
    // A comma separates where there is one: a name may have spaces then.
    let line = line.trim();
    let (port, alias) = match line.split_once(',') {
        Some((port, rest)) => (port, rest.split(',').next().unwrap_or_default()),
        None => match line.split_once([' ', '\t']) {
            Some((port, rest)) => (port, rest.split_whitespace().next().unwrap_or_default()),
            None => (line, ""),
        },
    };
    let (port, alias) = (port.trim(), alias.trim());
    (!port.is_empty()).then(|| Listed {
        port: port.to_owned(),
        alias: (!alias.is_empty()).then(|| alias.to_owned()),
    })
}

/// What the device calls a node, as its list has it: the ports that are configured for the node, if all
/// are listed; else the port of its name; else the one port whose alias is its name.
///
/// # Errors
/// Several ports have its name as alias.
pub(super) fn port_of(
    list: &[Listed],
    node: &NodeName,
    configured: Option<&str>,
) -> Result<Option<String>, String> {
    if let Some(ports) = configured {
        let listed = |port: &str| list.iter().any(|listed| listed.port == port);
        let mut all = ports.split(',').map(str::trim);
        return Ok((listed(ports) || all.all(listed)).then(|| ports.to_owned()));
    }
    if let Some(by_port) = list.iter().find(|listed| listed.port == node.as_str()) {
        return Ok(Some(by_port.port.clone()));
    }
    let mut aliases = list
        .iter()
        .filter(|listed| listed.alias.as_deref() == Some(node.as_str()));
    match (aliases.next(), aliases.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => Ok(Some(one.port.clone())),
        (Some(one), Some(other)) => Err(format!(
            "the device lists {node} for {} and for {}: name its ports in `ports`",
            one.port, other.port
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(port: &str, alias: &str) -> Listed {
        Listed {
            port: port.to_owned(),
            alias: (!alias.is_empty()).then(|| alias.to_owned()),
        }
    }

    #[test]
    fn every_separator_is_understood() {
        let text = "1,node1\n2 node2\n3\tnode3\n\n  node4  \nvm 5,uuid-5,ON\n,x\n6,\n";
        assert_eq!(
            parse(text),
            [
                listed("1", "node1"),
                listed("2", "node2"),
                listed("3", "node3"),
                listed("node4", ""),
                listed("vm 5", "uuid-5"),
                listed("6", ""),
            ]
        );
    }

    #[test]
    fn a_node_is_found_by_its_ports_its_name_and_its_alias_in_that_order() {
        let list = [
            listed("1", "a"),
            listed("2", "b"),
            listed("a", "x"),
            listed("7", "twice"),
            listed("8", "twice"),
        ];
        let of = |node: &str, configured| port_of(&list, &node.parse().unwrap(), configured);
        assert_eq!(of("a", None), Ok(Some("a".to_owned())));
        assert_eq!(of("b", None), Ok(Some("2".to_owned())));
        assert_eq!(of("b", Some("1,2")), Ok(Some("1,2".to_owned())));
        assert_eq!(of("b", Some("1,9")), Ok(None));
        assert_eq!(of("c", None), Ok(None));
        assert!(of("twice", None).is_err());
    }
}
