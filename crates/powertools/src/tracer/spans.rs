use std::collections::HashSet;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::trace::SpanKind;
use opentelemetry::{Array, Context, Key, KeyValue, StringValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;

use super::{ANNOTATIONS, Destination, INVOCATION_ID};

/// Number of spans at which a batch is sent before the end of the invocation.
const BATCH: usize = 512;

/// The source of the spans.
#[derive(Debug)]
pub(super) struct Resource(ResourceAttributesWithSchema);

impl Resource {
    pub(super) fn new(resource: &opentelemetry_sdk::Resource) -> Self {
        Self(resource.into())
    }

    /// The request of the OpenTelemetry protocol.
    pub(super) fn request(&self, spans: Vec<SpanData>) -> Vec<u8> {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.0);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }
}

/// Collects ended spans until they are sent together.
#[derive(Clone, Debug)]
pub(super) struct Spans(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ended: Mutex<Vec<SpanData>>,
    resource: Resource,
    destination: Destination,
}

impl Spans {
    pub(super) fn new(resource: Resource, destination: Destination) -> Self {
        Self(Arc::new(Inner { ended: Mutex::default(), resource, destination }))
    }

    pub(super) fn destination(&self) -> &Destination {
        &self.0.destination
    }

    pub(super) fn send(&self) {
        let ended = mem::take(&mut *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner));
        if ended.is_empty() {
            return;
        }
        match &self.0.destination {
            Destination::Daemon(daemon) => daemon.send(ended, &self.0.resource),
            Destination::Collector(collector) => collector.send(self.0.resource.request(ended)),
        }
    }
}

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, mut span: SpanData) {
        complete(&mut span);
        let mut ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push(span);
        if ended.len() >= BATCH {
            drop(ended);
            self.send();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.send();
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        self.force_flush()
    }
}

/// Sets the kind and the annotations, which depend on the whole span.
fn complete(span: &mut SpanData) {
    let has = |key: &str| span.attributes.iter().any(|attribute| attribute.key.as_str() == key);
    if has(INVOCATION_ID) {
        span.span_kind = SpanKind::Server;
    } else if has("rpc.service") && has("rpc.method") {
        span.span_kind = SpanKind::Client;
        span.attributes.push(KeyValue::new("rpc.system", "aws-api"));
    }
    let mut annotations: Vec<StringValue> = Vec::new();
    span.attributes.retain(|attribute| {
        if attribute.key.as_str() != ANNOTATIONS {
            return true;
        }
        if let Value::String(name) = &attribute.value
            && !annotations.contains(name)
        {
            annotations.push(name.clone());
        }
        false
    });
    // The protocol allows each key once; the last value is kept.
    let mut seen: HashSet<Key> = HashSet::new();
    span.attributes.reverse();
    span.attributes.retain(|attribute| seen.insert(attribute.key.clone()));
    span.attributes.reverse();
    if !annotations.is_empty() {
        span.attributes.push(KeyValue::new(ANNOTATIONS, Value::Array(Array::String(annotations))));
    }
}
