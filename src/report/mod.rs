//! Compliance reports: what the records of a period say, for readers who are not at a terminal.
//!
//! Pure but for reading the index: records, verification and archived policy become a [`Report`], and that becomes a page in
//! one of several formats. The same leaves, keys and words give the same octets: nothing here reads a clock, a locale or a
//! file, and the only instants are those of records and of the period that was asked for.

mod basis;
mod chart;
mod confirmed;
mod coverage;
mod csv;
mod details;
mod devices;
mod document;
mod finish;
mod gather;
mod html;
mod layout;
mod legal;
mod list;
mod node;
mod page;
mod pdf;
mod render;
mod sums;
mod texts;
mod timeline;
mod trend;
mod value;
mod xlsx;

pub use basis::{Basis, Format, LogBasis, NodeBasis, VERSION};
pub use devices::{Revealed, reveal};
pub use document::{Document, Instant, Series};
pub use gather::{GatherError, Gatherer, Reveal, Source};
pub use list::{Device, DeviceList, Help, QUIET};
pub use node::{policies, until};
pub use page::Cell;
pub use render::RenderError;
pub use texts::{LANGUAGES, Past, Phrase};
pub use value::{CheckpointShown, DeviceKind, Node, Report};

#[cfg(test)]
mod edges;
#[cfg(test)]
mod tests;
