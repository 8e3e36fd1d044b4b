//! Pages on other matters than the records of a period, in the forms that people read.

use jiff::Timestamp;

use super::chart::{self, Parts};
use super::layout::{described, when};
use super::page::{Block, Cell, Page, Table, plain};
use super::render::RenderError;
use super::texts::{Past, Phrase, Texts};
use super::timeline::{Marked, Timeline};
use super::{Format, html, pdf, xlsx};

/// The most bars of a chart; the table beside it has all.
const MAX_BARS: usize = 12;

/// A page, filled from top to bottom. Headings and sentences are those of the table of its language; whatever is filled in, nothing
/// of it is hidden, obeyed or a formula.
#[derive(Debug)]
pub struct Document {
    page: Page,
    texts: &'static Texts,
    past: &'static Past,
}

/// Counts over time, in bins of one width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub hours: u32,
    /// The first instant of each bin, all of them in order, and what was counted in it.
    pub bins: Vec<(Timestamp, [u64; 3])>,
    /// Instants to be marked; those outside the bins are not.
    pub marks: Vec<Instant>,
}

/// When something begins or ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    pub at: Timestamp,
    pub what: String,
    pub begins: bool,
}

impl Document {
    /// Begins a page on queries of a time.
    ///
    /// # Errors
    /// Where the language is none of [`super::LANGUAGES`].
    pub fn new(
        lang: &str,
        title: fn(&Past) -> Phrase,
        time: Option<(Timestamp, Timestamp)>,
    ) -> Result<Self, RenderError> {
        let words = Texts::of(lang).zip(Past::of(lang));
        let (texts, past) = words.ok_or_else(|| RenderError::Language(lang.to_owned()))?;
        let subtitle = match time {
            Some((first, last)) => past.period.with(&[&when(first), &when(last)]),
            None => past.no_queries.as_str().to_owned(),
        };
        let title = title(past).as_str().to_owned();
        let page = Page { lang: texts.lang, title, subtitle, made_from: String::new(), blocks: Vec::new() };
        Ok(Self { page, texts, past })
    }

    /// Returns the words of its language.
    pub const fn words(&self) -> &'static Past {
        self.past
    }

    /// Returns a number as its language writes it.
    pub fn number(&self, number: u64) -> String {
        self.texts.number(number)
    }

    /// Returns an instant in UTC, as reports write it.
    pub fn instant(at: Timestamp) -> String {
        when(at)
    }

    pub fn heading(&mut self, text: Phrase) {
        self.page.blocks.push(Block::Heading(text.as_str().to_owned()));
    }

    pub fn text(&mut self, text: Phrase, values: &[&str]) {
        self.page.blocks.push(Block::Text(plain(&text.with(values))));
    }

    /// Adds the version of the program.
    pub fn program(&mut self) {
        self.page.blocks.push(Block::Text(concat!("Interdict ", env!("CARGO_PKG_VERSION")).to_owned()));
    }

    /// Adds something that must not be overlooked.
    pub fn notice(&mut self, text: Phrase, values: &[&str]) {
        self.page.blocks.push(Block::Notice(plain(&text.with(values))));
    }

    pub fn list(&mut self, items: &[Phrase]) {
        self.page.blocks.push(Block::List(items.iter().map(|item| item.as_str().to_owned()).collect()));
    }

    /// Adds figures, each with what it is.
    pub fn figures(&mut self, figures: &[(u64, Phrase)]) {
        let figures = figures.iter().map(|(number, what)| (self.texts.number(*number), what.as_str().to_owned()));
        self.page.blocks.push(Block::Figures(figures.collect()));
    }

    /// Adds a table; each row has as many cells as there are heads.
    pub fn table(&mut self, title: Phrase, heads: &[Phrase], rows: Vec<Vec<Cell>>) {
        let shown = |cell| match cell {
            Cell::Text(text) => Cell::Text(plain(&text)),
            Cell::Number(number) => Cell::Number(number),
        };
        let rows = rows.into_iter().map(|row| row.into_iter().map(shown).collect()).collect();
        let heads = heads.iter().map(|head| head.as_str()).collect();
        self.page.blocks.push(Block::Table(Table { title: title.as_str().to_owned(), heads, rows }));
    }

    /// Adds a chart of bars, the first ones of many, each of two parts with these names.
    pub fn bars(&mut self, title: Phrase, names: [Phrase; 2], bars: &[(String, [u64; 2])]) {
        let bars: Vec<_> =
            bars.iter().take(MAX_BARS).map(|(name, [one, other])| (plain(name), [*one, *other, 0])).collect();
        let names = names.map(Phrase::as_str);
        let drawing = chart::rows(&bars, &names, &|number| self.number(number), described(&bars));
        self.page.blocks.push(Block::Chart { title: title.as_str().to_owned(), drawing });
    }

    /// Adds counts over time, of parts with these names: a chart and its figures.
    pub fn series(&mut self, of: &Series, parts: [Phrase; 3]) {
        let past = self.past;
        let label = |at: Timestamp| if of.hours < 24 { when(at) } else { at.strftime("%Y-%m-%d").to_string() };
        let title = match of.hours {
            ..24 => past.trend_hours.as_str().to_owned(),
            24 => past.trend_days.as_str().to_owned(),
            hours => past.trend_bins.with(&[&(hours / 24).to_string()]),
        };
        let bars: Vec<(String, Parts)> = of.bins.iter().map(|(at, counts)| (label(*at), *counts)).collect();
        let begin = of.bins.first().map_or(Timestamp::MIN, |(at, _)| *at);
        // Hours since the first bin; a bin is one hour at least.
        let place = |at: Timestamp| (at.as_second() - begin.as_second()) as f32 / 3600.0 / of.hours.max(1) as f32;
        let is_inside = |mark: &&Instant| mark.at >= begin && place(mark.at) < bars.len() as f32;
        let marks = of.marks.iter().filter(is_inside).map(|mark| Marked {
            place: place(mark.at),
            what: mark.what.clone(),
            begins: mark.begins,
            at: mark.at,
        });
        let counted = of.bins.iter().filter(|(_, counts)| *counts != [0; 3]);
        let rows =
            counted.map(|(at, counts)| std::iter::once(label(*at).into()).chain(counts.map(Cell::Number)).collect());
        let parts = parts.map(Phrase::as_str);
        let heads = std::iter::once(past.col_from.as_str()).chain(parts).collect();
        let (marks, rows) = (marks.collect(), rows.collect());
        let timeline = Timeline { title, bars, parts, marks, heads, rows };
        self.page.blocks.extend(timeline.blocks(self.texts));
    }

    /// Returns its octets as HTML, PDF or a workbook; `None` for the forms that are for programs, since a page is none.
    ///
    /// # Errors
    /// Where the workbook cannot be made.
    pub fn render(&self, format: Format) -> Result<Option<Vec<u8>>, RenderError> {
        match format {
            Format::Html => Ok(Some(html::write(&self.page, self.texts).into_bytes())),
            Format::Pdf => Ok(Some(pdf::write(&self.page, self.texts))),
            Format::Xlsx => xlsx::write(&self.page).map(Some).map_err(|error| RenderError::Workbook(error.to_string())),
            Format::Csv | Format::Json => Ok(None),
        }
    }
}
