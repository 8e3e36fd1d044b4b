//! Look-ups over time on a page: a chart with the instants of prohibitions in it, what its letters stand for, and the figures.

use jiff::Timestamp;

use super::chart::{self, Parts};
use super::layout::{described, when};
use super::page::{Block, Cell, Table, plain};
use super::texts::{Texts, fill};

/// Instants nearer to each other than this, in parts of all bars, share one label.
const NEAR: f32 = 0.03;

/// What is shown over time.
pub(super) struct Timeline {
    pub(super) title: String,
    pub(super) bars: Vec<(String, Parts)>,
    /// What the parts of a bar are.
    pub(super) parts: [&'static str; 3],
    pub(super) marks: Vec<Marked>,
    /// The columns of the table.
    pub(super) heads: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// An instant at which something begins or ends.
pub(super) struct Marked {
    /// Where it is, counted in bars.
    pub(super) place: f32,
    pub(super) what: String,
    pub(super) begins: bool,
    pub(super) at: Timestamp,
}

impl Timeline {
    /// Returns the chart, a line of text for each instant that is marked, and the table.
    pub(super) fn blocks(self, texts: &Texts) -> Vec<Block> {
        let Self { title, bars, parts, marks, heads, rows } = self;
        let near = NEAR * bars.len() as f32;
        let mut labels: Vec<(f32, String)> = Vec::new();
        let mut shared = 0;
        for (number, mark) in marks.iter().enumerate() {
            let here = labels.len();
            match labels.get_mut(shared) {
                Some((place, label)) if (mark.place - *place).abs() < near => {
                    label.push_str(&letter(number));
                    labels.push((mark.place, String::new()));
                }
                Some(_) | None => {
                    shared = here;
                    labels.push((mark.place, letter(number)));
                }
            }
        }
        let drawing = chart::columns(&bars, &labels, &parts, &|number| texts.number(number), described(&bars));
        let mut blocks = vec![Block::Chart { title: title.clone(), drawing }];
        for (number, mark) in marks.iter().enumerate() {
            let does = if mark.begins { texts.begins } else { texts.ends };
            let line = fill(texts.trend_mark, &[&letter(number), &mark.what, does, &when(mark.at)]);
            blocks.push(Block::Text(plain(&line)));
        }
        blocks.push(Block::Table(Table { title, heads, rows }));
        blocks
    }
}

/// Returns what an instant is called in a chart: A to Z, and then A2 to Z2.
fn letter(number: usize) -> String {
    let letter = char::from(b'A' + u8::try_from(number % 26).unwrap_or_default());
    match number / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{}", round + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::Shape;

    fn drawn(places: &[f32]) -> (String, usize, usize) {
        let mark =
            |place: &f32| Marked { place: *place, what: "x".to_owned(), begins: true, at: Timestamp::UNIX_EPOCH };
        let of = Timeline {
            title: "t".to_owned(),
            bars: vec![("b".to_owned(), [1, 0, 0]); 50],
            parts: ["p", "q", "r"],
            marks: places.iter().map(mark).collect(),
            heads: vec![],
            rows: vec![],
        };
        let blocks = of.blocks(Texts::of("en").unwrap());
        let Block::Chart { drawing, .. } = &blocks[0] else { panic!() };
        let texts: Vec<_> = drawing
            .shapes
            .iter()
            .filter_map(|of| match of {
                Shape::Text { text, .. } if text.starts_with(|first: char| first.is_ascii_uppercase()) => {
                    Some(text.clone())
                }
                Shape::Text { .. } | Shape::Rect { .. } | Shape::Line { .. } => None,
            })
            .collect();
        let dashed = |of: &&Shape| matches!(of, Shape::Line { style: chart::Style::Dashed, .. });
        let lines = drawing.shapes.iter().filter(dashed).count();
        (texts.join(" "), lines, blocks.len() - 2)
    }

    #[test]
    fn instants_close_to_each_other_share_a_label_and_every_letter_is_told() {
        let many: Vec<f32> = (0..28).map(|place| place as f32 * 1.7).collect();
        for (places, labels) in [
            (&[][..], ""),
            (&[1.0, 20.0], "A B"),
            (&[1.0, 1.0, 20.0], "AB C"),
            (&[1.0, 2.0, 20.0, 20.0, 40.0], "AB CD E"),
            (&many, "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z A2 B2"),
        ] {
            assert_eq!(drawn(places), (labels.to_owned(), places.len(), places.len()));
        }
    }
}
