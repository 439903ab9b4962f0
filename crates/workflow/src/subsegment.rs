use std::collections::BTreeMap;
use std::env;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::UdpSocket;
use std::time::{SystemTime, UNIX_EPOCH};

use lambda_runtime::Context;
use lambda_runtime::tracing::debug;
use serde_json::json;

/// A part of an X-Ray trace, with annotations by which traces can be found.
///
/// It is sent to the X-Ray daemon that Lambda runs beside a function whose tracing is on; elsewhere it does nothing.
/// <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html>
#[derive(Debug)]
pub struct Subsegment {
    name: &'static str,
    /// Trace id and parent id, when the invocation is sampled.
    parent: Option<(String, String)>,
    begun: SystemTime,
}

impl Subsegment {
    /// Begins a part of this invocation's trace.
    pub fn begin(name: &'static str, context: &Context) -> Self {
        let parent = context.xray_trace_id.as_deref().and_then(sampled_parent);
        Self { name, parent, begun: SystemTime::now() }
    }

    /// Ends it. X-Ray indexes annotations: they may hold ids and outcomes, no personal data.
    pub fn end(self, annotations: &[(&str, &str)]) {
        let Ok(daemon) = env::var("AWS_XRAY_DAEMON_ADDRESS") else { return };
        // No invocation fails for want of a trace.
        if let Err(error) = self.send(&daemon, annotations) {
            debug!(%error, "the X-Ray daemon can't be reached");
        }
    }

    fn send(self, daemon: &str, annotations: &[(&str, &str)]) -> io::Result<()> {
        let Some((trace_id, parent_id)) = self.parent else { return Ok(()) };
        let document = json!({
            "type": "subsegment",
            "id": format!("{:016x}", RandomState::new().hash_one(&parent_id)),
            "trace_id": trace_id,
            "parent_id": parent_id,
            "name": self.name,
            "start_time": seconds(self.begun),
            "end_time": seconds(SystemTime::now()),
            "annotations": annotations.iter().copied().collect::<BTreeMap<_, _>>(),
        });
        let datagram = format!("{{\"format\": \"json\", \"version\": 1}}\n{document}");
        UdpSocket::bind("0.0.0.0:0")?.send_to(datagram.as_bytes(), daemon)?;
        Ok(())
    }
}

fn sampled_parent(trace_header: &str) -> Option<(String, String)> {
    let fields: BTreeMap<_, _> = trace_header.split(';').filter_map(|field| field.split_once('=')).collect();
    (*fields.get("Sampled")? == "1").then_some(())?;
    Some(((*fields.get("Root")?).to_owned(), (*fields.get("Parent")?).to_owned()))
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn context(trace_header: &str) -> Context {
        let mut context = Context::default();
        context.xray_trace_id = Some(trace_header.into());
        context
    }

    #[test]
    fn the_daemon_gets_the_annotations_below_the_functions_own_segment() {
        let daemon = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        let address = daemon.local_addr().expect("it is bound").to_string();
        let context = context("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a:0");
        let subsegment = Subsegment::begin("create-account", &context);
        subsegment.send(&address, &[("student_id", "s-1"), ("outcome", "CREATED")]).expect("loopback takes it");
        let mut datagram = [0; 2048];
        let length = daemon.recv(&mut datagram).expect("it was sent");
        let text = std::str::from_utf8(&datagram[..length]).expect("JSON is UTF-8");
        let (header, document) = text.split_once('\n').expect("a header precedes the document");
        let document: Value = serde_json::from_str(document).expect("the document is JSON");
        assert_eq!(header, r#"{"format": "json", "version": 1}"#);
        assert_eq!(document["trace_id"], "1-5759e988-bd862e3fe1be46a994272793");
        assert_eq!(document["parent_id"], "53995c3f42cd8ad8");
        assert_eq!(document["id"].as_str().map(str::len), Some(16));
        assert_eq!(document["annotations"], json!({"student_id": "s-1", "outcome": "CREATED"}));
    }

    #[test]
    fn what_is_not_sampled_is_not_sent() {
        for header in ["Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0", "", "Sampled=1"] {
            assert_eq!(Subsegment::begin("create-account", &context(header)).parent, None, "{header}");
        }
    }
}
