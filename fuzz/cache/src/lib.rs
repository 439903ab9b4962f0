//! Fuzz targets for the data that the DAX client and DAX Local read, but did not write.

pub mod expressions;
pub mod requests;
pub mod responses;

#[cfg(test)]
#[test]
fn every_target_holds_over_its_seeds() {
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "expressions", expressions::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "requests", requests::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "responses", responses::check);
}
