//! The dashboard for Grafana, made from a table of panels: `make monitoring` writes it.

use serde_json::{Value, json};

/// What a panel looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// A number.
    Stat,
    /// Curves.
    Curves,
    /// Rows with what their labels say.
    Table,
}

/// A panel: how it looks, its width of 24, the unit by Grafana's name, its title, and what each
/// expression shows. Above `alarming` a number is red.
struct Panel {
    look: Look,
    width: u32,
    unit: &'static str,
    title: &'static str,
    alarming: Option<f64>,
    expressions: &'static [(&'static str, &'static str)],
}

const fn stat(title: &'static str, unit: &'static str, shows: &'static [(&str, &str)]) -> Panel {
    Panel { look: Look::Stat, width: 4, unit, title, alarming: Some(1.0), expressions: shows }
}

const fn curves(title: &'static str, unit: &'static str, shows: &'static [(&str, &str)]) -> Panel {
    Panel { look: Look::Curves, width: 12, unit, title, alarming: None, expressions: shows }
}

const fn table(title: &'static str, unit: &'static str, shows: &'static [(&str, &str)]) -> Panel {
    Panel { look: Look::Table, width: 12, unit, title, alarming: None, expressions: shows }
}

const PANELS: [Panel; 16] = [
    stat(
        "CAs whose clients are refused",
        "none",
        &[("", "sum(pgtls_ca_clients_refused{instance=~\"$instance\"})")],
    ),
    stat(
        "On file and not in force",
        "none",
        &[("", "count(pgtls_configuration_in_force{instance=~\"$instance\"} == 0) or vector(0)")],
    ),
    stat(
        "Reloads that did not take",
        "none",
        &[("", "count(pgtls_reload_success{instance=~\"$instance\"} == 0) or vector(0)")],
    ),
    stat(
        "Sessions with an invalid certificate",
        "none",
        &[(
            "",
            "sum(pgtls_session_credentials{instance=~\"$instance\", status=~\"revoked|expired|untrusted|not_yet_valid\"})",
        )],
    ),
    stat(
        "TCP clients without TLS",
        "none",
        &[(
            "",
            "sum(pgtls_tcp_connections{instance=~\"$instance\", encryption=\"none\"}) or vector(0)",
        )],
    ),
    stat(
        "Workers down, sources that fail",
        "none",
        &[(
            "",
            "(count(pgtls_worker_up{instance=~\"$instance\"} == 0) or vector(0)) + (sum(pgtls_collection_error{instance=~\"$instance\"}) or vector(0))",
        )],
    ),
    table(
        "Certificates of the server: time left",
        "s",
        &[(
            "{{role}} {{subject_cn}}",
            "pgtls_certificate_not_after_timestamp_seconds{instance=~\"$instance\"} - time()",
        )],
    ),
    table(
        "CRLs: time to the next update",
        "s",
        &[(
            "{{issuer_cn}}",
            "pgtls_crl_next_update_timestamp_seconds{instance=~\"$instance\"} - time()",
        )],
    ),
    curves(
        "Logins that failed, by reason",
        "cps",
        &[(
            "{{reason}}",
            "sum by (reason) (rate(pgtls_login_failures_total{instance=~\"$instance\"}[5m])) > 0",
        )],
    ),
    curves(
        "Sessions by what their certificate is worth",
        "none",
        &[("{{status}}", "sum by (status) (pgtls_session_credentials{instance=~\"$instance\"})")],
    ),
    curves(
        "TCP clients by protocol version",
        "none",
        &[(
            "{{encryption}} {{version}}",
            "sum by (encryption, version) (pgtls_tcp_connections{instance=~\"$instance\"})",
        )],
    ),
    curves(
        "Client certificates that end within",
        "none",
        &[(
            "{{within}}",
            "sum by (within) (pgtls_client_certificates_expiring{instance=~\"$instance\"})",
        )],
    ),
    curves(
        "First client certificate to end: time left",
        "s",
        &[(
            "{{instance}}",
            "pgtls_client_certificates_soonest_end_timestamp_seconds{instance=~\"$instance\"} - time()",
        )],
    ),
    curves(
        "Revoked certificates in the CRLs",
        "none",
        &[(
            "{{issuer_cn}}",
            "sum by (issuer_cn) (pgtls_crl_revoked_certificates{instance=~\"$instance\"})",
        )],
    ),
    curves(
        "Inventory",
        "none",
        &[
            ("entries", "sum(pgtls_recorder_inventory_entries{instance=~\"$instance\"})"),
            ("room", "sum(pgtls_recorder_inventory_room{instance=~\"$instance\"})"),
        ],
    ),
    curves(
        "Reloads and terminations",
        "none",
        &[
            (
                "reloads in an hour",
                "sum(changes(pgtls_reload_last_timestamp_seconds{instance=~\"$instance\"}[1h]))",
            ),
            (
                "sessions terminated in an hour",
                "sum(increase(pgtls_worker_sessions_terminated_total{instance=~\"$instance\"}[1h]))",
            ),
        ],
    ),
];

/// Rows of panels are this high.
const HEIGHT: u32 = 8;
const STAT_HEIGHT: u32 = 4;
/// The grid is this wide.
const WIDTH: u32 = 24;

/// Every expression of the dashboard, as for one instance.
#[must_use]
pub fn expressions() -> Vec<String> {
    let expressions = PANELS.iter().flat_map(|panel| panel.expressions);
    expressions.map(|(_, expression)| expression.replace("$instance", ".*")).collect()
}

/// The file's content.
///
/// # Panics
/// If it cannot be written as JSON.
#[must_use]
pub fn dashboard() -> String {
    let (mut x, mut y) = (0, 0);
    let panels: Vec<Value> = PANELS
        .iter()
        .zip(1..)
        .map(|(panel, id)| {
            let height = if panel.look == Look::Stat { STAT_HEIGHT } else { HEIGHT };
            let place = json!({"x": x, "y": y, "w": panel.width, "h": height});
            x += panel.width;
            if x >= WIDTH {
                (x, y) = (0, y + height);
            }
            shown(panel, id, &place)
        })
        .collect();
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let dashboard = json!({
        "title": "PostgreSQL TLS (pgtls_ext)",
        "uid": "pgtls-ext",
        "description": "Made by `make monitoring`; see docs/monitoring.md.",
        "tags": ["postgresql", "tls"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
            {
                "name": "instance", "label": "Instance", "type": "query", "datasource": source,
                "query": {"query": "label_values(pgtls_build_info, instance)", "refId": "instance"},
                "refresh": 2, "multi": true, "includeAll": true, "allValue": ".*",
                "current": {"text": ["All"], "value": ["$__all"]},
            },
        ]},
        "panels": panels,
    });
    serde_json::to_string_pretty(&dashboard).expect("it is plain data") + "\n"
}

fn shown(panel: &Panel, id: u32, place: &Value) -> Value {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let (kind, is_table) = match panel.look {
        Look::Stat => ("stat", false),
        Look::Curves => ("timeseries", false),
        Look::Table => ("table", true),
    };
    let targets: Vec<Value> = panel
        .expressions
        .iter()
        .zip('A'..)
        .map(|((legend, expression), letter)| {
            json!({
                "refId": letter.to_string(), "datasource": source, "expr": expression,
                "legendFormat": legend, "instant": panel.look != Look::Curves,
                "range": panel.look == Look::Curves,
                "format": if is_table { "table" } else { "time_series" },
            })
        })
        .collect();
    let mut steps = vec![json!({"color": "green", "value": null})];
    steps.extend(panel.alarming.map(|value| json!({"color": "red", "value": value})));
    json!({
        "id": id, "type": kind, "title": panel.title, "datasource": source, "gridPos": place,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {},
    })
}
