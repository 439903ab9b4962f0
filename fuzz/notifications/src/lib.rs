//! Fuzz targets for the data that the functions of notifications read, but did not write.

pub mod notifications;

#[cfg(test)]
#[test]
fn every_target_holds_over_its_seeds() {
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "notifications", notifications::check);
}
