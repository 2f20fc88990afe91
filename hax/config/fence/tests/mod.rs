//! Tests of reading `[fence]`.

mod accepted;
mod refused;
mod refused_devices;

use crate::config::tests::MINIMAL;
use crate::config::{Config, fence::FenceConfig};

/// An agent for two nodes, the lines that most tests begin with.
const APC: &str = "\
[[fence.device]]
name = \"apc\"
type = \"agent\"
agent = \"fence_apc\"
ports = { ssu1 = 1, ssu2 = \"2\" }
";

fn parse(lines: &str) -> Result<FenceConfig, String> {
    let text = format!("{MINIMAL}[fence]\nenabled = true\n{lines}");
    let config = Config::from_toml("hax.toml", &text).map_err(|errors| errors.to_string())?;
    Ok(config.fence.expect("enabled"))
}

/// The report on these lines, without the name of the file, lines counted from the first of them.
fn report(lines: &str) -> String {
    let before = MINIMAL.lines().count() + 2;
    let shift = |line: &str| {
        let mut parts = line.splitn(4, ':');
        let (_, nr) = (parts.next(), parts.next()?.parse::<usize>().ok()?);
        let (column, rest) = (parts.next()?, parts.next()?);
        Some(format!("{}:{column}:{rest}", nr - before))
    };
    let report = parse(lines).expect_err("an error");
    let lines: Vec<_> = report
        .lines()
        .map(|line| shift(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    lines.join("\n")
}
