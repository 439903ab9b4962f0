use std::cell::Cell;
use std::task::{Context, Poll};

use bytes::Bytes;
use lambda_runtime::LambdaInvocation;
use lambda_runtime::tower::{Layer, Service};
use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};

/// An event as Lambda sent it, for a function that parses it itself: once, and borrowing from it.
///
/// `lambda_runtime` parses each event, and its type can't borrow from the text: a function that parses records by itself
/// reads them twice, and copies them. This needs the layer [`Unparsed`] around the runtime:
///
/// ```no_run
/// use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
/// use powertools::batch::{Unparsed, UnparsedEvent};
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result<(), Error> {
///     let handler = service_fn(async |event: LambdaEvent<UnparsedEvent>| Ok::<_, Error>(event.payload.0.len()));
///     Runtime::new(handler).layer(Unparsed).run().await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct UnparsedEvent(pub Bytes);

/// The layer of the runtime that [`UnparsedEvent`] needs.
#[derive(Clone, Copy, Debug)]
pub struct Unparsed;

/// A runtime's service, wrapped in [`Unparsed`].
#[derive(Clone, Debug)]
pub struct UnparsedService<S>(S);

thread_local! {
    /// The event, while the runtime parses what is put in its place.
    static EVENT: Cell<Option<Bytes>> = const { Cell::new(None) };
}

impl<S> Layer<S> for Unparsed {
    type Service = UnparsedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        UnparsedService(inner)
    }
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for UnparsedService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> Self::Future {
        EVENT.set(Some(std::mem::replace(&mut invocation.body, Bytes::from_static(b"null"))));
        // The runtime parses in this call, not in the future.
        let future = self.0.call(invocation);
        EVENT.take();
        future
    }
}

impl<'de> Deserialize<'de> for UnparsedEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer)?;
        EVENT.take().map(Self).ok_or_else(|| D::Error::custom("the layer powertools::batch::Unparsed is missing"))
    }
}
