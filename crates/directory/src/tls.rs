use std::env;
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The roots of clusters, which belong to RDS: <https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.SSL.html>
const RDS: &[u8] = include_bytes!("../certificates/rds.pem");

/// Amazon's public roots, of proxies and caches: <https://www.amazontrust.com/repository/>
const AMAZON: &[u8] = include_bytes!("../certificates/amazon.pem");

/// The file that `SSL_CERT_FILE` names can't be used.
#[derive(Debug, Error)]
#[error("SSL_CERT_FILE names {path}, which has no certificates that can be read")]
pub struct BadCertificateFile {
    path: String,
    source: Option<pem::Error>,
}

/// The TLS configuration of connections to the database and the cache, which trusts Amazon's roots and those in the file
/// that `SSL_CERT_FILE` names.
///
/// # Errors
/// That file can't be read.
pub fn client_config() -> Result<Arc<ClientConfig>, BadCertificateFile> {
    let mut roots = RootCertStore::empty();
    for certificate in [RDS, AMAZON].into_iter().flat_map(CertificateDer::pem_slice_iter) {
        roots.add(certificate.expect("the file is ours")).expect("the file is ours");
    }
    if let Ok(path) = env::var("SSL_CERT_FILE") {
        let bad = |source| BadCertificateFile { path: path.clone(), source };
        let certificates: Vec<_> =
            CertificateDer::pem_file_iter(&path).and_then(Iterator::collect).map_err(|error| bad(Some(error)))?;
        if roots.add_parsable_certificates(certificates).0 == 0 {
            return Err(bad(None));
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has cipher suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
