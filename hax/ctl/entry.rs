//! A KV pair that is to be there, and what may be there instead.

use serde_json::Value;

/// Bytes of a key. Consul itself sets no limit; nothing in rfc/4-kv.md comes near.
pub const KEY_MAX: usize = 512;
/// Bytes of a value.
pub const VALUE_MAX: usize = consul_client::KV_MAX_VALUE;

/// A KV pair to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, without a leading slash.
    pub key: String,
    /// The value.
    pub value: String,
    /// What counts as already there.
    pub policy: Policy,
}

/// When an existing value is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It has the same bytes.
    Exact,
    /// It is the same JSON, `state` of an object left out: that is the running cluster's.
    Configured,
    /// Always: the value is only the first one of a key that the running cluster changes.
    Initial,
}

impl Entry {
    /// Whether `existing` may stay.
    pub fn accepts(&self, existing: &[u8]) -> bool {
        if existing == self.value.as_bytes() {
            return true;
        }
        match self.policy {
            Policy::Exact => false,
            Policy::Initial => true,
            Policy::Configured => configured(existing)
                .is_some_and(|there| Some(there) == configured(self.value.as_bytes())),
        }
    }
}

fn configured(text: &[u8]) -> Option<Value> {
    let mut value = serde_json::from_slice(text).ok()?;
    if let Value::Object(object) = &mut value {
        object.remove("state");
    }
    Some(value)
}

/// Whether Consul takes the key and gives it back under the same name.
///
/// # Errors
/// The reason, to follow the key's name in a message.
pub fn check_key(key: &str) -> Result<(), String> {
    if key.is_empty() {
        return Err("is empty".to_owned());
    }
    if key.len() > KEY_MAX {
        return Err(format!("is longer than {KEY_MAX} bytes"));
    }
    if key.chars().any(char::is_control) {
        return Err("has a control character".to_owned());
    }
    // Agents clean request paths: such a key would be written under another name.
    if key
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err("has an empty segment, or one that is `.` or `..`".to_owned());
    }
    Ok(())
}

/// Whether Consul takes the value.
///
/// # Errors
/// The reason, to follow the key's name in a message.
pub fn check_value(value: &str) -> Result<(), String> {
    if value.len() > VALUE_MAX {
        return Err(format!(
            "has a value of {} bytes; {VALUE_MAX} is the most",
            value.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: &str, policy: Policy) -> Entry {
        Entry {
            key: "k".to_owned(),
            value: value.to_owned(),
            policy,
        }
    }

    #[test]
    fn exact_values_differ_by_a_byte() {
        let exact = entry(r#"{"http":8008}"#, Policy::Exact);
        assert!(exact.accepts(br#"{"http":8008}"#));
        assert!(!exact.accepts(br#"{"http": 8008}"#));
    }

    #[test]
    fn a_configured_value_may_have_another_state_and_nothing_else() {
        let node = entry(
            r#"{"name":"ssu1","state":"M0_NC_UNKNOWN"}"#,
            Policy::Configured,
        );
        assert!(node.accepts(br#"{"state": "M0_NC_ONLINE", "name": "ssu1"}"#));
        assert!(!node.accepts(br#"{"name":"ssu2","state":"M0_NC_UNKNOWN"}"#));
        assert!(!node.accepts(br#"{"name":"ssu1","state":"M0_NC_UNKNOWN","x":1}"#));
        assert!(!node.accepts(b"not JSON"));
        let name = entry("the pool", Policy::Configured);
        assert!(name.accepts(b"the pool") && !name.accepts(b"a pool"));
    }

    #[test]
    fn an_initial_value_gives_way_to_any() {
        assert!(entry("", Policy::Initial).accepts(b"ssu2"));
    }

    #[test]
    fn keys_that_would_change_on_the_way_are_refused() {
        for key in [
            "epoch",
            "m0conf/nodes/0x6e00000000000001:0x0",
            "ключ/a b?c#d%",
        ] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        let long = "k".repeat(KEY_MAX + 1);
        for key in [
            "", "/epoch", "m0conf/", "a//b", "a/../b", "./a", "a\nb", &long,
        ] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }

    #[test]
    fn values_have_a_limit() {
        assert_eq!(check_value(&"v".repeat(VALUE_MAX)), Ok(()));
        assert!(check_value(&"v".repeat(VALUE_MAX + 1)).is_err());
    }
}
