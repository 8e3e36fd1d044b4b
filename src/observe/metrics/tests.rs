//! What the text of the metrics holds.

use super::*;

#[test]
fn what_is_counted_shows() {
    let metrics = Metrics::new();
    metrics.count_query(1);
    metrics.count_verdict(7);
    metrics.count_response(Served::Upstream, 3);
    metrics.count_response(Served::Upstream, 4095);
    metrics.count_dropped(Dropped::ConnectionLimit);
    metrics.count_cache(true);
    metrics.count_upstream(UpstreamEvent::Timeout);
    metrics.count_reload(false);
    metrics.count_threat();
    metrics.started(1_727_582_400.5);
    metrics.observe_upstream_latency(Duration::from_millis(3));
    let text = metrics.encode(&Gauges {
        ledger_failing: true,
        clock_state: Some("behind"),
        cache_octets: 7,
        shadow: vec![shadow_count(3)],
        ..Gauges::default()
    });
    for line in [
        "interdict_queries_total{transport=\"tcp\"} 1",
        "interdict_queries_total{transport=\"udp\"} 0",
        "interdict_verdicts_total{verdict=\"sunk\"} 1",
        "interdict_responses_total{source=\"upstream\"} 2",
        "interdict_response_codes_total{rcode=\"NXDOMAIN\"} 1",
        "interdict_response_codes_total{rcode=\"other\"} 1",
        "interdict_dropped_total{reason=\"connection_limit\"} 1",
        "interdict_cache_lookups_total{result=\"hit\"} 1",
        "interdict_upstream_events_total{event=\"timeout\"} 1",
        "interdict_reloads_total{result=\"refused\"} 1",
        "interdict_upstream_latency_seconds_bucket{le=\"0.005\"} 1",
        "interdict_threat_signs_total 1",
        "interdict_start_time_seconds 1727582400.5",
        "interdict_ledger_failing 1",
        "interdict_cache_size_bytes 7",
        "interdict_clock_state{state=\"behind\"} 1",
        "interdict_clock_state{state=\"synchronised\"} 0",
        "interdict_shadow_differences_total{order=\"act\",live=\"pass\",candidate=\"sunk\"} 3",
    ] {
        assert!(text.lines().any(|of| of == line), "{line} is missing in\n{text}");
    }
    assert_eq!(metrics.totals()["sunk"], 1);
}

fn shadow_count(count: u64) -> ShadowCount {
    ShadowCount { order: "act".to_owned(), live: "pass", candidate: "sunk", count }
}

#[test]
fn counts_of_a_candidate_go_with_it() {
    let metrics = Metrics::new();
    let told = |shadow: Vec<ShadowCount>| {
        let text = metrics.encode(&Gauges { shadow, ..Gauges::default() });
        let line = text.lines().find_map(|line| line.strip_prefix("interdict_shadow_differences_total{"));
        line.and_then(|line| line.rsplit_once(' ')).map(|(_, count)| count.to_owned())
    };
    for count in ["2", "2", "5"] {
        assert_eq!(told(vec![shadow_count(count.parse().unwrap())]).as_deref(), Some(count));
    }
    assert_eq!(told(Vec::new()), None);
}

/// The rules of promlint (`promtool check metrics`), on the plain format.
#[test]
fn names_are_as_promlint_wants_them() {
    let mut types = BTreeMap::new();
    let text = plain(&Metrics::new().encode(&Gauges::default()));
    for line in text.lines() {
        match line.splitn(4, ' ').collect::<Vec<_>>().as_slice() {
            ["#", "HELP", name, help] => assert!(!help.is_empty(), "{name} has no help"),
            ["#", "TYPE", name, kind] => assert_eq!(types.insert(*name, *kind), None, "{name} stands twice"),
            ["#", ..] => panic!("not in this format: {line}"),
            _ => {
                let name = line.split(['{', ' ']).next().unwrap();
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
                let of_histogram = base.is_some_and(|base| types.get(base) == Some(&"histogram"));
                assert!(types.contains_key(name) || of_histogram, "{line} has no type of its own");
            }
        }
    }
    assert!(types.len() > 15, "{text}");
    for (name, kind) in types {
        assert!(name.starts_with("interdict_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        assert!(!["_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix)), "{name}");
        let unwanted = ["s", "ms", "us", "sec", "b", "kb", "mb", "counter", "gauge", "histogram", "summary", "metric"];
        assert!(!name.split('_').any(|word| unwanted.contains(&word)), "{name}");
    }
}

#[test]
fn no_label_can_hold_a_name_or_a_client() {
    let text = Metrics::new().encode(&Gauges::default());
    let keys = text.lines().filter_map(|line| Some(line.split_once('{')?.1.split_once('=')?.0));
    let keys: std::collections::BTreeSet<_> = keys.collect();
    assert_eq!(
        keys.into_iter().collect::<Vec<_>>(),
        ["event", "le", "rcode", "reason", "result", "source", "state", "transport", "verdict", "version"]
    );
}
