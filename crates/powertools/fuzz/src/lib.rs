//! Fuzz targets for what powertools reads and did not write.

pub mod batch;
pub mod environment;
pub mod idempotency_key;
pub mod idempotency_record;
pub mod parameters;
pub mod personal_field;
pub mod trace_header;

#[cfg(test)]
#[test]
fn every_target_holds_over_its_seeds() {
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "batch", batch::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "environment", environment::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "idempotency_key", idempotency_key::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "idempotency_record", idempotency_record::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "parameters", parameters::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "personal_field", personal_field::check);
    fuzzing::over_seeds(env!("CARGO_MANIFEST_DIR"), "trace_header", trace_header::check);
}
