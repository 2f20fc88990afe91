//! Lines: what they mean, and what is wrong with them.

use proptest::prelude::*;

use super::super::parse::{LINE_MAX, Line, LineError, parse};
use super::recorded;
use crate::plugin::object::{Connection, Device, Key, Kind, Object, PeerDevice, Resource, Value};

fn object(line: &str) -> Object {
    match parse(line.as_bytes()).unwrap() {
        Line::Told(told) => told.onto(None),
        other => panic!("{other:?}"),
    }
}

fn error(line: &str) -> String {
    parse(line.as_bytes()).unwrap_err().to_string()
}

#[test]
fn every_object_is_read_with_its_fields() {
    let dump = recorded("dump");
    let read = |starts: &str| object(dump.lines().find(|line| line.starts_with(starts)).unwrap());
    let text = |text: &str| Some(text.to_owned());

    let resource = Resource {
        name: "r0".to_owned(),
        role: text("Secondary"),
        suspended: text("no"),
        may_promote: Some(true),
        promotion_score: Some(10_102),
        write_ordering: text("flush"),
        force_io_failures: Some(false),
    };
    assert_eq!(read("exists resource name:r0"), resource.into());

    let device = Device {
        name: "r0".to_owned(),
        volume: 0,
        minor: Some(1000),
        disk: text("UpToDate"),
        client: Some(false),
        quorum: Some(true),
        backing_dev: text("/dev/vg0/r0_00000"),
        size: Some(1_048_576),
        read: Some(2124),
        written: Some(0),
        al_writes: Some(0),
        bm_writes: Some(0),
        upper_pending: Some(0),
        lower_pending: Some(0),
    };
    assert_eq!(read("exists device name:r0"), device.into());

    let connection = Connection {
        name: "backup".to_owned(),
        peer_node_id: 2,
        conn_name: text("gamma"),
        connection: text("Connected"),
        role: text("Primary"),
        congested: Some(false),
        ap_in_flight: Some(0),
        rs_in_flight: Some(0),
    };
    assert_eq!(read("exists connection name:backup"), connection.into());

    let peer_device = PeerDevice {
        name: "r0".to_owned(),
        peer_node_id: 2,
        volume: 0,
        conn_name: text("gamma"),
        replication: text("Established"),
        peer_disk: text("Diskless"),
        peer_client: Some(true),
        resync_suspended: text("no"),
        received: Some(0),
        sent: Some(0),
        out_of_sync: Some(0),
        pending: Some(0),
        unacked: Some(0),
    };
    assert_eq!(
        read("exists peer-device name:r0 peer-node-id:2"),
        peer_device.into()
    );
}

#[test]
fn everything_recorded_is_understood() {
    for name in [
        "destroy",
        "dump",
        "dump-after",
        "promote",
        "quorum-lost",
        "resync",
        "statistics",
    ] {
        for line in recorded(name).lines() {
            assert!(parse(line.as_bytes()).is_ok(), "{name}: {line}");
        }
    }
}

#[test]
fn what_is_not_known_is_no_value() {
    let device = object(
        "exists device name:r0 volume:1 backing_dev:none client:unknown size:9223372036854775807",
    );
    let known = Device {
        name: "r0".to_owned(),
        volume: 1,
        ..Device::default()
    };
    assert_eq!(device, known.into());
}

#[test]
fn what_newer_versions_add_is_ignored() {
    let known = object("exists resource name:r0 role:Primary");
    assert_eq!(
        object("exists resource colour:blue name:r0 role:Primary mood:"),
        known
    );
    for line in [
        "exists path name:r0 established:perhaps",
        "change flavour name:r0 taste",
        "rename device name:r0 new_name:r1",
        "call helper name:r0 helper:quorum-lost",
    ] {
        assert_eq!(parse(line.as_bytes()), Ok(Line::Other), "{line}");
    }
}

#[test]
fn the_ends_and_the_names_are_read() {
    assert_eq!(parse(b"exists -"), Ok(Line::Complete));
    let gone = Key {
        kind: Kind::PeerDevice,
        id: vec![Value::from("r0"), Value::Number(2), Value::Number(7)],
    };
    assert_eq!(
        parse(b"destroy peer-device name:r0 peer-node-id:2 conn-name:gamma volume:7"),
        Ok(Line::Gone(gone))
    );
    assert_eq!(
        parse(b"rename resource name:r0 new_name:web"),
        Ok(Line::Renamed {
            from: "r0",
            to: "web"
        })
    );
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(error(""), "begins with ``, which is no event");
    assert_eq!(
        error("hello \u{7}"),
        "begins with `hello`, which is no event"
    );
    assert_eq!(error("exists"), "names no object");
    assert_eq!(error("exists device name:r0"), "has no `volume`");
    assert_eq!(error("destroy connection name:r0"), "has no `peer-node-id`");
    assert_eq!(error("rename resource name:r0"), "has no `new_name`");
    assert_eq!(
        error("change resource name:r0 Primary"),
        "has `Primary` where `key:value` belongs"
    );
    assert_eq!(
        error("exists device name:r0 volume:-1"),
        "has `-1` for `volume`, which is a number from 0 to 2^64-1"
    );
    assert_eq!(
        error("exists device name:r0 volume:0 quorum:maybe\u{1b}[2J"),
        "has `maybe\\u{1b}[2J` for `quorum`, which is `yes`, `no` or `unknown`"
    );
    let long = "x".repeat(1000);
    assert!(error(&long).len() < 100);
    assert_eq!(parse(b"exists \xff"), Err(LineError::NotText));
    assert_eq!(parse(&vec![b'x'; LINE_MAX + 1]), Err(LineError::TooLong));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&line);
    }

    #[test]
    fn arbitrary_words_never_panic_and_keep_their_key(
        verb in "exists|change|create|destroy|rename|call|.{0,4}",
        kind in "resource|device|connection|peer-device|path|-|.{0,4}",
        words in proptest::collection::vec(
            ("name|volume|peer-node-id|minor|size|quorum|role|done|.{0,3}", "[0-9]{1,21}|yes|r0|\\PC{0,8}"),
            0..8,
        ),
    ) {
        let words = words.iter().map(|(key, value)| format!(" {key}:{value}"));
        let line = format!("{verb} {kind}{}", words.collect::<String>());
        if let Ok(Line::Told(told)) = parse(line.as_bytes()) {
            let key = told.key();
            let object = told.clone().onto(None);
            prop_assert_eq!(&object.key(), &key);
            prop_assert_eq!(told.onto(Some(&object)), object);
        }
    }
}
