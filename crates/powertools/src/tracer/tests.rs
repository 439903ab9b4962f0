use std::net::UdpSocket;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use lambda_runtime::Context as Invocation;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use prost::Message;
use tracing::{debug_span, error, info_span};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::span;

const HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8";

/// The spans that reach the X-Ray daemon from an invocation.
fn trace(
    trace_header: Option<&str>,
    capture_error: bool,
    run: impl FnOnce() -> Result<(), Diagnostic>,
) -> Vec<Exported> {
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = daemon.local_addr().expect("it is bound").to_string();
    let destination = Destination::Daemon(Daemon::connect(&address).expect("loopback is there"));
    let (tracer, layer) = Tracer::new(destination, capture_error);
    let mut invocation = Invocation::default();
    invocation.request_id = "request-1".into();
    invocation.xray_trace_id = trace_header.map(Into::into);
    tracing::subscriber::with_default(Registry::default().with(layer), || {
        let span = span::open(&invocation);
        tracer.begin(&span, &invocation, true);
        let result = span.in_scope(run);
        tracer.end(&span, result.as_ref().map(drop));
        drop(tracer.flush());
    });
    daemon.set_nonblocking(true).expect("it is a socket");
    let mut buffer = vec![0; 65_536];
    let mut spans = Vec::new();
    while let Ok(length) = daemon.recv(&mut buffer) {
        let encoded = buffer[..length].strip_prefix(b"{\"format\":\"json\",\"version\":1}\nT1S").expect("the prefix");
        let decoded = BASE64_STANDARD.decode(encoded).expect("it is base64");
        let request = ExportTraceServiceRequest::decode(decoded.as_slice()).expect("it is OTLP");
        spans.extend(request.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|scope| scope.spans));
    }
    spans
}

fn by_name<'a>(spans: &'a [Exported], name: &str) -> &'a Exported {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} is not in {spans:#?}"))
}

fn attribute<'a>(span: &'a Exported, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn annotations(span: &Exported) -> Vec<String> {
    let Some(Value::ArrayValue(names)) = attribute(span, ANNOTATIONS) else { return Vec::new() };
    let text = |value: &opentelemetry_proto::tonic::common::v1::AnyValue| match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    names.values.iter().map(text).collect()
}

#[test]
fn the_callers_spans_are_below_the_invocation_and_that_is_below_its_parent() {
    let spans = trace(Some(&format!("{HEADER};Sampled=1")), true, || {
        info_span!("outer").in_scope(|| info_span!("inner").in_scope(|| annotate("order_id", "o-1")));
        Ok(())
    });
    let invocation = spans.iter().find(|span| attribute(span, INVOCATION_ID).is_some()).expect("it is sent");
    let (outer, inner) = (by_name(&spans, "outer"), by_name(&spans, "inner"));
    assert_eq!(invocation.parent_span_id, [0x53, 0x99, 0x5c, 0x3f, 0x42, 0xcd, 0x8a, 0xd8]);
    assert_eq!(outer.parent_span_id, invocation.span_id);
    assert_eq!(inner.parent_span_id, outer.span_id);
    let trace_id = 0x5759e988bd862e3fe1be46a994272793_u128.to_be_bytes();
    assert!(spans.iter().all(|span| span.trace_id == trace_id), "{spans:#?}");
    assert_eq!(annotations(invocation), ["ColdStart", "Service"]);
    assert_eq!(annotations(inner), ["order_id"]);
    assert_eq!(attribute(inner, "order_id"), Some(&Value::StringValue("o-1".into())));
}

#[test]
fn a_trace_that_is_not_sampled_is_not_sent() {
    for header in [format!("{HEADER};Sampled=0"), HEADER.to_owned()] {
        let spans = trace(Some(&header), true, || {
            info_span!("work").in_scope(|| annotate("order_id", "o-1"));
            Ok(())
        });
        assert_eq!(spans, []);
    }
}

#[test]
fn without_a_header_a_trace_begins_with_an_id_for_x_ray() {
    let spans = trace(None, true, || Ok(()));
    let begun = u32::from_be_bytes(spans[0].trace_id[..4].try_into().expect("they are four bytes"));
    assert_eq!(spans[0].parent_span_id, Vec::<u8>::new());
    assert!(u64::from(begun).abs_diff(spans[0].start_time_unix_nano / 1_000_000_000) < 60);
}

#[test]
fn a_call_of_the_sdk_is_a_client_span_and_its_inner_workings_are_not_exported() {
    let spans = trace(None, true, || {
        let call = debug_span!("DynamoDB.GetItem", "rpc.service" = "DynamoDB", "rpc.method" = "GetItem");
        call.in_scope(|| debug_span!("try_attempt").in_scope(|| put_metadata("attempt", 1)));
        info_span!(target: "lambda_runtime::runtime", "worker").in_scope(|| ());
        Ok(())
    });
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let call = by_name(&spans, "DynamoDB.GetItem");
    assert_eq!(call.kind, 3, "the kind is client");
    assert_eq!(attribute(call, "rpc.system"), Some(&Value::StringValue("aws-api".into())));
    // An annotation in a span that is not exported is on the span around it.
    assert_eq!(attribute(call, "attempt"), Some(&Value::IntValue(1)));
}

#[test]
fn messages_of_errors_are_left_out_if_so_configured() {
    for (capture_error, message) in [(true, "ada@school.example"), (false, "")] {
        let spans = trace(None, capture_error, || {
            info_span!("failing").in_scope(|| error!(error = "grace@school.example"));
            error!("a log line of ada@school.example");
            Err(Diagnostic { error_type: "Unlucky".into(), error_message: "ada@school.example".into() })
        });
        let invocation = spans.iter().find(|span| attribute(span, INVOCATION_ID).is_some()).expect("it is sent");
        let status = invocation.status.as_ref().expect("it failed");
        assert_eq!((status.code, status.message.as_str()), (2, message));
        assert_eq!(attribute(invocation, "error.type"), Some(&Value::StringValue("Unlucky".into())));
        assert_eq!(invocation.events.len(), 1, "{invocation:#?}");
        assert_eq!(format!("{spans:?}").contains("school.example"), capture_error);
        assert_eq!(by_name(&spans, "failing").events.len(), usize::from(capture_error));
    }
}

#[test]
fn an_annotation_set_again_has_its_last_value() {
    let spans = trace(None, true, || {
        annotate("outcome", "STARTED");
        annotate("outcome", "DONE");
        Ok(())
    });
    assert_eq!(annotations(&spans[0]), ["ColdStart", "Service", "outcome"]);
    assert_eq!(attribute(&spans[0], "outcome"), Some(&Value::StringValue("DONE".into())));
    assert_eq!(spans[0].attributes.iter().filter(|attribute| attribute.key == "outcome").count(), 1);
}

#[test]
fn many_spans_are_sent_in_several_datagrams_and_a_span_too_long_for_one_is_dropped() {
    let spans = trace(None, true, || {
        (0..30).for_each(|_| drop(info_span!("work", field = "x".repeat(4_000)).entered()));
        drop(info_span!("too long", field = "x".repeat(60_000)).entered());
        Ok(())
    });
    assert_eq!(spans.iter().filter(|span| span.name == "work").count(), 30);
    assert_eq!(spans.len(), 31, "30 and the invocation");
}

#[test]
fn nothing_happens_outside_of_an_invocation() {
    annotate("order_id", "o-1");
    let spans = trace(None, true, || Ok(()));
    assert_eq!(spans.len(), 1);
}

#[test]
fn a_collector_is_at_an_http_url() {
    for endpoint in ["https://collector.example/v1/traces", "localhost:4318", "http://", ""] {
        assert!(
            matches!(Collector::start(endpoint, HeaderMap::new()), Err(DestinationError::Endpoint(_))),
            "{endpoint}"
        );
    }
}

#[test]
fn headers_have_the_format_of_opentelemetry() {
    let read = |text: &str| {
        let headers = parse_headers(text)?;
        let texts = headers.iter().map(|(name, value)| Some(format!("{name}: {}", value.to_str().ok()?)));
        texts.collect::<Option<Vec<_>>>()
    };
    assert_eq!(read("api-key=a%20b, X-Tenant = school,"), Some(vec!["api-key: a b".into(), "x-tenant: school".into()]));
    assert_eq!(read("authorization=Basic YTpi=="), Some(vec!["authorization: Basic YTpi==".into()]));
    for text in ["api-key", "a key=x", "=x", "a=x%0Ay"] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn the_daemons_address_can_be_one_for_each_protocol() {
    let daemon = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    let address = format!("tcp:127.0.0.1:1 udp:{}", daemon.local_addr().expect("it is bound"));
    assert!(Daemon::connect(&address).is_ok());
    assert!(matches!(Daemon::connect("nowhere"), Err(DestinationError::Daemon(..))));
}
