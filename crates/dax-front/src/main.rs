//! Starts DAX Local with one node.
//!
//! | variable | |
//! |---|---|
//! | `DAX_LISTEN` | Address and port of the node. Without it: `127.0.0.1:8111`. |
//! | `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, … | The DynamoDB endpoint and its credentials, as in every AWS SDK. Clients sign with the same credentials. |

use std::collections::HashMap;
use std::error::Error;

use aws_credential_types::provider::ProvideCredentials;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let provider = config.credentials_provider().ok_or("AWS credentials are missing: set AWS_ACCESS_KEY_ID")?;
    let credentials = provider.provide_credentials().await?;
    let secrets = HashMap::from([(credentials.access_key_id().to_owned(), credentials.secret_access_key().to_owned())]);
    let front = dax_front::Front::new(aws_sdk_dynamodb::Client::new(&config), secrets, None);
    let address = std::env::var("DAX_LISTEN").unwrap_or_else(|_| "127.0.0.1:8111".to_owned());
    let listener = TcpListener::bind(&address).await?;
    let node = listener.local_addr()?;
    front.set_nodes(vec![node]);
    println!("dax://{node}");
    front.serve(listener).await?;
    Ok(())
}
