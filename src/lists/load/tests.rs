//! Lists as they come from files, good and bad.

use super::super::guard::{Bounds, Unfit};
use super::*;
use crate::message::Name;

struct Place {
    folder: tempfile::TempDir,
    source: Source,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        fs::create_dir(folder.path().join("lists")).unwrap();
        Self {
            folder,
            source: Source { name: "ads".to_owned(), path, most: MAX_TEXT, format: None, bounds: Bounds::default() },
        }
    }

    fn load(&self, text: impl AsRef<[u8]>) -> Loaded {
        fs::write(&self.source.path, text).unwrap();
        self.load_again()
    }

    fn load_again(&self) -> Loaded {
        load(&self.source, &self.folder.path().join("lists"), || Key(rand::random()))
    }
}

fn names(count: usize) -> String {
    (0..count).map(|n| format!("0.0.0.0 n{n}.example\n")).collect()
}

fn has(list: &Option<List>, name: &str) -> bool {
    list.as_ref().is_some_and(|list| list.is_listed(&name.parse::<Name>().unwrap()))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Sets the instant at which a note was written ahead of the file's, as if it had been written later.
fn age(place: &Place) {
    let (seen, since) = (place.folder.path().join("lists/ads.seen"), std::time::Instant::now());
    loop {
        // Whatever writes to a note sets its instant anew.
        fs::write(&seen, fs::read(&seen).unwrap()).unwrap();
        let [note, file] = [&seen, &place.source.path].map(|path| fs::metadata(path).unwrap());
        if std::os::unix::fs::MetadataExt::ctime(&note) >= std::os::unix::fs::MetadataExt::ctime(&file) + 2 {
            return;
        }
        assert!(since.elapsed() < std::time::Duration::from_secs(10), "time stands still");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_file_that_was_not_touched_is_not_read() {
    let place = Place::new();
    place.load("a.example\n");
    age(&place);
    let seen = place.folder.path().join("lists/ads.seen");
    let noted = fs::read_to_string(&seen).unwrap();
    let note = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&seen).unwrap());
    let first = note();
    let other = noted.replacen(&noted[..64], &hex::encode(Sha256::digest("b.example\n")), 1);
    assert!(has(&place.load_again().list, "a.example"));
    assert_eq!(note(), first, "it was read");

    // A note of other contents counts for nothing, and is written anew.
    fs::write(&seen, other).unwrap();
    assert!(has(&place.load_again().list, "a.example"));
    assert_eq!(fs::read_to_string(&seen).unwrap(), noted, "it was not read");
    assert_ne!(note(), first);

    // Changed in place, with its length and its instant of modification as before.
    age(&place);
    let modified = fs::metadata(&place.source.path).unwrap().modified().unwrap();
    fs::write(&place.source.path, "c.example\n").unwrap();
    File::options().write(true).open(&place.source.path).unwrap().set_modified(modified).unwrap();
    assert!(has(&place.load_again().list, "c.example"));
    // So soon after a change, the note may be older than another one.
    fs::write(&place.source.path, "d.example\n").unwrap();
    assert!(has(&place.load_again().list, "d.example"));
}

#[test]
fn a_list_is_compiled_once() {
    let place = Place::new();
    let first = place.load("0.0.0.0 a.example\n0.0.0.0 b.example\nnonsense\n");
    assert!(first.fault.is_none(), "{first:?}");
    assert_eq!((first.list.as_ref().map(List::len), first.refusals.count), (Some(2), 1));
    let kept = place.folder.path().join("lists/ads.index");
    let made = fs::metadata(&kept).unwrap().modified().unwrap();
    let again = place.load_again();
    assert!(again.fault.is_none() && has(&again.list, "a.example"));
    assert_eq!(again.list.unwrap().refused(), 1, "what was not understood is known without reading it again");
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), made);
    fs::remove_file(&kept).unwrap();
    fs::write(&kept, b"damaged").unwrap();
    let mended = place.load_again();
    assert!(mended.fault.is_none() && has(&mended.list, "a.example"), "{mended:?}");
}

#[test]
fn what_is_no_list_does_not_replace_the_last_good_one() {
    let place = Place::new();
    assert!(place.load(names(100)).fault.is_none());
    let whole = gzip(names(100).as_bytes());
    type Meant = fn(&LoadError) -> bool;
    let bad: [(Vec<u8>, Meant); 9] = [
        (b"".to_vec(), |of| matches!(of, LoadError::Unfit(Unfit::Empty))),
        (b"# only a comment\n".to_vec(), |of| matches!(of, LoadError::Unfit(Unfit::Unknown))),
        (b"<!DOCTYPE html>\n<p>0.0.0.0 a.example".to_vec(), |of| matches!(of, LoadError::Unfit(Unfit::WebPage))),
        (b"{\"error\": \"quota\"}".to_vec(), |of| matches!(of, LoadError::Unfit(Unfit::Unknown))),
        (names(50).into(), |of| matches!(of, LoadError::Unfit(Unfit::Shrunk { now: 50, before: 100, share: 60 }))),
        (format!("{}0.0.0.0 com\n", names(100)).into(), |of| matches!(of, LoadError::Unfit(Unfit::Matches { .. }))),
        (format!("{}0.0.0.0 co.uk\n", names(100)).into(), |of| matches!(of, LoadError::Unfit(Unfit::Matches { .. }))),
        (whole[..whole.len() / 2].to_vec(), |of| matches!(of, LoadError::Unpack(UnpackError::Damaged(_)))),
        (b"0.0.0.0 a.example\nx\ny\nz\n".to_vec(), |of| {
            matches!(of, LoadError::Unfit(Unfit::Foreign { refused: 3, rules: 1, line: Some(_) }))
        }),
    ];
    for (text, is_meant) in bad {
        let loaded = place.load(&text);
        let fault = loaded.fault.unwrap();
        assert!(is_meant(&fault), "{fault:?} for {}", text.escape_ascii());
        assert!(has(&loaded.list, "n99.example"), "the last good one stays");
    }
    fs::remove_file(&place.source.path).unwrap();
    let gone = place.load_again();
    assert!(matches!(gone.fault, Some(LoadError::Read(_))) && has(&gone.list, "n99.example"));
    assert!(place.load(gzip(names(61).as_bytes())).fault.is_none(), "compressed, and no more than a third shorter");
    let zstd =
        |text: &str| ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
    assert!(place.load(zstd(&names(62))).fault.is_none(), "compressed with zstd");
}

#[test]
fn a_subtree_that_holds_a_protected_name_is_refused() {
    let mut place = Place::new();
    for (format, text) in [
        (Format::Suffixes, "uk\n"),
        (Format::Domains, "*.com\n"),
        (Format::Adblock, "||com^$denyallow=example.com\n"),
        (Format::Rpz, "@ SOA . . 1 2 3 4 5\n* CNAME .\n"),
        (Format::Dnsmasq, "address=/net/0.0.0.0\n"),
    ] {
        place.source.format = Some(format);
        let loaded = place.load(text);
        assert!(matches!(loaded.fault, Some(LoadError::Unfit(Unfit::Matches { .. }))), "{text}: {loaded:?}");
        assert!(loaded.list.is_none());
    }
    place.source.format = Some(Format::Suffixes);
    assert!(place.load("zip\nexample.com\n").fault.is_none());
    place.source.bounds.never.push("intra.example.com".parse().unwrap());
    let now = place.load_again();
    assert!(now.fault.is_some() && now.list.is_none(), "the bounds count for what was good before too: {now:?}");
}

#[test]
fn checking_keeps_nothing() {
    let place = Place::new();
    fs::write(&place.source.path, names(3)).unwrap();
    let (list, refusals) = check(&place.source, &place.folder.path().join("lists"), || Key(rand::random())).unwrap();
    assert_eq!((list.len(), refusals.count), (3, 0));
    assert_eq!(fs::read_dir(place.folder.path().join("lists")).unwrap().count(), 0);
}

#[test]
fn a_file_that_may_never_end_is_not_opened() {
    let mut place = Place::new();
    place.source.path = "/dev/zero".into();
    assert!(matches!(place.load_again().fault, Some(LoadError::NoFile)));
}
