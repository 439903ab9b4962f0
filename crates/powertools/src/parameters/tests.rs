use std::time::UNIX_EPOCH;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_sdk_ssm::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_async::test_util::ManualTimeSource;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// One server for the extensions (by GET) and the services. It records the requests.
#[derive(Clone)]
struct Cloud {
    port: u16,
    answer: Arc<Mutex<Answer>>,
    requests: Arc<Mutex<Vec<String>>>,
}

type Answer = Box<dyn Fn(&str) -> (u16, String) + Send>;

impl Cloud {
    async fn start(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let cloud = Self { port, answer: Arc::new(Mutex::new(Box::new(answer))), requests: Arc::default() };
        let server = cloud.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        cloud
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = String::new();
        let is_complete = |request: &str| {
            let (head, body) = request.split_once("\r\n\r\n")?;
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            (body.len() >= length.unwrap_or(0)).then_some(())
        };
        while is_complete(&request).is_none() {
            let mut buffer = [0; 8192];
            let read = stream.read(&mut buffer).await.expect("the client sends a request");
            assert!(read > 0, "the client went away: {request}");
            request += str::from_utf8(&buffer[..read]).expect("requests are text");
        }
        let (status, body) = self.answer.lock().expect("no answer panics")(&request);
        self.requests.lock().expect("no request panics").push(request);
        let head = format!("HTTP/1.1 {status} \r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        // The client may have disconnected.
        let _ = stream.write_all((head + &body).as_bytes()).await;
    }

    fn answers(&self, answer: impl Fn(&str) -> (u16, String) + Send + 'static) {
        *self.answer.lock().expect("no answer panics") = Box::new(answer);
    }

    /// Returns and clears the recorded requests.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("no request panics"))
    }

    /// Without extensions, with a manual clock.
    fn parameters(&self) -> (Parameters, ManualTimeSource) {
        let time = ManualTimeSource::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "test")))
            .endpoint_url(format!("http://127.0.0.1:{}", self.port))
            .region(aws_config::Region::from_static("us-east-1"))
            .retry_config(RetryConfig::disabled())
            .time_source(time.clone())
            .build();
        let mut parameters = Parameters::new(&config);
        // Port 0 is always closed.
        parameters.extensions.parameters_and_secrets_port = 0;
        parameters.extensions.app_config_port = 0;
        parameters.max_age = DEFAULT_MAX_AGE;
        (parameters, time)
    }

    fn parameters_with_extensions(&self) -> (Parameters, ManualTimeSource) {
        let (mut parameters, time) = self.parameters();
        parameters.extensions.parameters_and_secrets_port = self.port;
        parameters.extensions.app_config_port = self.port;
        parameters.extensions.token = Some("session-token".into());
        (parameters, time)
    }
}

/// The answer of Parameter Store or its extension.
fn parameter(value: &str) -> (u16, String) {
    (200, json!({"Parameter": {"Name": "/limit", "Type": "String", "Value": value}}).to_string())
}

fn error(code: &str) -> (u16, String) {
    (400, json!({"__type": code, "message": "no"}).to_string())
}

fn body(request: &str) -> Json {
    let (_, body) = request.split_once("\r\n\r\n").expect("requests have a body");
    serde_json::from_str(body).expect("the services are asked in JSON")
}

#[tokio::test]
async fn the_extension_is_asked_with_the_sessions_token() {
    let cloud = Cloud::start(|request| match request {
        _ if request.starts_with("GET /systemsmanager") => parameter("10"),
        _ if request.starts_with("GET /secretsmanager") => (200, json!({"SecretString": "hunter2"}).to_string()),
        _ => (200, "[1]".into()),
    })
    .await;
    let (parameters, _) = cloud.parameters_with_extensions();
    assert_eq!(parameters.get_parameter("/a b/ü").decrypt(true).await.expect("it is there"), "10");
    assert_eq!(parameters.get_secret("shop/key?").await.expect("it is there"), "hunter2");
    let configuration: Vec<u8> = parameters.get_app_config("shop", "a/b", "flags").json().await.expect("it is there");
    assert_eq!(configuration, [1]);

    let requests = cloud.requests();
    let lines: Vec<&str> = requests.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(
        lines,
        [
            "GET /systemsmanager/parameters/get?name=%2Fa%20b%2F%C3%BC&withDecryption=true HTTP/1.1",
            "GET /secretsmanager/get?secretId=shop%2Fkey%3F HTTP/1.1",
            "GET /applications/shop/environments/a%2Fb/configurations/flags HTTP/1.1",
        ]
    );
    assert!(requests.iter().all(|request| request.contains("x-aws-parameters-secrets-token: session-token\r\n")));
}

#[tokio::test]
async fn the_service_is_asked_when_the_extension_is_of_no_use() {
    let cloud = Cloud::start(|_| parameter("10")).await;
    let (parameters, _) = cloud.parameters();
    assert_eq!(parameters.get_parameter("/limit").await.expect("no extension"), "10");
    assert_eq!(cloud.requests().len(), 1);

    for answer in [(400, "not ready to serve traffic, please wait"), (401, "no"), (500, ""), (200, "{"), (200, "{}")] {
        cloud.answers(
            move |request| {
                if request.starts_with("GET") { (answer.0, answer.1.into()) } else { parameter("11") }
            },
        );
        let (parameters, _) = cloud.parameters_with_extensions();
        assert_eq!(parameters.get_parameter("/limit").await.expect("the service has it"), "11", "{answer:?}");
        assert_eq!(cloud.requests().len(), 2, "{answer:?}");
    }

    // The text of an error is not a configuration.
    cloud.answers(|request| match request {
        _ if request.starts_with("GET /applications") => (500, "broken".into()),
        _ if request.starts_with("POST") => (201, json!({"InitialConfigurationToken": "first"}).to_string()),
        _ => (200, "on".into()),
    });
    let (parameters, _) = cloud.parameters_with_extensions();
    assert_eq!(parameters.get_app_config("shop", "test", "flags").await.expect("the service has it"), "on");
}

#[tokio::test]
async fn a_value_is_kept_for_as_long_as_the_caller_allows() {
    let cloud = Cloud::start(|_| parameter("10")).await;
    let (parameters, time) = cloud.parameters();
    let limit = || parameters.get_parameter("/limit");
    limit().await.expect("it is there");
    cloud.answers(|_| parameter("11"));
    time.advance(Duration::from_secs(299));
    assert_eq!(limit().await.expect("it is kept"), "10");
    assert_eq!(cloud.requests().len(), 1);
    assert_eq!(limit().max_age(Duration::from_secs(299)).await.expect("it is there"), "11");
    cloud.answers(|_| parameter("12"));
    time.advance(Duration::from_secs(300));
    assert_eq!(limit().await.expect("it is there"), "12");
    cloud.answers(|_| parameter("13"));
    assert_eq!(limit().max_age(Duration::ZERO).await.expect("it is there"), "13");
    // Another transform uses the same value.
    assert_eq!(limit().json::<u8>().await.expect("it is a number"), 13);
    assert_eq!(cloud.requests().len(), 3);
    // A decrypted value is a different one.
    limit().decrypt(true).await.expect("it is there");
    assert_eq!(body(&cloud.requests()[0])["WithDecryption"], true);
}

#[tokio::test]
async fn a_forced_fetch_goes_past_the_extension() {
    let cloud = Cloud::start(|request| parameter(if request.starts_with("GET") { "old" } else { "new" })).await;
    let (parameters, _) = cloud.parameters_with_extensions();
    assert_eq!(parameters.get_parameter("/limit").await.expect("it is there"), "old");
    assert_eq!(parameters.get_parameter("/limit").force_fetch().await.expect("it is there"), "new");
    assert_eq!(parameters.get_parameter("/limit").await.expect("it is kept"), "new");
}

#[tokio::test]
async fn who_asks_together_shares_one_request() {
    let cloud = Cloud::start(|_| parameter("10")).await;
    let (parameters, _) = cloud.parameters();
    let ask = || async { parameters.get_parameter("/limit").max_age(Duration::ZERO).await };
    assert!(join_all((0..200).map(|_| ask())).await.iter().all(|result| matches!(result.as_deref(), Ok("10"))));
    assert_eq!(cloud.requests().len(), 1);

    cloud.answers(|_| error("ThrottlingException"));
    assert!(join_all((0..200).map(|_| ask())).await.iter().all(Result::is_err));
    assert_eq!(cloud.requests().len(), 1);

    // A forced fetch must not use an earlier request.
    cloud.answers(|_| parameter("11"));
    let forced = || async { parameters.get_parameter("/limit").force_fetch().await };
    assert!(join_all((0..200).map(|_| forced())).await.iter().all(|result| matches!(result.as_deref(), Ok("11"))));
    assert_eq!(cloud.requests().len(), 2);

    // A cancelled caller does not affect the others.
    let _ = tokio::time::timeout(Duration::from_micros(1), ask()).await;
    ask().await.expect("it is there");
}

#[tokio::test]
async fn a_stale_value_is_used_only_when_allowed_and_the_source_is_down() {
    let cloud = Cloud::start(|_| parameter("10")).await;
    let (parameters, time) = cloud.parameters();
    let limit = || parameters.get_parameter("/limit");
    let hour = Duration::from_secs(3600);
    limit().await.expect("it is there");
    time.advance(hour);

    cloud.answers(|_| (500, String::new()));
    assert_eq!(limit().stale_if_error(hour).await.expect("it may be an hour old"), "10");
    assert!(matches!(limit().await, Err(ParametersError::Unavailable { .. })));
    assert!(limit().stale_if_error(hour - Duration::from_secs(1)).await.is_err());

    // A deleted or forbidden value is not served.
    cloud.answers(|_| error("ParameterNotFound"));
    assert!(matches!(limit().stale_if_error(hour).await, Err(ParametersError::NotFound { .. })));
    cloud.answers(|_| error("AccessDeniedException"));
    assert!(matches!(limit().stale_if_error(hour).await, Err(ParametersError::Denied { .. })));

    // After the clock was set back, the value's age is unknown.
    time.set_time(UNIX_EPOCH + Duration::from_secs(1_900_000_000));
    cloud.answers(|_| parameter("11"));
    limit().force_fetch().await.expect("it is there");
    parameters.slots.lock().expect("no request panics").values().for_each(|slot| {
        let mut slot = slot.try_lock().expect("nobody asks");
        slot.last.as_mut().expect("it was fetched").fetched += hour;
    });
    cloud.answers(|_| (500, String::new()));
    assert!(limit().stale_if_error(hour).await.is_err());
}

#[tokio::test]
async fn several_parameters_come_in_pages_and_tens() {
    let cloud = Cloud::start(|request| {
        let body = body(request);
        if request.contains("GetParametersByPath") {
            let (name, next) = match body["NextToken"].as_str() {
                None => ("/shop/price", json!("more")),
                Some(_) => ("/shop/tax/rate", Json::Null),
            };
            return (200, json!({"Parameters": [{"Name": name, "Value": "7"}], "NextToken": next}).to_string());
        }
        let names = body["Names"].as_array().expect("names are asked for");
        assert!(names.len() <= 10);
        let (missing, found): (Vec<_>, Vec<_>) = names.iter().partition(|name| *name == "missing");
        let found: Vec<_> = found.iter().map(|name| json!({"Name": name, "Value": "1"})).collect();
        (200, json!({"Parameters": found, "InvalidParameters": missing}).to_string())
    })
    .await;
    let (parameters, _) = cloud.parameters();
    let values: BTreeMap<String, u8> = parameters.get_parameters("/shop").json().await.expect("they are there");
    assert_eq!(values, BTreeMap::from([("price".into(), 7), ("tax/rate".into(), 7)]));
    assert_eq!(cloud.requests().len(), 2);

    let names = || (0..25).map(|number| format!("p{number}"));
    assert_eq!(parameters.get_parameters_by_name(names()).await.expect("they are there").len(), 25);
    assert_eq!(parameters.get_parameters_by_name(names().rev()).await.expect("they are kept").len(), 25);
    assert_eq!(cloud.requests().len(), 3);
    let error = parameters.get_parameters_by_name(["p1", "missing"]).await.expect_err("one is missing");
    assert_eq!(
        error.to_string(),
        "parameter missing doesn't exist: create it, or correct its name, the account or the region"
    );
}

#[tokio::test]
async fn a_configuration_that_has_not_changed_is_kept_and_a_session_that_is_over_begun_again() {
    let cloud = Cloud::start(|request| match request.lines().next() {
        Some(line) if line.starts_with("POST /configurationsessions") => {
            (201, json!({"InitialConfigurationToken": "first"}).to_string())
        }
        // The next token is in a header, which this server does not send.
        _ => (200, "on".into()),
    })
    .await;
    let (parameters, _) = cloud.parameters();
    let flags = || async { parameters.get_app_config("shop", "test", "flags").force_fetch().await };
    assert_eq!(flags().await.expect("it is there"), "on");
    let source =
        || Source::AppConfig { application: "shop".into(), environment: "test".into(), profile: "flags".into() };
    let put_token = |token: &str| {
        let session = source::Session { token: token.into(), configuration: "on".into() };
        parameters.services.sessions().insert(source(), session)
    };

    put_token("next");
    cloud.requests();
    cloud.answers(|_| (200, String::new()));
    assert_eq!(flags().await.expect("it has not changed"), "on");
    assert!(cloud.requests()[0].starts_with("GET /configuration?configuration_token=next "));

    put_token("too-old");
    cloud.answers(|request| match request {
        _ if request.contains("too-old") => error("BadRequestException"),
        _ if request.starts_with("POST") => (201, json!({"InitialConfigurationToken": "again"}).to_string()),
        _ => (200, "off".into()),
    });
    assert_eq!(flags().await.expect("it is there"), "off");
    assert_eq!(cloud.requests().len(), 3);
}

#[tokio::test]
async fn a_secret_may_be_binary() {
    let answer = json!({"SecretBinary": BASE64_STANDARD.encode([0, 159, 146, 150])}).to_string();
    let cloud = Cloud::start(move |_| (200, answer.clone())).await;
    for (parameters, _) in [cloud.parameters(), cloud.parameters_with_extensions()] {
        assert_eq!(parameters.get_secret("key").bytes().await.expect("it is there"), [0, 159, 146, 150]);
        let error = parameters.get_secret("key").await.expect_err("it isn't text");
        assert!(matches!(error, ParametersError::Transform { .. }), "{error}");
    }
}

#[tokio::test]
async fn nothing_that_is_printed_holds_a_value() {
    let cloud = Cloud::start(|_| parameter("\"hunter2\"")).await;
    let (parameters, _) = cloud.parameters();
    let error = parameters.get_parameter("/limit").json::<u16>().await.expect_err("it isn't a number");
    assert_eq!(
        error.to_string(),
        "parameter /limit is not JSON of the expected type (line 1, column 9): correct the value, or read it in \
         another form"
    );
    let binary = parameters.get_parameter("/limit").binary().await.expect_err("it isn't base64");
    // An interrupted answer: the SDK's error contains the received part.
    cloud.answers(|_| (200, r#"{"Parameter": {"Value": "hunter2", "#.into()));
    let broken = parameters.get_parameter("/limit").force_fetch().await.expect_err("it isn't an answer");
    let printed =
        format!("{parameters:?} {:?} {error:?} {binary} {binary:?} {broken} {broken:?}", parameters.get_secret("a"));
    assert!(!printed.contains("hunter2"), "{printed}");
}

proptest! {
    #[test]
    fn a_transform_returns_the_written_value_and_errors_do_not_quote_it(secret in "[a-z]{12}", bytes: Vec<u8>) {
        prop_assert_eq!(transform::binary("it", BASE64_STANDARD.encode(&bytes).as_bytes()), Ok(bytes.clone()));
        prop_assert_eq!(transform::json::<String>("it", json!(secret).to_string().as_bytes()), Ok(secret.clone()));
        for wrong in [secret.clone(), format!("\"{secret}\""), format!("{{\"{secret}\": 1}}"), format!("[\"{secret}\"")] {
            let error = transform::json::<Vec<u8>>("it", wrong.as_bytes()).expect_err("it isn't a list");
            let printed = format!("{error} {error:?}");
            prop_assert!(!printed.contains(&secret));
        }
    }
}
