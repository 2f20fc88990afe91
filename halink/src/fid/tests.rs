use proptest::prelude::*;

use super::{Fid, FidSyntax, FidType, Half};

#[test]
fn is_displayed_in_both_forms() {
    let fid = Fid::typed(FidType::Process, 1, 0x1f);
    assert_eq!(fid.to_string(), "0x7200000000000001:0x1f");
    assert_eq!(format!("{fid:#}"), "<7200000000000001:1f>");
    assert_eq!(format!("{fid:?}"), "<7200000000000001:1f>");
    assert_eq!(Fid::NIL.to_string(), "0x0:0x0");
}

#[test]
fn parses_what_configuration_files_write() {
    let fid = Fid::new(0x7200_0000_0000_0001, 4);
    for text in [
        "0x7200000000000001:0x4",
        "0x7200000000000001:0x0004",
        "0x007200000000000001:0x4",
        "7200000000000001:4",
        "7200000000000001:0x4",
        "<7200000000000001:4>",
        "<0x7200000000000001:0x4>",
    ] {
        assert_eq!(text.parse(), Ok(fid), "{text}");
    }
    assert_eq!("aB:Cd".parse(), Ok(Fid::new(0xab, 0xcd)));
}

#[test]
fn refuses_everything_else_and_says_why() {
    use FidSyntax::{Brackets, Colon, Digit, Empty, Overflow};
    for (text, reason) in [
        ("", Colon),
        ("7200000000000001", Colon),
        ("1:2:3", Colon),
        ("1::2", Colon),
        ("<>", Colon),
        ("<", Brackets),
        (">", Brackets),
        ("<1:2", Brackets),
        ("1:2>", Brackets),
        (":", Empty(Half::Container)),
        (":4", Empty(Half::Container)),
        ("0x:4", Empty(Half::Container)),
        ("4:", Empty(Half::Key)),
        ("4:0x", Empty(Half::Key)),
        ("+4:1", Digit(Half::Container)),
        ("4:-1", Digit(Half::Key)),
        (" 4:1", Digit(Half::Container)),
        ("4:1 ", Digit(Half::Key)),
        ("4: 1", Digit(Half::Key)),
        ("4:1\n", Digit(Half::Key)),
        ("0X4:1", Digit(Half::Container)),
        ("0x0x4:1", Digit(Half::Container)),
        ("4:g", Digit(Half::Key)),
        ("4:1_0", Digit(Half::Key)),
        ("<<4:1>>", Digit(Half::Container)),
        ("٤:1", Digit(Half::Container)),
        ("10000000000000000:1", Overflow(Half::Container)),
        ("1:10000000000000000", Overflow(Half::Key)),
    ] {
        let error = text.parse::<Fid>().unwrap_err();
        assert_eq!(error.reason, reason, "{text:?}");
        assert_eq!(error.text, text);
        let shown = error.to_string();
        assert!(shown.contains(&format!("{text:?}")) && shown.contains(&reason.to_string()));
    }
}

#[test]
fn an_error_does_not_repeat_a_long_text() {
    let error = "f".repeat(100_000).parse::<Fid>().unwrap_err();
    assert!(error.to_string().len() < 200);
}

#[test]
fn a_type_is_its_letter() {
    for &fid_type in FidType::ALL {
        assert_eq!(FidType::from_letter(fid_type.letter()), Some(fid_type));
        assert_eq!(Fid::typed(fid_type, u64::MAX, 0).fid_type(), Some(fid_type));
    }
    let known = (0..=u8::MAX)
        .filter(|&letter| FidType::from_letter(letter).is_some())
        .count();
    assert_eq!(known, FidType::ALL.len());
    assert_eq!(
        Fid::typed(FidType::Pool, 2, 9),
        Fid::new(0x6f00_0000_0000_0002, 9)
    );
    assert_eq!(Fid::NIL.fid_type(), None);
}

#[test]
fn is_a_string_in_json_and_a_key_of_a_map() {
    let fid = Fid::new(0x7200_0000_0000_0001, 4);
    assert_eq!(
        serde_json::to_string(&fid).unwrap(),
        r#""0x7200000000000001:0x4""#
    );
    let map = std::collections::BTreeMap::from([(fid, 1)]);
    let json = serde_json::to_string(&map).unwrap();
    assert_eq!(
        serde_json::from_str::<std::collections::BTreeMap<Fid, i32>>(&json).unwrap(),
        map
    );
    assert_eq!(
        serde_json::from_str::<Fid>(r#""\u0031:2""#).unwrap(),
        Fid::new(1, 2)
    );
    let error = serde_json::from_str::<Fid>(r#""nonsense""#).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
}

proptest! {
    #[test]
    fn survives_both_forms_and_json(container: u64, key: u64) {
        let fid = Fid::new(container, key);
        prop_assert_eq!(fid.to_string().parse(), Ok(fid));
        prop_assert_eq!(format!("{fid:#}").parse(), Ok(fid));
        let json = serde_json::to_string(&fid).unwrap();
        prop_assert_eq!(serde_json::from_str::<Fid>(&json).unwrap(), fid);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC*") {
        if let Ok(fid) = text.parse::<Fid>() {
            prop_assert_eq!(fid.to_string().parse(), Ok(fid));
        }
    }

    #[test]
    fn texts_that_look_like_fids_are_parsed_or_refused(text in "<?(0x)?[0-9a-f]{0,18}:?(0x)?[0-9a-fx]{0,18}>?") {
        if let Ok(fid) = text.parse::<Fid>() {
            prop_assert_eq!(fid.to_string().parse(), Ok(fid));
        }
    }
}
