//! What a word stands for: numbers, times, and Motr's names.

use std::str::FromStr;
use std::time::Duration;

use halink::{Fid, HaState, ProcessEvent, ProcessType, ServiceEvent};

use super::Expected;
use crate::sim::wire::{LinkStatus, Note};

pub(super) fn number<T: FromStr>(word: &str) -> Option<T> {
    word.parse().ok()
}

pub(super) fn range(first: Fid, count: u64) -> Vec<Fid> {
    let keys = (0..count).map(|i| first.key().wrapping_add(i));
    keys.map(|key| Fid::new(first.container(), key)).collect()
}

pub(super) fn timeout(word: &str) -> Option<Duration> {
    // Beyond a year the sum of time and now may not be representable.
    const MAX_MS: u64 = 365 * 86_400_000;
    let (digits, unit) = match word.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (word.strip_suffix('s').unwrap_or(word), 1_000),
    };
    let ms = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (ms <= MAX_MS).then(|| Duration::from_millis(ms))
}

/// A name of Motr with or without its prefix, or a number.
fn named<T: Copy + ToString, N: FromStr>(
    word: &str,
    all: &[T],
    prefix: &str,
    raw: impl Fn(T) -> N,
) -> Option<N> {
    let upper = word.to_ascii_uppercase();
    let found = all.iter().find(|value| {
        let name = value.to_string();
        name == upper || name.strip_prefix(prefix) == Some(&upper)
    });
    found.map(|value| raw(*value)).or_else(|| word.parse().ok())
}

pub(super) fn process_event(word: &str) -> Option<u64> {
    named(
        word,
        ProcessEvent::ALL,
        "M0_CONF_HA_PROCESS_",
        ProcessEvent::raw,
    )
}

pub(super) fn process_type(word: &str) -> Option<u64> {
    named(
        word,
        ProcessType::ALL,
        "M0_CONF_HA_PROCESS_",
        ProcessType::raw,
    )
}

pub(super) fn service_event(word: &str) -> Option<u64> {
    named(
        word,
        ServiceEvent::ALL,
        "M0_CONF_HA_SERVICE_",
        ServiceEvent::raw,
    )
}

pub(super) fn note(word: &str) -> Option<Note> {
    let (object, state) = word.split_once('=')?;
    let state = named(state, HaState::ALL, "M0_NC_", HaState::raw)?;
    Some(Note {
        object: object.parse().ok()?,
        state,
    })
}

pub(super) fn link_status(word: &str) -> Option<LinkStatus> {
    let all = [
        LinkStatus::Connected,
        LinkStatus::Reused,
        LinkStatus::Absent,
    ];
    all.into_iter()
        .find(|status| status.name().eq_ignore_ascii_case(word))
}

pub(super) fn expected(word: &str) -> Option<Expected> {
    let (key, value) = word.split_once('=')?;
    match key {
        "rc" => value.parse().ok().map(Expected::Rc),
        "quorum" => value.parse().ok().map(Expected::Quorum),
        "confds" => value.parse().ok().map(Expected::Confds),
        "rm" => value.parse().ok().map(Expected::Rm),
        _ => None,
    }
}

pub(super) fn hex(word: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = word
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
