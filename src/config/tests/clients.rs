//! Groups of clients and devices, and what contradicts itself in them.

use std::path::Path;

use super::{assert_faults, load};

#[test]
fn groups_devices_and_sources_are_heeded() {
    let text = r#"[client]
leases = ["dnsmasq:/var/lib/misc/dnsmasq.leases"]
[[client.group]]
name = "lab"
networks = ["10.7.0.0/16"]
devices = ["00:00:5E:00:53:01"]
names = ["bench", "*.lab.example"]
[[client.device]]
name = "printer"
addresses = ["::ffff:10.7.0.9"]
"#;
    let client = load(text, &[]).unwrap().client;
    let lab = &client.groups[0];
    assert_eq!((lab.name.as_str(), lab.networks.len(), lab.devices.len(), lab.names.len()), ("lab", 1, 1, 2));
    assert_eq!(client.sources.devices[0].addresses, ["10.7.0.9".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(client.sources.leases[0].path, Path::new("/var/lib/misc/dnsmasq.leases"));
}

#[test]
fn contradictions_between_groups_are_told_with_their_lines() {
    let text = r#"[[client.group]]
name = "default"
networks = ["10.0.0.0/8"]
[[client.group]]
name = "Lab"
[[client.group]]
name = "lab"
devices = ["00:00:5e:00:53"]
"#;
    let expected =
        [("file:5: `client.group.name` is `\"Lab\"`", "lower-case"), ("file:8: `client.group.devices`", "00:00:5e")];
    assert_faults(text, &[], &expected);
    let text = r#"[[client.group]]
name = "default"
networks = ["10.0.0.0/8"]
[[client.group]]
name = "a"
networks = ["10.0.0.0/8"]
devices = ["00:00:5e:00:53:01"]
names = ["x"]
[[client.group]]
name = "a"
devices = ["00-00-5E-00-53-01"]
names = ["X."]
[[client.group]]
name = "b"
[[client.device]]
name = "x"
[[client.device]]
name = "y"
hardware = "00:00:5e:00:53:01"
addresses = ["10.0.0.1"]
[[client.device]]
name = "z"
hardware = "00:00:5e:00:53:01"
addresses = ["10.0.0.1"]
"#;
    let expected = [
        ("file:1: the group `default` is that of all clients", "another name"),
        ("file:4: `client.group` `a` has the network `10.0.0.0/8`", "`default` has before it"),
        ("file:9: `client.group` `a` has the name `a`", "one of them"),
        ("file:9: `client.group` `a` has the device `00:00:5e:00:53:01`", "one of them"),
        ("file:9: `client.group` `a` has the name of a client `x`", "one of them"),
        ("file:13: the group `b` takes nobody", "`networks`"),
        ("file:15: this `client.device` (`x`) has neither", "hardware"),
        ("file:21: `client.device` `z` has the hardware address", "`y` has before it"),
        ("file:21: `client.device` `z` has the address `10.0.0.1`", "one of them"),
    ];
    assert_faults(text, &[], &expected);
    let many: String =
        (0..1025).map(|number| format!("[[client.group]]\nname = \"g{number}\"\nnames = [\"n{number}\"]\n")).collect();
    assert_faults(&many, &[], &[("file:3073: there are more than 1024 groups", "make one group")]);
}

#[test]
fn a_network_is_written_as_what_it_is() {
    let text = "[client]\n[[client.group]]\nname = \"a\"\nnetworks = [\"::ffff:10.0.0.0/104\"]\n";
    assert_faults(text, &[], &[("file:4: ", "written as one of IPv6; write \"10.0.0.0/8\"")]);
}
