//! From an archive object's footer to its item in the ledger.

use archive::{Ledger, Object};
use aws_lambda_events::eventbridge::EventBridgeEvent;
use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};
use tracing::info;

/// The detail of an `Object Created` event, as far as it is needed.
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

/// Enters the object that the event announces. Repeated and overtaken events change nothing.
///
/// An event that fails is retried, and at last sent to the failure destination.
pub async fn handle(ledger: &Ledger, event: LambdaEvent<EventBridgeEvent<ObjectCreated>>) -> Result<(), Error> {
    let ObjectCreated { object: CreatedObject { object, sequencer } } = event.payload.detail;
    let Some(summary) = ledger.read_summary(&object).await? else {
        info!(key = object.key, "object has been overwritten; its newer event enters it");
        return Ok(());
    };
    // To be compared as numbers, sequencers have to be of one length, padded on the right.
    let sequencer = format!("{sequencer:0<32}");
    match ledger.enter(&object, &sequencer, &summary).await? {
        true => info!(key = object.key, "object entered"),
        false => info!(key = object.key, "ledger is newer than this event"),
    }
    Ok(())
}
