//! What is read of lease files, those of servers and those of nobody.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Leases {
    let mut leases = Leases::default();
    leases.read(Format::of(text), text);
    leases
}

/// Returns address, hardware address, name and end of each lease.
fn told(leases: &Leases) -> Vec<String> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let line = |(address, lease): (&IpAddr, &Lease)| {
        let Lease { hardware, name, until } = lease;
        let hardware = text(hardware.map(|hardware| hardware.to_string()));
        let (name, until) = (text(name.as_ref().map(ToString::to_string)), text(until.map(|at| at.to_string())));
        format!("{address} {hardware} {name} {until}")
    };
    leases.by_address.iter().map(line).collect()
}

/// dnsmasq 2.90: src/lease.c, `lease_update_file`.
#[test]
fn leases_of_dnsmasq() {
    let leases = read(
        "1764104400 00:00:5e:00:53:01 10.0.0.7 Laptop ff:5e\n\
         0 06-00:00:5e:00:53:02 10.0.0.8 * *\n\
         duid 00:01:00:01:2f:00:00:00:00:00:5e:00:53:ff\n\
         1764104400 T6291456 fd00::7 laptop 00:01:00:01:2f:00:00:00:00:00:5e:00:53:01\n\
         agent-info 10.0.0.7 01:02\n",
    );
    assert_eq!(
        told(&leases),
        [
            "10.0.0.7 00:00:5e:00:53:01 laptop 2025-11-25T21:00:00Z",
            "10.0.0.8 - - -",
            "fd00::7 - laptop 2025-11-25T21:00:00Z"
        ]
    );
    assert_eq!((leases.not_understood, leases.first_line), (0, None));
}

/// dhcpd.leases(5).
#[test]
fn leases_of_dhcpd() {
    let text = r#"# The format of this file is documented in the dhcpd.leases(5) manual page.
authoring-byte-order little-endian;
lease 10.0.0.7 {
  starts 2 2025/11/25 20:00:00;
  ends 2 2025/11/25 21:00:00; # a comment; with } and "
  binding state active;
  next binding state free;
  hardware ethernet 00:00:5e:00:53:09;
  uid "\001\000}^\"\000S\001";
  set vendor-class-identifier = "MSFT 5.0; }";
  client-hostname "old";
}
lease 10.0.0.7 {
  ends epoch 1764108000; # Tue Nov 25 22:00:00 2025
  binding state active;
  hardware ethernet 00:00:5e:00:53:01;
  client-hostname "Laptop";
}
lease 10.0.0.8 { ends never; hardware ethernet 00:00:5e:00:53:02; }
lease 10.0.0.9 { ends never; binding state active; hardware ethernet 00:00:5e:00:53:03; }
lease 10.0.0.9 { ends 2 2025/11/25 20:30:00; binding state free; hardware ethernet 00:00:5e:00:53:03; }
failover peer "x" state { my state normal at 2 2025/11/25 20:00:00; }
server-duid "\000\001";
ia-na "\001" { cltt 2 2025/11/25 20:00:00; iaaddr fd00::7 { binding state active; ends never; } }
lease 10.0.0.10 {
  ends never;
  hardware ethernet 00:00:5e:00:5"#;
    let leases = read(text);
    assert_eq!(
        told(&leases),
        ["10.0.0.7 00:00:5e:00:53:01 laptop 2025-11-25T22:00:00Z", "10.0.0.8 00:00:5e:00:53:02 - -"]
    );
    assert_eq!((leases.not_understood, leases.first_line), (0, None));
}

/// Kea 2.6: `Memfile_LeaseMgr`, the files of DHCPv4 and DHCPv6.
#[test]
fn leases_of_kea() {
    let leases = read(
        "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n\
         10.0.0.7,00:00:5e:00:53:09,01:00,3600,1764100800,1,0,0,old,0,,0\n\
         10.0.0.7,00:00:5e:00:53:01,01:00,3600,1764104400,1,0,0,laptop.corp.example.,0,,0\n\
         10.0.0.12,00:00:5e:00:53:05,,3600,1700000000,1,0,0,address,1,,0\n\
         10.0.0.8,00:00:5e:00:53:02,,4294967295,0,1,0,0,,0,,0\n\
         10.0.0.9,00:00:5e:00:53:03,,3600,1764104400,1,0,0,gone,0,,0\n\
         10.0.0.9,00:00:5e:00:53:03,,3600,1764104400,1,0,0,gone,2,,0\n\
         10.0.0.10,,,3600,1764104400,1,0,0,,1,,0\n\
         10.0.0.11,00:00:5e:00:53:04,,3600,17641044",
    );
    assert_eq!(
        told(&leases),
        ["10.0.0.7 00:00:5e:00:53:01 laptop.corp.example 2025-11-25T21:00:00Z", "10.0.0.8 00:00:5e:00:53:02 - -"]
    );
    let leases = read(
        "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,\
         hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id\n\
         fd00::7,00:03,3600,1764104400,1,1800,0,1,128,0,0,laptop,00:00:5e:00:53:01,0,,1,2,0\n\
         fd00:7::,00:03,3600,1764104400,1,1800,2,1,56,0,0,,00:00:5e:00:53:01,0,,1,2,0\n",
    );
    assert_eq!(told(&leases), ["fd00::7 00:00:5e:00:53:01 laptop 2025-11-25T21:00:00Z"]);
    assert_eq!(leases.not_understood, 0);
}

#[test]
fn what_is_not_understood_is_counted_and_the_rest_is_used() {
    for (text, lines, first, addresses) in [
        ("1 00:00:5e:00:53:01 10.0.0.7 a *\nrubbish\n2 zz 10.0.0.8 b *\n", 2, 2, 1),
        // A name that is none is left out, and its lease is used.
        ("1 00:00:5e:00:53:01 10.0.0.7 \u{1b}[2J *\n", 1, 1, 1),
        ("1 00:00:5e:00:53:01 10.0.0.7 a\"b *\n1 00:00:5e:00:53:01 10.0.0.8 \u{fffd} *\n", 2, 1, 2),
        ("lease x { }\nlease 10.0.0.7 { ends 2 2025/13/25 20:00:00; }\n}\nlease 10.0.0.8 { ends never; }\n", 3, 1, 1),
        ("lease 10.0.0.7 {\n ends never;\n client-hostname \"a b\"; }\n", 1, 3, 1),
        ("address,hwaddr\nx,\n10.0.0.7\n", 2, 2, 0),
    ] {
        let leases = read(text);
        let counted = (leases.not_understood, leases.first_line, leases.by_address.len());
        assert_eq!(counted, (lines, Some(first), addresses), "{text:?}");
    }
}

#[test]
fn a_file_names_its_format_or_shows_it() {
    for (text, format, path) in [
        ("/var/lib/misc/dnsmasq.leases", None, "/var/lib/misc/dnsmasq.leases"),
        ("dnsmasq:/a", Some(Format::Dnsmasq), "/a"),
        ("dhcpd:b", Some(Format::Dhcpd), "b"),
        ("kea:/c:d", Some(Format::Kea), "/c:d"),
        ("/x:y", None, "/x:y"),
    ] {
        assert_eq!(LeaseFile::of(text), LeaseFile { path: PathBuf::from(path), format }, "{text}");
    }
}

#[test]
fn a_file_of_leases_without_end_is_not_kept_whole() {
    let line = |number: usize| format!("0 00:00:5e:00:53:01 {} * *\n", std::net::Ipv4Addr::from(number as u32));
    let leases = read(&(0..MAX_LEASES + 3).map(line).collect::<String>());
    assert_eq!((leases.by_address.len(), leases.left_out), (MAX_LEASES, 3));
}

/// Pieces of which lease files are made.
fn nearly_leases() -> impl Strategy<Value = String> {
    let pieces = [
        "lease",
        "10.0.0.7",
        "fd00::7",
        "{",
        "}",
        ";",
        "\"",
        "\\",
        "#",
        "\n",
        " ",
        ",",
        "ends",
        "never",
        "epoch",
        "0",
        "1764104400",
        "4 2025/11/25 21:00:00",
        "binding state active",
        "hardware ethernet",
        "00:00:5e:00:53:01",
        "client-hostname",
        "address,hwaddr,expire,hostname\n",
        "duid",
        "99999999999999999999",
        "-1",
        "\u{0}",
        "é",
        "*",
    ];
    proptest::collection::vec(
        prop_oneof![8 => proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,4}"],
        0..60,
    )
    .prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in prop_oneof![nearly_leases(), "\\PC{0,200}", ".{0,200}"]) {
        for format in [Format::Dnsmasq, Format::Dhcpd, Format::Kea] {
            let mut leases = Leases::default();
            leases.read(format, &text);
            leases.read(Format::of(&text), &text);
            prop_assert!(leases.by_address.values().flat_map(|lease| &lease.name).all(|name| !name.to_string().contains(char::is_control)));
        }
    }
}
