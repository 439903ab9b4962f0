//! Fuzz targets for the data that the functions of accounts read, but did not write.

pub mod account_items;
pub mod account_requests;
pub mod validate_account;

#[cfg(test)]
#[test]
fn every_target_holds_over_its_seeds() {
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "account_items", account_items::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "account_requests", account_requests::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "validate_account", validate_account::check);
}
