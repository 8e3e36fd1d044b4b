//! Publishing that breaks off, meets another history, or may not remove.

use super::*;
use crate::ledger::evidence::{copy, head, log_of, made};
use crate::ledger::log::Folder;
use crate::ledger::verify::{Against, Integrity, verify};

/// A store far away, which breaks off after some requests and lets nothing be removed.
struct Far {
    to: Folder,
    requests: usize,
    locked: bool,
}

impl Far {
    fn may(&mut self, path: &str) -> Result<(), TargetError> {
        let gone = || TargetError::Write { path: path.to_owned(), source: "it is gone".into() };
        self.requests = self.requests.checked_sub(1).ok_or_else(gone)?;
        Ok(())
    }
}

impl Target for Far {
    fn shown(&self, path: &str) -> String {
        self.to.shown(path)
    }

    fn is_near(&self) -> bool {
        false
    }

    fn ready(&mut self) -> Result<(), TargetError> {
        self.to.ready()
    }

    fn read(&mut self, path: &str, most: u64) -> Result<Option<Vec<u8>>, TargetError> {
        self.to.read(path, most)
    }

    fn is_there(&mut self, path: &str) -> Result<bool, TargetError> {
        self.to.is_there(path)
    }

    fn put(&mut self, path: &str, octets: &[u8]) -> Result<(), TargetError> {
        self.may(path)?;
        self.to.put(path, octets)
    }

    fn put_new<'a>(&mut self, files: &'a [(String, Vec<u8>)]) -> Result<Option<&'a str>, TargetError> {
        for (path, octets) in files {
            if self.to.is_there(path)? {
                return Ok(Some(path));
            }
            self.put(path, octets)?;
        }
        Ok(None)
    }

    fn remove(&mut self, path: &str) -> Result<(), TargetError> {
        match self.locked {
            true => Err(TargetError::Remove { path: path.to_owned(), source: "it is locked".into() }),
            false => self.to.remove(path),
        }
    }

    fn remove_below(&mut self, path: &str) {
        self.to.remove_below(path);
    }
}

#[test]
fn publishing_that_breaks_off_at_any_request_is_gone_on_with() {
    let data = made(600);
    let from = log_of(&data, 1);
    let size = head(&from).size;
    let log = Published { from: from.clone(), number: 1 };
    let whole = (0..200).find(|requests| {
        let elsewhere = tempfile::tempdir().unwrap();
        let folder = || Folder(elsewhere.path().to_owned());
        let mut far = Far { to: folder(), requests: *requests, locked: false };
        let broken = log.publish(&mut far, None);
        assert_eq!(far.to.is_there("1/checkpoint").unwrap(), broken.is_ok(), "the checkpoint comes last");
        far.requests = 200;
        assert_eq!(log.publish(&mut far, None).unwrap(), Some(size));
        let report = verify(&elsewhere.path().join("1"), Against::default());
        assert_eq!((report.integrity, report.leaves), (Integrity::Intact, size), "{requests}: {report:?}");
        broken.is_ok()
    });
    assert!(whole.is_some_and(|requests| requests > 8), "{whole:?}");
}

#[test]
fn what_differs_in_a_store_is_not_written_over() {
    let (data, elsewhere) = (made(300), tempfile::tempdir().unwrap());
    let log = Published { from: log_of(&data, 1), number: 1 };
    let far = || Far { to: Folder(elsewhere.path().to_owned()), requests: 200, locked: false };
    let bundle = elsewhere.path().join("1/tile/entries/000");
    fs::create_dir_all(bundle.parent().unwrap()).unwrap();
    fs::write(&bundle, "another history").unwrap();
    assert!(matches!(log.publish(&mut far(), None), Err(PublishError::Differs(_))));
    assert!(!elsewhere.path().join("1/checkpoint").exists());
    // Another log of the same name is there already.
    let other = made(10);
    let _ = fs::remove_dir_all(elsewhere.path().join("1"));
    copy(&log_of(&other, 1), &elsewhere.path().join("1"));
    assert!(matches!(log.publish(&mut far(), None), Err(PublishError::Differs(_))));
}

#[test]
fn the_first_place_that_is_there_is_found() {
    for end in 0..9 {
        for start in 0..=end {
            assert_eq!(first(end, |place| Ok::<_, ()>(place >= start)), Ok(start));
        }
    }
}

#[test]
fn a_store_that_keeps_what_went_for_its_age_is_told() {
    let (data, elsewhere) = (made(600), tempfile::tempdir().unwrap());
    let inbox = Arc::new(Inbox::new(crate::ledger::Fail::Answer));
    let logs = data.path().join("ledger");
    let source = Source { logs, data: data.path().to_owned(), inbox, clock: crate::ledger::fixtures::clock() };
    let to = Far { to: Folder(elsewhere.path().to_owned()), requests: 200, locked: true };
    let (compared, removed, cosigned) = Default::default();
    let mut work = Work { source, to: Box::new(to), compared, removed, cosigned };
    assert!(work.round().unwrap());
    let bundle = |of: &Path| of.join("1/tile/entries/000");
    fs::remove_file(bundle(&data.path().join("ledger"))).unwrap();
    assert!(!work.round().unwrap());
    let told = work.source.inbox.told().log.unremoved.clone();
    assert!(told.is_some_and(|told| told.contains("it is locked")));
    assert!(bundle(elsewhere.path()).exists());
    work.to = Box::new(Folder(elsewhere.path().to_owned()));
    work.removed.clear();
    work.round().unwrap();
    assert!(!bundle(elsewhere.path()).exists() && work.source.inbox.told().log.unremoved.is_none());
}
