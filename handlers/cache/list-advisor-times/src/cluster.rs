//! A client of DynamoDB that reads through a DAX cluster.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{Builder, ConfigBag, Intercept};
use aws_sdk_dynamodb::error::BoxError;
use powertools::metrics::{Metrics, Unit};
use thiserror::Error;

/// For a read, with all that it needs. When the cluster has not answered in half of it, the table is asked.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClusterError {
    #[error("{0} configured")]
    Missing(&'static str),
    #[error(transparent)]
    Endpoint(#[from] dynamodb_dax::Error),
}

/// Reads that no node answers go to the table, and are counted.
pub fn client(endpoint: &str, config: &SdkConfig, metrics: Metrics) -> Result<Client, ClusterError> {
    let region = config.region().ok_or(ClusterError::Missing("no Region is"))?;
    let credentials = config.credentials_provider().ok_or(ClusterError::Missing("no AWS credentials are"))?;
    let table = Builder::from(config).interceptor(CountReads { metrics }).build();
    let dax = dynamodb_dax::Client::builder(endpoint, region.as_ref(), credentials)
        .timeout(TIMEOUT)
        .fallback(Client::from_conf(table))
        .build()?;
    Ok(dax.dynamodb_client(&Builder::from(config).build()))
}

#[derive(Debug)]
struct CountReads {
    metrics: Metrics,
}

impl Intercept for CountReads {
    fn name(&self) -> &'static str {
        "CountReads"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.metrics.add("ReadsWithoutCluster", Unit::Count, 1.0);
        Ok(())
    }
}
