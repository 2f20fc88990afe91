//! A BMC without hardware: `ipmi_sim`.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::installed::{find, installed, script};
use crate::common::consul::free_ports;
use crate::common::eventually;

/// A BMC, whose machine is on. It ends with this value.
pub(crate) struct Bmc {
    child: Child,
    pub(crate) port: u16,
    directory: TempDir,
}

impl Bmc {
    /// Starts one with a user `admin`; none: a program is not installed.
    pub(crate) async fn start(password: &str) -> Option<Self> {
        if !installed(&["ipmi_sim", "ipmitool", "fence_ipmilan"]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let [port] = free_ports();
        std::fs::write(path("power"), "1").unwrap();
        script(
            &path("chassis"),
            "#!/bin/sh\nfile=${0%/*}/power\ncase \"$2 $3\" in\n\
             'get power') echo \"power:$(cat \"$file\")\" ;;\n\
             'set power') echo \"$4\" > \"$file\" ;;\nesac\n",
        );
        let auths = ["callback", "user", "operator", "admin"];
        let auths = auths.map(|who| format!("allowed_auths_{who} none md2 md5 straight\n"));
        let config = format!(
            "name \"bmc\"\nset_working_mc 0x20\nstartlan 1\naddr 127.0.0.1 {port}\n\
             priv_limit admin\n{}guid a123456789abcdefa123456789abcdef\nendlan\n\
             chassis_control \"{} 0x20\"\n\
             user 2 true \"admin\" \"{password}\" admin 10 none md2 md5 straight\n",
            auths.concat(),
            path("chassis").display(),
        );
        std::fs::write(path("lan.conf"), config).unwrap();
        let commands = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\n\
                        sel_enable 0x20 1000 0x0a\nmc_enable 0x20\n";
        std::fs::write(path("commands"), commands).unwrap();
        std::fs::create_dir(path("state")).unwrap();
        let child = Command::new(find("ipmi_sim").unwrap())
            .arg("-c")
            .arg(path("lan.conf"))
            .arg("-f")
            .arg(path("commands"))
            .arg("-s")
            .arg(path("state"))
            .arg("-n")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bmc = Self {
            child,
            port,
            directory,
        };
        eventually("ipmi_sim has its port", async || {
            UdpSocket::bind(("127.0.0.1", port)).err()
        })
        .await;
        Some(bmc)
    }

    /// Whether the machine is on.
    pub(crate) fn is_on(&self) -> bool {
        std::fs::read_to_string(self.path("power")).unwrap().trim() == "1"
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Bmc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
