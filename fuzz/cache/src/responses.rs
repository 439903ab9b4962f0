//! Any response of a node: it is an error or an output, and never a panic. The first byte is the operation.

/// Checks the promise above.
pub fn check(data: &[u8]) {
    if let Some((operation, response)) = data.split_first() {
        dynamodb_dax::fuzzing::read_response(*operation, response);
    }
}
