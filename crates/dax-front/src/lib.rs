//! DAX Local: a server that speaks the protocol of DynamoDB Accelerator in front of a DynamoDB endpoint, so that a client can be tried without a
//! cluster. `PROTOCOL.md` describes the protocol.

mod cache;
mod callers;
mod failure;
mod requests;
mod tables;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::Client;
use dynamodb_dax::wire::cbor::{Decoder, Encoder, Malformed, Scanner};
use dynamodb_dax::wire::{MAGIC, SERVICE, endpoint, method};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub use callers::{Caller, CallerEndpoint, Callers};
use failure::Failure;
use requests::Requests;

/// The values that a connection begins with.
const PREAMBLE: usize = 5;
/// Bytes of a request: more than any of DynamoDB's.
const MAX_REQUEST: usize = 32 << 20;
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DAX.concepts.html#DAX.concepts.item-cache>
const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// Bytes of each of the two caches.
const CACHE_BYTES: usize = 256 << 20;

/// How a cluster behaves.
pub struct Settings {
    /// Who may call.
    pub callers: Callers,
    /// With it, connections are encrypted.
    pub tls: Option<TlsAcceptor>,
    /// How long items are cached: `record-ttl-millis` of a parameter group. Zero: until they are written or evicted.
    pub record_ttl: Duration,
    /// How long the results of queries and scans are cached: `query-ttl-millis` of a parameter group. Zero: they are not.
    pub query_ttl: Duration,
}

impl Settings {
    /// The defaults of AWS, without encryption.
    pub fn new(callers: Callers) -> Self {
        Self { callers, tls: None, record_ttl: DEFAULT_TTL, query_ttl: DEFAULT_TTL }
    }
}

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is done, and answered after this time.
    Slow(Duration),
    /// It is done, and the connection is closed after half of the answer.
    Half,
    /// It is done, and the connection is reset instead of an answer.
    Reset,
    /// It is not done: there are too many.
    Throttled,
    /// It is not done: the connection is no longer authorised.
    Unauthorized,
}

/// A cluster. Its nodes share what they know.
pub struct Front {
    requests: Arc<Requests>,
    callers: Callers,
    tls: Option<TlsAcceptor>,
    nodes: Mutex<Vec<SocketAddr>>,
    /// Faults to come, by method.
    faults: Mutex<VecDeque<(i64, Fault)>>,
}

impl Front {
    /// A cluster in front of an endpoint.
    pub fn new(dynamodb: Client, settings: Settings) -> Arc<Self> {
        let Settings { callers, tls, record_ttl, query_ttl } = settings;
        let requests = Arc::new(Requests::new(dynamodb, record_ttl, query_ttl));
        Arc::new(Self { requests, callers, tls, nodes: Mutex::default(), faults: Mutex::default() })
    }

    /// Lets the next request of a method (a number of `dynamodb_dax::wire::method`) fail, whichever node it comes to.
    pub fn fail(&self, method: i64, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back((method, fault));
    }

    fn fault(&self, method: i64) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let place = faults.iter().position(|(of, _)| *of == method)?;
        faults.remove(place).map(|(_, fault)| fault)
    }

    /// The nodes that clients are told of. The first is the leader.
    pub fn set_nodes(&self, nodes: Vec<SocketAddr>) {
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
    }

    /// Serves the connections of one node, without end.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        // Connections end with the node.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let front = Arc::clone(&self);
            connections.spawn(async move {
                // A client that goes away in the middle is not worth a word.
                let _ = match &front.tls {
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => front.connection(stream, |stream| Some(stream.get_ref().0)).await,
                        Err(error) => Err(error),
                    },
                    None => front.connection(stream, |stream| Some(stream)).await,
                };
            });
            while connections.try_join_next().is_some() {}
        }
    }

    /// Serves a connection that is not one of TCP, for the fuzz targets.
    #[doc(hidden)]
    pub async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        self.connection(stream, |_| None).await
    }

    async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        tcp: fn(&S) -> Option<&TcpStream>,
    ) -> io::Result<()> {
        let mut input = Input::default();
        let Some(start) = input.read(&mut stream, preamble).await? else { return Ok(()) };
        let mut decoder = Decoder::new(&start);
        decoder.skip().map_err(invalid)?;
        if decoder.int().map_err(invalid)? != 0 {
            return Err(invalid(Malformed("a layer that there is not")));
        }
        let mut authorization = Err(Failure::unauthorized("The connection is not authorised"));
        loop {
            let Some(request) = input.read(&mut stream, expected).await? else { return Ok(()) };
            let mut decoder = Decoder::new(&request);
            decoder.skip().map_err(invalid)?;
            let number = decoder.int().map_err(invalid)?;
            if number == method::AUTHORIZE_CONNECTION {
                // Success has no response, and failure is the response to the next request.
                authorization = self.callers.authorize(decoder).await;
                continue;
            }
            let fault = self.fault(number);
            let answer = match &authorization {
                Err(failure) => Err(failure.encode()),
                Ok(authorized) if authorized.until < SystemTime::now() || fault == Some(Fault::Unauthorized) => {
                    Err(Failure::unauthorized("The authorisation has expired").encode())
                }
                Ok(_) if fault == Some(Fault::Throttled) => Err(Failure::throttled().encode()),
                Ok(_) if number == method::ENDPOINTS => Ok(self.endpoints().into()),
                Ok(authorized) => {
                    self.requests.answer(&authorized.caller, number, decoder).await.map_err(|failure| failure.encode())
                }
            };
            let response = match answer {
                Ok(body) => [&[0x80], &*body].concat(),
                Err(failure) => failure,
            };
            match fault {
                Some(Fault::Slow(time)) => tokio::time::sleep(time).await,
                Some(Fault::Half) => {
                    stream.write_all(&response[..response.len() / 2]).await?;
                    return stream.shutdown().await;
                }
                Some(Fault::Reset) => return tcp(&stream).map_or(Ok(()), TcpStream::set_zero_linger),
                _ => {}
            }
            stream.write_all(&response).await?;
            stream.flush().await?;
        }
    }

    fn endpoints(&self) -> Vec<u8> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut encoder = Encoder::default();
        encoder.array(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            encoder.map(7);
            encoder.int(endpoint::NODE);
            encoder.int(at as i64 + 1);
            encoder.int(endpoint::HOST_NAME);
            encoder.text(&format!("node-{}.localhost", at + 1));
            encoder.int(endpoint::ADDRESS);
            match node.ip() {
                IpAddr::V4(address) => encoder.bytes(&address.octets()),
                IpAddr::V6(address) => encoder.bytes(&address.octets()),
            }
            encoder.int(endpoint::PORT);
            encoder.int(i64::from(node.port()));
            encoder.int(endpoint::ROLE);
            encoder.int(if at == 0 { endpoint::LEADER } else { endpoint::LEADER + 1 });
            encoder.int(endpoint::AVAILABILITY_ZONE);
            encoder.text("local");
            encoder.int(endpoint::LEADER_SESSION);
            encoder.int(1);
        }
        encoder.buffer
    }
}

fn invalid(malformed: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

/// How many values a connection begins with. Another protocol, such as TLS, is refused by its first bytes: it may never send as many values.
fn preamble(start: &[u8]) -> Result<usize, Malformed> {
    let mut magic = Encoder::default();
    magic.text(MAGIC);
    let same = start.iter().zip(&magic.buffer).all(|(sent, magic)| sent == magic);
    if same { Ok(PREAMBLE) } else { Err(Malformed("no connection of a DAX client")) }
}

/// How many values a request has, or two as long as that is not known.
fn expected(start: &[u8]) -> Result<usize, Malformed> {
    let mut decoder = Decoder::new(start);
    match (decoder.int(), decoder.int()) {
        (Ok(SERVICE), Ok(number)) => {
            requests::arguments(number).map(|count| 2 + count).ok_or(Malformed("an unknown method"))
        }
        (Ok(service), _) if service != SERVICE => Err(Malformed("an unknown service")),
        _ => Ok(2),
    }
}

/// What was received.
#[derive(Default)]
struct Input {
    buffer: Vec<u8>,
}

impl Input {
    /// Reads as many values as `expected` says when it sees their start. None if the client closed the connection before them.
    async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        expected: impl Fn(&[u8]) -> Result<usize, Malformed>,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut scanner = Scanner::default();
        loop {
            let mut count = expected(&self.buffer).map_err(invalid)?;
            while scanner.complete(&self.buffer, count).map_err(invalid)? {
                let now = expected(&self.buffer).map_err(invalid)?;
                if now == count {
                    let rest = self.buffer.split_off(scanner.position);
                    return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
                }
                count = now;
            }
            if self.buffer.len() > MAX_REQUEST {
                return Err(invalid(Malformed("a request that is too long")));
            }
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }
}
