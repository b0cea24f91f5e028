//! Pure parts of the recorder: reasons of failures, the order of eviction, the saved state.

pub mod failure;
pub mod identity;
pub mod lru;
pub mod saved_state;
