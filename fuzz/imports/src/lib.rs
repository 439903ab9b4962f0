//! Fuzz targets for the data that the functions of imports read, but did not write.

pub mod check_import;
pub mod report_import;

#[cfg(test)]
#[test]
fn every_target_holds_over_its_seeds() {
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "check_import", check_import::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "report_import", report_import::check);
}
