//! What packages are made of: the bill of materials, the tarball, and what the Debian package takes from where. That they install,
//! upgrade and go on a machine, `deploy/debian/test` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::daemon::program;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program of `deploy/` at a time of its own, and returns what it wrote.
fn ran(name: &str, arguments: &[&Path]) -> Output {
    let mut command = Command::new(root().join("deploy").join(name));
    let output = command.args(arguments).env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn the_bill_of_materials_names_what_is_in_the_program() {
    needs!("python3");
    let folder = tempfile::tempdir().unwrap();
    ran("bill", &[folder.path()]);
    let text = std::fs::read_to_string(folder.path().join("interdict.cdx.json")).unwrap();
    let bill: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    assert_eq!(bill["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
    let components: BTreeMap<&str, &serde_json::Value> =
        bill["components"].as_array().unwrap().iter().map(|of| (of["name"].as_str().unwrap(), of)).collect();
    // What the manifest asks for is there; what only tests need is not.
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    for (name, of) in manifest["dependencies"].as_table().unwrap() {
        let name = of.get("package").and_then(toml::Value::as_str).unwrap_or(name);
        let component = components.get(name).unwrap_or_else(|| panic!("{name} is not in the bill"));
        let hash = component["hashes"][0]["content"].as_str().unwrap();
        assert!(hash.len() == 64 && component["licenses"][0]["expression"].is_string(), "{component}");
    }
    for absent in ["proptest", "tempfile", "rcgen", "cc", "windows-sys"] {
        assert!(!components.contains_key(absent), "{absent}");
    }
    // Libraries in C within crates.
    for (crate_name, library) in [("libsqlite3-sys", "sqlite"), ("libmimalloc-sys", "mimalloc")] {
        let within = &components[crate_name]["components"][0];
        assert!(within["name"] == library && within["version"].as_str().unwrap().contains('.'), "{within}");
    }
    // A name may be there in several versions.
    let refs: BTreeSet<&str> =
        bill["components"].as_array().unwrap().iter().map(|of| of["bom-ref"].as_str().unwrap()).collect();
    let dependencies = bill["dependencies"].as_array().unwrap();
    assert!(dependencies.len() > 100);
    for to in dependencies.iter().flat_map(|of| of["dependsOn"].as_array().unwrap()) {
        assert!(refs.contains(to.as_str().unwrap()), "{to}");
    }
    let licences = std::fs::read_to_string(folder.path().join("THIRD-PARTY.txt")).unwrap();
    for part in ["\ntokio 1.", "Permission is hereby granted", "Apache License", "GNU C Library"] {
        assert!(licences.contains(part), "{part}");
    }
}

#[test]
fn a_tarball_packed_twice_is_the_same_to_the_last_octet() {
    needs!("python3");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Stands for the program, which takes long to pack.
    let stand_in = at("program");
    std::fs::write(&stand_in, format!("#!/bin/sh\nexec '{}' \"$@\"\n", program().display())).unwrap();
    std::fs::set_permissions(&stand_in, PermissionsExt::from_mode(0o755)).unwrap();
    let packed = |name: &str, mask: &str| -> PathBuf {
        let script = root().join("deploy/tarball/build");
        let mut command = Command::new("sh");
        command.args(["-c", "umask \"$0\"; exec \"$@\"", mask]).arg(script).arg(&stand_in).arg(at(name));
        let output = command.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
    };
    let (one, other) = (packed("one", "022"), packed("other", "077"));
    assert!(std::fs::read(&one).unwrap() == std::fs::read(&other).unwrap(), "who packs gets into the tarball");
    let unpacked = at("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let tar = |arguments: &[&str]| {
        let output = Command::new("tar").args(arguments).arg("--file").arg(&one).arg("-C").arg(&unpacked).output();
        assert!(output.unwrap().status.success());
    };
    tar(&["--extract", "--gzip", "--strip-components=1"]);
    let sums = Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(&unpacked).output();
    let sums = sums.unwrap();
    let told = String::from_utf8_lossy(&sums.stdout).into_owned();
    assert!(sums.status.success(), "{told}");
    for part in [
        "interdict",
        "install",
        "config/interdict.toml",
        "config/system.toml",
        "systemd/interdict.service",
        "share/interdict.1",
        "share/completions/interdict.bash",
        "interdict.cdx.json",
        "THIRD-PARTY.txt",
        "docs/deploy.md",
        "LICENSE-MIT",
    ] {
        assert!(told.contains(&format!("{part}: OK")), "{part}: {told}");
    }
    // What a system is first started with is right.
    let check = Command::new(program()).arg("check").arg("--config").arg(unpacked.join("config/system.toml")).output();
    let check = check.unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn the_debian_package_takes_what_is_there() {
    let manifest: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    let package = &manifest["package"]["metadata"]["deb"];
    let made = ["debian/build", "generate", "bill"]
        .map(|name| std::fs::read_to_string(root().join("deploy").join(name)).unwrap())
        .concat();
    let mut taken = BTreeSet::new();
    for asset in package["assets"].as_array().unwrap() {
        let (source, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        taken.insert(to);
        match source.strip_prefix("target/release/") {
            // What is made first is named where it is made, by itself or as what is packed.
            Some(staged) => {
                let name = Path::new(staged).file_stem().unwrap().to_str().unwrap();
                assert!(made.contains(staged) || made.contains(name), "nothing makes {source}");
            }
            None => {
                let path = root().join(source.trim_end_matches("/*").trim_end_matches("/*.md"));
                assert!(path.exists(), "{source}");
            }
        }
    }
    for needed in
        ["usr/bin/", "etc/interdict/", "usr/share/doc/interdict/copyright", "usr/lib/sysusers.d/interdict.conf"]
    {
        assert!(taken.contains(needed), "{needed}");
    }
    for script in ["postinst", "prerm", "postrm"] {
        let output = Command::new("sh").arg("-n").arg(root().join("deploy/debian").join(script)).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let config = root().join("deploy/debian/interdict.toml");
    let check = Command::new(program()).arg("check").arg("--config").arg(config).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}
