//! `dax-bench serve` starts DAX Local in front of a DynamoDB that gives the same answer each time, prints the addresses of both, and ends when its
//! standard input does.
//!
//! `dax-bench <client> <address> <operation> <requests>` makes requests, one after the other, and prints how long the first took, from making the
//! client (`first_us`), and the CPU time of each of the others (`cpu_us`).

use std::collections::HashMap;
use std::error::Error;
use std::io::Read;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::operation::query::QueryInput;
use aws_sdk_dynamodb::types::AttributeValue;
use dax_front::{Caller, Callers, Front, Settings};
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const KEY: &str = "test";
const SECRET: &str = "test";
const REGION: &str = "us-east-1";
const TABLE: &str = "appointments";
const ADVISOR: &str = "advisor-17";
const TIME: &str = "2026-09-01T09:00:00Z";
/// The page of `list-advisor-times`.
const TIMES: usize = 25;

type Failure = Box<dyn Error + Send + Sync>;

fn credentials() -> Credentials {
    Credentials::new(KEY, SECRET, None, None, "dax-bench")
}

fn config() -> aws_sdk_dynamodb::config::Builder {
    let config = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest());
    config.region(Region::new(REGION)).credentials_provider(credentials())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => serve().await,
        [client, address, operation, requests] => measure(client, address, operation, requests.parse()?).await,
        _ => Err("usage: dax-bench serve | dax-bench core|sdk|http ADDRESS get|query REQUESTS".into()),
    }
}

// ---- What answers

/// DynamoDB's answer to an operation.
fn answer(operation: &str) -> Value {
    let s = |text: &str| json!({ "S": text });
    match operation {
        "DescribeTable" => json!({ "Table": {
            "KeySchema": [
                { "AttributeName": "advisor_id", "KeyType": "HASH" },
                { "AttributeName": "starts_at", "KeyType": "RANGE" },
            ],
            "AttributeDefinitions": [
                { "AttributeName": "advisor_id", "AttributeType": "S" },
                { "AttributeName": "starts_at", "AttributeType": "S" },
            ],
        } }),
        "GetItem" => json!({ "Item": {
            "advisor_id": s(ADVISOR),
            "starts_at": s(TIME),
            "appointment_id": s("7c9e6679-7425-40de-944b-e07fc1f90ae7"),
            "student_id": s("student-0042"),
            "status": s("booked"),
            "minutes": { "N": "30" },
            "created_at": s("2026-08-20T17:11:12Z"),
        } }),
        _ => {
            let items: Vec<_> =
                (0..TIMES).map(|at| json!({ "starts_at": s(&format!("2026-09-{:02}T09:00:00Z", at + 1)) })).collect();
            json!({ "Items": items, "Count": TIMES, "ScannedCount": TIMES })
        }
    }
}

async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let http = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(dynamodb(stream));
        }
    });
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(config().endpoint_url(format!("http://{http}")).build());
    let callers = HashMap::from([(KEY.to_owned(), Caller::new(SECRET))]);
    let front = Front::new(dynamodb, Settings::new(Callers::Listed(callers)));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let node = listener.local_addr()?;
    front.set_nodes(vec![node]);
    tokio::spawn(front.serve(listener));
    println!("dax://{node} http://{http}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// Answers the requests of a connection. It reads of HTTP no more than the SDK sends.
async fn dynamodb(mut stream: TcpStream) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let answers: HashMap<&str, String> = ["DescribeTable", "GetItem", "Query"]
        .map(|operation| {
            let body = answer(operation).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length:";
            (operation, format!("{head} {}\r\n\r\n{body}", body.len()))
        })
        .into();
    let mut received = Vec::new();
    loop {
        let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let head = String::from_utf8_lossy(&received[..end]).into_owned();
        let header = |name| {
            let line = head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name));
            line.map(|(_, value)| value).ok_or("a header is missing")
        };
        let total = end + 4 + header("content-length")?.parse::<usize>()?;
        if received.len() < total {
            stream.read_buf(&mut received).await?;
            continue;
        }
        received.drain(..total);
        let operation = header("x-amz-target")?.rsplit('.').next().unwrap_or_default();
        stream.write_all(answers.get(operation).ok_or("an unknown operation")?.as_bytes()).await?;
    }
}

// ---- What asks

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

enum Client {
    Core(dynamodb_dax::Client),
    Sdk(aws_sdk_dynamodb::Client),
}

impl Client {
    fn new(client: &str, address: &str) -> Result<Self, Failure> {
        let dax = || dynamodb_dax::Client::builder(address, REGION, credentials()).build();
        Ok(match client {
            "core" => Self::Core(dax()?),
            "sdk" => Self::Sdk(dax()?.dynamodb_client(&config().build())),
            "http" => Self::Sdk(aws_sdk_dynamodb::Client::from_conf(config().endpoint_url(address).build())),
            _ => return Err("an unknown client".into()),
        })
    }

    /// The number of attributes of an item, or of items of a page.
    async fn ask(&self, operation: &str) -> Result<usize, Failure> {
        match operation {
            "get" => {
                let input = GetItemInput::builder().table_name(TABLE).key("advisor_id", s(ADVISOR));
                let input = input.key("starts_at", s(TIME));
                let output = match self {
                    Self::Core(client) => client.get_item(input.build()?).await?,
                    Self::Sdk(client) => input.send_with(client).await?,
                };
                Ok(output.item.map_or(0, |item| item.len()))
            }
            _ => {
                let input = QueryInput::builder().table_name(TABLE).projection_expression("starts_at");
                let input = input.key_condition_expression("advisor_id = :advisor_id AND starts_at >= :position");
                let input = input.expression_attribute_values(":advisor_id", s(ADVISOR));
                let input = input.expression_attribute_values(":position", s("2026-09-01")).limit(TIMES as i32);
                let output = match self {
                    Self::Core(client) => client.query(input.build()?).await?,
                    Self::Sdk(client) => input.send_with(client).await?,
                };
                Ok(output.items().len())
            }
        }
    }
}

fn cpu() -> Result<Duration, Failure> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

async fn measure(client: &str, address: &str, operation: &str, requests: u32) -> Result<(), Failure> {
    let start = Instant::now();
    let client = Client::new(client, address)?;
    let found = client.ask(operation).await?;
    let first = start.elapsed();
    // The first ones let a processor and an allocator get used to them.
    for _ in 0..requests / 10 {
        client.ask(operation).await?;
    }
    let start = cpu()?;
    for _ in 0..requests {
        client.ask(operation).await?;
    }
    let used = cpu()? - start;
    let result = json!({
        "found": found,
        "first_us": first.as_secs_f64() * 1e6,
        "cpu_us": used.as_secs_f64() * 1e6 / f64::from(requests.max(1)),
    });
    println!("{result}");
    Ok(())
}
