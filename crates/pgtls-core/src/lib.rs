//! Pure core of pgtls_ext: no server, no I/O, no clock.
#![forbid(unsafe_code)]
