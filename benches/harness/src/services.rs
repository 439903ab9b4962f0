//! S3 and DynamoDB that accept everything and store nothing, over TLS like the real ones, and the Parameters and
//! Secrets extension.

use std::convert::Infallible;
use std::error::Error;
use std::fs;
use std::future::ready;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

pub struct Services {
    url: String,
    extension: Option<u16>,
    tls: TlsAcceptor,
    authority: NamedTempFile,
    certificates: NamedTempFile,
    calls: Arc<AtomicUsize>,
}

impl Services {
    /// `parameter` is the value of all parameters; without one, there is no extension.
    pub async fn start(parameter: Option<&str>) -> Result<Self, Box<dyn Error>> {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate for its own issuer if both have the same name.
        parameters.distinguished_name.push(DnType::CommonName, "the harness's authority");
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)?;
        let mut authority = NamedTempFile::new()?;
        authority.write_all(issuer.pem().as_bytes())?;
        // The system's certificates are included, so that a client reads as many as a client of AWS does.
        let mut certificates = NamedTempFile::new()?;
        let system = openssl_probe::probe().cert_file.ok_or("the system has no file of certificate authorities")?;
        certificates.write_all(&fs::read(system)?)?;
        certificates.write_all(issuer.pem().as_bytes())?;

        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let key = KeyPair::generate()?;
        let names = [address.ip().to_string(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let tls = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        let tls = TlsAcceptor::from(Arc::new(tls));
        let calls = Arc::new(AtomicUsize::new(0));
        let (acceptor, counted) = (tls.clone(), calls.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, counted) = (acceptor.clone(), counted.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    // A function that is killed leaves handshakes and requests half done.
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| reply(request, counted.clone()));
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        let extension = match parameter {
            Some(value) => Some(start_extension(value).await?),
            None => None,
        };
        Ok(Self { url: format!("https://{address}"), extension, tls, authority, certificates, calls })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port of the Parameters and Secrets extension.
    pub fn extension(&self) -> Option<u16> {
        self.extension
    }

    /// For servers at `localhost` and `127.0.0.1`, with a certificate of this authority.
    pub fn tls(&self) -> TlsAcceptor {
        self.tls.clone()
    }

    /// The certificate of the authority that issued these services' certificate, in PEM.
    pub fn authority(&self) -> &Path {
        self.authority.path()
    }

    /// The authority's certificate, together with the system's, in PEM.
    pub fn certificates(&self) -> &Path {
        self.certificates.path()
    }

    /// The number of calls so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

async fn reply(request: Request<Incoming>, calls: Arc<AtomicUsize>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let is_dynamodb = request.headers().contains_key("x-amz-target");
    request.into_body().collect().await?;
    calls.fetch_add(1, Ordering::Relaxed);
    Ok(Response::new(Full::from(if is_dynamodb { "{}" } else { "" })))
}

/// <https://docs.aws.amazon.com/systems-manager/latest/userguide/ps-integration-lambda-extensions.html>
async fn start_extension(parameter: &str) -> io::Result<u16> {
    let answer = Bytes::from(json!({ "Parameter": { "Value": parameter } }).to_string());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                ready(Ok::<_, Infallible>(Response::new(Full::new(answer.clone()))))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(port)
}
