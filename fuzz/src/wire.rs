//! Frames of the ha_link (6/WIRE), as a process reads them.

use hax::sim::wire::{Frame, HEADER_LEN, PAYLOAD_MAX};

/// Decodes a stream of frames. What is decoded is encoded again to the same bytes, and a frame
/// that is not complete is neither taken nor refused for its missing end.
pub fn wire(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((frame, taken))) = Frame::decode(rest) {
        assert!((HEADER_LEN..=HEADER_LEN + PAYLOAD_MAX).contains(&taken));
        let mut again = Vec::new();
        frame
            .encode(&mut again)
            .expect("what was read can be written");
        assert_eq!(again, rest[..taken], "{frame:?}");
        for cut in [0, HEADER_LEN - 1, taken - 1] {
            assert_eq!(Frame::decode(&rest[..cut]), Ok(None), "{cut} of {taken}");
        }
        rest = &rest[taken..];
    }
}
