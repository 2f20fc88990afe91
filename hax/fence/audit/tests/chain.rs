use super::*;

fn check(lines: &[Vec<u8>]) -> Result<u64, Broken> {
    Chain::default().take_file(&lines.concat())
}

/// The line in which the break is found.
fn broken(lines: &[Vec<u8>]) -> Broken {
    check(lines).unwrap_err()
}

#[test]
fn a_chain_is_whole() {
    assert_eq!(check(&lines(9)), Ok(9));
    assert_eq!(check(&[]), Ok(0));
    // The beginning may be in a file that has been deleted.
    assert_eq!(check(&lines(9)[4..]), Ok(5));
}

#[test]
fn a_changed_line_is_found_wherever_it_is() {
    let good = lines(5);
    for n in 0..4 {
        let mut bad = good.clone();
        let text = String::from_utf8(bad[n].clone()).unwrap();
        bad[n] = text.replace("ssu", "xsu").into_bytes();
        assert_ne!(bad[n], good[n]);
        let line = n as u64 + 2;
        assert_eq!(
            broken(&bad),
            Broken {
                line,
                why: Why::Hash
            }
        );
    }
}

#[test]
fn every_single_byte_counts() {
    let good = lines(3);
    let all = good.concat();
    // Of the last line, only what is not its content: the rest is the next line's business.
    for at in 0..all.len() - good[2].len() {
        let mut bad = all.clone();
        bad[at] ^= 1;
        assert!(Chain::default().take_file(&bad).is_err(), "byte {at}");
    }
}

#[test]
fn a_removed_line_is_found() {
    for n in 1..4 {
        let mut bad = lines(5);
        bad.remove(n);
        let (line, expected) = (n as u64 + 1, n as u64 + 1);
        let found = expected + 1;
        let why = Why::Number { expected, found };
        assert_eq!(broken(&bad), Broken { line, why });
    }
}

#[test]
fn lines_that_changed_places_are_found() {
    let mut bad = lines(5);
    bad.swap(2, 3);
    let why = Why::Number {
        expected: 3,
        found: 4,
    };
    assert_eq!(broken(&bad), Broken { line: 3, why });
}

#[test]
fn an_inserted_line_is_found() {
    let good = lines(5);
    // Once more, with the number and the hash that would be right there.
    let mut bad = good.clone();
    bad.insert(3, good[3].clone());
    assert_eq!(broken(&bad).line, 5);
    // Or with a number of its own, so that the next one has it again.
    let entry = Entry {
        seq: 4,
        at: UnixMillis(1),
        node: node("ssu1"),
        prev: Hash::of(good[2].trim_ascii_end()),
        event: event(7),
    };
    let mut line = serde_json::to_vec(&entry).unwrap();
    line.push(b'\n');
    let mut bad = good.clone();
    bad.insert(3, line.clone());
    assert_eq!(broken(&bad).line, 5);
    // Instead of one.
    let mut bad = good.clone();
    bad[3] = line;
    assert_eq!(
        broken(&bad),
        Broken {
            line: 5,
            why: Why::Hash
        }
    );
    let mut bad = good;
    bad.insert(2, b"\n".to_vec());
    assert!(matches!(
        broken(&bad),
        Broken {
            line: 3,
            why: Why::NotALine(_)
        }
    ));
}

#[test]
fn a_line_that_is_cut_is_found() {
    let mut bad = lines(3);
    bad[2].truncate(20);
    assert_eq!(
        broken(&bad),
        Broken {
            line: 3,
            why: Why::Incomplete
        }
    );
    bad[1].truncate(20);
    bad[1].push(b'\n');
    assert!(matches!(
        broken(&bad),
        Broken {
            line: 2,
            why: Why::NotALine(_)
        }
    ));
}

#[test]
fn a_beginning_that_is_forged_is_found() {
    let mut bad = lines(2);
    let text = String::from_utf8(bad[0].clone()).unwrap();
    let (zeros, ones) = ("0".repeat(64), "1".repeat(64));
    bad[0] = text.replace(&zeros, &ones).into_bytes();
    assert_eq!(
        broken(&bad),
        Broken {
            line: 1,
            why: Why::Beginning
        }
    );
}

/// A whole tail that was removed leaves a whole chain; only a hash that was noted tells.
#[test]
fn a_noted_hash_is_found_where_it_is() {
    let all = lines(5);
    let noted = Hash::of(all[4].trim_ascii_end());
    for (kept, seq) in [(5, Some(5)), (4, None)] {
        let mut chain = Chain {
            anchor: Some(Anchor {
                hash: noted,
                seq: None,
            }),
            ..Chain::default()
        };
        chain.take_file(&all[..kept].concat()).unwrap();
        assert_eq!(chain.anchor.unwrap().seq, seq);
    }
}

#[test]
fn hashes_read_as_they_are_written() {
    let hash = Hash::of(b"abc");
    let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hash.to_string(), text);
    assert_eq!(text.parse(), Ok(hash));
    for bad in [
        "",
        "ab",
        &text[1..],
        &format!("{text}0"),
        &text.replace('b', "g"),
        "é",
    ] {
        assert_eq!(bad.parse::<Hash>(), Err(BadHash), "{bad}");
    }
}
