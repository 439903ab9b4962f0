use serde::Deserialize;

/// Where the database and the cache are: the value of the parameter that the stack writes.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Settings {
    /// Where changes are made: the proxy, or the cluster's writer.
    pub writer: Endpoint,
    /// Where reads go: the proxy's read-only endpoint, or the cluster's reader.
    pub reader: Endpoint,
    /// The name of the database.
    pub database: String,
    /// Valkey.
    pub cache: CacheEndpoint,
    /// The AWS region that tokens are signed for.
    pub region: String,
}

/// A host name and a port.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Endpoint {
    /// A DNS name, which the server's certificate has.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// A cache, and who connects to it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct CacheEndpoint {
    /// A DNS name, which the server's certificate has.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The id of the replication group, in lower case: tokens are signed for it.
    pub name: String,
    /// The user's id, which is its name, too.
    pub user: String,
}
