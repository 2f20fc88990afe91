//! The kind `debugger`: logs every event (rfc/14, "Kinds").

use std::fmt::Write;

use super::event::Event;
use super::feed::Told;
use super::instance::{Context, Plugin, Running};
use super::object::Object;
use super::text::printable;

/// Target of its lines.
const TARGET: &str = "hax::plugin::debugger";

/// Bytes of a value that are shown.
const VALUE_MAX: usize = 256;

/// What stands for a value that is not known.
const NONE: &str = "-";

/// An instance of the kind `debugger`.
#[derive(Debug, Default)]
pub struct Debugger;

impl Plugin for Debugger {
    fn run(self: Box<Self>, context: Context) -> Running {
        Box::pin(async move {
            follow(context).await;
            Ok(())
        })
    }
}

async fn follow(mut context: Context) {
    context.starting.ready();
    let mut events: u64 = 0;
    loop {
        // Under a stream of events the runtime gets its turn, too.
        tokio::task::coop::consume_budget().await;
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return,
            Some(order) = context.orders.recv() => {
                order.refuse("debugger");
                continue;
            }
            told = context.feed.next() => match told {
                Told::Event(event) => {
                    events += 1;
                    log(&context.name.to_string(), &event);
                }
                Told::Missed(missed) => tracing::warn!(
                    target: TARGET,
                    instance = %context.name,
                    missed,
                    "events were missed; every object follows as `exists`"
                ),
            },
        }
        let missed = context.feed.missed();
        context
            .starting
            .show(serde_json::json!({ "events": events, "missed": missed }));
    }
}

fn log(instance: &str, event: &Event) {
    if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        return;
    }
    tracing::debug!(
        target: TARGET,
        instance,
        number = event.number,
        "{}",
        line(event)
    );
}

/// The event in one line: its kind, the object, and each field that differs.
fn line(event: &Event) -> String {
    let mut line = format!(
        "{} {}",
        event.kind.word(),
        printable(&event.key.to_string(), VALUE_MAX)
    );
    let mut before = " ";
    for field in event.key.kind.fields() {
        let shown = |object: &Option<_>| value(object.as_deref(), field);
        let (old, new) = (shown(&event.old), shown(&event.new));
        if old == new {
            continue;
        }
        let word = |value: Option<String>| value.unwrap_or_else(|| NONE.to_owned());
        let _ = write!(line, "{before}{field}: {} -> {}", word(old), word(new));
        before = ", ";
    }
    line
}

fn value(object: Option<&Object>, field: &str) -> Option<String> {
    let value = object?.field(field)?;
    Some(printable(&value.to_string(), VALUE_MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Change, EventKind, Feed, Hub, Process, SourceId};
    use super::*;

    fn process(state: &str, status: Option<&str>) -> Object {
        Object::from(Process {
            process: "0x7200000000000001:1".to_owned(),
            node: Some("n1".to_owned()),
            state: Some(state.to_owned()),
            status: status.map(str::to_owned),
            kind: None,
        })
    }

    fn next(feed: &mut Feed) -> Event {
        match feed.take() {
            Some(Told::Event(event)) => event,
            other => panic!("no event: {other:?}"),
        }
    }

    #[test]
    fn a_line_has_each_field_that_differs_and_no_other() {
        let hub = Hub::default();
        let mut feed = hub.subscribe(8);
        hub.apply(SourceId::View, [Change::Set(process("A", None))]);
        hub.apply(
            SourceId::View,
            [Change::Set(process("B\n\u{1b}", Some("C")))],
        );
        let key = process("B", None).key();
        hub.apply(SourceId::View, [Change::Gone(key)]);
        let create = next(&mut feed);
        assert_eq!(
            line(&create),
            "create process 0x7200000000000001:1 process: - -> 0x7200000000000001:1, \
             node: - -> n1, state: - -> A"
        );
        assert_eq!(
            line(&next(&mut feed)),
            "change process 0x7200000000000001:1 state: A -> B, status: - -> C"
        );
        let destroy = line(&next(&mut feed));
        assert!(destroy.starts_with("destroy process 0x7200000000000001:1 process: 0x72"));
        assert!(destroy.ends_with("status: C -> -"), "{destroy}");
        let exists = Event {
            kind: EventKind::Exists,
            new: Some(Arc::new(process("A", None))),
            ..create
        };
        assert!(line(&exists).starts_with("exists process "));
    }
}
