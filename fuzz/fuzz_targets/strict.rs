#![no_main]

#[path = "../../crates/pgtls-core/tests/core/fuzzing/mod.rs"]
mod fuzzing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::strict(data));
