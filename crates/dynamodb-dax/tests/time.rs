//! What time does to a client, against a node that believes every signature, and notes with what it was authorised.

#![allow(clippy::unwrap_used)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_dynamodb::operation::get_item::GetItemInput;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_async::time::TimeSource;
use dynamodb_dax::wire::cbor::{Decoder, Encoder, Scanner};
use dynamodb_dax::wire::{authorization, endpoint, method};
use dynamodb_dax::{Client, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A clock that the test moves on.
#[derive(Clone, Debug, Default)]
struct Clock(Arc<AtomicU64>);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + self.0.load(Ordering::SeqCst))
    }
}

impl Clock {
    fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::SeqCst);
    }
}

/// Temporary credentials: `key-0`, `key-1`, …
#[derive(Debug)]
struct Temporary {
    clock: Clock,
    /// How long each is valid.
    validity: Duration,
    asked: AtomicUsize,
}

impl ProvideCredentials for Temporary {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let key = format!("key-{}", self.asked.fetch_add(1, Ordering::SeqCst));
        let end = self.clock.now() + self.validity;
        future::ProvideCredentials::ready(Ok(Credentials::new(key, "secret", Some("token".into()), Some(end), "test")))
    }
}

#[derive(Default)]
struct Node {
    connections: AtomicUsize,
    /// What is between the client and the node has forgotten the connections that there are.
    forgets: Mutex<Arc<AtomicBool>>,
    /// Key ids, and the times that were signed.
    authorizations: Mutex<Vec<(String, SystemTime)>>,
}

impl Node {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let node = Arc::<Self>::default();
        let accepting = Arc::clone(&node);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepting.connections.fetch_add(1, Ordering::SeqCst);
                let forgotten = Arc::clone(&accepting.forgets.lock().unwrap());
                tokio::spawn(Arc::clone(&accepting).serve(stream, address.port(), forgotten));
            }
        });
        (node, address)
    }

    /// Never answers again on the connections that there are.
    fn forget(&self) {
        std::mem::take(&mut *self.forgets.lock().unwrap()).store(true, Ordering::SeqCst);
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream, port: u16, forgotten: Arc<AtomicBool>) -> Option<()> {
        let mut received = Vec::new();
        take(&mut stream, &mut received, 5).await?;
        loop {
            let head = take(&mut stream, &mut received, 2).await?;
            let mut decoder = Decoder::new(&head);
            decoder.skip().unwrap();
            let mut answer = Encoder::default();
            answer.array(0);
            match decoder.int().unwrap() {
                method::AUTHORIZE_CONNECTION => {
                    let arguments = take(&mut stream, &mut received, 5).await?;
                    let mut decoder = Decoder::new(&arguments);
                    let key = decoder.text().unwrap().into_owned();
                    decoder.skip().unwrap();
                    let string = String::from_utf8(decoder.bytes().unwrap().into_owned()).unwrap();
                    let (at, _) = authorization::read_string(&string).unwrap();
                    self.authorizations.lock().unwrap().push((key, at));
                    continue;
                }
                method::ENDPOINTS => {
                    answer.array(1);
                    answer.map(2);
                    answer.int(endpoint::ADDRESS);
                    answer.bytes(&Ipv4Addr::LOCALHOST.octets());
                    answer.int(endpoint::PORT);
                    answer.int(i64::from(port));
                }
                method::DEFINE_KEY_SCHEMA => {
                    take(&mut stream, &mut received, 1).await?;
                    answer.map(1);
                    answer.text("id");
                    answer.text("S");
                }
                _ => {
                    take(&mut stream, &mut received, 3).await?;
                    answer.null();
                }
            }
            if !forgotten.load(Ordering::SeqCst) {
                stream.write_all(&answer.buffer).await.ok()?;
            }
        }
    }
}

async fn take(stream: &mut TcpStream, received: &mut Vec<u8>, count: usize) -> Option<Vec<u8>> {
    let mut scanner = Scanner::default();
    while !scanner.complete(received, count).unwrap() {
        if stream.read_buf(received).await.ok()? == 0 {
            return None;
        }
    }
    let rest = received.split_off(scanner.position);
    Some(std::mem::replace(received, rest))
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

fn client(address: SocketAddr, clock: &Clock, validity: Duration) -> Client {
    let credentials = Temporary { clock: clock.clone(), validity, asked: AtomicUsize::default() };
    let client = Client::builder(format!("dax://{address}"), "eu-west-1", credentials);
    client.time_source(clock.clone()).timeout(Duration::from_secs(20)).build().unwrap()
}

async fn read(client: &Client) -> Result<(), Error> {
    let input = GetItemInput::builder().table_name("table").key("id", AttributeValue::S("one".to_owned()));
    client.get_item(input.build().unwrap()).await.map(drop)
}

#[tokio::test]
async fn the_first_read_after_ten_frozen_minutes_succeeds() {
    let (node, address) = Node::start().await;
    let clock = Clock::default();
    let client = client(address, &clock, FIVE_MINUTES);
    read(&client).await.unwrap();
    let connections = node.connections.load(Ordering::SeqCst);
    node.forget();
    clock.advance(Duration::from_secs(600));
    read(&client).await.unwrap();
    // On a new connection, with the next credentials and a present signature.
    assert_eq!(node.connections.load(Ordering::SeqCst), connections + 1);
    assert_eq!(node.authorizations.lock().unwrap().last(), Some(&("key-1".to_owned(), clock.now())));
}

#[tokio::test]
async fn credentials_and_authorisations_are_renewed_before_they_end() {
    for (validity, expected) in
        [(FIVE_MINUTES, ["key-0", "key-1", "key-2", "key-3"].as_slice()), (12 * FIVE_MINUTES, &["key-0"])]
    {
        let (node, address) = Node::start().await;
        let clock = Clock::default();
        let client = client(address, &clock, validity);
        for _ in 0..90 {
            read(&client).await.unwrap();
            clock.advance(Duration::from_secs(10));
        }
        assert_eq!(node.connections.load(Ordering::SeqCst), 1);
        let authorizations = node.authorizations.lock().unwrap().clone();
        let mut keys: Vec<_> = authorizations.iter().map(|(key, _)| key.as_str()).collect();
        keys.dedup();
        assert_eq!(keys, expected);
        for pair in authorizations.windows(2) {
            assert!(pair[1].1.duration_since(pair[0].1).unwrap() < authorization::VALIDITY, "{authorizations:?}");
        }
        let last = authorizations.last().unwrap().1;
        assert!(clock.now().duration_since(last).unwrap() < authorization::VALIDITY, "{authorizations:?}");
    }
}

#[tokio::test]
async fn an_idle_client_opens_no_connection() {
    let (node, address) = Node::start().await;
    let clock = Clock::default();
    let client = client(address, &clock, FIVE_MINUTES);
    read(&client).await.unwrap();
    let before = (node.connections.load(Ordering::SeqCst), node.authorizations.lock().unwrap().len());
    tokio::time::pause();
    for _ in 0..30 {
        clock.advance(Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!((node.connections.load(Ordering::SeqCst), node.authorizations.lock().unwrap().len()), before);
    tokio::time::resume();
    read(&client).await.unwrap();
}
