use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use crate::Unavailable;

/// An event bus of EventBridge.
#[derive(Clone, Debug)]
pub struct EventBus {
    /// The client of EventBridge.
    pub client: Client,
    /// The bus's name or ARN.
    pub name: String,
}

impl EventBus {
    /// Puts an event on the bus. `detail` is a JSON object; `trace_header` is the X-Ray trace that the event continues.
    ///
    /// # Errors
    /// The request failed, or EventBridge did not accept the event:
    /// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
    pub async fn put(
        &self,
        source: &str,
        detail_type: &str,
        detail: String,
        trace_header: Option<String>,
    ) -> Result<(), Unavailable> {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(source)
            .detail_type(detail_type)
            .detail(detail)
            .set_trace_header(trace_header)
            .build();
        let output = self
            .client
            .put_events()
            .entries(entry)
            .send()
            .await
            .map_err(|error| Unavailable::from_sdk("EventBridge", &error))?;
        // A request succeeds even if its entries failed.
        if output.failed_entry_count() > 0 {
            let code = output.entries().first().and_then(|entry| entry.error_code()).unwrap_or("no error code");
            return Err(Unavailable::new("EventBridge", code));
        }
        Ok(())
    }
}
