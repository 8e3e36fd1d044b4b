//! Who outranks whom, and where the table ends.

use super::*;

fn group(name: &str, networks: &[&str], devices: &[&str], names: &[&str]) -> Group {
    Group {
        name: name.to_owned(),
        networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        devices: devices.iter().map(|text| text.parse().unwrap()).collect(),
        names: names.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

fn device(address: &str, source: Source, hardware: Option<&str>, name: Option<&str>) -> Device {
    Device {
        address: address.parse().unwrap(),
        hardware: hardware.map(|text| text.parse().unwrap()),
        name: name.map(|text| text.parse().unwrap()),
        source,
    }
}

const MAC: &str = "00:00:5e:00:53:01";
const OTHER: &str = "00:00:5e:00:53:02";

/// Of a client at 10.1.0.7: what is known, and the number of the group with what put it there.
#[test]
fn hardware_outranks_the_name_and_the_name_the_network() {
    use Identification::{Name, Network};
    use Source::{Lease, Neighbour, Ptr, Static};
    let groups = [
        group("net", &["10.0.0.0/8", "2001:db8::/32"], &[], &[]),
        group("mac", &[], &[MAC], &[]),
        group("name", &[], &[], &["laptop", "*.lab.example"]),
    ];
    let at = "10.1.0.7";
    for (devices, expected) in [
        (vec![], (1, Network)),
        (vec![device(at, Lease, Some(OTHER), Some("desk"))], (1, Network)),
        (vec![device(at, Lease, Some(OTHER), Some("laptop"))], (3, Name(Lease))),
        (vec![device(at, Lease, Some(MAC), Some("laptop"))], (2, Identification::Device(Lease))),
        (
            vec![device(at, Neighbour, Some(MAC), None), device(at, Ptr, None, Some("laptop"))],
            (2, Identification::Device(Neighbour)),
        ),
        (
            vec![device(at, Neighbour, Some(OTHER), None), device(at, Ptr, None, Some("a.b.lab.example"))],
            (3, Name(Ptr)),
        ),
        // `*.lab.example` is not `lab.example` itself.
        (vec![device(at, Ptr, None, Some("lab.example"))], (1, Network)),
        // Whoever is more credible counts, wherever it stands; of one source, the last.
        (vec![device(at, Static, Some(OTHER), None), device(at, Lease, Some(MAC), None)], (1, Network)),
        (vec![device(at, Lease, Some(MAC), None), device(at, Lease, Some(OTHER), None)], (1, Network)),
        (vec![device("::ffff:10.1.0.7", Lease, Some(MAC), None)], (2, Identification::Device(Lease))),
        (vec![device("10.1.0.8", Lease, Some(MAC), None)], (1, Network)),
    ] {
        let known = Known { devices, names: BTreeMap::new() };
        let client = Table::new(&groups, &known).identify(at.parse().unwrap());
        assert_eq!((client.group().0, client.identification()), expected, "{known:?}");
    }
}

#[test]
fn a_device_of_the_configuration_has_its_name_wherever_it_is() {
    let groups = [group("name", &[], &[], &["laptop"])];
    let known = Known {
        devices: vec![device("10.0.0.7", Source::Neighbour, Some(MAC), None)],
        names: [(MAC.parse().unwrap(), "laptop".parse().unwrap())].into(),
    };
    let client = Table::new(&groups, &known).identify("10.0.0.7".parse().unwrap());
    assert_eq!((client.group(), client.identification()), (GroupId(1), Identification::Name(Source::Static)));
    assert_eq!(client.device(), Some(MAC.parse().unwrap()));
    // What the configuration says of the address comes before that.
    let devices = vec![device("10.0.0.7", Source::Static, None, Some("desk")), known.devices[0].clone()];
    let client = Table::new(&groups, &Known { devices, ..known }).identify("10.0.0.7".parse().unwrap());
    assert_eq!(client.identification(), Identification::Nothing);
}

#[test]
fn a_network_of_clients_belongs_to_a_group_that_holds_it_all() {
    let groups = [group("wide", &["10.0.0.0/16"], &[], &[]), group("narrow", &["10.0.0.0/28"], &[MAC], &[])];
    let known = Known { devices: vec![device("10.0.0.0", Source::Lease, Some(MAC), None)], ..Known::default() };
    let table = Table::new(&groups, &known);
    for (network, group) in
        [("10.0.0.0/24", 1), ("10.0.0.0/28", 2), ("10.0.0.0/32", 2), ("10.0.0.0/15", 0), ("fd00::/64", 0)]
    {
        let remote = "192.0.2.1:9".parse().unwrap();
        let claimed = Some(Claim::Subnet(network.parse().unwrap()));
        let client = table.identify_peer(&Peer { claimed, ..Peer::direct(remote, None) });
        assert_eq!((client.group(), client.via()), (GroupId(group), Via::Subnet), "{network}");
    }
}

#[test]
fn the_table_takes_no_more_than_it_may_and_the_most_credible_first() {
    let lease = |number: u32| {
        let address = std::net::Ipv4Addr::from(0x0A00_0000 + number).into();
        Device { address, hardware: Some(MAC.parse().unwrap()), name: None, source: Source::Lease }
    };
    let mut devices: Vec<_> = (0..MAX_DEVICES as u32 + 10).map(lease).collect();
    devices.push(device("192.0.2.1", Source::Static, Some(MAC), None));
    devices.push(device("192.0.2.2", Source::Ptr, None, Some("laptop")));
    let table = Table::new(&[], &Known { devices, ..Known::default() });
    assert_eq!((table.len(), table.left_out()), (MAX_DEVICES, 12));
    let device = |address: &str| table.identify(address.parse().unwrap()).device();
    assert_eq!((device("192.0.2.1"), device("10.0.0.0")), (Some(MAC.parse().unwrap()), None));
}

#[test]
fn what_is_learnt_counts_for_whoever_asks_from_then_on() {
    let clients = Clients::new(vec![group("mac", &[], &[MAC], &[])], false);
    let before = clients.table();
    clients.learn(&Known { devices: vec![device("fd00::7", Source::Lease, Some(MAC), None)], ..Known::default() });
    let at = "fd00::7".parse().unwrap();
    assert_eq!(before.identify(at), Client::at(at));
    assert_eq!(clients.table().identify(at).group(), GroupId(1));
}

#[test]
fn a_claimed_network_is_nowhere_but_where_all_of_it_is() {
    let table = Table::new(&[], &Known::default());
    let peer = |network: &str| Peer {
        claimed: Some(Claim::Subnet(network.parse().unwrap())),
        ..Peer::direct("192.0.2.1:53".parse().unwrap(), None)
    };
    for (claimed, network, inside) in [
        ("10.0.0.0/24", "10.0.0.0/32", false),
        ("10.0.0.0/24", "10.0.0.0/28", false),
        ("10.0.0.0/24", "10.0.0.0/24", true),
        ("10.0.0.0/24", "10.0.0.0/8", true),
        ("10.0.0.7/32", "10.0.0.0/24", true),
    ] {
        let client = table.identify_peer(&peer(claimed));
        assert_eq!(client.is_in(&network.parse().unwrap()), inside, "{claimed} in {network}");
    }
}
