use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use opentelemetry_sdk::trace::SpanData;
use tracing::debug;

use super::DestinationError;
use super::spans::Resource;

/// The daemon's header line, and the marker for sampled OTLP spans, as sent by AWS's OpenTelemetry distributions for other
/// languages.
const PREFIX: &str = "{\"format\":\"json\",\"version\":1}\nT1S";
/// Maximum payload of an IPv4 datagram in bytes.
const DATAGRAM_LIMIT: usize = 65_507;

/// The X-Ray daemon that Lambda runs beside each function. It does not answer.
#[derive(Debug)]
pub(super) struct Daemon(UdpSocket);

impl Daemon {
    /// The address has the format of `AWS_XRAY_DAEMON_ADDRESS`: `<address>` or `tcp:<address> udp:<address>`.
    pub(super) fn connect(address: &str) -> Result<Self, DestinationError> {
        let udp = address.split(' ').find_map(|part| part.strip_prefix("udp:")).unwrap_or(address);
        let connect = |own: IpAddr| {
            let socket = UdpSocket::bind((own, 0))?;
            socket.connect(udp)?;
            Ok::<_, io::Error>(Self(socket))
        };
        connect(Ipv4Addr::UNSPECIFIED.into())
            .or_else(|_| connect(Ipv6Addr::UNSPECIFIED.into()))
            .map_err(|error| DestinationError::Daemon(address.into(), error))
    }

    /// Sends the spans in as few datagrams as needed; drops a span that is too long for one.
    pub(super) fn send(&self, mut spans: Vec<SpanData>, resource: &Resource) {
        let datagram = format!("{PREFIX}{}", BASE64_STANDARD.encode(resource.request(spans.clone())));
        if datagram.len() > DATAGRAM_LIMIT && spans.len() > 1 {
            let rest = spans.split_off(spans.len() / 2);
            self.send(spans, resource);
            self.send(rest, resource);
        } else if datagram.len() > DATAGRAM_LIMIT {
            debug!(bytes = datagram.len(), "dropped a span that is too long for the X-Ray daemon");
        } else if let Err(error) = self.0.send(datagram.as_bytes()) {
            debug!(%error, "the X-Ray daemon can't be reached");
        }
    }
}
