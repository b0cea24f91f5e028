//! Files of the server's configuration, and whether they are still as it read them.

use std::fs;

use super::time;

/// Whether the file was changed after the server loaded its configuration. The directory of relative names is the data
/// directory, as for the server. A file that cannot be looked at counts as unchanged: whoever reads it finds out.
pub(crate) fn changed_since_load(path: &str) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| time::file_time(modified) > time::configuration_loaded())
}
