//! End-to-end tests of pgtls_ext. One binary, a module for each topic.

mod certificates;
mod demo;
mod docs;
mod encodings;
mod extension;
mod harness;
mod login;
mod login_grid;
mod mapping;
mod memory;
mod processes;
mod revocation;
mod session;
mod sessions;
