//! The nodes of a cluster, and the connections to them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::time::SharedTimeSource;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::connection::{Connection, Deadline, Secure};
use crate::error::Error;
use crate::operations::{Known, Unknown};
use crate::wire::cbor::{Decoder, Encoder, Malformed};
use crate::wire::value::KeySchema;
use crate::wire::{EMPTY_LIST, SERVICE, endpoint, method};

/// The age at which a request asks for the nodes again. No timer does: an idle client is silent.
const NODES_RENEWED_AFTER: Duration = Duration::from_secs(10);
/// How long a node that failed is avoided while there are others, and the cluster while there is a fallback.
const AVOIDED: Duration = Duration::from_secs(5);
/// Credentials are asked for again this long before they end.
const CREDENTIALS_MARGIN: Duration = Duration::from_secs(60);
/// How long credentials without an end are used before they are asked for again.
const CREDENTIALS_RENEWED_AFTER: Duration = Duration::from_secs(225);
/// Lists of attribute names, or tables, that are kept for the next request.
const MAX_KNOWN: usize = 1_000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time since then. A clock that was set back makes everything old.
fn age(since: SystemTime, time: &SharedTimeSource) -> Duration {
    time.now().duration_since(since).unwrap_or(Duration::MAX)
}

#[derive(Default)]
struct Lists {
    ids: HashMap<Vec<String>, i64>,
    names: HashMap<i64, Arc<[String]>>,
}

impl Lists {
    /// Forgets all if the id had other names: the names of other items would be wrong, and a node can have started anew.
    fn keep(&mut self, id: i64, names: Vec<String>) -> Result<(), Malformed> {
        if self.names.get(&id).is_some_and(|known| **known != *names) {
            *self = Self::default();
            return Err(Malformed("two lists of attributes with one id"));
        }
        self.names.insert(id, names.into());
        Ok(())
    }
}

pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// Connections without a request, and since when.
    idle: Mutex<Vec<(Connection, SystemTime)>>,
    /// Bounds the connections; who waits longest is next.
    permits: Arc<Semaphore>,
    failed: Mutex<Option<SystemTime>>,
    lists: Mutex<Lists>,
    time: SharedTimeSource,
}

impl Node {
    fn is_avoided(&self) -> bool {
        lock(&self.failed).is_some_and(|failed| age(failed, &self.time) < AVOIDED)
    }
}

/// A connection that goes back to its node when it is dropped, unless it is broken.
pub(crate) struct Lease {
    pub(crate) node: Arc<Node>,
    connection: Option<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Closes the connection: its node sent an answer that is not understood.
    pub(crate) fn close(&mut self) {
        self.connection = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !connection.broken
        {
            lock(&self.node.idle).push((connection, self.node.time.now()));
        }
    }
}

/// The nodes as they were at a time.
struct Topology {
    nodes: Vec<Arc<Node>>,
    leader: Option<SocketAddr>,
    asked: SystemTime,
}

pub(crate) struct Cluster {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secure: Option<Secure>,
    pub(crate) region: String,
    pub(crate) credentials: SharedCredentialsProvider,
    /// Connections to each node.
    pub(crate) connections: usize,
    pub(crate) time: SharedTimeSource,
    known_credentials: tokio::sync::Mutex<Option<(Credentials, SystemTime)>>,
    topology: Mutex<Option<Arc<Topology>>>,
    /// Held while the nodes are asked for.
    asking: tokio::sync::Mutex<()>,
    schemas: Mutex<HashMap<String, Arc<KeySchema>>>,
    /// When no node answered a read.
    outage: Mutex<Option<SystemTime>>,
}

impl Cluster {
    pub(crate) fn new(
        host: String,
        port: u16,
        secure: Option<Secure>,
        region: String,
        credentials: SharedCredentialsProvider,
        connections: usize,
        time: SharedTimeSource,
    ) -> Self {
        let (known_credentials, topology, asking, schemas, outage) = Default::default();
        Self {
            host,
            port,
            secure,
            region,
            credentials,
            connections,
            time,
            known_credentials,
            topology,
            asking,
            schemas,
            outage,
        }
    }

    fn node(&self, address: SocketAddr) -> Arc<Node> {
        let permits = Arc::new(Semaphore::new(self.connections));
        let (idle, failed, lists) = Default::default();
        Arc::new(Node { address, idle, permits, failed, lists, time: self.time.clone() })
    }

    /// Whether no node answered a read a moment ago.
    pub(crate) fn is_out(&self) -> bool {
        lock(&self.outage).is_some_and(|since| age(since, &self.time) < AVOIDED)
    }

    pub(crate) fn set_out(&self) {
        *lock(&self.outage) = Some(self.time.now());
    }

    async fn credentials(&self, deadline: Deadline) -> Result<Credentials, Error> {
        // One asks, the others wait for what it gets.
        let mut known = deadline.wait("waiting for credentials", self.known_credentials.lock()).await?;
        if let Some((credentials, asked)) = known.as_ref() {
            let valid = match credentials.expiry() {
                Some(end) => end.duration_since(self.time.now()).is_ok_and(|left| left > CREDENTIALS_MARGIN),
                None => age(*asked, &self.time) < CREDENTIALS_RENEWED_AFTER,
            };
            if valid {
                return Ok(credentials.clone());
            }
        }
        let credentials = deadline.wait("waiting for credentials", self.credentials.provide_credentials()).await??;
        *known = Some((credentials.clone(), self.time.now()));
        Ok(credentials)
    }

    /// Forgets the credentials, which the cluster has refused.
    pub(crate) async fn forget_credentials(&self) {
        *self.known_credentials.lock().await = None;
    }

    /// Forgets the tables: one of them may have been made again with another key.
    pub(crate) fn forget_schemas(&self) {
        lock(&self.schemas).clear();
    }

    /// Forgets what is known if it is too much: names that never end would fill the memory. Starting anew costs a question for each that is still
    /// used. Called before a request, which may need more than that.
    pub(crate) fn trim(&self, node: &Node) {
        let mut lists = lock(&node.lists);
        if lists.ids.len().max(lists.names.len()) > MAX_KNOWN {
            *lists = Lists::default();
        }
        let mut schemas = lock(&self.schemas);
        if schemas.len() > MAX_KNOWN {
            schemas.clear();
        }
    }

    /// Keeps requests from a node for a while, and asks for the nodes before the next request.
    pub(crate) fn failed(&self, node: &Node) {
        *lock(&node.failed) = Some(self.time.now());
        lock(&node.idle).clear();
        let mut topology = lock(&self.topology);
        if let Some(current) = topology.as_ref() {
            let (nodes, leader) = (current.nodes.clone(), current.leader);
            *topology = Some(Arc::new(Topology { nodes, leader, asked: SystemTime::UNIX_EPOCH }));
        }
    }

    /// The nodes for a request, best first: for a write the leader, else at random, those that failed last.
    pub(crate) async fn nodes(&self, writes: bool, deadline: Deadline) -> Result<Vec<Arc<Node>>, Error> {
        let topology = self.topology(deadline).await?;
        let mut nodes = topology.nodes.clone();
        fastrand::shuffle(&mut nodes);
        nodes.sort_by_key(|node| (node.is_avoided(), writes && topology.leader != Some(node.address)));
        Ok(nodes)
    }

    async fn topology(&self, deadline: Deadline) -> Result<Arc<Topology>, Error> {
        let current = lock(&self.topology).clone();
        let Some(current) = current else {
            let _asking = deadline.wait("waiting for the cluster's nodes", self.asking.lock()).await?;
            if let Some(topology) = lock(&self.topology).clone() {
                return Ok(topology);
            }
            return self.ask(&[], deadline).await;
        };
        if age(current.asked, &self.time) >= NODES_RENEWED_AFTER
            && let Ok(_asking) = self.asking.try_lock()
        {
            // Nodes that do not answer must not take the time that the request has.
            let limit = (deadline.at - Instant::now()) / 2;
            let shorter = Deadline { at: Instant::now() + limit, limit };
            if let Ok(topology) = self.ask(&current.nodes, shorter).await {
                return Ok(topology);
            }
        }
        Ok(current)
    }

    /// Asks the nodes that are known, then those that the endpoint's name resolves to.
    async fn ask(&self, known: &[Arc<Node>], deadline: Deadline) -> Result<Arc<Topology>, Error> {
        let mut error = None;
        for node in known.iter().filter(|node| !node.is_avoided()) {
            match self.endpoints(node, deadline).await {
                Ok(topology) => return Ok(topology),
                Err(failed) => error = Some(failed),
            }
        }
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        let addresses = deadline.wait("resolving the endpoint's name", lookup).await?;
        let addresses = addresses.map_err(|source| Error::Unresolved { host: self.host.clone(), source })?;
        let mut addresses: Vec<_> = addresses.collect();
        fastrand::shuffle(&mut addresses);
        while let Some(address) = addresses.pop() {
            // One that does not answer leaves time for the others.
            let limit = (deadline.at - Instant::now()) / (addresses.len() as u32 + 1);
            let share = Deadline { at: Instant::now() + limit, limit: deadline.limit };
            let node = known.iter().find(|node| node.address == address).cloned();
            let node = node.unwrap_or_else(|| self.node(address));
            match self.endpoints(&node, share).await {
                Ok(topology) => return Ok(topology),
                Err(failed) => error = Some(failed),
            }
        }
        Err(error.unwrap_or(Error::NoNodes))
    }

    async fn endpoints(&self, asked: &Arc<Node>, deadline: Deadline) -> Result<Arc<Topology>, Error> {
        let mut lease = self.lease(asked, deadline).await?;
        let mut encoder = Encoder::default();
        encoder.int(SERVICE);
        encoder.int(method::ENDPOINTS);
        let response = self.exchange(&mut lease, &encoder.buffer, 1, deadline).await?;
        let node = asked.address;
        let found = whole(&response, endpoints).map_err(|source| Error::Malformed { node, source })?;
        let same: Vec<_> = found.iter().filter(|(address, _)| address.is_ipv4() == node.is_ipv4()).copied().collect();
        let found = if same.is_empty() { found } else { same };
        if found.is_empty() {
            return Err(Error::NoNodes);
        }
        let leader = found.iter().find(|(_, leader)| *leader).map(|(address, _)| *address);
        let mut topology = lock(&self.topology);
        let known = topology.as_ref().map(|known| known.nodes.clone()).unwrap_or_default();
        let nodes = found.iter().map(|(address, _)| {
            let same = known.iter().chain([asked]).find(|node| node.address == *address).cloned();
            same.unwrap_or_else(|| self.node(*address))
        });
        let current = Arc::new(Topology { nodes: nodes.collect(), leader, asked: self.time.now() });
        *topology = Some(Arc::clone(&current));
        Ok(current)
    }

    /// A connection to a node: an idle one, or a new one. Waits while there are as many as there may be.
    pub(crate) async fn lease(&self, node: &Arc<Node>, deadline: Deadline) -> Result<Lease, Error> {
        let permits = Arc::clone(&node.permits).acquire_owned();
        let permit = deadline.wait("waiting for a free connection", permits).await?;
        // The semaphore is never closed.
        let permit = permit.map_err(|_| Error::NoNodes)?;
        loop {
            let idle = lock(&node.idle).pop();
            let Some((mut connection, since)) = idle else { break };
            if connection.is_usable(age(since, &self.time)) {
                let connection = Some(connection);
                return Ok(Lease { node: Arc::clone(node), connection, _permit: permit });
            }
        }
        let connection = Connection::open(node.address, self.secure.as_ref(), deadline).await?;
        Ok(Lease { node: Arc::clone(node), connection: Some(connection), _permit: permit })
    }

    /// The answer to a request, which an authorisation goes before if one is due.
    pub(crate) async fn send(
        &self,
        lease: &mut Lease,
        request: &[u8],
        values: usize,
        deadline: Deadline,
    ) -> Result<Result<Vec<u8>, crate::connection::Refusal>, Error> {
        let credentials = self.credentials(deadline).await?;
        // A lease has a connection until it is dropped.
        let connection = lease.connection.as_mut().ok_or(Error::NoNodes)?;
        connection.authorize(&credentials, &self.region, self.time.now());
        connection.exchange(request, values, deadline).await
    }

    /// The same, for requests whose errors have no more to say.
    async fn exchange(
        &self,
        lease: &mut Lease,
        request: &[u8],
        values: usize,
        deadline: Deadline,
    ) -> Result<Vec<u8>, Error> {
        self.send(lease, request, values, deadline).await?.map_err(|refusal| Error::Service(Box::new(refusal.error)))
    }

    /// Asks a node for what an operation needs to know.
    pub(crate) async fn learn(&self, lease: &mut Lease, unknown: Unknown, deadline: Deadline) -> Result<(), Error> {
        let mut encoder = Encoder::default();
        encoder.int(SERVICE);
        match &unknown {
            Unknown::Schema(table) => {
                encoder.int(method::DEFINE_KEY_SCHEMA);
                encoder.bytes(table.as_bytes());
            }
            Unknown::ListId(names) => {
                encoder.int(method::DEFINE_ATTRIBUTE_LIST_ID);
                encoder.array(names.len());
                names.iter().for_each(|name| encoder.text(name));
            }
            Unknown::ListNames(id) => {
                encoder.int(method::DEFINE_ATTRIBUTE_LIST);
                encoder.int(*id);
            }
        }
        let response = self.exchange(lease, &encoder.buffer, 1, deadline).await?;
        let node = lease.node.address;
        self.remember(lease, unknown, &response).map_err(|source| Error::Malformed { node, source })
    }

    fn remember(&self, lease: &Lease, unknown: Unknown, response: &[u8]) -> Result<(), Malformed> {
        match unknown {
            Unknown::Schema(table) => {
                let schema = whole(response, KeySchema::read)?;
                lock(&self.schemas).insert(table, Arc::new(schema));
            }
            Unknown::ListId(names) => {
                let id = whole(response, |decoder| decoder.int())?;
                let mut lists = lock(&lease.node.lists);
                lists.keep(id, names.clone())?;
                lists.ids.insert(names, id);
            }
            Unknown::ListNames(id) => lock(&lease.node.lists).keep(id, whole(response, names)?)?,
        }
        Ok(())
    }

    /// What is known when a request is sent to `node`.
    pub(crate) fn known<'a>(&'a self, node: &'a Node) -> impl Known + 'a {
        KnownHere { cluster: self, node }
    }
}

struct KnownHere<'a> {
    cluster: &'a Cluster,
    node: &'a Node,
}

impl Known for KnownHere<'_> {
    fn schema(&self, table: &str) -> Result<Arc<KeySchema>, Unknown> {
        lock(&self.cluster.schemas).get(table).cloned().ok_or_else(|| Unknown::Schema(table.to_owned()))
    }

    fn list_id(&self, names: Vec<String>) -> Result<i64, Unknown> {
        if names.is_empty() {
            return Ok(EMPTY_LIST);
        }
        lock(&self.node.lists).ids.get(&names).copied().ok_or(Unknown::ListId(names))
    }

    fn list_names(&self, id: i64) -> Result<Arc<[String]>, Unknown> {
        if id == EMPTY_LIST {
            return Ok(Arc::default());
        }
        lock(&self.node.lists).names.get(&id).cloned().ok_or(Unknown::ListNames(id))
    }
}

/// The one value of a response.
fn whole<T>(response: &[u8], read: impl FnOnce(&mut Decoder) -> Result<T, Malformed>) -> Result<T, Malformed> {
    let mut decoder = Decoder::new(response);
    decoder.skip()?;
    let value = read(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}

fn names(decoder: &mut Decoder) -> Result<Vec<String>, Malformed> {
    let mut names = Vec::new();
    decoder.each(|decoder| {
        names.push(decoder.text()?.into_owned());
        Ok::<_, Malformed>(())
    })?;
    Ok(names)
}

/// The addresses of nodes, and whether each is the leader.
fn endpoints(decoder: &mut Decoder) -> Result<Vec<(SocketAddr, bool)>, Malformed> {
    let mut endpoints = Vec::new();
    decoder.each(|decoder| {
        let (mut address, mut port, mut role) = (None, None, None);
        decoder.pairs(|decoder| {
            match decoder.int()? {
                endpoint::ADDRESS => {
                    let bytes = decoder.bytes()?;
                    let four: Option<[u8; 4]> = bytes.as_ref().try_into().ok();
                    let sixteen: Option<[u8; 16]> = bytes.as_ref().try_into().ok();
                    address = four.map(IpAddr::from).or(sixteen.map(IpAddr::from));
                }
                endpoint::PORT => port = u16::try_from(decoder.int()?).ok(),
                endpoint::ROLE => role = Some(decoder.int()?),
                _ => decoder.skip()?,
            }
            Ok::<_, Malformed>(())
        })?;
        let (Some(address), Some(port)) = (address, port) else { return Err(Malformed("a node without address")) };
        endpoints.push((SocketAddr::new(address, port), role == Some(endpoint::LEADER)));
        Ok(())
    })?;
    Ok(endpoints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known_table::try_all;

    #[test]
    fn nodes_are_read_whole_or_not_at_all() {
        let mut answer = Encoder::default();
        answer.array(0);
        answer.array(2);
        for (role, address) in [(endpoint::LEADER, [127, 0, 0, 1].as_slice()), (2, &[0; 16])] {
            answer.map(4);
            answer.int(endpoint::ADDRESS);
            answer.bytes(address);
            answer.int(endpoint::PORT);
            answer.int(8111);
            answer.int(endpoint::ROLE);
            answer.int(role);
            answer.int(endpoint::HOST_NAME);
            answer.text("node");
        }
        let bytes = answer.buffer;
        let leader = SocketAddr::from(([127, 0, 0, 1], 8111));
        let other = SocketAddr::from(([0_u16; 8], 8111));
        assert_eq!(try_all(&bytes, |bytes| whole(bytes, endpoints)), [(leader, true), (other, false)]);
    }

    #[test]
    fn what_a_client_learns_is_read_whole_or_not_at_all() {
        let answer = |write: fn(&mut Encoder)| {
            let mut answer = Encoder::default();
            answer.array(0);
            write(&mut answer);
            answer.buffer
        };
        let schema = answer(|answer| {
            answer.map(2);
            for text in ["advisor_id", "S", "starts_at", "N"] {
                answer.text(text);
            }
        });
        assert_eq!(try_all(&schema, |bytes| whole(bytes, KeySchema::read)).attributes(), 2);
        let id = answer(|answer| answer.int(70_000));
        assert_eq!(try_all(&id, |bytes| whole(bytes, |decoder| decoder.int())), 70_000);
        let list = answer(|answer| {
            answer.array(2);
            for text in ["a", "b"] {
                answer.text(text);
            }
        });
        assert_eq!(try_all(&list, |bytes| whole(bytes, names)), ["a", "b"]);
    }

    #[test]
    fn an_id_never_stands_for_two_lists() {
        let mut lists = Lists::default();
        lists.keep(2, vec!["a".to_owned()]).expect("the first");
        lists.keep(2, vec!["a".to_owned()]).expect("the same");
        lists.keep(2, vec!["b".to_owned()]).expect_err("another");
        assert!(lists.names.is_empty());
    }
}
