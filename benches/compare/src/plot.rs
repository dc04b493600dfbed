//! A picture of a scenario: bars for the medians, lines from the best run to the worst.

use std::error::Error;
use std::path::Path;

use plotters::prelude::{
    Color, IntoDrawingArea, PathElement, RGBColor, Rectangle, SVGBackend, Text, TextStyle,
};
use plotters::style::IntoFont;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::short;
use crate::runner::{Figures, Outcome, Row};

const WIDTH: i32 = 860;
const LINE: i32 = 24;
/// Where bars start, and the longest one ends.
const FROM: i32 = 260;
const TO: i32 = 760;

const OURS: RGBColor = RGBColor(0x2f, 0x6f, 0xb5);
const OTHER: RGBColor = RGBColor(0xb4, 0xb8, 0xbf);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);

/// Writes the picture to this file.
pub(crate) fn write(outcome: &Outcome, file: &Path) -> Result<(), Box<dyn Error>> {
    let lines: usize = outcome.metrics.iter().map(|figures| shown(figures).count() + 2).sum();
    let height = LINE * i32::try_from(lines + 1)?;
    let backend = SVGBackend::new(file, (u32::try_from(WIDTH)?, u32::try_from(height)?));
    let area = backend.into_drawing_area();
    area.fill(&RGBColor(255, 255, 255))?;
    let text = |text: String, x: i32, y: i32, size: i32, at: HPos| {
        let style =
            TextStyle::from(("sans-serif", size).into_font()).color(&INK).pos(Pos::new(at, VPos::Center));
        Text::new(text, (x, y), style)
    };
    let mut y = LINE;
    for figures in &outcome.metrics {
        let title = match figures.unit {
            "" => format!("{}: {}", outcome.name, figures.metric),
            unit => format!("{}: {}, {unit}", outcome.name, figures.metric),
        };
        area.draw(&text(title, 12, y, 16, HPos::Left))?;
        y += LINE;
        let most = shown(figures).filter_map(|row| Some(row.spread?.max)).fold(f64::MIN_POSITIVE, f64::max);
        for row in shown(figures) {
            let Some(spread) = row.spread else { continue };
            let x = |figure: f64| FROM + pixels(figure / most);
            let color = if is_ours(row.contender, figures) { OURS } else { OTHER };
            area.draw(&text(row.contender.to_owned(), FROM - 8, y, 13, HPos::Right))?;
            area.draw(&Rectangle::new([(FROM, y - 8), (x(spread.median), y + 8)], color.filled()))?;
            area.draw(&PathElement::new([(x(spread.min), y), (x(spread.max), y)], INK.stroke_width(1)))?;
            area.draw(&text(short(spread.median), x(spread.max) + 8, y, 13, HPos::Left))?;
            y += LINE;
        }
        y += LINE;
    }
    area.present()?;
    Ok(())
}

/// Not everybody can do everything.
fn shown(figures: &Figures) -> impl Iterator<Item = &Row> {
    figures.rows.iter().filter(|row| row.spread.is_some_and(|spread| !spread.median.is_nan()))
}

fn is_ours(contender: &str, figures: &Figures) -> bool {
    contender.starts_with("queue,") || figures.rows.first().is_some_and(|first| first.contender == contender)
}

#[expect(clippy::cast_possible_truncation, reason = "a share of the width")]
fn pixels(share: f64) -> i32 {
    (share * f64::from(TO - FROM)).round() as i32
}
