//! Where files come from that are fetched.

use super::*;
use crate::config::FetchConfig;
use crate::fetch::Bounds;

pub(super) fn defaults() -> FetchConfig {
    let bounds = Bounds { transferred: 64 << 20, unpacked: 256 << 20, time: Duration::from_secs(120) };
    FetchConfig { ca: None, bounds, stale: Duration::from_secs(72 * 3600) }
}

pub(super) fn policy(catalogues: Vec<String>, orders: Vec<String>) -> PolicyConfig {
    let (waivers, fetch) = (Vec::new(), Vec::new());
    PolicyConfig { catalogues, orders, waivers, fetch, operator: Operator::default(), shadow: None }
}

const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

#[test]
fn a_fetched_list_is_kept_in_the_data_folder() {
    let text = format!(
        "data_dir = \"/var/lib/interdict\"\n[fetch]\nmax_unpacked_mib = 3\n[[lists.list]]\nname = \"ads\"\n\
         url = \"https://lists.example/ads\"\nrefresh_minutes = 5\npublic_key = \"{KEY}\"\n"
    );
    let config = load(&text, &[]).unwrap();
    let [ListConfig { source, origin: Some(origin), .. }] = &config.lists.lists[..] else { panic!("{config:?}") };
    assert_eq!(source.path, Path::new("/var/lib/interdict/lists/ads.fetched"));
    assert_eq!((&origin.place.file, source.most), (&source.path, 3 << 20));
    assert_eq!((origin.source.url.as_str(), origin.refresh.as_secs()), ("https://lists.example/ads", 300));
    assert!(!origin.source.private && origin.source.trust.is_vouched());
}

#[test]
fn what_makes_no_sense_of_where_a_list_comes_from_is_told() {
    let (https, http) = ("url = \"https://a.example/\"", "url = \"http://a.example/\"");
    let (key, pin) = (format!("public_key = \"{KEY}\""), format!("sha256 = \"{}\"", "0a".repeat(32)));
    for (keys, told) in [
        (String::new(), Some("has neither `file` nor `url`")),
        (format!("file = \"x\"\n{https}"), Some("has both `file` and `url`")),
        (format!("file = \"x\"\n{pin}"), Some("has a `file`, and `sha256`")),
        (http.to_owned(), Some("is fetched unencrypted and nobody vouches for it")),
        (format!("{http}\n{key}"), None),
        (format!("{http}\n{pin}"), None),
        (format!("{https}\nsignature = \"https://b.example/s\""), Some("has a `signature` and no key")),
        (format!("{https}\nsignature = \"https://b.example/s\"\n{key}"), None),
        ("url = \"ftp://a.example/\"".to_owned(), Some("neither https nor http")),
        ("url = \"lists\"".to_owned(), Some("not a URL")),
        ("url = \"https://u:p@a.example/\"".to_owned(), Some("a URL with a user or a password")),
        (format!("{https}\nsha256 = \"00\""), Some("write its 64 hexadecimal digits")),
        (format!("{https}\npublic_key = \"RWxx\""), Some("not a public key of minisign")),
    ] {
        let faults = load(&format!("[[lists.list]]\nname = \"ads\"\n{keys}\n"), &[]).err().unwrap_or_default();
        match told {
            None => assert!(faults.is_empty(), "{keys}: {faults:?}"),
            Some(told) => assert!(faults.len() == 1 && faults[0].contains(told), "{keys}: {faults:?}"),
        }
    }
}

#[test]
fn somebody_vouches_for_every_order_that_is_fetched() {
    let table = |more: &str| {
        format!("[[policy.fetch]]\nname = \"acme\"\nkind = \"order\"\nurl = \"http://a.example/\"\n{more}\n")
    };
    let config = load(&format!("data_dir = \"/d\"\n{}", table(&format!("public_key = \"{KEY}\""))), &[]).unwrap();
    let shelf = config.shelf();
    assert_eq!(shelf.active, Path::new("/d/policy/fetched/active.json"));
    let [item] = &shelf.items[..] else { panic!("{shelf:?}") };
    let file = item.file.display().to_string();
    assert!(file.starts_with("/d/policy/fetched/acme-") && file.ends_with(".fetched") && !item.automatic, "{file}");
    let pinned = table(&format!("sha256 = \"{}\"", "0a".repeat(32)));
    for (text, told) in [
        (table(""), "has nobody who vouches for it"),
        (table("signature = \"https://b.example/s\""), "has nobody who vouches for it"),
        (format!("{pinned}{pinned}"), "`policy.fetch` has `acme` twice"),
        (pinned.replace("http://a.example/", ""), "has an empty `url`"),
    ] {
        let faults = load(&text, &[]).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(told)), "{text}: {faults:?}");
    }
}
