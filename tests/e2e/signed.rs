//! A name space that is signed from the root down (NSD), with an Unbound in front that passes signatures on and validates
//! nothing, and one that validates: what others make of the same answers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::daemon::Setup;
use crate::place;
use crate::unbound::Unbound;
use crate::upstream::Upstream;

/// What a zone has beside its apex. `%` stands for the zone's own name.
struct Zone {
    name: &'static str,
    text: &'static str,
    signed: Signed,
}

/// How a zone is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signed {
    /// Not at all, and nothing above it says otherwise.
    Not,
    /// With these arguments of dnssec-signzone, and a DS record above it.
    With(&'static [&'static str]),
    /// With keys that nothing above it knows.
    Island,
    /// Not at all, although there is a DS record.
    Stripped,
    /// Well, and then an address was put in the place of another.
    Forged,
    /// With other keys than those of which there is a DS record.
    Strange,
}

const NSEC3: Signed = Signed::With(&["-3", "ab"]);
const OPT_OUT: Signed = Signed::With(&["-3", "-", "-A"]);
const NSEC: Signed = Signed::With(&[]);

/// From the leaves up, so that each finds the keys of those below it.
const ZONES: &[Zone] = &[
    Zone {
        name: "signed.land",
        text: "www A 192.0.2.1\nwww AAAA 2001:db8::1\nalias CNAME www\nout CNAME www.plain.land.\nacross CNAME www.hashed.land.\n\
               nowhere CNAME absent\n*.wild TXT \"any\"\nnot.wild A 192.0.2.2\nold DNAME wWw.Land.\nparty RP hOst.lanD. wWw\nexchange KX 10 wWw\nmoved DNAME hashed.land.\n\
               a.b.c.d.e.f.g.h.i.j A 192.0.2.3\nbig TXT \"one\" \"two\"\nmail MX 10 www\nbroken CNAME www.forged.land.\n\
               *.alias-wild CNAME www\n*.wild-out CNAME www.plain.land.\n*.wild-across CNAME www.hashed.land.\n\
               toward CNAME x.wild.hashed.land.\nround CNAME again\nagain CNAME round\n",
        signed: NSEC,
    },
    Zone {
        name: "hashed.land",
        text: "www A 192.0.2.4\nalias CNAME www.signed.land.\n*.wild A 192.0.2.5\nempty.non.terminal A 192.0.2.6\n",
        signed: NSEC3,
    },
    Zone { name: "deep.plain.land", text: "www A 192.0.2.7\nalias CNAME www.signed.land.\n", signed: Signed::Not },
    Zone { name: "island.plain.land", text: "www A 192.0.2.8\n", signed: Signed::Island },
    Zone {
        name: "plain.land",
        text: "www A 192.0.2.9\na.b.c.d.e.f.g.h.i.j.k.l.m.n A 192.0.2.10\nmail MX 10 www\nalias CNAME www\nout CNAME www.signed.land.\n\
               nowhere CNAME absent.signed.land.\n*.wild A 192.0.2.11\n",
        signed: Signed::Not,
    },
    Zone {
        name: "expired.land",
        text: "www A 192.0.2.12\n",
        signed: Signed::With(&["-s", "20200101000000", "-e", "20200201000000"]),
    },
    Zone {
        name: "early.land",
        text: "www A 192.0.2.13\n",
        signed: Signed::With(&["-s", "20500101000000", "-e", "20500201000000"]),
    },
    Zone { name: "stripped.land", text: "www A 192.0.2.14\n", signed: Signed::Stripped },
    Zone { name: "forged.land", text: "www A 192.0.2.15\nother A 192.0.2.16\n", signed: Signed::Forged },
    Zone { name: "strange.land", text: "www A 192.0.2.17\n", signed: Signed::Strange },
    Zone { name: "opted.out", text: "www A 192.0.2.18\n", signed: Signed::Not },
    Zone { name: "out", text: "www A 192.0.2.19\n", signed: OPT_OUT },
    Zone { name: "land", text: "www A 192.0.2.20\n", signed: NSEC },
    Zone { name: "", text: "", signed: NSEC },
];

/// Questions of every sort to those zones.
pub const QUESTIONS: &[&str] = &[
    ". DS",
    ". DNSKEY",
    "www.signed.land A",
    "www.signed.land AAAA",
    "www.signed.land TXT",
    "WwW.sIgned.laNd A",
    "absent.signed.land A",
    "alias.signed.land A",
    "alias.signed.land CNAME",
    "alias.signed.land TXT",
    "out.signed.land A",
    "across.signed.land A",
    "across.signed.land AAAA",
    "nowhere.signed.land A",
    "any.wild.signed.land TXT",
    "any.wild.signed.land A",
    "not.wild.signed.land A",
    "below.not.wild.signed.land TXT",
    "x.alias-wild.signed.land A",
    "x.alias-wild.signed.land TXT",
    "x.wild-out.signed.land A",
    "x.wild-out.signed.land AAAA",
    "x.y.wild-across.signed.land A",
    "x.y.wild-across.signed.land AAAA",
    "toward.signed.land A",
    "toward.signed.land TXT",
    "moved.signed.land MX",
    "*.moved.signed.land A",
    "*.a.moved.signed.land A",
    "old.signed.land DNAME",
    "party.signed.land RP",
    "exchange.signed.land KX",
    "moved.signed.land DNAME",
    "y.www.moved.signed.land A",
    "wild.signed.land A",
    "*.wild.signed.land TXT",
    "www.moved.signed.land A",
    "absent.moved.signed.land A",
    "x.old.signed.land A",
    "a.b.c.d.e.f.g.h.i.j.signed.land A",
    "e.f.g.h.i.j.signed.land A",
    "mail.signed.land MX",
    "broken.signed.land A",
    "signed.land SOA",
    "signed.land NS",
    "signed.land DNSKEY",
    "signed.land DS",
    "www.signed.land DS",
    "www.hashed.land A",
    "www.hashed.land TXT",
    "absent.hashed.land A",
    "*.hashed.land A",
    "*.wild.hashed.land A",
    "x.*.hashed.land A",
    "alias.hashed.land A",
    "any.wild.hashed.land A",
    "any.wild.hashed.land TXT",
    "non.terminal.hashed.land A",
    "hashed.land DS",
    "www.plain.land A",
    "www.plain.land TXT",
    "absent.plain.land A",
    "a.b.c.d.e.f.g.h.i.j.k.l.m.n.plain.land A",
    "mail.plain.land MX",
    "alias.plain.land A",
    "out.plain.land A",
    "nowhere.plain.land A",
    "any.wild.plain.land A",
    "plain.land DS",
    "plain.land SOA",
    "www.deep.plain.land A",
    "alias.deep.plain.land A",
    "absent.deep.plain.land A",
    "deep.plain.land DS",
    "www.island.plain.land A",
    "absent.island.plain.land A",
    "www.opted.out A",
    "absent.opted.out A",
    "opted.out DS",
    "absent.out A",
    "www.out TXT",
    "below.www.out A",
    "www.out A",
    "www.expired.land A",
    "www.early.land A",
    "www.stripped.land A",
    "absent.stripped.land A",
    "www.forged.land A",
    "other.forged.land A",
    "www.strange.land A",
    "land SOA",
    "land DNSKEY",
    "absent.land A",
    "absent A",
    ". SOA",
    ". DNSKEY",
    ". NS",
];

/// The name space and the two resolvers.
pub struct NameSpace {
    _authority: Upstream,
    /// Passes signatures on, and looks at none of them.
    pub passing: Unbound,
    pub validating: Unbound,
    /// The DNSKEY records of the root.
    pub anchors: PathBuf,
    folder: Arc<tempfile::TempDir>,
}

impl NameSpace {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anchors = folder.path().join("anchors");
        Self::signed(Arc::new(folder), anchors)
    }

    /// Starts the same names once more, whose records are signed by other keys; those that sign keys stay.
    pub fn rolled(&self) -> Self {
        let folder = self.folder.path();
        for key in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| is_key(path)) {
            if !std::fs::read_to_string(&key).unwrap().contains("DNSKEY 257") {
                std::fs::remove_file(key.with_extension("private")).unwrap();
                std::fs::remove_file(key).unwrap();
            }
        }
        Self::signed(Arc::clone(&self.folder), self.anchors.clone())
    }

    fn signed(folder: Arc<tempfile::TempDir>, anchors: PathBuf) -> Self {
        let path = folder.path();
        let texts: Vec<(&str, String)> = ZONES.iter().map(|zone| (zone.name, signed(path, zone))).collect();
        let zones: Vec<(&str, &str)> = texts.iter().rev().map(|(name, text)| (or_root(name), text.as_str())).collect();
        let authority = Upstream::with(&zones);
        if !anchors.exists() {
            std::fs::write(&anchors, keys(path, "")).unwrap();
        }
        let more = format!(" trust-anchor-file: \"{}\"\n", anchors.display());
        let names: Vec<&str> = zones.iter().map(|(name, _)| *name).collect();
        let passing = Unbound::before((authority.address, &names), "iterator", "");
        let validating = Unbound::before((authority.address, &names), "validator iterator", &more);
        Self { _authority: authority, passing, validating, anchors, folder }
    }

    /// Returns a daemon's settings that forward to the resolver that passes on, and validate.
    pub fn validated(&self) -> Setup {
        let anchors = self.anchors.display().to_string();
        let setup = Setup::new().upstreams(&[self.passing.address]);
        setup.set("upstream.dnssec", "validate").set("upstream.trust_anchors", anchors)
    }
}

fn or_root(name: &str) -> &str {
    if name.is_empty() { "." } else { name }
}

/// Returns the text of a zone with whatever signatures it is to have.
fn signed(folder: &Path, zone: &Zone) -> String {
    let Zone { name, text, signed } = zone;
    let dotted = if name.is_empty() { ".".to_owned() } else { format!("{name}.") };
    let mut plain =
        format!("$ORIGIN {dotted}\n$TTL 300\n@ SOA ns.land. host.land. 1 3600 600 86400 300\n@ NS ns.land.\n");
    // The server of every zone; nobody follows it, since everything is asked of one address.
    if *name == "land" {
        plain.push_str("ns A 127.0.0.1\n");
    }
    plain.push_str(text);
    for child in ZONES.iter().filter(|child| !child.name.is_empty() && parent(child.name) == *name) {
        writeln!(plain, "{}. NS ns.land.", child.name).unwrap();
        if !matches!(child.signed, Signed::Not | Signed::Island) {
            plain.push_str(&std::fs::read_to_string(folder.join(format!("dsset-{}.", child.name))).unwrap());
        }
    }
    let with: &[&str] = match signed {
        Signed::Not => return plain,
        Signed::With(with) => with,
        Signed::Island | Signed::Stripped | Signed::Forged | Signed::Strange => &[],
    };
    let file = folder.join(format!("zone-{name}"));
    std::fs::write(&file, &plain).unwrap();
    let sign = || {
        for arguments in [&["-f", "KSK"][..], &[]] {
            let key = run(folder, "dnssec-keygen", &[&["-q", "-a", "ECDSAP256SHA256"], arguments, &[&dotted]].concat());
            assert!(key.starts_with('K'), "{key}");
        }
        run(
            folder,
            "dnssec-signzone",
            &[&["-q", "-P", "-S", "-O", "full", "-f", "-", "-o", &dotted], with, &[file.to_str().unwrap()]].concat(),
        )
    };
    let whole = sign();
    match signed {
        Signed::Stripped => plain,
        Signed::Forged => whole.replace("192.0.2.15", "192.0.2.66"),
        Signed::Strange => {
            let dsset = folder.join(format!("dsset-{name}."));
            let before = std::fs::read(&dsset).unwrap();
            for key in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                if key.file_name().to_str().unwrap().starts_with(&format!("K{name}.+")) {
                    std::fs::remove_file(key.path()).unwrap();
                }
            }
            let other = sign();
            std::fs::write(dsset, before).unwrap();
            other
        }
        Signed::Not | Signed::With(_) | Signed::Island => whole,
    }
}

fn parent(name: &str) -> &str {
    name.split_once('.').map_or("", |(_, parent)| parent)
}

/// Returns the DNSKEY records of the keys that sign keys.
fn keys(folder: &Path, zone: &str) -> String {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let own = files
        .filter(|path| is_key(path) && path.file_name().unwrap().to_str().unwrap().starts_with(&format!("K{zone}.+")));
    own.map(|path| std::fs::read_to_string(path).unwrap()).filter(|text| text.contains("DNSKEY 257")).collect()
}

/// Returns whether a file has the public half of a key.
fn is_key(path: &Path) -> bool {
    path.extension().is_some_and(|of| of == "key")
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let program = place::find(program).expect("the test asked for the peer");
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
