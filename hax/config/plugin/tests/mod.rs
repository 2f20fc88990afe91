//! Tests of reading `[plugins]` and snippets.

mod accepted;
mod any_input;
mod directory;
mod foreign;
mod main_file;
mod reference;
mod refused;

use super::{PluginConfig, check_snippet};

fn parse(text: &str) -> Result<PluginConfig, String> {
    check_snippet("x", text).map_err(|errors| errors.to_string())
}

fn report(text: &str) -> String {
    parse(text).expect_err("an error")
}
