//! What it costs a query to be held against the limit of its client. Run by `cargo bench --bench limit`.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, reason = "it measures and prints")]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use interdict::config::Config;
use interdict::listen::limit::{Limiter, Rate};
use interdict::query::Transport;

const QUERIES: u32 = 5_000_000;

fn main() {
    let rate = Config::default_values().limit;
    let limiter = Limiter::new(&rate);
    let off = Limiter::new(&Rate { queries_per_second: None, ..rate.clone() });
    let wide = Limiter::new(&Rate { queries_per_second: NonZeroU32::new(100_000), burst: 100_000, ..rate });
    let of = |octets: [u8; 4]| move |_| IpAddr::from(octets);
    measure("no limit", &off, of([203, 0, 113, 7]));
    measure("exempt, the first network", &limiter, of([127, 0, 0, 1]));
    measure("exempt, the last network", &limiter, of([169, 254, 0, 1]));
    measure("within, one client", &wide, of([203, 0, 113, 7]));
    measure("over, one client", &limiter, of([203, 0, 113, 7]));
    measure("within, 1,000 clients", &wide, |number| scattered(number % 1000));
    measure("within, made-up sources", &limiter, scattered);
    measure("within, made-up sources of IPv6", &limiter, |number| {
        IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(number) << 72).to_be_bytes())
    });
}

/// A public address for each number.
fn scattered(number: u32) -> IpAddr {
    Ipv4Addr::from(0x2000_0000 | number.wrapping_mul(0x9E37_79B1) >> 3).into()
}

/// Prints the quickest of five rounds.
fn measure(what: &str, limiter: &Limiter, source: impl Fn(u32) -> IpAddr) {
    let round = |round: u32| {
        let start = Instant::now();
        for number in 0..QUERIES {
            // A million queries a second.
            let now = Duration::from_secs(u64::from(round) * 100) + Duration::from_micros(number.into());
            let _ = black_box(limiter.take(black_box(source(number)), Transport::Udp, now));
        }
        start.elapsed()
    };
    let best = (1..=5).map(round).min().unwrap();
    println!("{what:40} {:6.1} ns", best.as_secs_f64() * 1e9 / f64::from(QUERIES));
}
