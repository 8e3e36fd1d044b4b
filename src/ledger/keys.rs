//! The key ring: client addresses are encrypted under a key of the month before they reach a disk (ipcrypt, deterministic).
//! Destroying a month's key makes that month's records anonymous and leaves every line as it is.

mod forget;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ipcrypt_rs::Ipcrypt;
use jiff::Timestamp;

pub use forget::{forget, forgettable, forgotten};

/// The name of a key: the month of the system clock in UTC, such as `2026-11`.
/// Where the month's key was destroyed while the month still ran, later ones are `2026-11-2`, `2026-11-3` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Returns the name of the month's first key.
    pub fn of_month(raw: Timestamp) -> Self {
        Self(raw.strftime("%Y-%m").to_string())
    }

    /// Reads a name as records hold it; nothing that could name a file elsewhere is one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            text.len() <= 24 && !text.is_empty() && text.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'-'));
        fits.then(|| Self(text.to_owned()))
    }

    /// Returns the name as records hold it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn generation(&self, generation: u32) -> Self {
        if generation < 2 { self.clone() } else { Self(format!("{}-{generation}", self.0)) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the key ring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot open the key ring {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read the key {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a key: 32 hexadecimal digits are expected", path.display())]
    NotAKey { path: PathBuf },
    #[error("cannot write the key {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// The generations of keys that were made while the folder could not be looked into.
const APART: std::ops::Range<u32> = 1 << 20..1 << 31;

/// Keys by month, in a folder that only its owner can enter.
pub struct KeyRing {
    folder: PathBuf,
    keys: BTreeMap<KeyId, Key>,
    /// The first key of the month that was sealed last, and the key in use.
    current: Option<(KeyId, KeyId)>,
}

struct Key {
    cipher: Ipcrypt,
    /// The key itself, as long as it is on no disk.
    unsaved: Option<[u8; Ipcrypt::KEY_BYTES]>,
}

impl Key {
    fn made() -> Self {
        let key: [u8; Ipcrypt::KEY_BYTES] = rand::random();
        Self { cipher: Ipcrypt::new(key), unsaved: Some(key) }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Opens the key ring for writing; makes the folder (0700) where there is none.
    ///
    /// # Errors
    /// `KeyError::Open` where the folder can be neither made nor closed to others.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let open = || {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
            }
            forget::finish(folder)
        };
        open().map_err(|source| KeyError::Open { path: folder.to_owned(), source })?;
        Ok(Self::reader(folder))
    }

    /// Returns the key ring for reading records; touches nothing.
    pub fn reader(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), keys: BTreeMap::new(), current: None }
    }

    /// Encrypts `address` under the key of the month of `raw`, which is made where there is none, and returns the text
    /// with the name of the key. A new key is in memory only until [`save`](Self::save).
    pub fn seal(&mut self, address: IpAddr, raw: Timestamp) -> (String, KeyId) {
        let month = KeyId::of_month(raw);
        let id = match &self.current {
            Some((current, id)) if *current == month => id.clone(),
            Some(_) | None => {
                let id = self.key_of(&month);
                self.current = Some((month, id.clone()));
                id
            }
        };
        let key = self.keys.get(&id).expect("the current key is in the ring");
        (key.cipher.encrypt_ipaddr(address).to_string(), id)
    }

    /// Finds or makes the key that the month's records are sealed with from now on.
    fn key_of(&mut self, month: &KeyId) -> KeyId {
        for generation in self.destroyed(month).saturating_add(1).. {
            let id = month.generation(generation);
            if self.keys.contains_key(&id) {
                return id;
            }
            match self.load(&id) {
                Ok(Some(cipher)) => {
                    self.keys.insert(id.clone(), Key { cipher, unsaved: None });
                    return id;
                }
                // A key that was made once and is gone was destroyed: another one of its name would turn its records into
                // wrong addresses.
                Ok(None) if self.marker(&id).exists() => {}
                Ok(None) => {
                    self.keys.insert(id.clone(), Key::made());
                    return id;
                }
                // A key that cannot be read must not be replaced: its records would be read with the wrong one. Where not even
                // that can be told which ones there are, the new one gets a name far from those that are counted.
                Err(error) => {
                    tracing::warn!(key = %id, error = &error as &dyn std::error::Error, "key passed over");
                    if path_of(&self.folder, &id).try_exists().is_err() {
                        let id = month.generation(rand::random_range(APART));
                        self.keys.insert(id.clone(), Key::made());
                        return id;
                    }
                }
            }
        }
        unreachable!("the loop has no end but a return")
    }

    /// Puts keys that are only in memory on disk; records sealed with them must not go there before. Where the key in use was
    /// destroyed since, later records get another one.
    ///
    /// # Errors
    /// `KeyError::Write`; the keys stay in memory, and another call tries again.
    pub fn save(&mut self) -> Result<(), KeyError> {
        let in_use = self.current.as_ref().map(|(_, id)| id.clone());
        if let Some(id) = in_use.filter(|id| self.keys.get(id).is_some_and(|key| key.unsaved.is_none()))
            && !path_of(&self.folder, &id).exists()
        {
            let path = path_of(&self.folder, &id);
            self.mark_used(&id).map_err(|source| KeyError::Write { path, source })?;
            tracing::warn!(key = %id, "the key in use was destroyed; later records get another one");
            self.keys.remove(&id);
            self.current = None;
        }
        for (id, key) in &mut self.keys {
            let Some(octets) = key.unsaved else { continue };
            let path = path_of(&self.folder, id);
            create(&self.folder, &path, &octets)
                .and_then(|()| mark(&self.folder, &marker_of(&self.folder, id)))
                .map_err(|source| KeyError::Write { path, source })?;
            key.unsaved = None;
        }
        Ok(())
    }

    /// Tells the ring that records exist under this key. Where the key is gone it was destroyed, and its name is never
    /// used again, because another key of the same name would turn those records into wrong addresses.
    pub(super) fn mark_used(&mut self, id: &KeyId) -> io::Result<()> {
        if path_of(&self.folder, id).exists() || self.tombstone(id).exists() {
            return Ok(());
        }
        // The whole folder may be gone.
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        mark(&self.folder, &self.tombstone(id))
    }

    /// Encrypts `address` under a key of the ring, for searching; `None` where the key is not there.
    ///
    /// # Errors
    /// Where the key is there and cannot be read.
    pub fn encrypt(&self, address: IpAddr, id: &KeyId) -> Result<Option<String>, KeyError> {
        Ok(self.load(id)?.map(|cipher| cipher.encrypt_ipaddr(address).to_string()))
    }

    /// Decrypts the client of a record; `None` where the key was destroyed, or where `text` is not an address.
    ///
    /// # Errors
    /// Where the key is there and cannot be read.
    pub fn decrypt(&mut self, text: &str, id: &KeyId) -> Result<Option<IpAddr>, KeyError> {
        if !self.keys.contains_key(id) {
            let Some(cipher) = self.load(id)? else { return Ok(None) };
            self.keys.insert(id.clone(), Key { cipher, unsaved: None });
        }
        let address = text.parse::<IpAddr>().ok();
        Ok(address.and_then(|address| self.keys.get(id).map(|key| key.cipher.decrypt_ipaddr(address))))
    }

    /// Returns the names of the keys on disk, oldest first.
    ///
    /// # Errors
    /// `KeyError::Open` where the folder cannot be listed; a folder that is not there holds no key.
    pub fn ids(&self) -> Result<Vec<KeyId>, KeyError> {
        let fault = |source| KeyError::Open { path: self.folder.clone(), source };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(fault(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(fault)?.file_name();
            ids.extend(name.to_str().and_then(|name| name.strip_suffix(".key")).and_then(KeyId::parse));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn load(&self, id: &KeyId) -> Result<Option<Ipcrypt>, KeyError> {
        if forget::is_forgotten(&self.folder, id) {
            return Ok(None);
        }
        let path = path_of(&self.folder, id);
        // That needs no descriptor, and one that is not there is no key that cannot be read.
        if matches!(path.try_exists(), Ok(false)) {
            return Ok(None);
        }
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(256).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(KeyError::Read { path, source }),
        }
        let mut key = [0; Ipcrypt::KEY_BYTES];
        match hex::decode_to_slice(text.trim_end(), &mut key) {
            Ok(()) => Ok(Some(Ipcrypt::new(key))),
            Err(_) => Err(KeyError::NotAKey { path }),
        }
    }

    /// Returns the last generation of the month's keys that was destroyed; those before it are not used again either, even
    /// where nothing tells of them any more.
    fn destroyed(&self, month: &KeyId) -> u32 {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        let generation = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            match name.strip_suffix(".destroyed")?.strip_prefix(month.as_str())? {
                "" => Some(1),
                later => later.strip_prefix('-')?.parse().ok(),
            }
        };
        entries.filter_map(|entry| generation(entry.ok()?)).max().unwrap_or(0)
    }

    fn tombstone(&self, id: &KeyId) -> PathBuf {
        self.folder.join(format!("{id}.destroyed"))
    }

    fn marker(&self, id: &KeyId) -> PathBuf {
        marker_of(&self.folder, id)
    }
}

fn path_of(folder: &Path, id: &KeyId) -> PathBuf {
    folder.join(format!("{id}.key"))
}

/// The file that tells of a key that was made, whether it is still there or not.
fn marker_of(folder: &Path, id: &KeyId) -> PathBuf {
    folder.join(format!("{id}.made"))
}

fn mark(folder: &Path, path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Writes a key so that a crash leaves either no key of that name or the whole one; never replaces one.
fn create(folder: &Path, path: &Path, octets: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(hex::encode(octets).as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    let linked = match fs::hard_link(&draft, path) {
        // An earlier try came as far as this.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(path, octets) => Ok(()),
        linked => linked,
    };
    fs::remove_file(&draft)?;
    linked?;
    File::open(folder)?.sync_all()
}

fn is_same(path: &Path, octets: &[u8]) -> bool {
    fs::read(path).is_ok_and(|text| text.trim_ascii_end() == hex::encode(octets).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn keys_are_closed_to_others_and_made_whole() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        fs::create_dir(&folder).unwrap();
        let mut ring = KeyRing::open(&folder).unwrap();
        ring.seal(address("192.0.2.7"), at("2026-11-30T23:59:59.999Z"));
        ring.seal(address("192.0.2.7"), at("2026-12-01T00:00:00Z"));
        ring.save().unwrap();
        assert_eq!(mode(&folder), 0o700);
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["2026-11.key", "2026-11.made", "2026-12.key", "2026-12.made"]);
        assert_eq!(mode(&folder.join("2026-11.key")), 0o600);
        assert_eq!(fs::read_to_string(folder.join("2026-11.key")).unwrap().trim_end().len(), 32);
    }

    #[test]
    fn what_was_sealed_is_read_by_another_ring() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = KeyRing::open(folder.path()).unwrap();
        let raw = at("2026-11-03T12:00:00Z");
        for client in ["192.0.2.7", "2001:db8::7", "0.0.0.0", "255.255.255.255", "::1"] {
            let (text, id) = ring.seal(address(client), raw);
            ring.save().unwrap();
            assert_eq!(id.as_str(), "2026-11");
            assert_ne!(text, client);
            let mut reader = KeyRing::reader(folder.path());
            assert_eq!(reader.decrypt(&text, &id).unwrap(), Some(address(client)));
            assert_eq!(reader.encrypt(address(client), &id).unwrap().as_deref(), Some(&*text));
            assert_eq!(reader.ids().unwrap(), [id]);
        }
    }

    #[test]
    fn a_destroyed_key_is_never_replaced_by_another_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let raw = at("2026-11-03T12:00:00Z");
        let mut ring = KeyRing::open(folder.path()).unwrap();
        let (text, id) = ring.seal(address("192.0.2.7"), raw);
        ring.save().unwrap();
        fs::remove_file(folder.path().join("2026-11.key")).unwrap();
        let mut ring = KeyRing::open(folder.path()).unwrap();
        ring.mark_used(&id).unwrap();
        let (_, next) = ring.seal(address("192.0.2.7"), raw);
        ring.save().unwrap();
        assert_eq!(next.as_str(), "2026-11-2");
        assert_eq!(KeyRing::reader(folder.path()).decrypt(&text, &id).unwrap(), None);
    }

    #[test]
    fn a_key_that_is_destroyed_while_it_is_used_is_followed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let raw = at("2026-11-03T12:00:00Z");
        let mut ring = KeyRing::open(&folder).unwrap();
        for name in ["2026-11", "2026-11-2", "2026-11-3"] {
            assert_eq!(ring.seal(address("192.0.2.7"), raw).1.as_str(), name);
            ring.save().unwrap();
            assert_eq!(ring.seal(address("192.0.2.7"), raw).1.as_str(), name);
            fs::remove_file(path_of(&folder, &KeyId(name.to_owned()))).unwrap();
            ring.save().unwrap();
        }
        ring.seal(address("192.0.2.7"), raw);
        ring.save().unwrap();
        fs::remove_dir_all(&folder).unwrap();
        ring.save().unwrap();
        assert_eq!(ring.seal(address("192.0.2.7"), raw).1.as_str(), "2026-11-5");
    }

    #[test]
    fn a_file_that_is_not_a_key_is_told_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("2026-11.key");
        fs::write(&path, "secret?").unwrap();
        let mut ring = KeyRing::open(folder.path()).unwrap();
        assert!(ring.decrypt("::1", &KeyId("2026-11".to_owned())).is_err());
        let (_, id) = ring.seal(address("192.0.2.7"), at("2026-11-03T12:00:00Z"));
        ring.save().unwrap();
        assert_eq!(id.as_str(), "2026-11-2");
        assert_eq!(fs::read_to_string(path).unwrap(), "secret?");
    }

    #[test]
    fn a_folder_that_cannot_be_looked_into_holds_up_nobody() {
        let data = tempfile::tempdir().unwrap();
        // Every look into it fails, as where there are no descriptors left, or no right to enter.
        let folder = data.path().join("keys");
        fs::write(&folder, "").unwrap();
        let mut ring = KeyRing::reader(&folder);
        let raw = at("2026-11-03T12:00:00Z");
        let (text, id) = ring.seal(address("192.0.2.7"), raw);
        assert!(ring.save().is_err());
        // What was there all the while is not replaced.
        fs::remove_file(&folder).unwrap();
        let (earlier, first) = {
            let mut other = KeyRing::open(&folder).unwrap();
            let sealed = other.seal(address("192.0.2.7"), raw);
            other.save().unwrap();
            sealed
        };
        ring.save().unwrap();
        let mut reader = KeyRing::reader(&folder);
        for (text, id) in [(text, id), (earlier, first)] {
            assert_eq!(reader.decrypt(&text, &id).unwrap(), Some(address("192.0.2.7")), "{id}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_saved_stays_in_memory_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("keys");
        let mut ring = KeyRing::open(&folder).unwrap();
        let raw = at("2026-11-03T12:00:00Z");
        fs::remove_dir(&folder).unwrap();
        let (text, id) = ring.seal(address("192.0.2.7"), raw);
        assert!(ring.save().is_err());
        fs::create_dir(&folder).unwrap();
        ring.save().unwrap();
        assert_eq!(KeyRing::reader(&folder).decrypt(&text, &id).unwrap(), Some(address("192.0.2.7")));
    }

    #[test]
    fn no_name_of_a_key_leads_out_of_the_folder() {
        for text in ["../../etc/passwd", "2026-11/..", "", "2026-11.key", "2026-11\0"] {
            assert_eq!(KeyId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_destroyed_key_of_an_earlier_month_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = KeyRing::open(folder.path()).unwrap();
        let (text, march) = ring.seal(address("192.0.2.7"), at("2026-03-01T00:00:00Z"));
        ring.save().unwrap();
        ring.seal(address("192.0.2.7"), at("2026-11-01T00:00:00Z"));
        ring.save().unwrap();
        fs::remove_file(path_of(folder.path(), &march)).unwrap();
        // A board without a clock starts in March again.
        let mut ring = KeyRing::open(folder.path()).unwrap();
        let (_, again) = ring.seal(address("192.0.2.8"), at("2026-03-01T00:00:00Z"));
        ring.save().unwrap();
        assert_ne!(again, march);
        assert_eq!(KeyRing::reader(folder.path()).decrypt(&text, &march).unwrap(), None, "it stays anonymous");
    }

    #[test]
    fn a_key_that_was_written_but_not_confirmed_is_confirmed_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut ring = KeyRing::open(folder.path()).unwrap();
        let (_, id) = ring.seal(address("192.0.2.7"), at("2026-11-01T00:00:00Z"));
        let octets = ring.keys[&id].unsaved.unwrap();
        create(folder.path(), &path_of(folder.path(), &id), &octets).unwrap();
        ring.save().unwrap();
        let other = [7; Ipcrypt::KEY_BYTES];
        assert!(create(folder.path(), &path_of(folder.path(), &id), &other).is_err(), "another key is never replaced");
    }
}
