//! What a reload of the files as they are would do, and whether a restart would come up.

use pgtls_core::login::{hba, ident};

use crate::checks::access::{AuthFiles, Server};
use crate::checks::basis::Basis;
use crate::pg::openssl::dry_run::{self, Objection, Tried};
use crate::pg::server::auth_files;
use crate::pg::server::config_files::ConfigFiles;
use crate::pg::server::tls_settings::{self, TlsSettings};

/// One step of a reload.
pub(crate) struct Step {
    /// The setting, or `reload` and `restart` for the verdicts.
    pub(crate) item: String,
    pub(crate) outcome: Outcome,
    pub(crate) detail: String,
    pub(crate) hint: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// The server would keep what it has of this.
    Failed,
    /// A reload would go on without; a restart would not, or the other way round.
    Warning,
    /// The server would get no further before this, or it is not used.
    Skipped,
}

impl Outcome {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Warning => "warning",
            Self::Skipped => "skipped",
        }
    }
}

impl Step {
    fn new(item: impl Into<String>, outcome: Outcome, detail: impl Into<String>) -> Self {
        let (item, detail) = (item.into(), detail.into());
        Self { item, outcome, detail, hint: None, file: None, line: None }
    }
}

/// What a reload and a restart would do with the files as they are now.
pub(crate) fn steps() -> Vec<Step> {
    let files = ConfigFiles::read(tls_settings::NAMES);
    let settings = TlsSettings::of_files(&files);
    let mut steps = vec![config_file(&files)];
    let server = Server::new();
    let auth = AuthFiles::of(Basis::OnFile, &server.around());
    steps.push(rules(&auth));
    steps.push(mappings(&auth));
    match settings.is_on() {
        true => {
            steps.extend(dry_run::run(&settings).into_iter().map(|tried| tls(&settings, tried)))
        }
        false => {
            steps.push(Step::new("ssl", Outcome::Skipped, "TLS is off: nothing of it is loaded"))
        }
    }
    let (reload, restart) = (verdict(&steps, false), verdict(&steps, true));
    steps.push(reload);
    steps.push(restart);
    steps
}

/// The steps at which only a restart, or only a reload, is refused.
fn matters(step: &Step, at_restart: bool) -> bool {
    match step.outcome {
        Outcome::Failed => !(at_restart && step.item == "ident_file"),
        Outcome::Warning => at_restart,
        Outcome::Ok | Outcome::Skipped => false,
    }
}

fn verdict(steps: &[Step], at_restart: bool) -> Step {
    let items: Vec<&str> = steps
        .iter()
        .filter(|step| matters(step, at_restart))
        .map(|step| step.item.as_str())
        .collect();
    let (item, good, bad) = match at_restart {
        false => ("reload", "a reload would take", "a reload would not take all of it, because of"),
        true => ("restart", "a restart would come up", "the server would not start, because of"),
    };
    match items.is_empty() {
        true => Step::new(item, Outcome::Ok, good),
        false => Step::new(item, Outcome::Failed, format!("{bad} {}", items.join(", "))),
    }
}

fn config_file(files: &ConfigFiles) -> Step {
    match &files.problem {
        None => Step::new("config_file", Outcome::Ok, "the server can read it"),
        Some(problem) => Step {
            file: files.problem_place.as_ref().map(|place| place.0.clone()),
            line: files.problem_place.as_ref().map(|place| place.1),
            ..Step::new("config_file", Outcome::Failed, problem.clone())
        },
    }
}

fn rules(auth: &AuthFiles) -> Step {
    let broken = auth.rules.iter().find(|line| line.rule.is_none());
    match hba::problem(&auth.rules) {
        None => {
            let detail = format!("{} rules", auth.rules.len());
            Step {
                file: Some(auth_files::hba_file()),
                ..Step::new("hba_file", Outcome::Ok, detail)
            }
        }
        Some(problem) => Step {
            file: Some(broken.map_or_else(auth_files::hba_file, |line| line.file.clone())),
            line: broken.and_then(|line| line.number),
            hint: Some(
                "The server keeps all the rules that it has until the file is right.".to_owned(),
            ),
            ..Step::new(
                "hba_file",
                Outcome::Failed,
                broken.and_then(|line| line.problem.clone()).unwrap_or(problem),
            )
        },
    }
}

fn mappings(auth: &AuthFiles) -> Step {
    let broken = auth.mappings.iter().find(|line| line.mapping.is_none());
    match ident::problem(&auth.mappings) {
        None => {
            let detail = format!("{} mappings", auth.mappings.len());
            let file = Some(auth_files::ident_file());
            Step { file, ..Step::new("ident_file", Outcome::Ok, detail) }
        }
        Some(problem) => Step {
            file: broken.map(|line| line.file.clone()),
            line: broken.and_then(|line| line.number),
            hint: Some(
                "The server keeps all the mappings that it has; one that starts has none."
                    .to_owned(),
            ),
            ..Step::new(
                "ident_file",
                Outcome::Failed,
                broken.and_then(|line| line.problem.clone()).unwrap_or(problem),
            )
        },
    }
}

fn tls(settings: &TlsSettings, tried: Tried) -> Step {
    let item = tried.setting.to_string_lossy().into_owned();
    let is_file = item.ends_with("_file") || item.ends_with("_dir");
    let file = settings.text(tried.setting).filter(|_| is_file);
    let step = match tried.outcome {
        None => Step::new(item, Outcome::Skipped, "the server stops before it"),
        Some(Ok(detail)) => Step::new(item, Outcome::Ok, detail),
        Some(Err(Objection { message, hint, only_at_start })) => Step {
            hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
            ..Step::new(
                item,
                if only_at_start { Outcome::Warning } else { Outcome::Failed },
                message,
            )
        },
    };
    Step { file, ..step }
}
