//! A workbook: one sheet for what is said, and one for each table. No cell is a formula or a link, whatever it says.

use std::collections::BTreeSet;
use std::io::{Cursor, Read as _};

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, Workbook, Worksheet, XlsxError};
use zip_archive::ZipArchive;

use super::page::{Block, Cell, Page, Table};

/// The longest text of a cell, in characters, and the longest name of a sheet.
const MAX_CELL: usize = 32_000;
const MAX_NAME: usize = 31;
/// The largest number that a cell holds exactly.
const MAX_NUMBER: u64 = 1 << 53;
/// Where the basis stands in the file, and how much of it is read.
const PROPERTIES: &str = "docProps/core.xml";
const MAX_PROPERTIES: u64 = 2 << 20;

pub(super) fn write(page: &Page) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    // A workbook has to say when it was made; this one says nothing by it.
    let never = ExcelDateTime::from_ymd(2000, 1, 1)?;
    let properties = DocProperties::new().set_title(&page.title).set_subject(&page.subtitle);
    book.set_properties(&properties.set_keywords(&page.made_from).set_creation_datetime(&never));
    let (bold, wrapped) = (Format::new().set_bold(), Format::new().set_text_wrap());
    let mut names = BTreeSet::new();
    write_summary(book.add_worksheet().set_name(named(&page.title, &mut names))?, page, &bold, &wrapped)?;
    for block in &page.blocks {
        if let Block::Table(table) = block {
            write_table(book.add_worksheet().set_name(named(&table.title, &mut names))?, table, &bold)?;
        }
    }
    book.save_to_buffer()
}

fn write_summary(sheet: &mut Worksheet, page: &Page, bold: &Format, wrapped: &Format) -> Result<(), XlsxError> {
    sheet.set_column_width(0, 100)?.set_column_width(1, 24)?;
    let mut row = 0;
    let mut line = |text: &str, beside: Option<&str>, format: &Format| -> Result<(), XlsxError> {
        sheet.write_string_with_format(row, 0, cut(text), format)?;
        if let Some(beside) = beside {
            sheet.write_string(row, 1, cut(beside))?;
        }
        row += 1;
        Ok(())
    };
    line(&page.title, None, bold)?;
    line(&page.subtitle, None, wrapped)?;
    for block in &page.blocks {
        match block {
            Block::Heading(text) => line(text, None, bold)?,
            Block::Text(text) | Block::Notice(text) => line(text, None, wrapped)?,
            Block::List(items) => items.iter().try_for_each(|item| line(item, None, wrapped))?,
            Block::Figures(figures) => {
                figures.iter().try_for_each(|(value, name)| line(name, Some(value), wrapped))?;
            }
            Block::Table(_) | Block::Chart { .. } => {}
        }
    }
    Ok(())
}

fn write_table(sheet: &mut Worksheet, table: &Table, bold: &Format) -> Result<(), XlsxError> {
    sheet.set_freeze_panes(1, 0)?;
    for (column, head) in (0_u16..).zip(&table.heads) {
        let numeric = table.is_numeric(usize::from(column));
        sheet.set_column_width(column, if numeric { 14 } else { 32 })?;
        sheet.write_string_with_format(0, column, *head, bold)?;
    }
    for (row, cells) in (1_u32..).zip(&table.rows) {
        for (column, cell) in (0_u16..).zip(cells) {
            match cell {
                Cell::Number(number) if *number <= MAX_NUMBER => sheet.write_number(row, column, *number as f64)?,
                Cell::Number(number) => sheet.write_string(row, column, number.to_string())?,
                Cell::Text(text) => sheet.write_string(row, column, cut(text))?,
            };
        }
    }
    Ok(())
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_CELL).map_or(text, |(end, _)| &text[..end])
}

/// Returns a name that a sheet may have and no other has.
fn named(title: &str, names: &mut BTreeSet<String>) -> String {
    let fits = |character: &char| !['[', ']', ':', '*', '?', '/', '\\', '\''].contains(character);
    let name: String = title.chars().filter(fits).take(MAX_NAME).collect();
    let numbered = (2..).map(|number| name.chars().take(MAX_NAME - 4).collect::<String>() + &format!(" {number}"));
    let name =
        std::iter::once(name.trim().to_owned()).chain(numbered).find(|name| !names.contains(&name.to_lowercase()));
    let name = name.expect("numbers never end");
    names.insert(name.to_lowercase());
    name
}

/// Returns what a workbook says of itself; none where the octets are no workbook.
pub(super) fn properties(octets: &[u8]) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(octets)).ok()?;
    let mut text = Vec::new();
    archive.by_name(PROPERTIES).ok()?.take(MAX_PROPERTIES).read_to_end(&mut text).ok()?;
    Some(text)
}
