//! Pages on other matters than the records of a period, in the forms that people read.

use super::chart;
use super::layout::described;
use super::page::{Block, Cell, Page, Table, plain};
use super::render::RenderError;
use super::texts::Texts;
use super::{Format, html, pdf, xlsx};

/// The most bars of a chart; the table beside it has all.
const MAX_BARS: usize = 12;

/// A page, filled from top to bottom. Whatever its texts say, nothing of them is hidden, obeyed or a formula.
#[derive(Debug)]
pub struct Document(Page);

impl Document {
    /// Begins a page, in English.
    pub fn new(title: &str, subtitle: &str) -> Self {
        let (title, subtitle) = (plain(title), plain(subtitle));
        Self(Page { lang: "en", title, subtitle, made_from: String::new(), blocks: Vec::new() })
    }

    pub fn heading(&mut self, text: &str) {
        self.0.blocks.push(Block::Heading(plain(text)));
    }

    pub fn text(&mut self, text: &str) {
        self.0.blocks.push(Block::Text(plain(text)));
    }

    /// Adds something that must not be overlooked.
    pub fn notice(&mut self, text: &str) {
        self.0.blocks.push(Block::Notice(plain(text)));
    }

    pub fn list(&mut self, items: &[&str]) {
        self.0.blocks.push(Block::List(items.iter().map(|item| plain(item)).collect()));
    }

    /// Adds figures, each with what it is.
    pub fn figures(&mut self, figures: &[(u64, &str)]) {
        let texts = texts();
        let figures = figures.iter().map(|(number, what)| (texts.number(*number), plain(what)));
        self.0.blocks.push(Block::Figures(figures.collect()));
    }

    /// Adds a table; each row has as many cells as there are heads.
    pub fn table(&mut self, title: &str, heads: &[&'static str], rows: Vec<Vec<Cell>>) {
        let shown = |cell| match cell {
            Cell::Text(text) => Cell::Text(plain(&text)),
            Cell::Number(number) => Cell::Number(number),
        };
        let rows = rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect();
        self.0.blocks.push(Block::Table(Table { title: plain(title), heads: heads.to_vec(), rows }));
    }

    /// Adds a chart of bars, the first ones of many, each of two parts with these names.
    pub fn bars(&mut self, title: &str, names: &[&str; 2], bars: &[(String, [u64; 2])]) {
        let bars: Vec<_> =
            bars.iter().take(MAX_BARS).map(|(name, [one, other])| (plain(name), [*one, *other, 0])).collect();
        let drawing = chart::rows(&bars, names, &|number| texts().number(number), described(&bars));
        self.0.blocks.push(Block::Chart { title: plain(title), drawing });
    }

    /// Returns its octets as HTML, PDF or a workbook; `None` for the forms that are for programs, since a page is none.
    ///
    /// # Errors
    /// Where the workbook cannot be made.
    pub fn render(&self, format: Format) -> Result<Option<Vec<u8>>, RenderError> {
        match format {
            Format::Html => Ok(Some(html::write(&self.0, texts()).into_bytes())),
            Format::Pdf => Ok(Some(pdf::write(&self.0, texts()))),
            Format::Xlsx => xlsx::write(&self.0).map(Some).map_err(|error| RenderError::Workbook(error.to_string())),
            Format::Csv | Format::Json => Ok(None),
        }
    }
}

fn texts() -> &'static Texts {
    Texts::of("en").expect("English is one of the languages")
}
