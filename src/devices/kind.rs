//! Kinds of services, by what they say about a device.

/// What a service says about the device that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Updates of databases and modules.
    Update,
    /// Questions on files and pages that a product asks all day.
    Reputation,
    /// What only an installed product asks for: activation, push, telemetry.
    Product,
    /// Consoles that manage installations.
    Console,
    /// Installers, packages and portable scanners.
    Download,
    Store,
    Web,
    /// Help, and tools that remove products.
    Removal,
    /// Hosts of other makers whose products have the vendor's engine.
    Engine,
    /// Names that are answered on the machine itself, and leak.
    Leak,
    /// Ways round the resolver.
    Around,
    Other,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Update,
        Self::Reputation,
        Self::Product,
        Self::Console,
        Self::Download,
        Self::Store,
        Self::Web,
        Self::Removal,
        Self::Engine,
        Self::Leak,
        Self::Around,
        Self::Other,
    ];

    /// Returns the word that the table of rules uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Reputation => "reputation",
            Self::Product => "product",
            Self::Console => "console",
            Self::Download => "download",
            Self::Store => "store",
            Self::Web => "web",
            Self::Removal => "removal",
            Self::Engine => "engine",
            Self::Leak => "leak",
            Self::Around => "around",
            Self::Other => "other",
        }
    }

    /// Returns the kind of this word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}
