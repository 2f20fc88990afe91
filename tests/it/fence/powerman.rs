//! A power controller without hardware: `powermand`, with the virtual controller that comes with it.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::installed::{find, installed};
use super::wrapped::Wrapped;
use crate::common::consul::free_ports;
use crate::common::eventually;

/// A controller with a plug for each node, all off, and an agent for it. It ends with this value.
#[derive(Debug)]
pub(crate) struct Powerman {
    child: Child,
    port: u16,
    agent: Wrapped,
    _directory: TempDir,
}

impl Powerman {
    /// Starts a controller for up to 16 nodes; none: powerman or fence-agents are not installed.
    pub(crate) async fn start(nodes: &[&str]) -> Option<Self> {
        if !installed(&["powermand", "vpcd", "powerman", "fence_powerman"]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let [port] = free_ports();
        let plugs = nodes.iter().enumerate();
        let plugs = plugs.map(|(plug, node)| format!("node \"{node}\" \"vpc\" \"{plug}\"\n"));
        let config = format!(
            "include \"/etc/powerman/vpc.dev\"\nlisten \"127.0.0.1:{port}\"\n\
             device \"vpc\" \"vpc\" \"{} |&\"\n{}",
            find("vpcd").unwrap().display(),
            plugs.collect::<String>(),
        );
        let file = directory.path().join("powerman.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new(find("powermand").unwrap())
            .args(["--foreground", "--conf"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Wrapped::new(directory.path(), &find("fence_powerman").unwrap(), "");
        let powerman = Self {
            child,
            port,
            agent,
            _directory: directory,
        };
        eventually("powermand listens", async || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Some(powerman)
    }

    /// The same, with all nodes switched on.
    pub(crate) async fn start_on(nodes: &[&str]) -> Option<Self> {
        let powerman = Self::start(nodes).await?;
        for node in nodes {
            powerman.switch("--on", node);
        }
        Some(powerman)
    }

    /// The agent, which keeps a log.
    pub(crate) fn agent(&self) -> &Wrapped {
        &self.agent
    }

    /// What `agent` of a device is set to.
    pub(crate) fn program(&self) -> &Path {
        self.agent.program()
    }

    /// What `parameters` of a device are set to. The agent does not wait, as nothing here takes time.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        [
            ("ip", "127.0.0.1".to_owned()),
            ("ipport", self.port.to_string()),
            ("delay", "0".to_owned()),
            ("power_wait", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Whether a node is on, as the controller says.
    pub(crate) fn is_on(&self, node: &str) -> bool {
        let says = self.switch("--query", node);
        let of = |state: &str| {
            let line = says.lines().find_map(|line| line.strip_prefix(state));
            line.is_some_and(|nodes| nodes.trim() == node)
        };
        match (of("on:"), of("off:")) {
            (true, false) => true,
            (false, true) => false,
            _ => panic!("the controller does not know {node}: {says}"),
        }
    }

    /// Ends the controller: the device can no longer be reached.
    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Switches without the agent: an operator at the controller.
    pub(crate) fn switch(&self, option: &str, node: &str) -> String {
        let output = Command::new(find("powerman").unwrap())
            .args(["--server-host", &format!("127.0.0.1:{}", self.port)])
            .args([option, node])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Powerman {
    fn drop(&mut self) {
        // Its coprocess has a terminal of powermand's, which ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
