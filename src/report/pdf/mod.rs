//! PDF: pages of text, tables and drawings, as wide as A4 and as high as Letter, so that both print it as it is.
//!
//! Written object by object, in Helvetica, which every reader of PDF has: no font has to be shipped, shaped or cut. What its
//! Latin letters lack is written out as code points. No date and no identifier stand in it but those of the report.

mod font;
mod sheet;

use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str, TextStr};

use super::chart::{Anchor, Drawing, Fill, Shape, Style, TEXT};
use super::page::{Block, Cell, Page, Table};
use super::texts::Texts;
use font::Face;
use sheet::{HEIGHT, LEFT, Sheets, WIDTH, WITHIN};

const BODY: f32 = 9.5;
const CELL: f32 = 7.5;
/// Between the columns of a table.
const GAP: f32 = 7.0;
/// How wide a column is at least for the sake of a long word.
const WORD: f32 = 64.0;

pub(super) fn write(page: &Page, texts: &Texts) -> Vec<u8> {
    let mut sheets = Sheets::new();
    sheets.text(&page.title, Face::Bold, 16.0, LEFT, WITHIN);
    sheets.text(&page.subtitle, Face::Plain, BODY, LEFT, WITHIN);
    for block in &page.blocks {
        match block {
            Block::Heading(text) => {
                sheets.keep(150.0);
                sheets.space(14.0);
                sheets.rule(0.8);
                sheets.space(4.0);
                sheets.text(text, Face::Bold, 12.5, LEFT, WITHIN);
                sheets.space(2.0);
            }
            Block::Text(text) => sheets.text(text, Face::Plain, BODY, LEFT, WITHIN),
            Block::Notice(text) => sheets.text(text, Face::Bold, BODY, LEFT + 8.0, WITHIN - 8.0),
            Block::List(items) => {
                for item in items {
                    sheets.text(&format!("• {item}"), Face::Plain, BODY, LEFT, WITHIN);
                }
            }
            Block::Figures(figures) => write_figures(&mut sheets, figures),
            Block::Table(table) => write_table(&mut sheets, table, texts),
            Block::Chart { title, drawing } => write_chart(&mut sheets, title, drawing),
        }
    }
    finish(sheets.finish(), page)
}

/// Three beside each other.
fn write_figures(sheets: &mut Sheets, figures: &[(String, String)]) {
    let width = WITHIN / 3.0;
    for row in figures.chunks(3) {
        sheets.keep(58.0);
        sheets.space(4.0);
        let top = sheets.y();
        for (place, (value, name)) in row.iter().enumerate() {
            let x = LEFT + width * place as f32;
            sheets.frame(x, top - 52.0, width - 6.0, 52.0);
            sheets.line_at(x + 6.0, top - 18.0, Face::Bold, 15.0, value);
            for (line, text) in font::wrap(name, Face::Plain, 7.5, width - 18.0).into_iter().take(3).enumerate() {
                sheets.line_at(x + 6.0, top - 29.0 - 9.0 * line as f32, Face::Plain, 7.5, &text);
            }
        }
        sheets.space(54.0);
    }
    sheets.space(4.0);
}

fn write_table(sheets: &mut Sheets, table: &Table, texts: &Texts) {
    sheets.keep(48.0);
    sheets.space(6.0);
    sheets.text(&table.title, Face::Bold, BODY, LEFT, WITHIN);
    if table.rows.is_empty() {
        sheets.text(texts.none, Face::Plain, BODY, LEFT, WITHIN);
        return;
    }
    let shown = |cell: &Cell| match cell {
        Cell::Number(number) => texts.number(*number),
        Cell::Text(text) => text.clone(),
    };
    let rows: Vec<Vec<String>> = table.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
    let columns = columns(table, &rows);
    let head = |sheets: &mut Sheets| {
        let cells: Vec<_> = table.heads.iter().map(|head| (*head).to_owned()).collect();
        write_row(sheets, &columns, &cells, Face::Bold, &mut |_| {});
        sheets.rule(0.8);
    };
    head(sheets);
    for row in &rows {
        write_row(sheets, &columns, row, Face::Plain, &mut |sheets| head(sheets));
        sheets.rule(0.2);
    }
    sheets.space(4.0);
}

/// A column: where it begins, how wide it is, and whether it holds numbers.
struct Column {
    x: f32,
    width: f32,
    numeric: bool,
}

fn columns(table: &Table, rows: &[Vec<String>]) -> Vec<Column> {
    let widths = widths(table, rows, WITHIN - GAP * (table.heads.len() as f32 - 1.0));
    let mut x = LEFT;
    let mut columns = Vec::new();
    for (column, width) in widths.into_iter().enumerate() {
        columns.push(Column { x, width, numeric: table.is_numeric(column) });
        x += width + GAP;
    }
    columns
}

/// Parts the room between columns: each as wide as it would be, or else between that and its longest word.
fn widths(table: &Table, rows: &[Vec<String>], room: f32) -> Vec<f32> {
    let (mut least, mut most) = (Vec::new(), Vec::new());
    for (column, head) in table.heads.iter().enumerate() {
        // A head may be broken between its words, and so may a text; numbers may not.
        let head = head.split(' ').map(|word| font::width(word, Face::Bold, CELL)).fold(12.0, f32::max);
        let cells = || rows.iter().filter_map(|row| row.get(column));
        let whole = cells().map(|text| font::width(text, Face::Plain, CELL)).fold(head, f32::max) + 1.0;
        let words = cells().flat_map(|text| text.split(' ')).map(|word| font::width(word, Face::Plain, CELL));
        let word = words.fold(head, f32::max).min(WORD.max(head)) + 1.0;
        least.push(if table.is_numeric(column) { whole } else { word });
        most.push(whole);
    }
    let (needed, wanted): (f32, f32) = (least.iter().sum(), most.iter().sum());
    if wanted <= room {
        return most;
    }
    if needed >= room {
        return least.iter().map(|width| width * room / needed).collect();
    }
    // Long texts share what is left, each by the root of its length, so that none takes it all.
    let roots: Vec<f32> = least.iter().zip(&most).map(|(least, most)| (most - least).max(0.0).sqrt()).collect();
    let share = (room - needed) / roots.iter().sum::<f32>().max(1.0);
    least.iter().zip(&most).zip(roots).map(|((least, most), root)| (least + root * share).min(*most)).collect()
}

/// Writes a row; one that does not fit goes to the next sheet whole, and only one that fits no sheet is parted.
fn write_row(sheets: &mut Sheets, columns: &[Column], cells: &[String], face: Face, head: &mut dyn FnMut(&mut Sheets)) {
    const LINE: f32 = CELL * 1.2;
    let cells: Vec<Vec<String>> =
        cells.iter().zip(columns).map(|(cell, column)| font::wrap(cell, face, CELL, column.width)).collect();
    let lines = cells.iter().map(Vec::len).max().unwrap_or_default();
    if sheets.is_short_of(LINE * lines.min(40) as f32 + 4.0) {
        sheets.turn();
        head(sheets);
    }
    sheets.space(2.0);
    for line in 0..lines {
        if sheets.is_short_of(LINE) {
            sheets.turn();
        }
        sheets.space(LINE);
        let y = sheets.y() + 2.0;
        for (cell, column) in cells.iter().zip(columns) {
            let Some(text) = cell.get(line) else { continue };
            let x = match column.numeric {
                true => column.x + column.width - font::width(text, face, CELL),
                false => column.x,
            };
            sheets.line_at(x, y, face, CELL, text);
        }
    }
}

fn write_chart(sheets: &mut Sheets, title: &str, drawing: &Drawing) {
    let scale = WITHIN / drawing.width;
    sheets.keep(drawing.height * scale + 24.0);
    sheets.space(6.0);
    sheets.text(title, Face::Bold, BODY, LEFT, WITHIN);
    let top = sheets.y() - 2.0;
    let place = |(x, y): (f32, f32)| (LEFT + x * scale, top - y * scale);
    for shape in &drawing.shapes {
        match shape {
            Shape::Rect { x, y, width, height, fill } => {
                let (left, bottom) = place((*x, y + height));
                let grey = match fill {
                    Fill::Dark => 0.13,
                    Fill::Light => 1.0,
                    Fill::None => 0.87,
                };
                sheets.filled(left, bottom, width * scale, height * scale, grey);
            }
            Shape::Line { from, to, style } => {
                let (grey, dashed) = match style {
                    Style::Thin => (0.13, false),
                    Style::Faint => (0.8, false),
                    Style::Dashed => (0.13, true),
                };
                sheets.stroke(place(*from), place(*to), grey, dashed);
            }
            Shape::Text { x, y, anchor, text } => {
                let size = TEXT * scale;
                let width = font::width(text, Face::Plain, size);
                let (left, baseline) = place((*x, *y));
                let left = match anchor {
                    Anchor::Start => left,
                    Anchor::Middle => left - width / 2.0,
                    Anchor::End => left - width,
                };
                sheets.line_at(left, baseline, Face::Plain, size, text);
            }
        }
    }
    sheets.space(drawing.height * scale + 6.0);
}

/// Puts the sheets together.
fn finish(contents: Vec<Content>, page: &Page) -> Vec<u8> {
    let mut next = 1;
    let mut id = || {
        let id = Ref::new(next);
        next += 1;
        id
    };
    let (catalog, tree, info, plain, bold) = (id(), id(), id(), id(), id());
    let sheets: Vec<_> = contents.into_iter().map(|content| (id(), id(), content)).collect();
    let mut pdf = Pdf::new();
    let mut of = pdf.catalog(catalog);
    of.pages(tree).lang(TextStr(page.lang));
    of.viewer_preferences().display_doc_title(true);
    of.finish();
    let title = format!("{} – {}", page.title, page.subtitle);
    pdf.document_info(info).title(TextStr(&title)).keywords(TextStr(&page.made_from));
    let count = i32::try_from(sheets.len()).unwrap_or(i32::MAX);
    pdf.pages(tree).kids(sheets.iter().map(|(sheet, _, _)| *sheet)).count(count);
    for (face, id) in [(Face::Plain, plain), (Face::Bold, bold)] {
        let mut font = pdf.type1_font(id);
        font.base_font(Name(face.name().as_bytes())).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    let many = sheets.len();
    for (number, (sheet, stream, mut content)) in sheets.into_iter().enumerate() {
        let foot = font::encode(&format!("{} – {} / {many}", page.subtitle, number + 1));
        content.begin_text().set_font(Name(b"F1"), 7.0).set_text_matrix([1.0, 0.0, 0.0, 1.0, LEFT, 22.0]);
        content.show(Str(&foot)).end_text();
        let mut of = pdf.page(sheet);
        of.parent(tree).media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).contents(stream);
        let mut resources = of.resources();
        resources.fonts().pair(Name(b"F1"), plain).pair(Name(b"F2"), bold);
        resources.finish();
        of.finish();
        pdf.stream(stream, content.finish().as_slice());
    }
    pdf.finish()
}
