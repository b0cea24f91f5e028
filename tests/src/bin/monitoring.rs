//! `make monitoring`: writes the files in `monitoring/` that are made from the table of metrics, and
//! the dashboard.

use std::path::Path;

fn main() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../monitoring");
    let dashboard = ("grafana/pgtls.json", pgtls_e2e::dashboard::dashboard());
    for (name, content) in pgtls_e2e::monitoring::files().into_iter().chain([dashboard]) {
        let file = directory.join(name);
        std::fs::write(&file, content)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
