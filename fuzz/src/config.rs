//! Configuration files.

use hax::config::Config;

/// Reads a configuration. What is wrong with it is told, at places that exist, and reading it
/// again says the same.
pub fn config(data: &[u8]) {
    let outcome = Config::from_bytes("hax.toml", data);
    let again = Config::from_bytes("hax.toml", data);
    match (outcome, again) {
        (Ok(config), Ok(_)) => assert!(!format!("{config:?}").is_empty()),
        (Err(errors), Err(again)) => {
            assert!(!errors.errors().is_empty());
            assert_eq!(errors.to_string(), again.to_string());
            assert!(errors.to_string().contains("hax.toml"));
        }
        (one, other) => panic!("{:?} and {:?}", one.is_ok(), other.is_ok()),
    }
}
