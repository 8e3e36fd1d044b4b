//! The fetcher by itself, where addresses of this machine stand for those of others: redirects, look-ups, certificates.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use interdict::clock::ManualClock;
use interdict::fetch::{Bounds, FetchError, Fetcher, Lookup, Outcome, Source, Tls, Trust, Url, Validators};
use interdict::message::Name;

use crate::place;
use crate::web::{Answer, Authority, Web};

/// Tells one address, and remembers who was looked up.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<Vec<String>>>);

impl Lookup for Names {
    fn addresses(&self, name: Name) -> Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, String>> + Send + '_>> {
        self.0.lock().unwrap().push(name.to_string());
        let address =
            if name.to_string() == "inside.web.example" { place::other_address() } else { place::server_address() };
        Box::pin(async move { Ok(vec![address]) })
    }
}

fn is_inside(address: IpAddr) -> bool {
    address == place::other_address()
}

fn fetched(names: &Names, authority: &Authority, at: &str, url: String) -> Result<Outcome, FetchError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    authority.write(file.path());
    let clock = Arc::new(ManualClock::new(at.parse().unwrap()));
    let bounds = Bounds { transferred: 1 << 20, unpacked: 1 << 20, time: Duration::from_secs(10) };
    let tls = Tls::new(Some(file.path()), clock).unwrap();
    let fetcher = Fetcher::new(Arc::new(names.clone()), tls, bounds, is_inside);
    let source = Source { url: Url::parse(&url).unwrap(), private: false, trust: Trust::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fetcher.fetch(&source, &Validators::default()))
}

const NOW: &str = "2026-06-01T00:00:00Z";

#[test]
fn redirects_are_followed_to_others_a_few_times_and_each_host_is_looked_up_once() {
    let (authority, names) = (Authority::new(), Names::default());
    let web = Web::start(Some((&authority, "*.web.example")), |asked| match asked.path.as_str() {
        "/relative" => Answer::with(302, "Location: list?x=1"),
        "/list?x=1" => Answer::body(format!("from {}", asked.head.lines().nth(1).unwrap())),
        "/loop" => Answer::with(302, "Location: /loop"),
        other => Answer::with(308, &format!("Location: {}", other.trim_start_matches('/').replace('!', "/"))),
    });
    let port = web.address.port();
    let told = |path: &str| fetched(&names, &authority, NOW, format!("https://a.web.example:{port}{path}"));
    let outcome = told(&format!("/https:!!b.web.example:{port}!relative"));
    let Ok(Outcome::File { octets, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(String::from_utf8(octets).unwrap(), format!("from host: b.web.example:{port}"));
    assert_eq!(
        *names.0.lock().unwrap(),
        ["a.web.example", "b.web.example", "b.web.example"],
        "once for each connection"
    );
    assert!(matches!(told("/loop"), Err(FetchError::Redirects)));
    assert_eq!(web.asked("/loop").len(), 6);
    assert!(matches!(told("/http:!!b.web.example!"), Err(FetchError::Redirect { .. })));
    let inside = told(&format!("/https:!!inside.web.example:{port}!list"));
    assert!(matches!(inside, Err(FetchError::Forbidden { address, .. }) if is_inside(address)), "{inside:?}");
}

#[test]
fn certificates_are_held_against_the_time_that_the_clock_tells() {
    let (authority, names) = (Authority::new(), Names::default());
    let web = Web::start(Some((&authority, "*.web.example")), |_| Answer::body("text"));
    let at = |at| fetched(&names, &authority, at, format!("https://a.web.example:{}/", web.address.port()));
    assert!(at(NOW).is_ok(), "{:?}", at(NOW));
    assert!(matches!(at("1971-01-01T00:00:00Z"), Err(FetchError::Tls { .. })), "made in 1975");
    assert!(fetched(&names, &Authority::new(), NOW, format!("https://a.web.example:{}/", web.address.port())).is_err());
}
