//! What the process gives up once everything is bound: every capability, the way to any new privilege, and all files but those
//! that its configuration and the system's resolver need. Threads take this on from the one that starts them, so that it has to be
//! done before there is another. Whatever a kernel does not offer is told and left out; a daemon without it still answers.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
    RulesetStatus, path_beneath_rules,
};

use crate::config::{Config, ControlSocket, PublishConfig};
use crate::export::To;
use crate::notice::{Settings, Smtp, Webhook};

/// What a process needs of the system: resolvers and certificates are named below `/etc` and `/run`, the names of users are
/// looked up by libraries below `/usr` and `/lib`, and the kernel tells of itself below `/proc` and `/sys`.
const SYSTEM: &[&str] = &["/etc", "/run", "/usr", "/lib", "/lib64", "/proc", "/sys", "/dev"];
/// The version of Landlock whose rights are asked for; the kernel takes those that it knows.
const VERSION: ABI = ABI::V5;

/// The folders that files are in which the daemon works with.
#[derive(Debug, Default)]
pub(super) struct Folders {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

/// Which folder is at a path: its disk and its number there. Rights hang on that, and not on the path.
type Identity = (u64, u64);

/// What the process can still reach.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// None where no file is closed off.
    folders: Option<Folders>,
    /// Which folders those are that the configuration names.
    identities: BTreeMap<PathBuf, Identity>,
    /// What could not be given up, each with the reason.
    pub(super) notes: Vec<String>,
}

impl Sandbox {
    /// Gives up what is not needed from here on. `file` is the configuration file.
    pub(super) fn enter(config: &Config, file: Option<&Path>) -> Self {
        if !config.daemon.sandbox {
            return Self { folders: None, identities: BTreeMap::new(), notes: Vec::new() };
        }
        let folders = Folders::of(config, file);
        let identities = folders.identities();
        let mut notes = Vec::new();
        if let Err(error) = drop_capabilities() {
            notes.push(format!("capabilities are kept: {error}"));
        }
        if let Err(error) = nix::sys::prctl::set_no_new_privs() {
            notes.push(format!("new privileges are not forbidden: {error}"));
        }
        let restricted = folders.restrict();
        match &restricted {
            Ok(RulesetStatus::FullyEnforced) => {}
            Ok(RulesetStatus::PartiallyEnforced) => {
                notes.push("files are closed off only as far as this kernel can (an older Landlock)".to_owned());
            }
            Ok(RulesetStatus::NotEnforced) => {
                notes.push("files are not closed off: this kernel has no Landlock, or it is off".to_owned());
            }
            Err(error) => notes.push(format!("files are not closed off: {error}")),
        }
        let closed = matches!(restricted, Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced));
        Self { folders: closed.then_some(folders), identities, notes }
    }

    /// Says whether another folder lies at a path than at the start, or none: replaced, or another disk mounted there.
    pub(super) fn replaced(&self, folder: &Path) -> Option<String> {
        self.folders.as_ref()?;
        let folder = real(folder)?;
        let before = self.identities.get(&folder)?;
        (identity(&folder).as_ref() != Some(before)).then(|| {
            format!(
                "{} is not the folder that it was at the start, and out of reach of the running daemon ([daemon] sandbox); \
                 restart it",
                folder.display()
            )
        })
    }

    /// Returns what a configuration names that lies where the process gave up looking; one text for each folder.
    pub(super) fn beyond(&self, config: &Config) -> Vec<String> {
        let Some(reached) = &self.folders else { return Vec::new() };
        let wanted = Folders::of(config, None);
        let outside = |folders: &[PathBuf], within: &[&Vec<PathBuf>]| -> Vec<PathBuf> {
            let is_within =
                |folder: &&PathBuf| within.iter().any(|those| those.iter().any(|of| folder.starts_with(of)));
            folders.iter().filter(|folder| !is_within(folder)).cloned().collect()
        };
        let mut beyond = outside(&wanted.read, &[&reached.read, &reached.write]);
        beyond.extend(outside(&wanted.write, &[&reached.write]));
        let told = |folder: &PathBuf| {
            format!("{} is out of reach of the running daemon ([daemon] sandbox); restart it", folder.display())
        };
        let replaced = self.identities.keys().filter_map(|folder| self.replaced(folder));
        beyond.iter().map(told).chain(replaced).collect()
    }
}

fn identity(folder: &Path) -> Option<Identity> {
    folder.metadata().ok().map(|of| (of.dev(), of.ino()))
}

impl Folders {
    fn of(config: &Config, file: Option<&Path>) -> Self {
        let mut folders = Self { read: SYSTEM.iter().map(PathBuf::from).collect(), write: Vec::new() };
        if let Some(file) = file {
            folders.reading(file);
        }
        folders.policy(config);
        if let Some(shadow) = &config.policy.shadow {
            folders.reading(shadow);
            // What is wrong with it is told elsewhere.
            if let Ok(shadow) = Config::load_here(Some(shadow)) {
                folders.policy(&shadow);
            }
        }
        config.lists.lists.iter().for_each(|list| folders.reading(&list.source.path));
        config.client.sources.leases.iter().for_each(|lease| folders.reading(&lease.path));
        let upstream = &config.upstream;
        let files = config.fetch.ca.iter().chain(&upstream.ca).chain(&upstream.dnssec.trust_anchors);
        files.for_each(|ca| folders.reading(ca));
        for receiver in &config.export {
            receiver.ca.iter().chain(&receiver.authorization).for_each(|file| folders.reading(file));
            if let To::File(path) = &receiver.to {
                folders.writing_beside(path);
            }
        }
        folders.notice(config);
        folders.data(&config.data_dir);
        match &config.ledger.publish {
            Some(PublishConfig::Folder(folder)) => folders.writing(folder),
            Some(PublishConfig::Bucket(bucket)) => bucket.credentials.iter().for_each(|file| folders.reading(file)),
            None => {}
        }
        // The socket is taken out of its folder at the end.
        if let ControlSocket::At(path) = &config.control.listen {
            folders.writing_beside(path);
        }
        for of in [&mut folders.read, &mut folders.write] {
            of.sort();
            of.dedup();
        }
        folders
    }

    fn policy(&mut self, config: &Config) {
        let policy = &config.policy;
        let chosen = policy.catalogues.iter().chain(&policy.orders).chain([&config.ways_round.catalogue]);
        // The others are names of what comes with the program.
        for item in chosen.map(Path::new).filter(|item| item.exists()) {
            if item.is_dir() { self.read.extend(real(item)) } else { self.reading(item) }
        }
        policy.waivers.iter().for_each(|file| self.reading(Path::new(file)));
    }

    fn notice(&mut self, config: &Config) {
        let Settings { templates, smtp, webhooks, .. } = &config.notice;
        templates.iter().for_each(|folder| self.read.extend(real(folder)));
        if let Some(Smtp { login, ca, .. }) = smtp {
            login.iter().map(|(_, password)| password).chain(ca).for_each(|file| self.reading(file));
        }
        for Webhook { secret, ca, .. } in webhooks {
            std::iter::once(secret).chain(ca).for_each(|file| self.reading(file));
        }
    }

    /// Files are replaced by others of the same name, so that it is their folders which have to stay within reach: the one that
    /// is named, and the one that a link leads to.
    fn reading(&mut self, file: &Path) {
        self.read.extend(around(file));
    }

    fn writing(&mut self, folder: &Path) {
        self.write.extend(real(folder));
    }

    fn writing_beside(&mut self, file: &Path) {
        self.write.extend(around(file));
    }

    /// The data folder, and what links in it lead to: whoever has a larger disk, or one for secrets, puts parts of it there.
    fn data(&mut self, folder: &Path) {
        self.writing(folder);
        let entries = folder.read_dir().into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        for link in entries.filter(|path| path.is_symlink()) {
            if link.is_dir() { self.writing(&link) } else { self.writing_beside(&link) }
        }
    }

    /// Those of the system stay as they are.
    fn identities(&self) -> BTreeMap<PathBuf, Identity> {
        let own = self.read.iter().chain(&self.write).filter(|folder| !SYSTEM.iter().any(|of| folder.starts_with(of)));
        own.filter_map(|folder| Some((folder.clone(), identity(folder)?))).collect()
    }

    fn restrict(&self) -> Result<RulesetStatus, RulesetError> {
        let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = read | AccessFs::from_write(VERSION);
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(VERSION))?
            // Everything is bound, so that nothing else ever has to listen.
            .handle_access(AccessNet::BindTcp)?
            .create()?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.write, write))?
            // Whoever writes to a terminal or to nowhere opens it anew.
            .add_rules(path_beneath_rules(["/dev/null"], read | AccessFs::WriteFile))?
            .restrict_self()?;
        Ok(status.ruleset)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The folder that a file is named in, and the one that a link leads to.
fn around(file: &Path) -> impl Iterator<Item = PathBuf> {
    let parent = |file: PathBuf| file.parent().and_then(real);
    let target = file.canonicalize().ok();
    [Some(absolute(file)), target].into_iter().flatten().filter_map(parent)
}

/// Follows links; of a folder that is not there yet, the nearest one above that is. None where that is the root: a folder
/// that is missing there must not lay all others open.
fn real(folder: &Path) -> Option<PathBuf> {
    let folder = absolute(folder);
    let existing = folder.ancestors().find_map(|above| above.canonicalize().ok())?;
    (existing != Path::new("/") || folder == existing).then_some(existing)
}

/// Puts into effect the one capability that binding needs, where the process has it to use. A program file that gives it in this
/// way starts where it may not be had, too.
pub(super) fn raise_binding() {
    const NEEDED: Capability = Capability::CAP_NET_BIND_SERVICE;
    if caps::has_cap(None, CapSet::Permitted, NEEDED).unwrap_or(false) {
        // Where it is not granted, binding says so.
        let _ = caps::raise(None, CapSet::Effective, NEEDED);
    }
}

/// Drops all that can be dropped; the first error is told.
fn drop_capabilities() -> Result<(), caps::errors::CapsError> {
    let mut done = Ok(());
    // Only who may give capabilities away can take them out of the bounding set; for all others there is no way to get one.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        for capability in caps::all() {
            if caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
                done = done.and(caps::drop(None, CapSet::Bounding, capability));
            }
        }
    }
    for set in [CapSet::Ambient, CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        done = done.and(caps::clear(None, set));
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_names_stays_within_reach() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["data", "elsewhere", "certificates", "secrets", "lists"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("elsewhere"), root.join("data/keys")).unwrap();
        let at = |name: &str| root.join(name).display().to_string();
        let text = format!(
            "data_dir = \"{}\"\n[upstream]\nca = \"{}\"\n[ledger]\npublish = \"s3://bucket\"\npublish_endpoint = \
             \"https://store.example\"\npublish_credentials = \"{}\"\n[[lists.list]]\nname = \"a\"\nfile = \"{}\"\n\
             [[lists.list]]\nname = \"b\"\nfile = \"/no-such-folder/b.txt\"\n",
            at("data"),
            at("certificates/ca.pem"),
            at("secrets/store"),
            at("lists/none-yet.txt"),
        );
        let file = root.join("interdict.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file), []).unwrap();
        let folders = Folders::of(&config, None);
        let own = |of: &[PathBuf]| {
            let of = of.iter().filter(|folder| !SYSTEM.iter().any(|system| Path::new(system) == folder.as_path()));
            of.cloned().collect::<Vec<_>>()
        };
        assert_eq!(own(&folders.read), ["certificates", "lists", "secrets"].map(|name| root.join(name)));
        assert_eq!(own(&folders.write), ["data", "elsewhere"].map(|name| root.join(name)));
    }
}
