//! Motr's service types by name.

use std::str::FromStr;

use halink::Fid;
use thiserror::Error;

/// `m0_conf_service_type` of `conf/schema.h`, without `M0_CST_`, from 0.
const NAMES: [&str; 23] = [
    "UNKNOWN", "MDS", "IOS", "CONFD", "RMS", "STATS", "HA", "SSS", "SNS_REP", "SNS_REB", "ADDB2",
    "CAS", "DIX_REP", "DIX_REB", "DS1", "DS2", "FIS", "FDMI", "BE", "M0T1FS", "CLIENT", "ISCS",
    "DTM0",
];

/// What a built-in service that is in no configuration reports as its type.
pub const UNKNOWN: u64 = 0;
/// Start-stop service.
pub const SSS: u64 = 7;
/// File data manipulation interface.
pub const FDMI: u64 = 17;

/// Name of a service type, or its number.
pub fn name(kind: u64) -> String {
    let index = usize::try_from(kind).unwrap_or(usize::MAX);
    NAMES
        .get(index)
        .map_or_else(|| kind.to_string(), |name| (*name).to_owned())
}

/// Number of a service type given as `ios`, `M0_CST_IOS` or `2`.
pub fn parse(text: &str) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("M0_CST_").unwrap_or(&upper);
    let index = NAMES.iter().position(|name| *name == bare);
    index
        .and_then(|i| u64::try_from(i).ok())
        .or_else(|| text.parse().ok())
}

/// A configured service of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    pub kind: u64,
    pub fid: Fid,
}

/// The text is not `TYPE:FID`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ServiceError {
    #[error("{0:?} is not TYPE:FID")]
    Form(String),
    #[error("{0:?} is no service type; one of them is `ios`")]
    Type(String),
    #[error("{0}")]
    Fid(String),
}

impl FromStr for Service {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Service, ServiceError> {
        let (kind, fid) = text
            .split_once(':')
            .ok_or_else(|| ServiceError::Form(text.into()))?;
        let kind = parse(kind).ok_or_else(|| ServiceError::Type(kind.into()))?;
        let fid = fid
            .parse()
            .map_err(|e: halink::ParseFidError| ServiceError::Fid(e.to_string()))?;
        Ok(Service { kind, fid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for text in ["ios", "IOS", "M0_CST_IOS", "2"] {
            assert_eq!(parse(text), Some(2), "{text}");
        }
        assert_eq!(name(FDMI), "FDMI");
        assert_eq!(name(SSS), "SSS");
        assert_eq!(name(99), "99");
        assert_eq!(parse("nfs"), None);
        let service: Service = "ios:0x7300000000000001:0x6".parse().unwrap();
        assert_eq!(
            service,
            Service {
                kind: 2,
                fid: Fid::new(0x7300_0000_0000_0001, 6)
            }
        );
        assert!("ios".parse::<Service>().is_err());
        assert!("ios:7300".parse::<Service>().is_err());
    }
}
