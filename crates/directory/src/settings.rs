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
    pub cache: Endpoint,
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
