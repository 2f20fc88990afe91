//! A way from processes to the bridge on which everything can go wrong.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hax::sim::endpoint::Endpoint;
use hax::sim::wire::{HEADER_LEN, MAGIC};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::random::Random;
use crate::harness::{eventually, free_ports};

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkFault {
    /// It is cut before the next bytes.
    Cut,
    /// It is cut in the middle of the next bytes.
    Half,
    /// Bytes that are no frame come to the bridge before the next frame.
    Garbage,
    /// A second connection asks for the link too, and says what the process says from then on.
    Twice,
}

/// Forwards connections to a bridge that listens on TCP.
pub(super) struct LinkProxy {
    /// Where processes connect.
    pub(super) endpoint: Endpoint,
    way: Way,
}

#[derive(Clone)]
struct Way {
    bridge: SocketAddr,
    random: Arc<Mutex<Random>>,
    /// A fault, and how many connections will still meet it.
    orders: Arc<Mutex<Option<(LinkFault, u64)>>>,
    /// While it is true, bytes wait where they are.
    delay: watch::Sender<bool>,
    /// Changes when all connections are to be cut.
    cuts: watch::Sender<u64>,
}

impl LinkProxy {
    /// The endpoint for a bridge, as its configuration has it, and the way to it.
    pub(super) async fn start(random: Random) -> (String, Self) {
        let bridge = SocketAddr::from(([127, 0, 0, 1], free_ports::<1>()[0]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::Tcp(listener.local_addr().unwrap());
        let way = Way {
            bridge,
            random: Arc::new(Mutex::new(random)),
            orders: Arc::default(),
            delay: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
        };
        let serve = way.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve.clone().serve(client));
            }
        });
        (Endpoint::Tcp(bridge).to_string(), Self { endpoint, way })
    }

    /// The next connections, so many, on which something is said meet this fault.
    pub(super) fn order(&self, fault: LinkFault, times: u64) {
        *self.way.orders.lock().unwrap() = Some((fault, times));
    }

    /// Waits until all that was ordered has happened.
    pub(super) async fn wait_happened(&self) {
        eventually("the faults of links that were ordered", async || {
            self.way.orders.lock().unwrap().is_none().then_some(())
        })
        .await;
    }

    /// Lets bytes wait, or go on.
    pub(super) fn set_delay(&self, delay: bool) {
        self.way.delay.send_replace(delay);
    }

    /// Cuts every connection there is.
    pub(super) fn cut_all(&self) {
        self.way.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Way {
    /// Takes the fault that is ordered, if this is the moment for it.
    fn take(&self, chunk: &[u8], first: bool) -> Option<LinkFault> {
        let mut orders = self.orders.lock().unwrap();
        let (fault, times) = orders.as_mut()?;
        let fault = *fault;
        // In the middle of a frame, garbage might make another good frame of it.
        if fault == LinkFault::Garbage && !chunk.starts_with(&MAGIC) {
            return None;
        }
        if fault == LinkFault::Twice && first {
            return None;
        }
        *times -= 1;
        if *times == 0 {
            *orders = None;
        }
        Some(fault)
    }

    /// One connection; errors are those of connections that end.
    async fn serve(self, mut client: TcpStream) -> io::Result<()> {
        let mut cuts = self.cuts.subscribe();
        let mut delay = self.delay.subscribe();
        let mut server = TcpStream::connect(self.bridge).await?;
        let mut second: Option<TcpStream> = None;
        let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
        // The first frame of the connection says whose it is. It is alone: the process says no
        // more before it is answered.
        let mut hello = Vec::new();
        loop {
            tokio::select! {
                read = client.read(&mut up) => {
                    let n = some(read?)?;
                    let _ = delay.wait_for(|delay| !*delay).await;
                    let chunk = &up[..n];
                    let first = hello.is_empty();
                    if first {
                        hello = chunk.to_vec();
                    }
                    match self.take(chunk, first) {
                        None => {}
                        Some(LinkFault::Cut) => return Ok(()),
                        Some(LinkFault::Half) => {
                            let half = self.random.lock().unwrap().below(n);
                            server.write_all(&chunk[..half]).await?;
                            return server.shutdown().await;
                        }
                        Some(LinkFault::Garbage) => {
                            let garbage = self.garbage();
                            server.write_all(&garbage).await?;
                        }
                        Some(LinkFault::Twice) => {
                            let mut stream = TcpStream::connect(self.bridge).await?;
                            stream.write_all(&hello).await?;
                            some(stream.read(&mut down).await?)?;
                            second = Some(stream);
                        }
                    }
                    server.write_all(chunk).await?;
                    if let Some(stream) = &mut second {
                        // The bridge may have closed it.
                        let _ = stream.write_all(chunk).await;
                    }
                }
                read = server.read(&mut down) => {
                    let n = some(read?)?;
                    let _ = delay.wait_for(|delay| !*delay).await;
                    client.write_all(&down[..n]).await?;
                }
                _ = cuts.changed() => return Ok(()),
            }
        }
    }

    /// Bytes that no frame begins with.
    fn garbage(&self) -> Vec<u8> {
        let mut random = self.random.lock().unwrap();
        let length = 1 + random.below(200);
        let mut garbage = random.bytes(length.max(HEADER_LEN));
        garbage[0] = !MAGIC[0];
        garbage
    }
}

fn some(read: usize) -> io::Result<usize> {
    match read {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        n => Ok(n),
    }
}
