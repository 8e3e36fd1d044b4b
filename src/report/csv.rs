//! CSV (RFC 4180): every table below the other, each line with the name of its table in front, all with as many cells.

use super::page::{Block, Cell, Page, Table};
use super::texts::Texts;

pub(super) fn write(page: &Page, texts: &Texts) -> String {
    let tables: Vec<_> = page.blocks.iter().filter_map(table).collect();
    let width = tables.iter().map(|table| table.heads.len()).max().unwrap_or_default().max(2) + 1;
    let mut out = String::new();
    let mut line = |cells: Vec<&str>| {
        let empty = std::iter::repeat_n("", width.saturating_sub(cells.len()));
        let cells: Vec<_> = cells.iter().copied().chain(empty).map(quoted).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    };
    line(vec![&page.title, &page.subtitle]);
    for block in &page.blocks {
        match block {
            Block::Heading(_) | Block::Chart { .. } => {}
            Block::Text(text) | Block::Notice(text) => line(vec![texts.foot, text]),
            Block::List(items) => items.iter().for_each(|item| line(vec![texts.blind, item])),
            Block::Figures(figures) => {
                figures.iter().for_each(|(value, name)| line(vec![texts.summary, name, value]));
            }
            Block::Table(table) => {
                line([vec![table.title.as_str()], table.heads.clone()].concat());
                for row in &table.rows {
                    let row: Vec<_> = row.iter().map(cell).collect();
                    line([vec![table.title.as_str()], row.iter().map(String::as_str).collect()].concat());
                }
            }
        }
    }
    line(vec!["interdict", &page.made_from]);
    out
}

fn table(block: &Block) -> Option<&Table> {
    match block {
        Block::Table(table) => Some(table),
        _ => None,
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number(number) => number.to_string(),
    }
}

/// Spreadsheets take a cell that begins with one of these for a formula, quoted or not; the apostrophe makes it text.
fn quoted(text: &str) -> String {
    let guard = if text.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r', '|', '%']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}
