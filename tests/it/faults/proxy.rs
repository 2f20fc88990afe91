//! A way to Consul on which everything can go wrong.

mod ambush;
pub(super) mod journal;
mod message;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::random::Random;
use crate::harness::{eventually, free_ports};
pub(crate) use ambush::Ambush;
use journal::Journal;
use message::Message;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// Nobody listens, and connections are reset. It is for all requests or none.
    Refuse,
    /// The connection is reset instead of an answer; Consul sees nothing. Requests that wait for
    /// their answer are affected too.
    Close,
    /// Consul sees nothing, and no answer comes.
    Hang,
    /// Consul carries it out, and no answer comes.
    Unheard,
    /// Consul carries it out when [`Proxy::release`] is called, and no answer comes.
    Keep,
    /// Consul carries it out, and the answer comes after this time.
    Late(Duration),
    /// The connection is reset in the middle of the answer.
    Reset,
    /// The answer comes a byte at a time.
    Slow,
    /// The answer is this status, and Consul sees nothing.
    Status(u16),
    /// `X-Consul-Index` goes backwards from one answer to the next.
    IndexBack,
    /// `X-Consul-Index` is not a number.
    IndexWrong,
    /// The answer has no body.
    Empty,
    /// Half of the answer's JSON is there.
    Truncated,
    /// The answer is JSON of another kind.
    WrongJson,
}

/// Which requests go wrong, how, and how often in a hundred times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// How the first line of the request begins: `PUT /v1/txn`; empty for all.
    pub(super) of: &'static str,
    pub(super) fault: Fault,
    pub(super) percent: usize,
}

impl Rule {
    /// Always this fault.
    pub(super) fn always(of: &'static str, fault: Fault) -> Self {
        Self {
            of,
            fault,
            percent: 100,
        }
    }
}

/// Forwards connections to Consul, or does what its rules say.
pub(crate) struct Proxy {
    pub(crate) address: String,
    way: Way,
}

/// What a connection is made with.
#[derive(Clone)]
struct Way {
    consul: String,
    rules: watch::Sender<Vec<Rule>>,
    ambushes: Arc<Mutex<Vec<Arc<Ambush>>>>,
    random: Arc<Mutex<Random>>,
    journal: Arc<Journal>,
    kept: Arc<Mutex<Vec<Message>>>,
    suffered: Arc<Mutex<HashMap<Fault, u64>>>,
}

impl Proxy {
    pub(crate) async fn start(consul: String) -> Self {
        Self::seeded(consul, Random::new(1)).await
    }

    /// A proxy whose rules that are for some requests only choose them by this generator.
    pub(super) async fn seeded(consul: String, random: Random) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_ports::<1>()[0]));
        let listener = bind(address).await;
        let way = Way {
            consul,
            rules: watch::Sender::new(Vec::new()),
            ambushes: Arc::default(),
            random: Arc::new(Mutex::new(random)),
            journal: Arc::default(),
            kept: Arc::default(),
            suffered: Arc::default(),
        };
        tokio::spawn(way.clone().listen(listener, address));
        Self {
            address: address.to_string(),
            way,
        }
    }

    /// Replaces the rules; no rule means no fault.
    pub(super) fn set(&self, rules: impl Into<Vec<Rule>>) {
        self.way.rules.send_replace(rules.into());
    }

    /// One request meets a fault, which counts before all rules.
    pub(crate) fn ambush(&self, ambush: &Arc<Ambush>) {
        self.way.ambushes.lock().unwrap().push(Arc::clone(ambush));
    }

    /// From now on everything goes well.
    pub(super) fn mend(&self) {
        self.set([]);
    }

    /// What Consul has committed.
    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.way.journal
    }

    /// How many requests have suffered a fault so far.
    pub(super) fn suffered(&self, fault: Fault) -> u64 {
        let suffered = self.way.suffered.lock().unwrap();
        suffered.get(&fault).copied().unwrap_or(0)
    }

    /// How many requests have suffered any fault so far.
    pub(super) fn suffered_all(&self) -> u64 {
        self.way.suffered.lock().unwrap().values().sum()
    }

    /// Waits until so many requests more have suffered a fault.
    pub(super) async fn wait_suffered(&self, fault: Fault, more: u64) {
        let wanted = self.suffered(fault) + more;
        eventually(
            &format!("{more} requests more to suffer {fault:?}"),
            async || (self.suffered(fault) >= wanted).then_some(()),
        )
        .await;
    }

    /// Requests kept so far.
    pub(super) fn kept(&self) -> usize {
        self.way.kept.lock().unwrap().len()
    }

    /// Sends the requests kept to Consul, one after another, and returns the status of each.
    pub(crate) async fn release(&self) -> Vec<u16> {
        let kept = std::mem::take(&mut *self.way.kept.lock().unwrap());
        let mut answers = Vec::new();
        for request in kept {
            let mut server = None;
            let answer = self.way.ask(&mut server, &request).await;
            answers.push(answer.unwrap().code());
        }
        answers
    }
}

impl Way {
    async fn listen(self, mut listener: TcpListener, address: SocketAddr) {
        let mut rules = self.rules.subscribe();
        loop {
            if fault_for(&rules.borrow_and_update(), "") == Some(Fault::Refuse) {
                drop(listener);
                while fault_for(&rules.borrow_and_update(), "") == Some(Fault::Refuse) {
                    let _ = rules.changed().await;
                }
                listener = bind(address).await;
            }
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((client, _)) = accepted else { continue };
                    tokio::spawn(self.clone().serve(client));
                }
                _ = rules.changed() => {}
            }
        }
    }

    /// The fault that a request meets, if this is one of those that meet it.
    fn fault_of(&self, request: &Message) -> Option<Fault> {
        let ambushes = self.ambushes.lock().unwrap().clone();
        if let Some(fault) = ambushes.iter().find_map(|ambush| ambush.meets(request)) {
            return Some(fault);
        }
        let request = request.first_line();
        let rules = self.rules.borrow().clone();
        let mut rules = rules.iter().filter(|rule| request.starts_with(rule.of));
        let rule = rules.next()?;
        let meets = rule.percent >= 100 || self.random.lock().unwrap().percent(rule.percent);
        meets.then_some(rule.fault)
    }

    fn suffers(&self, fault: Fault) {
        *self.suffered.lock().unwrap().entry(fault).or_default() += 1;
    }

    /// One connection; errors are those of connections that end.
    async fn serve(self, client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let mut client = BufReader::new(client);
        let mut server = None;
        let mut rules = self.rules.subscribe();
        loop {
            rules.mark_unchanged();
            let request = tokio::select! {
                request = Message::read(&mut client) => request?,
                () = refused(&mut rules) => return reset(client),
            };
            let Some(request) = request else {
                return Ok(());
            };
            let fault = self.fault_of(&request);
            if let Some(fault) = fault {
                self.suffers(fault);
            }
            let mut answer = match fault {
                Some(Fault::Refuse | Fault::Close) => return reset(client),
                Some(Fault::Hang) => return self.silence(client).await,
                Some(Fault::Keep) => {
                    self.kept.lock().unwrap().push(request);
                    return self.silence(client).await;
                }
                Some(Fault::Status(status)) => Message::status(status),
                _ => {
                    // A write goes on when the client has gone, as it would without the proxy.
                    let ends = request.first_line().starts_with("GET ");
                    tokio::select! {
                        answer = self.ask(&mut server, &request) => answer?,
                        _ = client.fill_buf(), if ends => return Ok(()),
                        () = broken(&mut rules, request.first_line().to_owned()) => return reset(client),
                    }
                }
            };
            match fault {
                Some(Fault::Unheard) => return self.silence(client).await,
                Some(Fault::Late(time)) => tokio::time::sleep(time).await,
                Some(Fault::Reset) => {
                    let bytes = answer.to_bytes();
                    let half = bytes.len() - answer.body.len().div_ceil(2);
                    client.write_all(&bytes[..half]).await?;
                    return reset(client);
                }
                Some(Fault::Slow) => {
                    return trickle(client, &answer.to_bytes()).await;
                }
                Some(fault) => distort(&mut answer, fault),
                None => {}
            }
            client.write_all(&answer.to_bytes()).await?;
        }
    }

    /// Passes a request on, and returns the answer.
    async fn ask(
        &self,
        server: &mut Option<BufReader<TcpStream>>,
        request: &Message,
    ) -> io::Result<Message> {
        if server.is_none() {
            let stream = TcpStream::connect(&self.consul).await?;
            stream.set_nodelay(true)?;
            *server = Some(BufReader::new(stream));
        }
        let server = server.as_mut().unwrap();
        let forwarded = self.journal.tick();
        server.write_all(&request.to_bytes()).await?;
        let answer = Message::read(server).await?;
        let answer = answer.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.journal.note(request, &answer, forwarded);
        Ok(answer)
    }

    /// Answers nothing until the client gives up, or other rules come.
    async fn silence(&self, mut client: BufReader<TcpStream>) -> io::Result<()> {
        let mut rules = self.rules.subscribe();
        tokio::select! {
            _ = client.fill_buf() => Ok(()),
            _ = rules.changed() => reset(client),
        }
    }
}

/// The port is ours: nobody else of these tests gets it, but a connection may still hold it.
async fn bind(address: SocketAddr) -> TcpListener {
    loop {
        // Tokio lets an address be taken again at once.
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Resolves when connections are refused.
async fn refused(rules: &mut watch::Receiver<Vec<Rule>>) {
    broken(rules, String::new()).await;
}

/// Resolves when rules come that end a request under way.
async fn broken(rules: &mut watch::Receiver<Vec<Rule>>, request: String) {
    while rules.changed().await.is_ok() {
        let fault = fault_for(&rules.borrow(), &request);
        if matches!(fault, Some(Fault::Refuse | Fault::Close)) {
            return;
        }
    }
}

/// The fault that requests like this may meet.
fn fault_for(rules: &[Rule], request: &str) -> Option<Fault> {
    let rule = rules.iter().find(|rule| request.starts_with(rule.of));
    rule.map(|rule| rule.fault)
}

fn reset(client: BufReader<TcpStream>) -> io::Result<()> {
    client.into_inner().set_zero_linger()
}

/// Writes slower than any client has patience.
async fn trickle(mut client: BufReader<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        client.write_all(&[*byte]).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn distort(answer: &mut Message, fault: Fault) {
    const INDEX: &str = "X-Consul-Index";
    match fault {
        Fault::IndexBack => {
            let index: u64 = answer
                .header(INDEX)
                .map_or(1, |index| index.parse().unwrap());
            let index = (index / 2).max(1).to_string();
            answer.set_header(INDEX, Some(&index));
        }
        Fault::IndexWrong => answer.set_header(INDEX, Some("soon")),
        Fault::Empty => answer.body.clear(),
        Fault::Truncated => answer.body.truncate(answer.body.len() / 2),
        Fault::WrongJson => answer.body = br#"{"Results":7,"ID":[]}"#.to_vec(),
        _ => {}
    }
}
