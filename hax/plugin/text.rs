//! Text of others in our log.

/// The text without control characters, cut to `max` bytes at a character's end.
pub(super) fn printable(text: &str, max: usize) -> String {
    let mut printable = String::with_capacity(text.len().min(max));
    let shown = |c: &char| *c == '\t' || !c.is_control();
    for c in text.chars().filter(shown) {
        if printable.len() + c.len_utf8() > max {
            break;
        }
        printable.push(c);
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_left_out_and_characters_stay_whole() {
        assert_eq!(printable("a\u{1b}[0m\tb\r\n\0c", 100), "a[0m\tbc");
        assert_eq!(printable("ääää", 5), "ää");
        assert_eq!(printable("ääää", 0), "");
    }
}
