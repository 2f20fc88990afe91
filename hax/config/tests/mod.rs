//! Tests of reading the configuration.

mod accepted;
mod any_input;
mod file;
mod reference;
mod report;
mod values;

use super::Config;

pub(super) const MINIMAL: &str = "\
[node]
name = \"ssu1\"
[ha]
endpoint = \"inet:tcp:192.168.0.1@22001\"
process = \"0x7200000000000001:0x0\"
ha_service = \"0x7300000000000001:0x1\"
rm_service = \"<7300000000000001:2>\"
";

fn parse(text: &str) -> Result<Config, String> {
    Config::from_toml("hax.toml", text).map_err(|errors| errors.to_string())
}

/// The report on the minimal file with these lines after it.
fn report(lines: &str) -> String {
    parse(&format!("{MINIMAL}{lines}")).expect_err("an error")
}
