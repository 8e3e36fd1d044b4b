//! HTML: one file without scripts and without anything from elsewhere, for screens of any width and for paper.

use std::fmt::Write as _;

use super::chart::{Anchor, Drawing, Fill, Shape, Style, TEXT};
use super::page::{Block, Cell, Page, Table};
use super::texts::Texts;

/// Nothing is loaded, whatever a name says.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Texts of so many characters at most are not broken.
const SHORT: usize = 21;

pub(super) fn write(page: &Page, texts: &Texts) -> String {
    let mut out = String::new();
    let title = escaped(&format!("{} – {}", page.title, page.subtitle));
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"made-from\" content=\"{}\">\n<title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<h1>{}</h1>\n<p>{}</p>\n</header>\n",
        page.lang,
        escaped(&page.made_from),
        include_str!("page.css"),
        escaped(&page.title),
        escaped(&page.subtitle)
    );
    page.blocks.iter().for_each(|block| write_block(block, texts, &mut out));
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn write_block(block: &Block, texts: &Texts, out: &mut String) {
    let _ = match block {
        Block::Heading(text) => writeln!(out, "<h2>{}</h2>", escaped(text)),
        Block::Text(text) => writeln!(out, "<p><bdi>{}</bdi></p>", escaped(text)),
        Block::Notice(text) => writeln!(out, "<p class=\"notice\"><bdi>{}</bdi></p>", escaped(text)),
        Block::List(items) => {
            let items: Vec<_> = items.iter().map(|item| format!("<li>{}</li>", escaped(item))).collect();
            writeln!(out, "<ul>{}</ul>", items.join("\n"))
        }
        Block::Figures(figures) => {
            let figure = |(value, name): &(String, String)| {
                format!("<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value))
            };
            writeln!(out, "<dl class=\"figures\">{}</dl>", figures.iter().map(figure).collect::<Vec<_>>().join("\n"))
        }
        Block::Table(table) => {
            write_table(table, texts, out);
            Ok(())
        }
        Block::Chart { title, drawing } => writeln!(
            out,
            "<figure><figcaption>{0}</figcaption><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{0}\">{1}</div>\
             </figure>",
            escaped(title),
            svg(title, drawing)
        ),
    };
}

fn write_table(table: &Table, texts: &Texts, out: &mut String) {
    let class = |column: usize| if table.is_numeric(column) { " class=\"n\"" } else { "" };
    let _ = writeln!(out, "<h3>{}</h3>", escaped(&table.title));
    if table.rows.is_empty() {
        let _ = writeln!(out, "<p>{}</p>", escaped(texts.none));
        return;
    }
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>\n<thead><tr>",
        escaped(&table.title)
    );
    for (column, head) in table.heads.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(column), escaped(head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _ = match cell {
                Cell::Number(number) => write!(out, "<td{}>{}</td>", class(column), texts.number(*number)),
                Cell::Text(text) => {
                    let text = escaped(text);
                    match text.chars().count() <= SHORT {
                        true => write!(out, "<td class=\"s\"><bdi>{text}</bdi></td>"),
                        false => write!(out, "<td><bdi>{}</bdi></td>", breakable(&text)),
                    }
                }
            };
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
}

/// Lets long names be broken behind their dots.
fn breakable(text: &str) -> String {
    text.replace('.', ".<wbr>")
}

fn svg(title: &str, drawing: &Drawing) -> String {
    let Drawing { width, height, shapes, description } = drawing;
    let mut out = format!(
        "<svg viewBox=\"0 0 {width:.1} {height:.1}\" role=\"img\" font-family=\"sans-serif\" font-size=\"{TEXT:.1}\">\
         <title>{}</title><desc>{}</desc>",
        escaped(title),
        escaped(description)
    );
    for shape in shapes {
        let _ = match shape {
            Shape::Rect { x, y, width, height, fill } => {
                let fill = match fill {
                    Fill::Dark => "#222",
                    Fill::Light => "#fff",
                    Fill::None => "#ddd",
                };
                write!(
                    out,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
                     stroke=\"#222\" stroke-width=\"0.7\"/>"
                )
            }
            Shape::Line { from, to, style } => {
                let style = match style {
                    Style::Thin => "stroke=\"#222\" stroke-width=\"0.7\"",
                    Style::Faint => "stroke=\"#ccc\" stroke-width=\"0.7\"",
                    Style::Dashed => "stroke=\"#222\" stroke-width=\"1.2\" stroke-dasharray=\"4 3\"",
                };
                let ((x1, y1), (x2, y2)) = (from, to);
                write!(out, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>")
            }
            Shape::Text { x, y, anchor, text } => {
                let anchor = match anchor {
                    Anchor::Start => "start",
                    Anchor::Middle => "middle",
                    Anchor::End => "end",
                };
                write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text))
            }
        };
    }
    out.push_str("</svg>");
    out
}

/// Returns a text that is markup neither between tags nor in an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
