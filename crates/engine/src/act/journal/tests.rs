//! A host in memory, and a crash at every moment at which one can happen.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::*;

/// Cloned to compare before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Fake {
    sysctls: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, String>,
    table: Option<String>,
    refuses: Option<String>,
}

impl Host for Fake {
    fn sysctl(&self, key: &str) -> Option<String> {
        self.sysctls.get(key).cloned()
    }
    fn set_sysctl(&mut self, key: &str, value: &str) -> io::Result<()> {
        if self.refuses.as_deref() == Some(key) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.sysctls.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
    fn offloads(&self, _: &str) -> io::Result<u32> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn set_offloads(&mut self, _: &str, _: u32) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn file(&self, path: &Path) -> io::Result<Option<String>> {
        Ok(self.files.get(path).cloned())
    }
    fn set_file(&mut self, path: &Path, text: Option<&str>) -> io::Result<()> {
        match text {
            Some(text) => self.files.insert(path.to_owned(), text.to_owned()),
            None => self.files.remove(path),
        };
        Ok(())
    }
    fn table(&self) -> Option<String> {
        self.table.clone()
    }
    fn set_table(&mut self, rules: Option<&str>) -> io::Result<()> {
        self.table = rules.map(str::to_owned);
        Ok(())
    }
}

const CONF: &str = "/etc/sysctl.d/x.conf";

fn host() -> Fake {
    let sysctls = [("net.a", "0"), ("net.b", "5")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Fake { sysctls: sysctls.into(), ..Fake::default() }
}

fn sysctl(key: &str, from: &str, to: &str) -> Step {
    Step::Sysctl { key: key.into(), from: from.into(), to: to.into() }
}

fn wish(on_trial: bool) -> Wish {
    let steps = vec![
        sysctl("net.a", "0", "1"),
        sysctl("net.b", "5", "3"),
        Step::Table { from: None, to: Some("table inet sekisho {}".into()) },
        Step::File { path: CONF.into(), from: None, to: Some("net.a = 1\nnet.b = 3\n".into()) },
    ];
    let trial = on_trial.then(|| Trial { within: 60, by: Connection::default(), in_force: None });
    Wish { steps, trial, boot: "b".into() }
}

/// What a crash is here: a panic that the test catches; the host and the file on disk stay as they are at that moment.
struct Crash;

/// Calls `work` with a moment that crashes at its `at`-th call. `false`: it ended before.
fn crashes(at: usize, work: impl FnOnce(Moment<'_>)) -> bool {
    let mut left = at;
    let mut moment = || {
        if left == 0 {
            // Not `panic!`: nothing is to be printed.
            resume_unwind(Box::new(Crash));
        }
        left -= 1;
    };
    let done = catch_unwind(AssertUnwindSafe(|| work(&mut moment)));
    match done {
        Ok(()) => false,
        Err(payload) if payload.is::<Crash>() => true,
        Err(payload) => resume_unwind(payload),
    }
}

fn apply(file: &Path, host: &mut Fake, on_trial: bool, moment: Moment<'_>) {
    let mut journal = Journal::load(file).unwrap();
    journal.begin(wish(on_trial)).unwrap();
    journal.make(host, || 7, moment).unwrap();
}

#[test]
fn a_crash_at_any_moment_leaves_all_or_nothing_after_a_rollback() {
    for on_trial in [false, true] {
        let mut moments = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("journal.json");
            let mut changed = host();
            let crashed = crashes(moments, |moment| apply(&file, &mut changed, on_trial, moment));
            let mut journal = Journal::load(&file).unwrap();
            assert_eq!(journal.changes().len(), 1);
            journal.roll_back(&mut changed).unwrap().unwrap();
            assert_eq!(changed, host(), "crash at moment {moments}, on trial: {on_trial}");
            assert!(!file.exists(), "nothing is left to take back");
            if !crashed {
                break;
            }
            moments += 1;
        }
        assert!(moments >= 8, "each step was crashed before and after: {moments}");
    }
}

#[test]
fn a_crash_while_confirming_can_be_taken_back_or_confirmed_again() {
    for at in 0..10 {
        for again in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("journal.json");
            let mut changed = host();
            apply(&file, &mut changed, true, &mut || {});
            assert!(changed.files.is_empty(), "what is on trial would not outlive a boot");
            let crashed = crashes(at, |moment| Journal::load(&file).unwrap().confirm(&mut changed, moment).unwrap());
            let mut journal = Journal::load(&file).unwrap();
            if crashed && again && journal.unsettled().is_some() {
                journal.confirm(&mut changed, &mut || {}).unwrap();
                assert_eq!(journal.changes()[0].state, State::Kept);
                assert_eq!(changed.files.len(), 1);
            }
            journal.roll_back(&mut changed).unwrap();
            assert_eq!(changed, host());
        }
    }
}

#[test]
fn a_refused_step_takes_back_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.json");
    let mut refusing = Fake { refuses: Some("net.b".into()), ..host() };
    let before = refusing.clone();
    let mut journal = Journal::load(&file).unwrap();
    journal.begin(wish(false)).unwrap();
    let refused = journal.make(&mut refusing, || 0, &mut || {});
    assert!(matches!(refused, Err(JournalError::Refused { .. })), "{refused:?}");
    assert_eq!(refusing, before);
    assert!(Journal::load(&file).unwrap().changes().is_empty());
}

#[test]
fn one_change_at_a_time_is_unsettled_and_the_last_is_taken_back_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.json");
    let mut changed = host();
    apply(&file, &mut changed, true, &mut || {});
    let mut journal = Journal::load(&file).unwrap();
    assert!(matches!(journal.begin(wish(false)), Err(JournalError::Unsettled { on_trial: true })));
    assert_eq!(journal.unsettled().unwrap().trial.as_ref().unwrap().in_force, Some(7));
    journal.confirm(&mut changed, &mut || {}).unwrap();
    assert!(matches!(journal.confirm(&mut changed, &mut || {}), Err(JournalError::NothingOnTrial)));

    let second = Wish { steps: vec![sysctl("net.a", "1", "2")], ..wish(false) };
    assert_eq!(journal.begin(second).unwrap(), 2);
    journal.make(&mut changed, || 0, &mut || {}).unwrap();
    assert_eq!(changed.sysctls["net.a"], "2");
    journal.roll_back(&mut changed).unwrap();
    assert_eq!(changed.sysctls["net.a"], "1");
    journal.roll_back(&mut changed).unwrap();
    assert_eq!(changed, host());
    assert!(journal.roll_back(&mut changed).unwrap().is_none());
}

#[test]
fn what_somebody_else_set_since_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.json");
    let mut changed = host();
    apply(&file, &mut changed, false, &mut || {});
    changed.sysctls.insert("net.b".into(), "9".into());
    changed.files.insert(CONF.into(), "net.b = 9\n".into());
    let undone = Journal::load(&file).unwrap().roll_back(&mut changed).unwrap().unwrap();
    let left = undone.iter().filter(|(_, outcome)| *outcome == Undone::LeftAlone).count();
    assert_eq!((left, changed.sysctls["net.a"].as_str(), changed.sysctls["net.b"].as_str()), (2, "0", "9"));
}

#[test]
fn a_journal_that_cannot_be_read_or_written_is_told_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.json");
    std::fs::write(&file, "{").unwrap();
    assert!(matches!(Journal::load(&file), Err(JournalError::Damaged { .. })));
    std::fs::write(&file, "{\"version\": 9, \"changes\": []}").unwrap();
    assert!(matches!(Journal::load(&file), Err(JournalError::Damaged { .. })));

    let blocked = file.join("below-a-file.json");
    let mut journal = Journal { file: blocked, changes: Vec::new() };
    assert!(matches!(journal.begin(wish(false)), Err(JournalError::Record { .. })));
}
