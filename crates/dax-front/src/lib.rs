//! DAX Local: a server that speaks the protocol of DynamoDB Accelerator in front of a DynamoDB endpoint, so that a client can be tried without a
//! cluster. `PROTOCOL.md` describes the protocol.

mod failure;
mod requests;
mod tables;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_sdk_dynamodb::Client;
use dynamodb_dax::wire::cbor::{Decoder, Encoder, Malformed, Scanner};
use dynamodb_dax::wire::{MAGIC, SERVICE, authorization, endpoint, method};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use failure::Failure;
use requests::Requests;

/// The values that a connection begins with.
const PREAMBLE: usize = 5;
/// Bytes of a request: more than any of DynamoDB's.
const MAX_REQUEST: usize = 32 << 20;

/// A cluster. Its nodes share what they know.
pub struct Front {
    requests: Requests,
    /// Secret access keys by key id.
    secrets: HashMap<String, String>,
    tls: Option<TlsAcceptor>,
    nodes: Mutex<Vec<SocketAddr>>,
}

impl Front {
    /// A cluster in front of an endpoint, which lets in those who sign with one of these secret access keys, by key id.
    pub fn new(dynamodb: Client, secrets: HashMap<String, String>, tls: Option<TlsAcceptor>) -> Arc<Self> {
        let requests = Requests { dynamodb, tables: tables::Tables::default() };
        Arc::new(Self { requests, secrets, tls, nodes: Mutex::default() })
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
                        Ok(stream) => front.connection(stream).await,
                        Err(error) => Err(error),
                    },
                    None => front.connection(stream).await,
                };
            });
            while connections.try_join_next().is_some() {}
        }
    }

    async fn connection(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
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
                authorization = self.authorize(decoder);
                continue;
            }
            let answer = match &authorization {
                Err(failure) => Err(failure.encode()),
                Ok(until) if *until < SystemTime::now() => {
                    Err(Failure::unauthorized("The authorisation has expired").encode())
                }
                Ok(_) if number == method::ENDPOINTS => Ok(self.endpoints()),
                Ok(_) => self.requests.answer(number, decoder).await.map_err(|failure| failure.encode()),
            };
            let response = match answer {
                Ok(body) => [&[0x80], body.as_slice()].concat(),
                Err(failure) => failure,
            };
            stream.write_all(&response).await?;
            stream.flush().await?;
        }
    }

    /// Until when the connection is authorised.
    fn authorize(&self, mut decoder: Decoder) -> Result<SystemTime, Failure> {
        let key = decoder.text()?;
        let signature = decoder.text()?;
        let string = String::from_utf8_lossy(&decoder.bytes()?).into_owned();
        let refused = || Failure::wrong_signature("The security token included in the request is invalid");
        let secret = self.secrets.get(&*key).ok_or_else(refused)?;
        let (at, region) = authorization::read_string(&string).ok_or_else(refused)?;
        if authorization::signature(secret, at, region, &string) != signature {
            return Err(refused());
        }
        let now = SystemTime::now();
        let apart = now.duration_since(at).unwrap_or_else(|error| error.duration());
        if apart > authorization::VALIDITY {
            return Err(Failure::unauthorized("The signature is too old, or of the future"));
        }
        Ok(at + authorization::VALIDITY)
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
