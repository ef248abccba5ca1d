//! How a failure is told at the edge: the chain of what went wrong, what to do about it, and the exit code.

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use sekisho_engine::act::MendError;
use sekisho_engine::act::journal::JournalError;
use sekisho_engine::policy::ConfigError;

/// Something that ends the program.
#[derive(Debug)]
pub struct Failure {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
    code: u8,
}

/// The exit code of a failure.
const FAILED: u8 = 1;
/// The exit code of a wrong command line or configuration; clap's own too.
const USAGE: u8 = 2;

impl Failure {
    /// A failure of our own making.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None, hint: None, code: FAILED }
    }

    /// A failure with its cause.
    pub fn from_error(what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(source)), ..Self::new(what) }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What was asked for is wrong, not what was done.
    #[must_use]
    pub fn usage(self) -> Self {
        Self { code: USAGE, ..self }
    }

    /// The same in one line, for the log.
    pub fn line(&self) -> String {
        self.to_string().replace("\n  because: ", ": ").replace("\nhint: ", "; hint: ").replace('\n', "; ")
    }

    /// Tells it on stderr.
    pub fn report(&self) -> ExitCode {
        // A closed stderr is no reason to fail differently.
        let _ = writeln!(std::io::stderr(), "error: {self}");
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            write!(f, "\n  because: {error}")?;
            cause = error.source();
        }
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::Unreadable { .. } => {
                "without --config, and without /etc/sekisho.toml, sound defaults are used"
            }
            ConfigError::Mistakes { .. } => "`sekisho check --config FILE` checks a configuration without using it",
        };
        let what = error.to_string();
        let cause = match error {
            ConfigError::Unreadable { source, .. } => Some(source.into()),
            ConfigError::Mistakes { .. } => None,
        };
        Self { what, source: cause, hint: Some(hint.into()), code: USAGE }
    }
}

impl From<sekisho_datapath::Error> for Failure {
    fn from(error: sekisho_datapath::Error) -> Self {
        let hint = error.hint();
        Self { hint, ..Self::from_error("the programs in the kernel cannot be managed", error) }
    }
}

impl From<MendError> for Failure {
    fn from(error: MendError) -> Self {
        let hint = match &error {
            MendError::Record { .. } => "/run has to be writable",
            MendError::Damaged { .. } => "look at it, put back by hand what it lists, and remove it",
            MendError::Refused { .. } => "make the change by hand; inside a container it has to be made on the host",
        };
        Self::from_error("the host cannot be made ready", error).hint(hint)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        let hint = match &error {
            JournalError::Record { .. } => {
                "the folder has to be writable; what was changed before is still in the journal"
            }
            JournalError::Damaged { .. } => "look at it, put back by hand what it lists, and remove it",
            JournalError::Refused { .. } => {
                "some settings can only be changed on the host, not in a container or network namespace"
            }
            JournalError::Unsettled { on_trial: true } => {
                "`sekisho confirm` keeps it, `sekisho rollback` takes it back"
            }
            JournalError::Unsettled { on_trial: false } => "`sekisho rollback` takes back what was done of it",
            JournalError::NothingOnTrial => {
                "either it was kept or taken back already, or nothing was applied with --confirm-within"
            }
        };
        Self::from_error("the host's settings are not as they were asked for", error).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_and_the_hint_are_told() {
        let inner = std::io::Error::new(std::io::ErrorKind::PermissionDenied, "not permitted");
        let failure = Failure::from_error("cannot do it", inner).hint("be root");
        assert_eq!(failure.to_string(), "cannot do it\n  because: not permitted\nhint: be root");
        assert_eq!(failure.line(), "cannot do it: not permitted; hint: be root");
    }

    #[test]
    fn a_mistake_in_the_configuration_has_an_exit_code_of_its_own() {
        let error = sekisho_engine::policy::Policy::parse("x = 1", std::path::Path::new("a.toml")).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.code, USAGE);
        assert!(failure.to_string().starts_with("a.toml:1:1: unknown key `x`"), "{failure}");
    }
}
