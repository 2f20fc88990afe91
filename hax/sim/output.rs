//! Lines for people, or for scripts.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use halink::{Fid, HaState, ProcessEvent, ProcessType, ServiceEvent};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::client::Event;
use super::service;
use super::wire::{Body, ConfEvent, EntrypointRep, Msg, Note};

/// Fields of a line, in order.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// Lines that wait for standard output.
const LINES_MAX: usize = 256;

/// Where lines go. They are written by a thread of their own, because writing to a
/// pipe blocks for as long as its reader likes.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    lines: mpsc::Sender<String>,
}

/// The end of the lines.
pub(crate) struct Written(oneshot::Receiver<()>);

impl Output {
    /// Starts the thread, which ends with the last clone of the output.
    pub(crate) fn start(json: bool) -> std::io::Result<(Output, Written)> {
        let (lines, mut queue) = mpsc::channel::<String>(LINES_MAX);
        let (done, written) = oneshot::channel();
        let body = move || {
            while let Some(line) = queue.blocking_recv() {
                let mut out = std::io::stdout().lock();
                // A reader that is gone does not stop the process: it is there to be killed.
                let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            }
            drop(done);
        };
        std::thread::Builder::new()
            .name("sim-output".into())
            .spawn(body)?;
        Ok((Output { json, lines }, Written(written)))
    }

    /// Prints an event of the process.
    pub(crate) async fn event(&self, event: &Event) {
        let (name, fields) = describe(event);
        self.line(name, &fields).await;
    }

    /// Prints something else.
    pub(crate) async fn line(&self, name: &str, fields: &[(&'static str, Value)]) {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut line = render(self.json, since.as_millis(), name, fields);
        line.push('\n');
        // The thread ends after the last sender only.
        let _ = self.lines.send(line).await;
    }
}

impl Written {
    /// Waits until all is written; every [`Output`] must be dropped by then.
    pub(crate) async fn wait(self) {
        // Nothing is ever sent: the end of the thread closes the channel.
        let _ = self.0.await;
    }
}

fn render(json: bool, millis: u128, name: &str, fields: &[(&'static str, Value)]) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    if json {
        let _ = write!(line, "{{\"t\":{millis},\"event\":{}", Value::from(name));
        for (key, value) in fields {
            let _ = write!(line, ",\"{key}\":{value}");
        }
        line.push('}');
    } else {
        let (seconds, millis) = (millis / 1_000 % 86_400, millis % 1_000);
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        let _ = write!(
            line,
            "{hours:02}:{minutes:02}:{:02}.{millis:03} {name}",
            seconds % 60
        );
        for (key, value) in fields {
            let _ = write!(line, " {key}={}", plain(value));
        }
    }
    line
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => {
            let rest = fields.iter().filter(|(key, _)| *key != "fid");
            let values = fields
                .get("fid")
                .into_iter()
                .chain(rest.map(|(_, value)| value));
            values.map(plain).collect::<Vec<_>>().join("=")
        }
        other => other.to_string(),
    }
}

fn describe(event: &Event) -> (&'static str, Fields) {
    match event {
        Event::Connected => ("connected", vec![]),
        Event::Disconnected(reason) => ("disconnected", vec![("reason", json!(reason))]),
        Event::Entrypoint(rep) => ("entrypoint", entrypoint(rep)),
        Event::Link {
            status,
            instance,
            link,
        } => (
            "link",
            vec![
                ("status", json!(status.name())),
                ("instance", json!(instance)),
                ("link", json!(link)),
            ],
        ),
        Event::Sent(msg) => {
            let mut fields = vec![("message", json!(msg.body.name()))];
            fields.extend(message(msg));
            ("sent", fields)
        }
        Event::Received(received) => (received.msg.body.name(), message(&received.msg)),
        Event::Duplicate { tag } => ("duplicate", vec![("tag", json!(tag))]),
        Event::Delivered { tag, name } => (
            "delivered",
            vec![("tag", json!(tag)), ("message", json!(name))],
        ),
        Event::Ended(end) => ("ended", vec![("reason", json!(end.to_string()))]),
    }
}

fn entrypoint(rep: &EntrypointRep) -> Fields {
    let confds: Vec<Value> = rep
        .confds
        .iter()
        .map(|confd| json!({"fid": fid(confd.fid), "endpoint": confd.endpoint}))
        .collect();
    vec![
        ("seq", json!(rep.seq)),
        ("rc", json!(rep.rc)),
        ("status", json!(rep.status.name())),
        ("instance", json!(rep.instance)),
        ("link", json!(rep.link)),
        ("quorum", json!(rep.quorum)),
        ("rm", fid(rep.rm)),
        ("rm_endpoint", json!(rep.rm_endpoint)),
        ("confds", Value::Array(confds)),
    ]
}

fn message(msg: &Msg) -> Fields {
    let mut fields = vec![("tag", json!(msg.tag))];
    let named = [
        ("fid", msg.fid),
        ("source_process", msg.source_process),
        ("source_service", msg.source_service),
    ];
    fields.extend(
        named
            .into_iter()
            .filter(|(_, f)| !f.is_nil())
            .map(|(key, f)| (key, fid(f))),
    );
    fields.extend(body(&msg.body));
    fields
}

fn body(body: &Body) -> Fields {
    match body {
        Body::StobIoq(e) => vec![
            ("conf_sdev", fid(e.conf_sdev)),
            ("stob_domain", fid(e.stob_domain)),
            ("stob", fid(e.stob)),
            ("fd", json!(e.fd)),
            ("opcode", json!(e.opcode)),
            ("rc", json!(e.rc)),
            ("offset", json!(e.offset)),
            ("size", json!(e.size)),
            ("bshift", json!(e.bshift)),
        ],
        Body::Nvec {
            id_of_get,
            ignore_same_state,
            notes,
            ..
        } => vec![
            ("id_of_get", json!(id_of_get)),
            ("ignore_same_state", json!(ignore_same_state)),
            ("notes", notes_value(notes)),
        ],
        Body::FailureVecReq { pool, cookie } => {
            vec![("pool", fid(*pool)), ("cookie", json!(cookie))]
        }
        Body::FailureVecRep {
            pool,
            cookie,
            notes,
        } => vec![
            ("pool", fid(*pool)),
            ("cookie", json!(cookie)),
            ("notes", notes_value(notes)),
        ],
        Body::KeepaliveReq { id } => vec![("id", json!(id))],
        Body::KeepaliveRep { id, counter } => vec![("id", json!(id)), ("counter", json!(counter))],
        Body::Process(e) => {
            let event = ProcessEvent::from_raw(e.event).map(|event| event.to_string());
            let kind = ProcessType::from_raw(e.kind).map(|kind| kind.to_string());
            conf_event(e, event, kind.map_or_else(|| json!(e.kind), Value::from))
        }
        Body::Service(e) => {
            let event = ServiceEvent::from_raw(e.event).map(|event| event.to_string());
            conf_event(e, event, json!(service::name(e.kind)))
        }
        Body::Rpc { attempts, state } => {
            vec![("attempts", json!(attempts)), ("state", json!(state))]
        }
        Body::BeIoErr {
            errcode,
            location,
            io_opcode,
        } => vec![
            ("errcode", json!(errcode)),
            ("location", json!(location)),
            ("io_opcode", json!(io_opcode)),
        ],
        Body::SnsErr { errcode, opcode } => {
            vec![("errcode", json!(errcode)), ("opcode", json!(opcode))]
        }
    }
}

fn conf_event(e: &ConfEvent, event: Option<String>, kind: Value) -> Fields {
    let event = event.map_or_else(|| json!(e.event), Value::from);
    vec![("what", event), ("type", kind), ("pid", json!(e.pid))]
}

fn fid(fid: Fid) -> Value {
    Value::from(fid.to_string())
}

/// Name of a state, or its number.
pub(crate) fn state(state: u32) -> Value {
    HaState::from_raw(state).map_or_else(|| json!(state), |state| Value::from(state.to_string()))
}

fn notes_value(notes: &[Note]) -> Value {
    notes
        .iter()
        .map(|note| json!({"fid": fid(note.object), "state": state(note.state)}))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::client::Received;

    fn set() -> Event {
        let object = Fid::new(0x7200_0000_0000_0001, 3);
        let notes = vec![Note { object, state: 2 }, Note { object, state: 77 }];
        let body = Body::Nvec {
            kind: 0,
            id_of_get: 100,
            ignore_same_state: 1,
            notes,
        };
        let nil = Fid::NIL;
        let msg = crate::sim::link::draft(nil, nil, nil, 0, body);
        Event::Received(Received {
            generation: 0,
            msg: Msg { tag: 7, ..msg },
        })
    }

    #[test]
    fn for_people() {
        let (name, fields) = describe(&set());
        assert_eq!(
            render(false, 86_400_000 + 3_723_004, name, &fields),
            "01:02:03.004 nvec_set tag=7 id_of_get=100 ignore_same_state=1 \
             notes=[0x7200000000000001:0x3=M0_NC_FAILED 0x7200000000000001:0x3=77]"
        );
    }

    #[test]
    fn for_scripts() {
        let (name, fields) = describe(&set());
        assert_eq!(
            render(true, 5, name, &fields),
            "{\"t\":5,\"event\":\"nvec_set\",\"tag\":7,\"id_of_get\":100,\
             \"ignore_same_state\":1,\"notes\":[\
             {\"fid\":\"0x7200000000000001:0x3\",\"state\":\"M0_NC_FAILED\"},\
             {\"fid\":\"0x7200000000000001:0x3\",\"state\":77}]}"
        );
    }
}
