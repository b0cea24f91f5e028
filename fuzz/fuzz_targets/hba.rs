#![no_main]

#[path = "../../crates/pgtls-core/tests/access_support/fuzz.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod fuzz;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::hba(data));
