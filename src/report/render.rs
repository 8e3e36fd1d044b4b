//! A report in the form that was asked for.

use super::basis::Format;
use super::texts::Texts;
use super::value::Report;
use super::{csv, html, layout, pdf, xlsx};

impl Report {
    /// Returns the octets of the report, in the form and language that its basis names: the same ones for the same report.
    ///
    /// # Errors
    /// Where the language is none, or the workbook cannot be made.
    pub fn render(&self) -> Result<Vec<u8>, RenderError> {
        let texts = Texts::of(&self.basis.lang).ok_or_else(|| RenderError::Language(self.basis.lang.clone()))?;
        let page = || layout::page(self, texts);
        match self.basis.format {
            Format::Json => {
                let json =
                    serde_json::to_string_pretty(self).expect("texts, numbers and lists of them are always JSON");
                Ok((json + "\n").into_bytes())
            }
            Format::Html => Ok(html::write(&page(), texts).into_bytes()),
            Format::Csv => Ok(csv::write(&page(), texts).into_bytes()),
            Format::Pdf => Ok(pdf::write(&page(), texts)),
            Format::Xlsx => xlsx::write(&page()).map_err(|error| RenderError::Workbook(error.to_string())),
        }
    }
}

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("there are no words for the language `{0}`")]
    Language(String),
    #[error("the workbook cannot be made: {0}")]
    Workbook(String),
}
