//! The figures for people.

use std::fmt::Write as _;

use super::figures::{By, Figures};

/// A line of the table.
struct Row {
    what: String,
    /// The figure, with its unit.
    figure: String,
    /// What Consul does alone, or what else the figure is to be seen with.
    beside: String,
    goal: Option<Goal>,
}

/// What is to be reached, and whether it was.
struct Goal {
    text: &'static str,
    met: bool,
}

/// The table.
pub(super) fn of(figures: &Figures) -> String {
    let mut rows = Vec::new();
    events(figures, &mut rows);
    outage(figures, &mut rows);
    entrypoint(figures, &mut rows);
    nvec(figures, &mut rows);
    broadcast(figures, &mut rows);
    rest(figures, &mut rows);
    let mut text = format(&rows);
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "\n{} objects; consul {}, {}; {} cores; {:.0} s{}\n",
        figures.tree_objects,
        figures.consul_version,
        figures.consul_storage,
        figures.cores,
        figures.seconds,
        if figures.quick { "; a quick run" } else { "" },
    );
    let samples = figures.samples.iter();
    let samples: Vec<String> = samples.map(|(name, n)| format!("{name} {n}")).collect();
    let _ = writeln!(text, "sample sizes: {}", samples.join(", "));
    if let Some(note) = &figures.death_note {
        let _ = writeln!(text, "death of a process: {note}");
    }
    if let Some(note) = &figures.death_by_check_note {
        let _ = writeln!(text, "death of a process by Consul's checks: {note}");
    }
    if figures.debug_build {
        text.push_str("this is a debug build: its figures say little\n");
    }
    text
}

fn format(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let (goal, met) = match &row.goal {
            Some(goal) => (goal.text, if goal.met { "met" } else { "MISSED" }),
            None => ("", ""),
        };
        [
            row.what.clone(),
            row.figure.clone(),
            row.beside.clone(),
            goal.to_owned(),
            met.to_owned(),
        ]
    };
    let head = ["", "figure", "beside", "goal", ""].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(head)
        .chain(rows.iter().map(cells))
        .collect();
    let width = |n: usize| {
        lines
            .iter()
            .map(|it| it[n].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths = [0, 1, 2, 3].map(width);
    let [a, b, c, d] = widths;
    let mut text = String::new();
    for [what, figure, beside, goal, met] in &lines {
        let line = format!("{what:a$}  {figure:>b$}  {beside:c$}  {goal:d$}  {met}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(rows: &mut Vec<Row>, what: &str, value: Option<f64>, unit: &str, beside: String) {
    if let Some(value) = value {
        rows.push(Row {
            what: what.to_owned(),
            figure: number(value, unit),
            beside,
            goal: None,
        });
    }
}

fn goal(rows: &mut [Row], text: &'static str, met: bool) {
    if let Some(row) = rows.last_mut() {
        row.goal = Some(Goal { text, met });
    }
}

fn number(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

fn raw(value: Option<f64>, what: &str) -> String {
    value.map_or_else(String::new, |value| format!("{what} {value:.0} /s"))
}

fn events(figures: &Figures, rows: &mut Vec<Row>) {
    if let Some(rate) = figures.events_burst_per_s {
        let beside = raw(figures.events_burst_raw_per_s, "64-op transactions");
        row(rows, "process events, burst", Some(rate), "/s", beside);
        goal(rows, "≥ 10,000 /s", rate >= 10_000.0);
    }
    if let Some(ratio) = figures.events_burst_raw_ratio {
        let beside = "of the transactions".to_owned();
        row(rows, "", Some(ratio * 100.0), "%", beside);
        goal(rows, "≥ 60 %", ratio >= 0.6);
    }
    let same = figures.events_burst_same_per_s;
    row(
        rows,
        "process events, burst of 4 processes",
        same,
        "/s",
        String::new(),
    );
    if let Some(rate) = figures.event_serial_per_s {
        let beside = raw(figures.event_serial_raw_per_s, "PUTs");
        row(
            rows,
            "process events, one at a time",
            Some(rate),
            "/s",
            beside,
        );
    }
    if let Some(ratio) = figures.event_serial_raw_ratio {
        let beside = "of the PUTs, one for each event".to_owned();
        row(rows, "", Some(ratio * 100.0), "%", beside);
        goal(rows, "≥ 80 %", ratio >= 0.8);
    }
    for (ratio, rate, what) in [
        (
            figures.event_serial_same_writes_ratio,
            figures.event_serial_same_writes_per_s,
            "PUTs of both keys",
        ),
        (
            figures.event_serial_txn_ratio,
            figures.event_serial_raw_txn_per_s,
            "transactions of both keys",
        ),
    ] {
        let beside = raw(rate, &format!("of {what},"));
        row(rows, "", ratio.map(|ratio| ratio * 100.0), "%", beside);
    }
    row(
        rows,
        "message that needs no Consul, one at a time",
        figures.link_round_trip_us,
        "µs",
        "round trip of the link".to_owned(),
    );
}

fn outage(figures: &Figures, rows: &mut Vec<Row>) {
    if let (Some(held), Some(grown)) = (figures.outage_held, figures.outage_rss_mib) {
        let beside = format!("{held} events held, the others by their processes");
        row(rows, "memory of an outage", Some(grown), "MiB", beside);
    }
    if let Some(rate) = figures.outage_drain_per_s {
        let burst = raw(figures.events_burst_per_s, "a burst");
        row(rows, "events after an outage", Some(rate), "/s", burst);
    }
}

fn entrypoint(figures: &Figures, rows: &mut Vec<Row>) {
    if let Some(rate) = figures.entrypoint_per_s {
        let beside = raw(figures.entrypoint_raw_get_per_s, "GETs of the catalog");
        row(
            rows,
            "entrypoint replies, burst of 300",
            Some(rate),
            "/s",
            beside,
        );
        goal(rows, "≥ 10,000 /s", rate >= 10_000.0);
    }
    let all = figures.entrypoint_1000_per_s;
    row(
        rows,
        "entrypoint replies, 1,000 processes",
        all,
        "/s",
        String::new(),
    );
    let first = figures.entrypoint_first_per_s;
    row(
        rows,
        "entrypoint replies, new links",
        first,
        "/s",
        String::new(),
    );
}

fn nvec(figures: &Figures, rows: &mut Vec<Row>) {
    for (notes, rate) in &figures.nvec_per_s {
        let beside = raw(figures.nvec_raw_get_per_s, "GETs of a key");
        row(
            rows,
            &format!("NVEC GET, {notes} notes"),
            Some(*rate),
            "/s",
            beside,
        );
        if *notes == 1_024 {
            goal(rows, "≥ 2,000 /s", *rate >= 2_000.0);
        }
    }
    if let Some(p99) = figures.nvec_p99_ms {
        let beside = figures.nvec_p50_ms.map(|p50| format!("p50 {p50:.2} ms"));
        let beside = beside.unwrap_or_default();
        row(rows, "NVEC GET, 16 notes, p99", Some(p99), "ms", beside);
        goal(rows, "≤ 5 ms", p99 <= 5.0);
    }
}

fn broadcast(figures: &Figures, rows: &mut Vec<Row>) {
    let get = |by: &By, n: usize| by.get(&n).copied().unwrap_or(f64::NAN);
    let notes = figures.broadcast_notes.unwrap_or_default();
    for (links, p50) in &figures.broadcast_p50_ms {
        let p99 = get(&figures.broadcast_p99_ms, *links);
        let first = get(&figures.broadcast_first_p50_ms, *links);
        let beside = format!("p99 {p99:.2} ms, first link {first:.2} ms");
        let plural = if *links == 1 { "" } else { "s" };
        let what = format!("POST → {links} link{plural}, {notes} notes, p50");
        row(rows, &what, Some(*p50), "ms", beside);
        if *links == 100 {
            goal(rows, "≤ 5 ms", *p50 <= 5.0);
        }
    }
    if let Some(small) = figures.broadcast_small_tree_p50_ms {
        let objects = figures.small_tree_objects.unwrap_or_default();
        let what = format!("POST → 100 links, {notes} notes, {objects} objects, p50");
        let large = get(&figures.broadcast_p50_ms, 100);
        let beside = format!("{large:.2} ms with {} objects", figures.tree_objects);
        row(rows, &what, Some(small), "ms", beside);
    }
    let mut fewest = None;
    for (notes, p50) in &figures.broadcast_notes_p50_ms {
        let (less, base) = *fewest.get_or_insert((*notes, *p50));
        let more = u32::try_from(notes - less).unwrap_or(u32::MAX);
        let beside = match more {
            0 => String::new(),
            _ => format!(
                "{:.0} ns more for each further note and link",
                (p50 - base) * 1e6 / (100.0 * f64::from(more))
            ),
        };
        let what = format!("POST → 100 links, {notes} notes, p50");
        row(rows, &what, Some(*p50), "ms", beside);
    }
}

fn rest(figures: &Figures, rows: &mut Vec<Row>) {
    if let Some(p50) = figures.death_to_delivered_p50_ms {
        let what = "SIGKILL → 10 survivors, p50";
        row(rows, what, Some(p50), "ms", String::new());
        goal(rows, "≤ 10 ms", p50 <= 10.0);
    }
    if let Some(p50) = figures.death_by_check_p50_ms {
        let what = "SIGKILL → 10 survivors by checks of 1 s, p50";
        let max = figures.death_by_check_max_ms;
        let beside = max.map_or_else(String::new, |max| format!("longest {max:.0} ms"));
        row(rows, what, Some(p50), "ms", beside);
        goal(rows, "≤ 1,200 ms", p50 <= 1_200.0);
    }
    if let Some(rss) = figures.rss_mib {
        row(rows, "memory, idle", Some(rss), "MiB", String::new());
        goal(rows, "< 30 MiB", rss < 30.0);
    }
    row(
        rows,
        "memory of a link",
        figures.link_kib,
        "KiB",
        String::new(),
    );
    if let Some(share) = figures.idle_cpu_percent {
        row(
            rows,
            "CPU, idle",
            Some(share),
            "%",
            "of one core".to_owned(),
        );
        goal(rows, "< 0.5 %", share < 0.5);
    }
    row(rows, "start → ready", figures.ready_ms, "ms", String::new());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_goal_is_said() {
        let figures = Figures {
            nvec_p99_ms: Some(7.5),
            rss_mib: Some(12.0),
            ..Figures::default()
        };
        let text = of(&figures);
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(
            line("NVEC GET, 16 notes").ends_with("≤ 5 ms    MISSED"),
            "{text}"
        );
        assert!(line("memory, idle").ends_with("< 30 MiB  met"), "{text}");
        assert!(!text.contains("process events"), "{text}");
    }

    #[test]
    fn what_a_note_costs_is_told_apart_from_what_a_message_costs() {
        let figures = Figures {
            broadcast_notes_p50_ms: [(1, 2.0), (101, 3.0)].into(),
            ..Figures::default()
        };
        let text = of(&figures);
        assert!(text.contains("3.00 ms  100 ns more"), "{text}");
    }

    #[test]
    fn numbers_have_three_digits_or_all_before_the_point() {
        let shown = [1_234.5, 12.34, 1.234].map(|value| number(value, "ms"));
        assert_eq!(shown, ["1234 ms", "12.3 ms", "1.23 ms"]);
    }
}
