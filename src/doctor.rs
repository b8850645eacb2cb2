//! What could keep a service from starting or working, found before it does: a [`Finding`] a check,
//! each with what to do.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::Access;
use serde::Serialize;

use crate::config::Config;
use crate::encode::session;
use crate::model::ModelFolder;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Ok,
    /// It works, and not as well as it might.
    Warning,
    /// A service would not start, or not work.
    Fault,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl fmt::Display) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.to_string(),
            advice: None,
        }
    }

    fn warning(check: &'static str, found: impl fmt::Display, advice: impl fmt::Display) -> Self {
        Self {
            verdict: Verdict::Warning,
            advice: Some(advice.to_string()),
            ..Self::ok(check, found)
        }
    }

    /// Of an error, which says what to do itself.
    pub fn fault(check: &'static str, error: impl fmt::Display) -> Self {
        Self {
            verdict: Verdict::Fault,
            ..Self::ok(check, error)
        }
    }

    fn fault_with(
        check: &'static str,
        found: impl fmt::Display,
        advice: impl fmt::Display,
    ) -> Self {
        Self {
            verdict: Verdict::Fault,
            ..Self::warning(check, found, advice)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Fault => "fault",
        };
        write!(f, "{verdict:<8} {:<9} {}", self.check, self.found)?;
        if let Some(advice) = &self.advice {
            write!(f, ": {advice}")?;
        }
        Ok(())
    }
}

/// Whether the files and folders are there that the settings name. Starts and opens nothing.
#[must_use]
pub fn places(config: &Config) -> Vec<Finding> {
    let runtime = match session::find(&config.encoder.runtime) {
        Ok(path) => Finding::ok("runtime", path.display()),
        Err(error) => Finding::fault("runtime", error),
    };
    let model = match ModelFolder::manifest_of(&config.model) {
        Ok(_) => Finding::ok("model", config.model.display()),
        Err(error) => Finding::fault("model", error),
    };
    let mut found = vec![runtime, model, data_folder(&config.data)];
    if let Some(path) = &config.synonyms
        && let Err(error) = std::fs::File::open(path)
    {
        let error = format!("{}: {error}", path.display());
        found.push(Finding::fault("synonyms", error));
    }
    found
}

/// Whether the data folder is there, or can be made, and can be written to.
fn data_folder(data: &Path) -> Finding {
    let shown = data.display();
    let (folder, made) = if data.exists() {
        (data.to_owned(), false)
    } else {
        (parent(data), true)
    };
    if !folder.is_dir() {
        let found = if made {
            format!("neither {shown} nor its parent is there")
        } else {
            format!("{shown} is no folder")
        };
        return Finding::fault_with("data", found, "make it, or name another one with --data");
    }
    if let Err(error) = rustix::fs::access(&folder, Access::WRITE_OK | Access::EXEC_OK) {
        let user = rustix::process::geteuid().as_raw();
        let found = format!(
            "{} cannot be written to by user {user} ({error})",
            folder.display()
        );
        let advice =
            "give it to the user that the service runs as, or run the service as its owner";
        return Finding::fault_with("data", found, advice);
    }
    if made {
        let advice = "the first start makes it, empty; look whether its name is right";
        return Finding::warning("data", format!("{shown} is not there"), advice);
    }
    Finding::ok("data", shown)
}

/// The folder that a path is in.
fn parent(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.parent().unwrap_or(Path::new("/")).to_owned()
}
