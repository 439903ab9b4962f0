//! Reads an archive object's footer into the object's item in the ledger.

use archive::{Ledger, Object};
use aws_lambda_events::eventbridge::EventBridgeEvent;
use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};
use tracing::info;

/// The fields of an `Object Created` event's detail that are used.
#[derive(Debug, Deserialize, Serialize)]
pub struct ObjectCreated {
    object: CreatedObject,
}

#[derive(Debug, Deserialize, Serialize)]
struct CreatedObject {
    #[serde(flatten)]
    object: Object,
    /// Orders the events of one key: a hexadecimal number, compared from the left.
    sequencer: String,
}

/// Enters the announced object into the ledger. Repeated and late events change nothing.
///
/// A failed event is retried, and finally sent to the failure destination.
pub async fn handle(ledger: &Ledger, event: LambdaEvent<EventBridgeEvent<ObjectCreated>>) -> Result<(), Error> {
    let ObjectCreated { object: CreatedObject { object, sequencer } } = event.payload.detail;
    let Some(summary) = ledger.read_summary(&object).await? else {
        info!(key = object.key, "object has been overwritten; its newer event enters it");
        return Ok(());
    };
    // Sequencers are padded on the right to one length, so that they can be compared as texts.
    let sequencer = format!("{sequencer:0<32}");
    match ledger.enter(&object, &sequencer, &summary).await? {
        true => info!(key = object.key, "object entered"),
        false => info!(key = object.key, "ledger is newer than this event"),
    }
    Ok(())
}
