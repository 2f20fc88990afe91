//! What a configuration without errors comes to.

use std::path::Path;
use std::time::Duration;

use halink::Fid;

use super::{MINIMAL, parse};
use crate::config::{FatalMessage, LogFormat, Profile};
use crate::dispatch::Mode;

#[test]
fn a_minimal_file_takes_every_default() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.node.name, "ssu1");
    assert_eq!(config.ha.endpoint.as_str(), "inet:tcp:192.168.0.1@22001");
    assert_eq!(config.ha.process, Fid::new(0x7200_0000_0000_0001, 0));
    assert_eq!(config.ha.ha_service, Fid::new(0x7300_0000_0000_0001, 1));
    assert_eq!(config.ha.rm_service, Fid::new(0x7300_0000_0000_0001, 2));
    assert_eq!(config.ha.on_fatal_message, FatalMessage::Isolate);
    assert_eq!(config.ha.profile, Profile::FiveHax);
    assert_eq!(config.entrypoint.timeout, Duration::from_secs(2));
    assert_eq!(config.dispatch.queue_max.get(), 16_384);
    assert_eq!(config.dispatch.mode, Mode::Queue);
    assert_eq!(config.retry.attempt, Duration::from_secs(10));
    assert_eq!(config.consul.address.as_str(), "http://127.0.0.1:8500");
    assert_eq!(config.consul.timeout, Duration::from_secs(5));
    assert_eq!(config.consul.connect_timeout, Duration::from_secs(1));
    assert_eq!(config.consul.token_file, None);
    assert_eq!(config.consul.client_certificate, None);
    assert_eq!(config.retry.min, Duration::from_millis(100));
    assert_eq!(config.retry.max, Duration::from_secs(5));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8008");
    assert_eq!(config.http.body_limit, 16 << 20);
    assert!(config.leader.elect);
    assert_eq!(config.leader.lock_delay, Duration::from_secs(2));
    assert!(config.kv.process_alias);
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.log.level.as_str(), "info");
}

#[test]
fn every_key_can_be_given() {
    let config = parse(&format!(
        "{MINIMAL}on_fatal_message = \"panic\"\nprofile = \"hare\"\n\
         [entrypoint]\ntimeout = \"100ms\"\n\
         [dispatch]\nmode = \"lanes\"\nqueue_max = 0x400\n\
         [consul]\naddress = \"https://consul.example:8501/\"\ntoken_file = \"/etc/hax/token\"\n\
         ca_file = \"/etc/hax/ca.pem\"\ncert_file = \"/etc/hax/cert.pem\"\nkey_file = \"/etc/hax/key.pem\"\n\
         timeout = \"1m\"\nconnect_timeout = \"10ms\"\ndatacenter = \"dc-1\"\n\
         [retry]\nmin = \"1s\"\nmax = \"1s\"\n\
         [http]\nlisten = \"[::1]:0\"\nbody_limit = \"256MiB\"\n\
         [leader]\nelect = false\nlock_delay = \"0s\"\n\
         [kv]\nprocess_alias = false\n\
         [log]\nformat = \"json\"\nlevel = \"warn,hax::http=debug\"\n"
    ))
    .unwrap();
    assert_eq!(config.dispatch.queue_max.get(), 1024);
    assert_eq!(config.dispatch.mode, Mode::Lanes);
    assert_eq!(
        config.consul.address.as_str(),
        "https://consul.example:8501"
    );
    assert!(config.consul.address.is_tls());
    assert_eq!(config.consul.timeout, Duration::from_secs(60));
    let certificate = config.consul.client_certificate.unwrap();
    assert_eq!(certificate.cert_file, Path::new("/etc/hax/cert.pem"));
    assert_eq!(certificate.key_file.path(), Path::new("/etc/hax/key.pem"));
    assert_eq!(
        config.consul.token_file.unwrap().path(),
        Path::new("/etc/hax/token")
    );
    assert_eq!(config.consul.datacenter.as_deref(), Some("dc-1"));
    assert_eq!(config.http.listen.to_string(), "[::1]:0");
    assert_eq!(config.ha.on_fatal_message, FatalMessage::Panic);
    assert_eq!(config.ha.profile, Profile::Hare);
    assert!(!config.leader.elect && !config.kv.process_alias);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn debug_shows_no_secret_file() {
    let config = parse(&format!(
        "{MINIMAL}[consul]\ntoken_file = \"/etc/hax/token\"\n"
    ))
    .unwrap();
    let debug = format!("{config:?}");
    assert!(debug.contains("token_file: Some(<redacted>)"), "{debug}");
    assert!(!debug.contains("/etc/hax/token"), "{debug}");
}
