//! One connection to a node.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::error::{Error, ServiceError, code};
use crate::wire::cbor::{Decoder, Encoder, Malformed, Scanner};
use crate::wire::{MAGIC, authorization};

const USER_AGENT: &str = concat!("DaxRustClient-", env!("CARGO_PKG_VERSION"));
/// Bytes of a response: twice what DynamoDB returns at most, the 16 MB of a BatchGetItem.
const MAX_RESPONSE: usize = 32 << 20;
/// The age at which an authorisation is renewed: 75 s before it ends, as in the Go client.
const RENEWED_AFTER: Duration = Duration::from_secs(225);
/// Maximum idle time of a connection. After it, a NAT or firewall may have dropped the connection without notice.
const MAX_IDLE: Duration = Duration::from_secs(60);
/// What a client waits for while it connects.
pub(crate) const CONNECTING: &str = "connecting to a node";
pub(crate) const AGREEING: &str = "agreeing on TLS with a node";
/// The values of an error.
const ERROR_VALUES: usize = 3;

/// Until when a request has to be answered.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) limit: Duration,
}

impl Deadline {
    /// Waits for `future`, but not longer than the request may take.
    pub(crate) async fn wait<T>(self, doing: &'static str, future: impl Future<Output = T>) -> Result<T, Error> {
        let waited = tokio::time::timeout_at(self.at, future).await;
        waited.map_err(|_| Error::Timeout { doing, limit: self.limit })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// With what nodes are connected to.
pub(crate) struct Secure {
    pub(crate) config: Arc<ClientConfig>,
    /// The name of the discovery endpoint, which certificates are for.
    pub(crate) name: ServerName<'static>,
}

pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    node: SocketAddr,
    /// What has to be sent before the next request: the preamble, the authorisation.
    pending: Encoder,
    /// The key id of the authorisation and its time.
    authorized: Option<(String, SystemTime)>,
    /// A request was sent whose answer was not read whole.
    pub(crate) broken: bool,
}

impl Connection {
    pub(crate) async fn open(node: SocketAddr, secure: Option<&Secure>, deadline: Deadline) -> Result<Self, Error> {
        let unreachable = |source| Error::Unreachable { node, source };
        let stream = deadline.wait(CONNECTING, TcpStream::connect(node)).await?.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let stream: Box<dyn Stream> = match secure {
            Some(secure) => {
                let connector = TlsConnector::from(Arc::clone(&secure.config));
                let handshake = connector.connect(secure.name.clone(), stream);
                let stream = deadline.wait(AGREEING, handshake).await?;
                Box::new(stream.map_err(|source| Error::Tls { node, source })?)
            }
            None => Box::new(stream),
        };
        let mut pending = Encoder::default();
        pending.text(MAGIC);
        pending.int(0);
        pending.bytes(&std::array::from_fn::<u8, 16, _>(|_| fastrand::u8(..)));
        pending.map(1);
        pending.text("UserAgent");
        pending.text(USER_AGENT);
        pending.int(0);
        Ok(Self { stream, node, pending, authorized: None, broken: false })
    }

    /// Whether a request can be sent: the node has not closed the connection, nor sent bytes without a request.
    pub(crate) fn is_usable(&mut self, idle: Duration) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        let read = Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
        !self.broken && idle < MAX_IDLE && read.is_pending()
    }

    /// Prepares an authorisation if there is none, it gets old, or the credentials have changed. The node does not answer it.
    pub(crate) fn authorize(&mut self, credentials: &Credentials, region: &str, now: SystemTime) {
        if let Some((key, at)) = &self.authorized
            && key == credentials.access_key_id()
            && now.duration_since(*at).is_ok_and(|age| age < RENEWED_AFTER)
        {
            return;
        }
        authorization::write(&mut self.pending, credentials, region, now, Some(USER_AGENT));
        self.authorized = Some((credentials.access_key_id().to_owned(), now));
    }

    /// Sends a request and waits for its answer of `values` values, or for an error. Either is returned encoded as well.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        values: usize,
        deadline: Deadline,
    ) -> Result<Result<Vec<u8>, Refusal>, Error> {
        // If this future is dropped, the connection is not used again.
        self.broken = true;
        let node = self.node;
        let response = deadline.wait("waiting for the answer", self.transfer(request, values)).await?;
        let response = response.map_err(|source| Error::Interrupted { node, source })?;
        let malformed = |source| Error::Malformed { node, source };
        let response = response.map_err(malformed)?;
        if response.first() != Some(&0x80) {
            let error = service_error(&response).map_err(malformed)?;
            // The answer of the request itself may follow the one of the authorisation.
            self.broken = error.is_authorization();
            return Ok(Err(Refusal { error, response }));
        }
        self.broken = false;
        Ok(Ok(response))
    }

    async fn transfer(&mut self, request: &[u8], values: usize) -> io::Result<Result<Vec<u8>, Malformed>> {
        self.pending.raw(request);
        self.stream.write_all(&self.pending.buffer).await?;
        self.stream.flush().await?;
        self.pending.buffer.clear();
        let mut response = Vec::with_capacity(4096);
        let mut scanner = Scanner::default();
        loop {
            if self.stream.read_buf(&mut response).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let expected = match response[0] {
                0x80 => 1 + values,
                0x81..=0x9f => ERROR_VALUES,
                _ => return Ok(Err(Malformed("not of DAX: a cluster with encryption needs daxs://"))),
            };
            match scanner.complete(&response, expected) {
                Ok(true) if scanner.position < response.len() => {
                    return Ok(Err(Malformed("more than one answer")));
                }
                Ok(true) => return Ok(Ok(response)),
                Ok(false) if response.len() > MAX_RESPONSE => return Ok(Err(Malformed("an answer that is too long"))),
                Ok(false) => {}
                Err(malformed) => return Ok(Err(malformed)),
            }
        }
    }
}

/// An answer that is an error.
pub(crate) struct Refusal {
    pub(crate) error: ServiceError,
    pub(crate) response: Vec<u8>,
}

fn text(decoder: &mut Decoder) -> Result<Option<String>, Malformed> {
    if decoder.null()? { Ok(None) } else { Ok(Some(decoder.text()?.into_owned())) }
}

pub(crate) fn service_error(response: &[u8]) -> Result<ServiceError, Malformed> {
    let mut decoder = Decoder::new(response);
    let mut dax_codes = Vec::new();
    decoder.each(|decoder| {
        dax_codes.push(decoder.int()?);
        Ok::<_, Malformed>(())
    })?;
    let message = text(&mut decoder)?.unwrap_or_default();
    let mut error = ServiceError {
        code: code(&dax_codes).to_owned(),
        message,
        request_id: None,
        status: if dax_codes.first() == Some(&4) { 400 } else { 500 },
        dax_codes,
        cancellation_reasons: Vec::new(),
    };
    if !decoder.null()? {
        let parts = decoder.array()?;
        if !(3..=4).contains(&parts) {
            return Err(Malformed("an error of another form"));
        }
        error.request_id = text(&mut decoder)?;
        error.code = text(&mut decoder)?.unwrap_or(error.code);
        if !decoder.null()? {
            error.status = u16::try_from(decoder.int()?).map_err(|_| Malformed("no status"))?;
        }
    }
    Ok(error)
}

/// The reasons of a cancelled transaction: code, message, and the encoded attributes of the item.
pub(crate) type Reason<'a> = (Option<String>, Option<String>, Option<std::borrow::Cow<'a, [u8]>>);

/// The reasons in an error.
pub(crate) fn reasons(response: &[u8]) -> Result<Vec<Reason<'_>>, Malformed> {
    let mut decoder = Decoder::new(response);
    decoder.skip()?;
    decoder.skip()?;
    let mut reasons = Vec::new();
    if decoder.null()? || decoder.array()? != 4 {
        return Ok(reasons);
    }
    for _ in 0..3 {
        decoder.skip()?;
    }
    let values = decoder.array()?;
    if values % 3 != 0 {
        return Err(Malformed("reasons of another form"));
    }
    for _ in 0..values / 3 {
        let (code, message) = (text(&mut decoder)?, text(&mut decoder)?);
        let item = if decoder.null()? { None } else { Some(decoder.bytes()?) };
        reasons.push((code, message, item));
    }
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn connection() -> (Connection, TcpListener) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let node = listener.local_addr().expect("an address");
        let limit = Duration::from_secs(60);
        let deadline = Deadline { at: Instant::now() + limit, limit };
        (Connection::open(node, None, deadline).await.expect("a connection"), listener)
    }

    #[tokio::test]
    async fn an_authorization_is_renewed_before_it_ends_and_for_another_key() {
        let (mut connection, _listener) = connection().await;
        let start = SystemTime::now();
        let mut renewed = |key: &str, now: SystemTime| {
            let before = connection.pending.buffer.len();
            connection.authorize(&Credentials::new(key, "secret", None, None, "test"), "eu-west-1", now);
            connection.pending.buffer.len() > before
        };
        assert!(renewed("one", start));
        assert!(!renewed("one", start + Duration::from_secs(224)));
        let later = start + Duration::from_secs(299);
        assert!(renewed("one", later));
        assert!(!renewed("one", later));
        assert!(renewed("two", later));
        // The clock was set back, so the age of the authorisation is unknown.
        assert!(renewed("two", start));
    }

    #[tokio::test]
    async fn a_connection_is_not_used_after_minutes_frozen_or_when_the_node_has_closed_it() {
        let (mut connection, listener) = connection().await;
        let (mut node, _) = listener.accept().await.expect("a connection");
        assert!(connection.is_usable(Duration::ZERO));
        assert!(!connection.is_usable(Duration::from_secs(600)));
        node.shutdown().await.expect("closed");
        // The end is there when the client's side can be read.
        let mut byte = [0];
        assert_eq!(connection.stream.read(&mut byte).await.expect("the end"), 0);
        assert!(!connection.is_usable(Duration::ZERO));
    }
}
