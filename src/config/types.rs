//! The settings, typed. What each means is told in `config/interdict.toml`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::places::Places;
use crate::client::Group;
use crate::export::Receiver;
use crate::feed::Item;
use crate::fetch::{self, Place, Url};
use crate::identify::Sources;
use crate::ledger::cosign::Cosigner;
use crate::ledger::{Durability, Fail};
use crate::listen::limit::Rate;
use crate::lists::{Action, Bounds, Dates, Source};
use crate::message::Name;
use crate::notice;
use crate::observe::Format;
use crate::policy::{Operator, Sink};
use crate::resolve::{Endpoint, Strategy};

/// Every setting of the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub listen: Listen,
    /// How much a client may ask.
    pub limit: Rate,
    pub admin: Admin,
    pub control: ControlConfig,
    pub upstream: UpstreamConfig,
    pub cache: CacheConfig,
    pub zones: ZonesConfig,
    pub client: ClientConfig,
    pub policy: PolicyConfig,
    pub ways_round: WaysRound,
    pub rebinding: RebindingConfig,
    pub lists: ListsConfig,
    pub fetch: FetchConfig,
    pub answer: AnswerConfig,
    pub ledger: LedgerConfig,
    /// Who gets the records.
    pub export: Vec<Receiver>,
    /// Who is told of prohibitions to come, and of those in force.
    pub notice: notice::Settings,
    pub daemon: DaemonConfig,
    pub log: LogConfig,
    /// Where all of this was set.
    pub places: Places,
}

/// Where queries are taken, from whom and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    pub dns: Vec<SocketAddr>,
    pub allow: Vec<IpNet>,
    /// 0 for one a core.
    pub workers: u16,
    /// Trusted proxies, which say in a PROXY header who asks.
    pub proxy_from: Vec<IpNet>,
    /// Trusted forwarders, which say in an EDNS Client Subnet option who asks.
    pub ecs_from: Vec<IpNet>,
    pub tcp_connections: u32,
    pub tcp_connections_per_client: u32,
    /// Queries of one connection that may be under way.
    pub tcp_in_flight: u16,
    pub tcp_idle: Duration,
}

/// The HTTP listener for health and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// `None` for no such listener.
    pub listen: Option<SocketAddr>,
    /// Names that a Host header may have besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// Commands that change what the daemon does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlConfig {
    pub listen: ControlSocket,
    /// Whether a waiver needs another user than who added it.
    pub four_eyes: bool,
    /// How long the installation may only monitor, in minutes; 0 for never.
    pub monitor_only_max_minutes: u32,
    /// How long a waiver may last; 0 for any time.
    pub waiver_max_days: u32,
}

/// Where commands are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlSocket {
    Off,
    InDataFolder,
    At(PathBuf),
}

/// Who answers what is not known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Empty for the system's resolvers.
    pub servers: Vec<Endpoint>,
    pub strategy: Strategy,
    /// Plain servers that are asked for the addresses of encrypted ones.
    pub bootstrap: Vec<SocketAddr>,
    /// Certificates that are believed besides those that Mozilla trusts.
    pub ca: Option<PathBuf>,
    pub dnssec: DnssecConfig,
    /// How long one try may take.
    pub timeout: Duration,
    /// How often a question is tried in all.
    pub attempts: u8,
    /// Queries that may wait for upstreams.
    pub in_flight: u32,
    pub zones: Vec<ForwardZone>,
    pub groups: Vec<GroupUpstream>,
}

/// What is made of the signatures of answers (RFC 4035).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnssecConfig {
    pub validates: bool,
    /// A file of DNSKEY records; `None` for the keys of the root that are known.
    pub trust_anchors: Option<PathBuf>,
    /// Zones of which nothing is validated (RFC 7646).
    pub except: Vec<Name>,
}

/// Conditional forwarding of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardZone {
    pub zone: Name,
    pub servers: Vec<Endpoint>,
    pub strategy: Strategy,
}

/// Upstreams for a group of clients, in place of those of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupUpstream {
    pub group: String,
    pub servers: Vec<Endpoint>,
    pub strategy: Strategy,
}

/// The answer cache; times in seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheConfig {
    /// In octets.
    pub size: u64,
    pub max_ttl: u32,
    pub negative_max_ttl: u32,
    pub failure_ttl: u32,
    pub stale_max_ttl: u32,
    pub prefetch: bool,
    /// Whether answers outlive a restart.
    pub save: bool,
}

/// Names that are answered here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZonesConfig {
    pub hosts: Vec<HostRecord>,
    pub zone: Vec<ZoneText>,
    /// Whether special-use names and private reverse zones are answered here (RFC 6303, RFC 6761).
    pub special_use: bool,
}

/// A name with its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRecord {
    pub name: Name,
    pub addresses: Vec<IpAddr>,
}

/// A zone in the text of a zone file (RFC 1035, section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneText {
    pub origin: Name,
    pub text: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// In the order of their ids, from 1 on.
    pub groups: Vec<Group>,
    /// What tells devices and names.
    pub sources: Sources,
}

/// Which catalogues and orders apply, and what the operator makes of them.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig {
    /// Shipped names, files or folders.
    pub catalogues: Vec<String>,
    pub orders: Vec<String>,
    /// Files of waivers.
    pub waivers: Vec<String>,
    /// Those that are fetched, in the order in which they decide, behind the others.
    pub fetch: Vec<FetchedPolicy>,
    pub operator: Operator,
    /// The configuration file whose policy decides beside this one, to be compared.
    pub shadow: Option<PathBuf>,
}

/// Which ways round this resolver are withheld.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaysRound {
    /// The name by which browsers ask whether the network wants them to use its resolver.
    pub canary: bool,
    /// Names of relays that carry look-ups past the network's resolver.
    pub relay: bool,
    /// The discovery of encrypted resolvers (RFC 9462).
    pub discovery: bool,
    /// Names and addresses of public resolvers.
    pub public_resolvers: bool,
    /// Whether keys for Encrypted ClientHello are taken out of answers.
    pub ech: bool,
    /// The catalogue of those names: a shipped one, or a file.
    pub catalogue: String,
}

/// Protection from public names with private addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebindingConfig {
    pub protect: bool,
    /// Zones whose names may have private addresses.
    pub allow: Vec<Name>,
}

/// Lists that the operator brings, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListsConfig {
    pub bounds: Bounds,
    pub lists: Vec<ListConfig>,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListConfig {
    pub source: Source,
    /// What takes the place of what the list says of names that it withholds.
    pub action: Option<Action>,
    pub dates: Dates,
    /// Where its file comes from; none for a file that somebody else puts there.
    pub origin: Option<Origin>,
}

/// From where a file is fetched again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub source: fetch::Source,
    pub refresh: Duration,
    /// Where it is kept.
    pub place: Place,
}

/// A catalogue or an order that is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedPolicy {
    pub item: Item,
    pub origin: Origin,
}

/// How files are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchConfig {
    /// Certificates that are believed besides the usual ones.
    pub ca: Option<PathBuf>,
    pub bounds: fetch::Bounds,
    /// How long a file may go without its server being reached.
    pub stale: Duration,
}

/// How responses look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerConfig {
    pub sink: Sink,
    /// In seconds.
    pub sink_ttl: u32,
    /// In octets, over UDP.
    pub max_payload: u16,
    pub version: String,
}

/// How records are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerConfig {
    pub commit: Duration,
    pub durability: Durability,
    pub fail: Fail,
    /// In octets.
    pub segment_size: u64,
    /// In octets.
    pub max_size: u64,
    /// How long records are kept; 0 for as long as there is room.
    pub keep_days: u32,
    /// Whether records hold networks in place of addresses.
    pub networks_only: bool,
    pub store_noted: bool,
    /// Records of single clients in a minute, at most.
    pub leaves_per_minute: u32,
    /// The name of the log; none for one after the name of the machine.
    pub origin: Option<String>,
    /// How long what was recorded may be unsigned.
    pub checkpoint: Duration,
    /// Where signed logs are copied to.
    pub publish: Option<PublishConfig>,
    pub witnesses: Vec<WitnessConfig>,
}

/// Where signed logs are copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishConfig {
    Folder(PathBuf),
    Bucket(BucketConfig),
}

/// A bucket of an object store that speaks S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    pub bucket: String,
    /// What every key begins with; may be empty.
    pub prefix: String,
    pub endpoint: Url,
    pub region: String,
    /// The file of the credentials; none for the environment.
    pub credentials: Option<PathBuf>,
}

/// A witness that checkpoints are submitted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessConfig {
    /// Below it is `add-checkpoint`.
    pub url: Url,
    pub key: Cosigner,
    /// Whether its host may have a private address, or be this machine.
    pub private: bool,
}

/// The process itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Whether it gives up what it does not need.
    pub sandbox: bool,
    /// Whether it reloads by itself once files of the configuration are others.
    pub reload_on_change: bool,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    pub level: String,
    pub format: Format,
}
