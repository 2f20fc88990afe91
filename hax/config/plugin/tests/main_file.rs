//! `[plugins]` of the main file.

use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::config::plugin::PluginsConfig;
use crate::config::tests::MINIMAL;

fn parse(lines: &str) -> Result<Option<PluginsConfig>, String> {
    let config = Config::from_toml("hax.toml", &format!("{MINIMAL}{lines}"));
    config
        .map(|config| config.plugins)
        .map_err(|errors| errors.to_string())
}

#[test]
fn without_a_directory_there_are_no_plugins() {
    assert_eq!(parse("").unwrap(), None);
    assert_eq!(parse("[plugins]\nwatch = true\n").unwrap(), None);
    let wrong = parse("[plugins]\nqueue_max = 1\n[plugins.drbd]\ndrbdsetup = \"x\"\n").unwrap_err();
    assert_eq!(
        wrong,
        "hax.toml:9:13: plugins.queue_max: 1 is out of range, 16 to 1048576\n\
         hax.toml:11:13: plugins.drbd.drbdsetup: \"x\" is not an absolute path"
    );
}

#[test]
fn defaults_and_every_key() {
    let plugins = parse("[plugins]\nsnippets = \"/etc/hax.d\"\n")
        .unwrap()
        .unwrap();
    assert_eq!(plugins.snippets, Path::new("/etc/hax.d"));
    assert!(!plugins.watch && plugins.drbd.is_none());
    assert_eq!(plugins.runtime_dir, Path::new("/run/hax"));
    assert_eq!(plugins.queue_max.get(), 4096);
    assert_eq!(plugins.start_timeout, Duration::from_secs(30));
    assert_eq!(plugins.stop_timeout, Duration::from_secs(10));
    let plugins = parse(
        "[plugins]\nsnippets = \"/s\"\nwatch = true\nruntime_dir = \"/r\"\nqueue_max = 16\n\
         start_timeout = \"1s\"\nstop_timeout = \"2s\"\n\
         [plugins.drbd]\nenabled = true\ndrbdsetup = \"/d\"\nstatistics_interval = \"0s\"\n",
    );
    let plugins = plugins.unwrap().unwrap();
    assert!(plugins.watch);
    assert_eq!(plugins.queue_max.get(), 16);
    let drbd = plugins.drbd.unwrap();
    assert_eq!(drbd.drbdsetup, Path::new("/d"));
    assert_eq!(drbd.statistics_interval, Duration::ZERO);
}

#[test]
fn misspelt_keys_are_answered() {
    let report = parse("[plugins]\nsnipets = \"/s\"\nstart-timeout = \"1s\"\n").unwrap_err();
    assert_eq!(
        report,
        "hax.toml:9:1: plugins.snipets: unknown key; did you mean plugins.snippets?\n\
         hax.toml:10:1: plugins.start-timeout: unknown key; dashes are underscores here: plugins.start_timeout"
    );
}
