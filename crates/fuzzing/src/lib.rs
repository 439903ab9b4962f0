//! Shared code of fuzz targets. A target is a function of a package below `fuzz/`. `cargo test` runs it over its seeds,
//! and `make fuzz` over all inputs that libFuzzer generates from them.

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arbitrary::{Arbitrary, Unstructured};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::test_util::infallible_client_fn;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::RequestChecksumCalculation;
use lambda_runtime::{Context, LambdaEvent};
use powertools::batch::BatchResponse;

/// The program that libFuzzer drives: it calls the target with each input. In other builds, it does nothing.
#[macro_export]
macro_rules! program {
    ($target:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $target(data));

        #[cfg(not(fuzzing))]
        fn main() {}
    };
}

/// Calls a target with each file in `seeds/<name>` of a package.
pub fn over_seeds(package: &str, name: &str, target: impl Fn(&[u8])) {
    let directory = Path::new(package).join("seeds").join(name);
    let seeds = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut count = 0;
    for seed in seeds {
        let path = seed.expect("a directory can be listed").path();
        // If the target panics, the last lines show the seed.
        println!("{}", path.display());
        target(&fs::read(&path).expect("a seed can be read"));
        count += 1;
    }
    assert!(count > 0, "{} has no seeds", directory.display());
}

/// The input that the data represent; `None` if there are too few bytes.
pub fn input<'a, T: Arbitrary<'a> + Debug>(data: &'a [u8]) -> Option<T> {
    let input = T::arbitrary_take_rest(Unstructured::new(data)).ok();
    #[cfg(not(fuzzing))]
    println!("{input:?}");
    input
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("there are resources for it")
});

/// Waits for a handler's result.
pub fn wait<T>(handler: impl Future<Output = T>) -> T {
    RUNTIME.block_on(handler)
}

/// An event whose invocation has a minute.
pub fn event<T>(payload: T) -> LambdaEvent<T> {
    let mut context = Context::default();
    let deadline = SystemTime::now() + Duration::from_secs(60);
    context.deadline = deadline.duration_since(UNIX_EPOCH).expect("now is after 1970").as_millis() as u64;
    LambdaEvent::new(payload, context)
}

/// A service's answer: status and body.
pub type Answer = (u16, Vec<u8>);

/// Services for a function. `answer` is called for each request with its method, path and body. All objects have the
/// version `v`.
pub fn services(answer: impl Fn(&str, &str, &[u8]) -> Answer + Send + Sync + 'static) -> SdkConfig {
    let http_client = infallible_client_fn(move |request: http::Request<SdkBody>| {
        let body = request.body().bytes().unwrap_or_default();
        let (status, body) = answer(request.method().as_str(), request.uri().path(), body);
        let response = http::Response::builder().status(status).header("x-amz-version-id", "v");
        response.body(SdkBody::from(body)).expect("it is a response")
    });
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("id", "key", None, None, "fuzz")))
        .http_client(http_client)
        .region(Region::from_static("us-east-1"))
        // The body stays in one piece.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .build()
}

/// Checks that each reported message is one of `m-0` to `m-(messages - 1)`, and is reported once.
pub fn check_failures(response: BatchResponse, messages: usize) {
    let known: HashSet<_> = (0..messages).map(|place| Some(format!("m-{place}"))).collect();
    let mut reported = HashSet::new();
    for failure in response.batch_item_failures {
        assert!(known.contains(&failure.item_identifier), "{:?}", failure.item_identifier);
        assert!(reported.insert(failure.item_identifier), "a message is reported twice");
    }
}
