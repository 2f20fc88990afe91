//! `GET /metrics`: what `/v1/status` counts, for Prometheus.

use super::counters::Latencies;
use super::handle::Parts;
use crate::metrics::{Histogram, Kind, Text};
use crate::version;

/// The whole text.
pub(super) fn text(parts: &Parts) -> String {
    let mut text = Text::default();
    text.metric(
        "hax_info",
        Kind::Gauge,
        "Version of hax, with commit and backend; always 1.",
    );
    text.sample("hax_info", &[("version", version::long())], 1);
    let uptime = parts.started.elapsed().as_secs_f64();
    text.single(
        "hax_uptime_seconds",
        Kind::Gauge,
        "Time since the start.",
        uptime,
    );
    for (name, help, count) in parts.counters.each() {
        text.single(&format!("hax_{name}_total"), Kind::Counter, help, count);
    }
    for (name, help, histogram) in latencies(&parts.counters.latencies) {
        text.histogram(&format!("hax_{name}_seconds"), help, histogram);
    }
    queue(&mut text, parts);
    links(&mut text, parts);
    let reachable = u8::from(parts.view.last_error().is_none());
    let help = "Whether the last query of each kind succeeded.";
    text.single("hax_consul_reachable", Kind::Gauge, help, reachable);
    let objects = parts.view.snapshots().borrow().tree.len();
    let help = "Objects known from m0conf/.";
    text.single("hax_conf_objects", Kind::Gauge, help, objects);
    text.finish()
}

pub(super) fn latencies(latencies: &Latencies) -> [(&'static str, &'static str, &Histogram); 4] {
    [
        (
            "broadcast_delivered",
            "From asking for a broadcast to the acknowledgement of each of its messages.",
            &latencies.broadcast_delivered,
        ),
        (
            "event_written",
            "From the arrival of a process event to its being in KV.",
            &latencies.event_written,
        ),
        (
            "entrypoint_replied",
            "From the arrival of an entrypoint request to its reply.",
            &latencies.entrypoint_replied,
        ),
        (
            "nvec_answered",
            "From the arrival of an NVEC GET to its answer.",
            &latencies.nvec_answered,
        ),
    ]
}

fn queue(text: &mut Text, parts: &Parts) {
    let stats = parts.interface.stats();
    let over = parts.alarm.observe(stats.messages, &parts.counters);
    let waiting = parts.dispatcher.progress().waiting;
    for (name, help, value) in [
        (
            "hax_queue_requests",
            "Requests that wait for their turn.",
            waiting,
        ),
        (
            "hax_queue_events",
            "Events of the interface that are not routed yet.",
            stats.events,
        ),
        (
            "hax_queue_messages",
            "Messages received that are neither acknowledged nor given up.",
            stats.messages,
        ),
        (
            "hax_queue_is_over_bound",
            "Whether more messages are held than dispatch.queue_max.",
            usize::from(over),
        ),
        (
            "hax_send_commands",
            "Commands that wait for the sending thread.",
            stats.commands,
        ),
    ] {
        text.single(name, Kind::Gauge, help, value);
    }
}

fn links(text: &mut Text, parts: &Parts) {
    let links = parts.links.status();
    text.single(
        "hax_links",
        Kind::Gauge,
        "Live links, our own among them.",
        links.len(),
    );
    let names: Vec<_> = links
        .iter()
        .map(|link| (link.id.to_string(), link.process.to_string()))
        .collect();
    let mut each = |name: &str, kind, help: &str, value: &dyn Fn(usize) -> u64| {
        text.metric(name, kind, help);
        for (place, (link, process)) in names.iter().enumerate() {
            text.sample(name, &[("link", link), ("process", process)], value(place));
        }
    };
    each(
        "hax_link_received_messages_total",
        Kind::Counter,
        "Messages received over a link.",
        &|place| links[place].received,
    );
    each(
        "hax_link_undelivered_messages",
        Kind::Gauge,
        "Messages sent over a link that the process has not acknowledged.",
        &|place| links[place].undelivered,
    );
}
