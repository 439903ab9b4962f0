//! TLS in front of a Postgres and a Valkey that were built without it.

use std::io;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// A port with TLS, and the server's, both of 127.0.0.1.
#[derive(Clone, Copy, Deserialize)]
pub struct Front {
    port: u16,
    server: u16,
}

impl Front {
    pub async fn listen(self, tls: TlsAcceptor) -> io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A process that is killed leaves its connections half open.
                tokio::spawn(pass(client, self.server, tls.clone()));
            }
        });
        Ok(())
    }
}

async fn pass(mut client: TcpStream, server: u16, tls: TlsAcceptor) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut first = [0];
    client.peek(&mut first).await?;
    // A client of Postgres asks first, with eight bytes: https://www.postgresql.org/docs/current/protocol-flow.html
    if first != [HANDSHAKE] {
        client.read_exact(&mut [0; 8]).await?;
        client.write_all(b"S").await?;
    }
    let mut client = tls.accept(client).await?;
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    server.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
