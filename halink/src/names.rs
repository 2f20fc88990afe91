//! Enumerations that have a number in Motr and a name in Consul's KV and in logs.

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// A text that is none of the names of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not one of the {what}")]
pub struct UnknownName {
    /// The text, shortened if it is long.
    pub text: String,
    /// What it should have been, in the plural.
    pub what: &'static str,
}

impl UnknownName {
    pub(crate) fn new(text: &str, what: &'static str) -> UnknownName {
        UnknownName {
            text: shorten(text),
            what,
        }
    }
}

/// The text as an error shows it: whatever its source, an error stays one line of log.
pub(crate) fn shorten(text: &str) -> String {
    const LIMIT: usize = 80;
    match text.char_indices().nth(LIMIT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// Deserialises a string through `FromStr`, whatever kind of string the format hands out.
pub(crate) fn from_text<'de, D, T>(deserializer: D, what: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr,
{
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::invalid_value(Unexpected::Str(&shorten(&text)), &what))
}

/// Defines a field-less enumeration with its numbers and names.
///
/// Beside the type: `ALL`, `raw`, `from_raw`, `as_str`, `Display`, `FromStr`, and serde as the
/// name.
macro_rules! named_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $raw:ty, $what:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $number:literal, $text:literal; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// Every value, in the order of the numbers.
            pub const ALL: &'static [$name] = &[ $( $name::$variant, )+ ];

            /// The number Motr gives it.
            #[must_use]
            pub const fn raw(self) -> $raw {
                match self { $( $name::$variant => $number, )+ }
            }

            /// The value with this number, if there is one.
            #[must_use]
            pub const fn from_raw(raw: $raw) -> Option<$name> {
                match raw {
                    $( $number => Some($name::$variant), )+
                    _ => None,
                }
            }

            /// The name Motr gives it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $text, )+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::names::UnknownName;

            fn from_str(text: &str) -> Result<$name, Self::Err> {
                match text {
                    $( $text => Ok($name::$variant), )+
                    _ => Err($crate::names::UnknownName::new(text, $what)),
                }
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$name, D::Error> {
                $crate::names::from_text(deserializer, concat!("one of the ", $what))
            }
        }
    };
}

pub(crate) use named_enum;

/// Every value of `$name` survives its number, its text and JSON, and nothing else parses.
#[cfg(test)]
macro_rules! assert_named_enum {
    ($name:ident) => {
        for &value in $name::ALL {
            assert_eq!($name::from_raw(value.raw()), Some(value));
            assert_eq!(value.to_string().parse(), Ok(value));
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(json, format!("\"{value}\""));
            assert_eq!(serde_json::from_str::<$name>(&json).unwrap(), value);
            assert!(value.to_string().to_lowercase().parse::<$name>().is_err());
            assert!(format!(" {value}").parse::<$name>().is_err());
        }
        assert!("".parse::<$name>().is_err());
        assert!(serde_json::from_str::<$name>("\"\"").is_err());
        assert!(serde_json::from_str::<$name>("1").is_err());
    };
}

#[cfg(test)]
pub(crate) use assert_named_enum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_a_long_text_shortened() {
        let error = UnknownName::new(&"ä".repeat(5000), "HA states");
        assert_eq!(error.text, format!("{}...", "ä".repeat(80)));
        assert_eq!(shorten(&"a".repeat(80)), "a".repeat(80));
    }
}
