use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn fid() -> impl Strategy<Value = Fid> {
    (any::<u64>(), any::<u64>()).prop_map(|(c, k)| Fid::new(c, k))
}

fn text() -> impl Strategy<Value = String> {
    "[ -~]{0,40}"
}

fn notes() -> impl Strategy<Value = Vec<Note>> {
    vec(
        (fid(), any::<u32>()).prop_map(|(object, state)| Note { object, state }),
        0..20,
    )
}

fn conf_event() -> impl Strategy<Value = ConfEvent> {
    any::<(u64, u64, u64)>().prop_map(|(event, kind, pid)| ConfEvent { event, kind, pid })
}

fn stob_ioq() -> impl Strategy<Value = StobIoq> {
    let numbers = any::<(i64, i64, i64, u64, u64, u32)>();
    (fid(), fid(), fid(), numbers).prop_map(|(conf_sdev, stob_domain, stob, n)| StobIoq {
        conf_sdev,
        stob_domain,
        stob,
        fd: n.0,
        opcode: n.1,
        rc: n.2,
        offset: n.3,
        size: n.4,
        bshift: n.5,
    })
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        stob_ioq().prop_map(Body::StobIoq),
        (any::<(u64, u64, u64)>(), notes()).prop_map(|((kind, id_of_get, ignore), notes)| {
            Body::Nvec {
                kind,
                id_of_get,
                ignore_same_state: ignore,
                notes,
            }
        }),
        (fid(), any::<[u64; 2]>()).prop_map(|(pool, cookie)| Body::FailureVecReq { pool, cookie }),
        (fid(), any::<[u64; 2]>(), notes()).prop_map(|(pool, cookie, notes)| Body::FailureVecRep {
            pool,
            cookie,
            notes
        }),
        any::<[u64; 2]>().prop_map(|id| Body::KeepaliveReq { id }),
        any::<([u64; 2], u64)>().prop_map(|(id, counter)| Body::KeepaliveRep { id, counter }),
        conf_event().prop_map(Body::Process),
        conf_event().prop_map(Body::Service),
        any::<(u64, u64)>().prop_map(|(attempts, state)| Body::Rpc { attempts, state }),
        any::<(u32, u8, u8)>().prop_map(|(errcode, location, io_opcode)| Body::BeIoErr {
            errcode,
            location,
            io_opcode
        }),
        any::<(u32, u8)>().prop_map(|(errcode, opcode)| Body::SnsErr { errcode, opcode }),
    ]
}

fn entrypoint_rep() -> impl Strategy<Value = Frame> {
    let status = prop_oneof![
        Just(LinkStatus::Connected),
        Just(LinkStatus::Reused),
        Just(LinkStatus::Absent)
    ];
    let confds = vec(
        (fid(), text()).prop_map(|(fid, endpoint)| Confd { fid, endpoint }),
        0..10,
    );
    let numbers = (
        any::<u64>(),
        -200..=0i32,
        1..=u64::MAX,
        1..=u64::MAX,
        any::<u32>(),
    );
    (numbers, status, fid(), text(), confds).prop_map(|(n, status, rm, rm_endpoint, confds)| {
        Frame::EntrypointRep(EntrypointRep {
            seq: n.0,
            rc: n.1,
            status,
            instance: n.2,
            link: n.3,
            quorum: n.4,
            rm,
            rm_endpoint,
            confds,
        })
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        (any::<(u64, bool, u64, u64, u64)>(), fid(), text(), text()).prop_map(
            |((seq, first, instance, link, pid), process, endpoint, git_rev)| {
                Frame::EntrypointReq(EntrypointReq {
                    seq,
                    first,
                    instance,
                    link,
                    process,
                    pid,
                    endpoint,
                    git_rev,
                })
            }
        ),
        entrypoint_rep(),
        (any::<(u64, u64, u64)>(), fid(), fid(), fid(), body()).prop_map(
            |((tag, time, epoch), fid, source_process, source_service, body)| {
                Frame::Msg(Msg {
                    tag,
                    fid,
                    source_process,
                    source_service,
                    time,
                    epoch,
                    body,
                })
            }
        ),
        any::<u64>().prop_map(Frame::Delivered),
    ]
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn round_trip(frames in vec(frame(), 1..4)) {
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.encode(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        for frame in &frames {
            let (got, len) = Frame::decode(rest).unwrap().unwrap();
            prop_assert_eq!(&got, frame);
            rest = &rest[len..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_part_of_a_frame_is_not_yet_a_frame(frame in frame(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&frame);
        prop_assert_eq!(Frame::decode(&bytes[..cut.index(bytes.len())]), Ok(None));
    }

    #[test]
    fn length_must_match_the_content(frame in frame(), by in 1usize..9, longer in any::<bool>()) {
        let mut bytes = encoded(&frame);
        let len = if longer {
            bytes.resize(bytes.len() + by, 0);
            bytes.len() - HEADER_LEN
        } else {
            (bytes.len() - HEADER_LEN).saturating_sub(by)
        };
        bytes[8..12].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        let got = Frame::decode(&bytes);
        prop_assert!(matches!(got, Err(WireError::Trailing(_) | WireError::Short(_))), "{:?}", got);
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = Frame::decode(&bytes);
    }

    // Random bytes hardly ever pass the magic: these reach the payload.
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        frame in frame(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        frame_type in 1u8..=4,
    ) {
        let mut bytes = encoded(&frame);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[6] = frame_type;
        if let Ok(Some((frame, len))) = Frame::decode(&bytes) {
            prop_assert_eq!(encoded(&frame), &bytes[..len]);
        }
    }
}

#[test]
fn layout_is_that_of_the_page() {
    let frame = Frame::Msg(Msg {
        tag: 2,
        fid: Fid::new(0x7200_0000_0000_0001, 3),
        source_process: Fid::new(0, 0),
        source_service: Fid::new(0, 0),
        time: 5,
        epoch: 0,
        body: Body::Process(ConfEvent {
            event: 1,
            kind: 3,
            pid: 0x0102,
        }),
    });
    let mut want = b"HAXL\x01\x00\x03\x00\x64\x00\x00\x00\x00\x00\x00\x00".to_vec();
    want.extend([2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0]);
    want.extend([1, 0, 0, 0, 0, 0, 0, 0x72, 3, 0, 0, 0, 0, 0, 0, 0]);
    want.extend([0; 32]);
    want.extend([5, 0, 0, 0, 0, 0, 0, 0]);
    want.extend([0; 8]);
    want.extend([
        1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0,
    ]);
    assert_eq!(encoded(&frame), want);
}

fn patched(at: usize, bytes: &[u8]) -> Result<Option<(Frame, usize)>, WireError> {
    let mut out = encoded(&Frame::Delivered(2));
    out[at..at + bytes.len()].copy_from_slice(bytes);
    Frame::decode(&out)
}

#[test]
fn bad_headers_are_told_apart() {
    assert_eq!(patched(0, b"HAXM"), Err(WireError::Magic(*b"HAXM")));
    assert_eq!(patched(4, &[2]), Err(WireError::Version(2)));
    assert_eq!(patched(6, &[0]), Err(WireError::FrameType(0)));
    assert_eq!(patched(6, &[5]), Err(WireError::FrameType(5)));
    assert_eq!(
        patched(8, &[1, 0x80]),
        Err(WireError::PayloadTooLong(32_769))
    );
    assert_eq!(patched(12, &[1]), Err(WireError::Reserved(1)));
}

fn reply() -> EntrypointRep {
    EntrypointRep {
        seq: 1,
        rc: 0,
        status: LinkStatus::Connected,
        instance: 1,
        link: 1,
        quorum: 1,
        rm: Fid::new(1, 1),
        rm_endpoint: String::new(),
        confds: Vec::new(),
    }
}

fn nvec(count: usize) -> Frame {
    Frame::Msg(Msg {
        tag: 2,
        fid: Fid::new(0, 0),
        source_process: Fid::new(0, 0),
        source_service: Fid::new(0, 0),
        time: 0,
        epoch: 0,
        body: Body::Nvec {
            kind: NVEC_GET,
            id_of_get: 1,
            ignore_same_state: 0,
            notes: vec![
                Note {
                    object: Fid::new(1, 1),
                    state: 0
                };
                count
            ],
        },
    })
}

#[test]
fn limits_hold_when_writing() {
    let mut out = vec![7];
    assert_eq!(
        nvec(NOTES_MAX + 1).encode(&mut out),
        Err(WireError::TooMany {
            field: "notes",
            count: 1025,
            limit: NOTES_MAX
        })
    );
    let confd = Confd {
        fid: Fid::new(1, 1),
        endpoint: "x".repeat(STR_MAX),
    };
    let full = EntrypointRep {
        confds: vec![confd.clone(); CONFDS_MAX],
        ..reply()
    };
    assert!(encoded(&Frame::EntrypointRep(full)).len() < PAYLOAD_MAX);
    let many = EntrypointRep {
        confds: vec![confd; CONFDS_MAX + 1],
        ..reply()
    };
    assert!(Frame::EntrypointRep(many).encode(&mut out).is_err());
    for text in ["é".to_owned(), "a\n".to_owned(), "x".repeat(STR_MAX + 1)] {
        let bad = EntrypointRep {
            rm_endpoint: text,
            ..reply()
        };
        assert!(Frame::EntrypointRep(bad).encode(&mut out).is_err());
    }
    assert_eq!(out, [7], "a failed encode leaves nothing behind");
    assert!(encoded(&nvec(NOTES_MAX)).len() < PAYLOAD_MAX);
}

#[test]
fn limits_hold_when_reading() {
    let mut bytes = encoded(&nvec(2));
    let nr = HEADER_LEN + 8 + 4 + 48 + 16 + 24;
    bytes[nr..nr + 4].copy_from_slice(&1025u32.to_le_bytes());
    let too_many = WireError::TooMany {
        field: "notes",
        count: 1025,
        limit: NOTES_MAX,
    };
    assert_eq!(Frame::decode(&bytes), Err(too_many));

    let mut bytes = encoded(&nvec(0));
    bytes[HEADER_LEN + 8..HEADER_LEN + 12].copy_from_slice(&12u32.to_le_bytes());
    assert_eq!(Frame::decode(&bytes), Err(WireError::MessageType(12)));

    let base = encoded(&Frame::EntrypointRep(EntrypointRep {
        rm_endpoint: "ab".into(),
        ..reply()
    }));
    let with = |at: usize, value: &[u8]| {
        let mut bytes = base.clone();
        bytes[HEADER_LEN + at..HEADER_LEN + at + value.len()].copy_from_slice(value);
        Frame::decode(&bytes).unwrap_err()
    };
    assert_eq!(
        with(8, &1i32.to_le_bytes()),
        WireError::Value {
            field: "rc",
            value: 1
        }
    );
    assert_eq!(
        with(12, &[3]),
        WireError::Value {
            field: "status",
            value: 3
        }
    );
    assert_eq!(
        with(13, &[0; 8]),
        WireError::Value {
            field: "instance",
            value: 0
        }
    );
    assert_eq!(
        with(21, &[0; 8]),
        WireError::Value {
            field: "link",
            value: 0
        }
    );
    let field = "rm_endpoint";
    assert_eq!(
        with(49, &256u16.to_le_bytes()),
        WireError::StringTooLong { field, len: 256 }
    );
    assert_eq!(
        with(51, &[0x1f]),
        WireError::NotPrintable { field, byte: 0x1f }
    );
    assert_eq!(
        with(53, &65u16.to_le_bytes()),
        WireError::TooMany {
            field: "confds",
            count: 65,
            limit: CONFDS_MAX
        }
    );
}
