//! The client.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::batch_write_item::{BatchWriteItemInput, BatchWriteItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::scan::{ScanInput, ScanOutput};
use aws_sdk_dynamodb::operation::transact_get_items::{TransactGetItemsInput, TransactGetItemsOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::cluster::{Cluster, Lease, Node};
use crate::connection::{AGREEING, CONNECTING, Deadline, Secure};
use crate::error::Error;
use crate::operations::{Operation, Stop};
use crate::wire::cbor::Decoder;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_CONNECTIONS: usize = 100;
/// Nodes that a read is sent to before it fails.
const ATTEMPTS: usize = 3;

/// A client of a DAX cluster. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    cluster: Arc<Cluster>,
    timeout: Duration,
    fallback: Option<aws_sdk_dynamodb::Client>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.cluster.host)
            .field("port", &self.cluster.port)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`Client`].
#[derive(Clone)]
pub struct Builder {
    endpoint: String,
    region: String,
    credentials: SharedCredentialsProvider,
    timeout: Duration,
    connections: usize,
    tls: Option<Arc<ClientConfig>>,
    fallback: Option<aws_sdk_dynamodb::Client>,
    time: SharedTimeSource,
}

impl Builder {
    /// The time that a request may take, with everything that it needs: names, connections, authorisation, retries. Without it: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Maximum connections to each node. Requests beyond wait, first come, first served. Without it: 100.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// What `daxs://` is connected with. Without it: the certificates of the operating system.
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Where reads go that DAX does not answer, because no node can be reached, answers in half of the time, or can serve at present. Without it they
    /// fail. After a read that no node answered, DAX is not tried for 5 s. Writes never go there: they may have been applied.
    pub fn fallback(mut self, dynamodb: aws_sdk_dynamodb::Client) -> Self {
        self.fallback = Some(dynamodb);
        self
    }

    /// The clock. Without it: the operating system's.
    pub fn time_source(mut self, time: impl TimeSource + 'static) -> Self {
        self.time = SharedTimeSource::new(time);
        self
    }

    /// The client. Nothing is connected before the first request.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if the endpoint has another form, or the operating system has no certificates.
    pub fn build(self) -> Result<Client, Error> {
        let problem = |what: &str| Error::Configuration(what.to_owned());
        let form = || problem("an endpoint is dax://host:8111, or daxs://host:9111 with encryption");
        let (scheme, rest) = self.endpoint.split_once("://").ok_or_else(form)?;
        let (encrypted, default) = match scheme {
            "dax" => (false, 8111),
            "daxs" => (true, 9111),
            _ => return Err(form()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            // Colons within brackets are of an IPv6 address.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| form())?),
            _ => (rest, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || host.contains('/') || self.connections == 0 {
            return Err(form());
        }
        let secure = if encrypted {
            let config = match self.tls {
                Some(config) => config,
                None => system_certificates()?,
            };
            let name = ServerName::try_from(host.clone()).map_err(|_| form())?;
            Some(Secure { config, name })
        } else {
            None
        };
        let cluster = Cluster::new(host, port, secure, self.region, self.credentials, self.connections, self.time);
        Ok(Client { cluster: Arc::new(cluster), timeout: self.timeout, fallback: self.fallback })
    }
}

fn system_certificates() -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let none = "the operating system has no certificates to check daxs:// with: install ca-certificates";
        return Err(Error::Configuration(none.to_owned()));
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| Error::Configuration(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($input:ty) -> $output:ty;)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// See [`Error`].
            pub async fn $name(&self, input: $input) -> Result<$output, Error> {
                self.call(&input, &AtomicBool::default()).await
            }
        )*
    };
}

impl Client {
    /// The endpoint as the SDK writes endpoints.
    pub(crate) fn endpoint(&self) -> Arc<str> {
        let host = &self.cluster.host;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("https://{host}:{}", self.cluster.port).into()
    }

    /// Settings of a client for an endpoint (`dax://…`, or `daxs://…` with encryption), in a region.
    pub fn builder(
        endpoint: impl Into<String>,
        region: impl Into<String>,
        credentials: impl ProvideCredentials + 'static,
    ) -> Builder {
        Builder {
            endpoint: endpoint.into(),
            region: region.into(),
            credentials: SharedCredentialsProvider::new(credentials),
            timeout: DEFAULT_TIMEOUT,
            connections: DEFAULT_CONNECTIONS,
            tls: None,
            fallback: None,
            time: SharedTimeSource::default(),
        }
    }

    operations! {
        /// Reads items by their keys.
        batch_get_item(BatchGetItemInput) -> BatchGetItemOutput;
        /// Puts and deletes items.
        batch_write_item(BatchWriteItemInput) -> BatchWriteItemOutput;
        /// Deletes an item.
        delete_item(DeleteItemInput) -> DeleteItemOutput;
        /// Reads an item.
        get_item(GetItemInput) -> GetItemOutput;
        /// Writes an item.
        put_item(PutItemInput) -> PutItemOutput;
        /// Reads items of a partition, one page.
        query(QueryInput) -> QueryOutput;
        /// Reads items of a table, one page.
        scan(ScanInput) -> ScanOutput;
        /// Reads items as of one time.
        transact_get_items(TransactGetItemsInput) -> TransactGetItemsOutput;
        /// Changes attributes of an item.
        update_item(UpdateItemInput) -> UpdateItemOutput;
    }

    /// Writes items, all or none. A request without a token gets one.
    ///
    /// # Errors
    ///
    /// See [`Error`]. A cancelled transaction has a reason for each of its items.
    pub async fn transact_write_items(
        &self,
        mut input: TransactWriteItemsInput,
    ) -> Result<TransactWriteItemsOutput, Error> {
        input.client_request_token.get_or_insert_with(|| uuid::Uuid::new_v4().to_string());
        self.call(&input, &AtomicBool::default()).await
    }

    /// The answer to a request. `sent` is true while the request may have reached a node and has no answer, and stays so if it never gets one.
    pub(crate) async fn call<O: Operation>(&self, operation: &O, sent: &AtomicBool) -> Result<O::Output, Error> {
        operation.check()?;
        let start = Instant::now();
        let within = |limit| Deadline { at: start + limit, limit };
        let Some(dynamodb) = self.fallback.as_ref().filter(|_| !O::WRITES) else {
            return self.through_dax(operation, sent, within(self.timeout)).await;
        };
        let outage = if self.cluster.is_out() {
            // Or each read would wait for what does not come.
            Error::Avoided
        } else {
            match self.through_dax(operation, sent, within(self.timeout / 2)).await {
                Err(throttled @ Error::Service(_)) if throttled.is_outage() => throttled,
                Err(outage) if outage.is_outage() => {
                    self.cluster.set_out();
                    outage
                }
                result => return result,
            }
        };
        within(self.timeout).wait("waiting for DynamoDB", operation.ask_dynamodb(outage, dynamodb)).await?
    }

    async fn through_dax<O: Operation>(
        &self,
        operation: &O,
        sent: &AtomicBool,
        deadline: Deadline,
    ) -> Result<O::Output, Error> {
        let mut tried = Vec::new();
        let mut authorized_again = false;
        loop {
            let nodes = match self.cluster.nodes(O::WRITES, deadline).await {
                Err(Error::Service(refused)) if refused.is_authorization() && !authorized_again => {
                    self.cluster.forget_credentials().await;
                    authorized_again = true;
                    continue;
                }
                nodes => nodes?,
            };
            // A node that was tried is tried again only if there is no other.
            let fresh = nodes.iter().find(|node| !tried.contains(&node.address));
            let node = fresh.or(nodes.first()).ok_or(Error::NoNodes)?;
            tried.push(node.address);
            let error = match self.attempt(operation, node, deadline, sent).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let again = match &error {
                Error::Service(refused) if refused.is_authorization() => {
                    // The request was refused with it, so that a write can be sent again, too.
                    self.cluster.forget_credentials().await;
                    tried.pop();
                    !std::mem::replace(&mut authorized_again, true)
                }
                Error::Service(refused) => {
                    if matches!(refused.code.as_str(), "ResourceNotFoundException" | "ValidationException") {
                        self.cluster.forget_schemas();
                    }
                    refused.is_transient() && !O::WRITES
                }
                Error::Timeout { doing: CONNECTING | AGREEING, .. } => {
                    self.cluster.failed(node);
                    false
                }
                Error::Unreachable { .. } | Error::Tls { .. } | Error::Interrupted { .. } => {
                    self.cluster.failed(node);
                    !O::WRITES || !sent.load(Ordering::Relaxed)
                }
                _ => false,
            };
            if !again || tried.len() >= ATTEMPTS || Instant::now() >= deadline.at {
                return Err(error);
            }
        }
    }

    /// One attempt at one node.
    async fn attempt<O: Operation>(
        &self,
        operation: &O,
        node: &Arc<Node>,
        deadline: Deadline,
        sent: &AtomicBool,
    ) -> Result<O::Output, Error> {
        let cluster = &self.cluster;
        cluster.trim(node);
        let lease = &mut cluster.lease(node, deadline).await?;
        let encoded = loop {
            let encoded = operation.encode(&cluster.known(node));
            match encoded {
                Ok(encoded) => break encoded,
                Err(stop) => self.resolve(lease, stop, deadline).await?,
            }
        };
        sent.store(true, Ordering::Relaxed);
        let answer = cluster.send(lease, &encoded.request, O::VALUES, deadline).await?;
        sent.store(false, Ordering::Relaxed);
        match answer {
            Ok(response) => loop {
                let mut decoder = Decoder::new(&response);
                let output = decoder.skip().map_err(Stop::from).and_then(|()| {
                    let output = operation.decode(&encoded, &cluster.known(node), &mut decoder)?;
                    decoder.finish()?;
                    Ok(output)
                });
                match output {
                    Ok(output) => return Ok(output),
                    Err(stop) => self.resolve(lease, stop, deadline).await?,
                }
            },
            Err(refusal) => {
                let mut error = refusal.error;
                loop {
                    let reasons = operation.reasons(&cluster.known(node), &refusal.response);
                    match reasons {
                        Ok(reasons) => {
                            error.cancellation_reasons = reasons;
                            return Err(Error::Service(Box::new(error)));
                        }
                        Err(stop) => self.resolve(lease, stop, deadline).await?,
                    }
                }
            }
        }
    }

    /// Learns what was not known, or fails.
    async fn resolve(&self, lease: &mut Lease, stop: Stop, deadline: Deadline) -> Result<(), Error> {
        match stop {
            Stop::Unknown(unknown) => self.cluster.learn(lease, unknown, deadline).await,
            Stop::Invalid(invalid) => Err(invalid.into()),
            Stop::Malformed(source) => {
                lease.close();
                Err(Error::Malformed { node: lease.node.address, source })
            }
        }
    }
}
