//! Charts as plain shapes, so that one drawing becomes SVG and PDF alike. Told apart by pattern, so that they can be read
//! in black and white.
//!
//! Not by a library of charts: those that were looked at draw SVG or pixels, and a PDF of them would need a whole renderer of
//! SVG besides, for two kinds of bars.

/// Shapes on a surface whose top left corner is 0, 0.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drawing {
    pub(super) width: f32,
    pub(super) height: f32,
    pub(super) shapes: Vec<Shape>,
    /// What the drawing says, for those who cannot see it.
    pub(super) description: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Rect { x: f32, y: f32, width: f32, height: f32, fill: Fill },
    Line { from: (f32, f32), to: (f32, f32), style: Style },
    Text { x: f32, y: f32, anchor: Anchor, text: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fill {
    Dark,
    Light,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Thin,
    Faint,
    Dashed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The size of texts in a drawing.
pub(super) const TEXT: f32 = 11.0;
const WIDTH: f32 = 680.0;

/// What one bar is made of: withheld, let through, kept.
pub(super) type Parts = [u64; 3];

fn rect(shapes: &mut Vec<Shape>, (x, y): (f32, f32), (width, height): (f32, f32), part: usize) {
    if width < 0.01 || height < 0.01 {
        return;
    }
    let fill = [Fill::Dark, Fill::Light, Fill::None][part.min(2)];
    shapes.push(Shape::Rect { x, y, width, height, fill });
    if part == 1 {
        hatch(shapes, (x, y), (width, height));
    }
}

/// Draws diagonals inside a rectangle.
fn hatch(shapes: &mut Vec<Shape>, (x, y): (f32, f32), (width, height): (f32, f32)) {
    let mut offset = 4.0;
    while offset < width + height {
        // The diagonal from the left or lower edge to the upper or right one.
        let start = (x + (offset - height).max(0.0), y + offset.min(height));
        let end = (x + offset.min(width), y + (offset - width).max(0.0));
        shapes.push(Shape::Line { from: start, to: end, style: Style::Thin });
        offset += 4.0;
    }
}

fn text(shapes: &mut Vec<Shape>, (x, y): (f32, f32), anchor: Anchor, text: impl Into<String>) {
    shapes.push(Shape::Text { x, y, anchor, text: text.into() });
}

/// Draws what the patterns mean.
fn legend(shapes: &mut Vec<Shape>, y: f32, names: &[&str]) {
    let mut x = 60.0;
    for (part, name) in names.iter().enumerate() {
        rect(shapes, (x, y - 9.0), (14.0, 10.0), part);
        text(shapes, (x + 19.0, y), Anchor::Start, *name);
        x += 40.0 + name.chars().count() as f32 * 6.0;
    }
}

/// Returns the least of 1, 2 or 5 times a power of ten that is not below `most`.
fn nice(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let top = power.saturating_mul(step);
            if top >= most.max(1) {
                return top;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// Bars beside each other, each of parts on top of each other, with lines at `marks`: places between bars, counted in bars.
pub(super) fn columns(
    bars: &[(String, Parts)],
    marks: &[(f32, String)],
    names: &[&str],
    number: &dyn Fn(u64) -> String,
    description: String,
) -> Drawing {
    const TOP: f32 = 24.0;
    const BOTTOM: f32 = 190.0;
    const LEFT: f32 = 60.0;
    let most = nice(bars.iter().map(|(_, parts)| sum(parts)).max().unwrap_or_default());
    let scale = (BOTTOM - TOP) / most as f32;
    let step = (WIDTH - LEFT - 10.0) / bars.len().max(1) as f32;
    let mut shapes = Vec::new();
    for quarter in 0..=4_u16 {
        let y = BOTTOM - (BOTTOM - TOP) * f32::from(quarter) / 4.0;
        let style = if quarter == 0 { Style::Thin } else { Style::Faint };
        shapes.push(Shape::Line { from: (LEFT, y), to: (WIDTH - 10.0, y), style });
        if quarter % 2 == 0 && (most > 1 || quarter != 2) {
            text(&mut shapes, (LEFT - 6.0, y + 4.0), Anchor::End, number(most * u64::from(quarter) / 4));
        }
    }
    for (place, (_, parts)) in bars.iter().enumerate() {
        let (x, mut y) = (LEFT + step * place as f32 + step * 0.1, BOTTOM);
        for (part, count) in parts.iter().enumerate() {
            let height = *count as f32 * scale;
            y -= height;
            rect(&mut shapes, (x, y), (step * 0.8, height), part);
        }
    }
    let shown = |place: &usize| *place < bars.len();
    for place in [0, bars.len() / 2, bars.len().saturating_sub(1)].iter().filter(|place| shown(place)) {
        let x = LEFT + step * (*place as f32 + 0.5);
        // Labels of few bars would cover each other.
        if *place == 0 || bars.len() > 4 || (bars.len() > 1 && *place == bars.len() - 1) {
            let anchor = if *place + 1 == bars.len() && bars.len() > 8 { Anchor::End } else { Anchor::Middle };
            let x = if anchor == Anchor::End { x + step * 0.5 } else { x };
            text(&mut shapes, (x, BOTTOM + 16.0), anchor, bars[*place].0.clone());
        }
    }
    for (place, name) in marks {
        let x = LEFT + step * place;
        shapes.push(Shape::Line { from: (x, TOP - 8.0), to: (x, BOTTOM), style: Style::Dashed });
        if !name.is_empty() {
            text(&mut shapes, (x, TOP - 11.0), Anchor::Middle, name.clone());
        }
    }
    legend(&mut shapes, BOTTOM + 38.0, names);
    Drawing { width: WIDTH, height: BOTTOM + 46.0, shapes, description }
}

/// Bars below each other, each of parts beside each other.
pub(super) fn rows(
    bars: &[(String, Parts)],
    names: &[&str],
    number: &dyn Fn(u64) -> String,
    description: String,
) -> Drawing {
    const LEFT: f32 = 170.0;
    const ROW: f32 = 20.0;
    let most = bars.iter().map(|(_, parts)| sum(parts)).max().unwrap_or_default().max(1);
    let scale = (WIDTH - LEFT - 90.0) / most as f32;
    let mut shapes = Vec::new();
    for (place, (name, parts)) in bars.iter().enumerate() {
        let (mut x, y) = (LEFT, 4.0 + ROW * place as f32);
        text(&mut shapes, (LEFT - 8.0, y + 11.0), Anchor::End, shortened(name));
        for (part, count) in parts.iter().enumerate() {
            let width = *count as f32 * scale;
            rect(&mut shapes, (x, y), (width, ROW - 6.0), part);
            x += width;
        }
        text(&mut shapes, (x + 6.0, y + 11.0), Anchor::Start, number(sum(parts)));
    }
    let bottom = 4.0 + ROW * bars.len() as f32;
    shapes.push(Shape::Line { from: (LEFT, 0.0), to: (LEFT, bottom), style: Style::Thin });
    legend(&mut shapes, bottom + 18.0, names);
    Drawing { width: WIDTH, height: bottom + 26.0, shapes, description }
}

fn sum(parts: &Parts) -> u64 {
    parts.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(24) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (most, top) in [(0, 1), (1, 1), (3, 5), (6, 10), (11, 20), (201, 500), (u64::MAX, u64::MAX)] {
            assert_eq!(nice(most), top, "{most}");
        }
    }

    #[test]
    fn a_hatch_stays_inside_its_rectangle() {
        for (width, height) in [(3.0, 90.0), (90.0, 3.0), (40.0, 40.0), (0.5, 0.5)] {
            let mut shapes = Vec::new();
            hatch(&mut shapes, (10.0, 20.0), (width, height));
            for shape in &shapes {
                let Shape::Line { from, to, .. } = shape else { panic!("{shape:?}") };
                for (x, y) in [from, to] {
                    assert!((10.0..=10.0 + width).contains(x) && (20.0..=20.0 + height).contains(y), "{shape:?}");
                }
            }
        }
    }
}
