//! Kea's memfile: CSV whose header names the columns, which differ between versions and between IPv4 and IPv6.

use std::net::IpAddr;

use super::{Lease, Leases, epoch, host_name, whole_lines};

/// A lease that is in use; others are declined, reclaimed or released.
const IN_USE: &str = "0";
/// A prefix that is delegated to a router.
const PREFIX: &str = "2";
/// The lifetime that never ends.
const INFINITE: &str = "4294967295";

/// Where the columns are that we ask for.
#[derive(Default)]
struct Columns {
    address: usize,
    hardware: Option<usize>,
    lifetime: Option<usize>,
    expire: Option<usize>,
    kind: Option<usize>,
    name: Option<usize>,
    state: Option<usize>,
}

impl Columns {
    /// A header begins with the address, which no lease does; a client may call itself anything.
    fn of(header: &str) -> Option<Self> {
        header.strip_prefix("address,")?;
        let at = |name| header.split(',').position(|column| column == name);
        Some(Self {
            address: at("address")?,
            hardware: at("hwaddr"),
            lifetime: at("valid_lifetime"),
            expire: at("expire"),
            kind: at("lease_type"),
            name: at("hostname"),
            state: at("state"),
        })
    }
}

pub(super) fn read(text: &str, leases: &mut Leases) {
    let mut columns = None;
    for (number, line) in whole_lines(text).filter(|(_, line)| !line.is_empty()) {
        match (&columns, Columns::of(line)) {
            // A file that was put together from several has a header in the middle.
            (_, Some(found)) => columns = Some(found),
            (Some(columns), None) => {
                if lease(line, columns, leases).is_none() {
                    leases.fault(number);
                }
            }
            (None, None) => leases.fault(number),
        }
    }
}

/// Takes the lease of a line; `None` where part of it is not understood. A broken name makes no broken lease.
fn lease(line: &str, columns: &Columns, leases: &mut Leases) -> Option<()> {
    let fields: Vec<_> = line.split(',').collect();
    let field = |at: Option<usize>| match at {
        None => Some(""),
        Some(at) => fields.get(at).copied(),
    };
    let address: IpAddr = field(Some(columns.address))?.parse().ok()?;
    let (hardware, name) = (field(columns.hardware)?, field(columns.name)?);
    let (lifetime, expire) = (field(columns.lifetime)?, field(columns.expire)?);
    // Of a prefix the router alone has an address, and that is another lease.
    if field(columns.kind)? == PREFIX {
        return Some(());
    }
    let state = field(columns.state)?;
    if !(state.is_empty() || state == IN_USE) || lifetime == "0" {
        leases.take_back(address);
        return Some(());
    }
    let until = match lifetime {
        INFINITE => None,
        _ => Some(epoch(expire)?),
    };
    let hardware = match hardware {
        "" => None,
        // Hardware addresses of other kinds of networks are longer or shorter, and are passed over.
        text if text.split(':').count() != 6 => None,
        text => Some(text.parse().ok()?),
    };
    let known = (!name.is_empty()).then(|| host_name(name));
    leases.give(address, Lease { hardware, name: known.clone().flatten(), until });
    (known != Some(None)).then_some(())
}
