//! What `orders` tells of orders, and of two of them beside each other.

use super::*;

#[test]
fn orders_tell_phases_and_next_instants() {
    let place = Place::new();
    for (instant, phase, next) in
        [(INSTANTS[0], "monitored", Value::from("2024-09-29T04:00:00Z")), (INSTANTS[1], "in force", Value::Null)]
    {
        let orders = place.json(&["orders", "--at", instant, "--json"]);
        let prohibitions = orders[0]["prohibitions"].as_array().unwrap();
        let updates = prohibitions.iter().find(|of| of["id"] == "updates-and-services").unwrap();
        assert_eq!((&updates["phase"], &updates["next"]), (&phase.into(), &next), "at {instant}");
        assert_eq!(updates["verification"], "secondary");
        let page = place.tell(&["orders", "--at", instant]);
        for word in [phase, "89 FR 52434", "15 CFR part 791", "Protected", "Exempt", "Kept", "Noted", "unverified"] {
            assert!(text(&page.stdout).contains(word), "{word} at {instant}");
        }
    }
    let none = Place::with("[policy]\norders = []\n").tell(&["orders"]);
    assert!(text(&none.stdout).contains("every name is resolved"), "{none:?}");
}

#[test]
fn two_orders_are_compared_name_by_name_at_an_instant() {
    let place = Place::new();
    let compare =
        |b: &str, instant: &str| place.json(&["orders", "--diff", "us-commerce-2024", b, "--at", instant, "--json"]);
    let compared = compare("us-ndaa-1634", INSTANTS[1]);
    assert_eq!((&compared["a"]["id"], &compared["b"]["id"]), (&"us-commerce-2024".into(), &"us-ndaa-1634".into()));
    assert_eq!((&compared["sunk_by_a_alone"], &compared["sunk_by_b_alone"]), (&0.into(), &compared["differing"]));
    let groups = compared["groups"].as_array().unwrap();
    let listed: usize = groups.iter().map(|group| group["names"].as_array().unwrap().len()).sum();
    assert_eq!(compared["differing"], listed);
    let services: BTreeSet<_> = groups.iter().map(|group| group["service"].as_str().unwrap()).collect();
    let expected = "threat-intelligence training publications consulting partner file-share oem";
    assert_eq!(services, expected.split(' ').collect());
    for group in groups {
        assert!(group["a"] != group["b"] && group["b"] == "sunk", "{group}");
    }
    // Before the determination's second instant the act alone sinks what both prohibit.
    let earlier = compare("us-ndaa-1634", INSTANTS[0]);
    let update = earlier["groups"].as_array().unwrap().iter().find(|group| group["service"] == "update").unwrap();
    assert_eq!((&update["a"], &update["b"]), (&"monitored".into(), &"sunk".into()));

    let page = place.tell(&["orders", "--diff", "us-commerce-2024", "us-ndaa-1634", "--at", INSTANTS[1]]);
    let told = text(&page.stdout);
    assert!(told.contains("protected by A, sunk by B\n    exact    opentip.kaspersky.com\n"), "{told}");
    assert!(!told.contains("dnl-01.geo.kaspersky.com"), "both sink it: {told}");
    let summary =
        format!("{0} of {1} entries differ: 0 sunk by A alone, {0} sunk by B alone\n", listed, compared["entries"]);
    assert!(told.ends_with(&summary), "{told}");
}

#[test]
fn an_order_of_a_file_is_compared_without_being_chosen() {
    let place = Place::with("[policy]\norders = []\n");
    let shipped = include_str!("../../blocklists/orders/us-commerce-2024.toml");
    let file = place.folder.path().join("own.toml");
    fs::write(&file, shipped).unwrap();
    let own = file.display().to_string();
    let same = place.json(&["orders", "--diff", "us-commerce-2024", &own, "--json"]);
    assert_eq!((&same["differing"], &same["groups"]), (&0.into(), &Value::Array(Vec::new())), "{same}");

    fs::write(&file, shipped.replacen("\"update\", ", "", 1)).unwrap();
    let output = place.tell(&["orders", "--diff", "us-commerce-2024", &own]);
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output.stderr).contains("says nothing of service `update`"), "{output:?}");
    let folder = place.folder.path().join("orders");
    fs::create_dir(&folder).unwrap();
    for name in ["us-ndaa-1634", "us-bod-17-01"] {
        let from = format!("{}/blocklists/orders/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        fs::copy(from, folder.join(format!("{name}.toml"))).unwrap();
    }
    let output = place.tell(&["orders", "--diff", "us-commerce-2024", &folder.display().to_string()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("stands for 2 orders"), "{output:?}");
}

#[test]
fn an_order_without_a_prohibition_says_that_it_never_withholds() {
    let place = Place::with("[policy]\norders = [\"us-bod-17-01\"]\n");
    let page = place.tell(&["orders"]);
    assert!(text(&page.stdout).contains("never withholds a name"), "{page:?}");
    assert_eq!(place.json(&["orders", "--json"])[0]["prohibitions"], Value::Array(Vec::new()));
}
