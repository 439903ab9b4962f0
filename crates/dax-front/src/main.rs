//! Starts DAX Local. The README has the environment variables.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;
use dax_front::{Caller, CallerEndpoint, Callers, Front, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

type Failure = Box<dyn Error + Send + Sync>;

/// A variable's value. None if it is not set, or empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn millis(name: &str) -> Result<Option<Duration>, Failure> {
    let value = variable(name).map(|value| value.parse().map(Duration::from_millis));
    value.transpose().map_err(|_| format!("{name} is not a number of milliseconds").into())
}

fn tls() -> Result<Option<TlsAcceptor>, Failure> {
    let (certificate, key) = match (variable("DAX_CERTIFICATE"), variable("DAX_KEY")) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(None),
        _ => return Err("DAX_CERTIFICATE and DAX_KEY belong together".into()),
    };
    let chain = CertificateDer::pem_file_iter(&certificate)?.collect::<Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(&key)?)?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let callers = match variable("DAX_AUTHORIZATION_URL") {
        Some(url) => Callers::Asked(Box::new(CallerEndpoint::new(url.parse()?))),
        None => {
            let provider = config.credentials_provider().ok_or("AWS credentials are missing: set AWS_ACCESS_KEY_ID")?;
            let credentials = provider.provide_credentials().await?;
            let mut caller = Caller::new(credentials.secret_access_key());
            caller.session_token = credentials.session_token().map(str::to_owned);
            Callers::Listed(HashMap::from([(credentials.access_key_id().to_owned(), caller)]))
        }
    };
    let mut settings = Settings::new(callers);
    settings.tls = tls()?;
    settings.record_ttl = millis("DAX_RECORD_TTL_MILLIS")?.unwrap_or(settings.record_ttl);
    settings.query_ttl = millis("DAX_QUERY_TTL_MILLIS")?.unwrap_or(settings.query_ttl);
    let scheme = if settings.tls.is_some() { "daxs" } else { "dax" };
    let front = Front::new(aws_sdk_dynamodb::Client::new(&config), settings);

    let mut listeners = Vec::new();
    for address in variable("DAX_LISTEN").as_deref().unwrap_or("127.0.0.1:8111").split(',') {
        listeners.push(TcpListener::bind(address.trim()).await?);
    }
    let nodes = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    front.set_nodes(nodes.clone());
    let mut serving = JoinSet::new();
    for listener in listeners {
        serving.spawn(Arc::clone(&front).serve(listener));
    }
    for node in nodes {
        println!("{scheme}://{node}");
    }
    while let Some(ended) = serving.join_next().await {
        ended??;
    }
    Ok(())
}
