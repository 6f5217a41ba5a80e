//! The chart: a bar a claim, by how much its bound is kept.

use std::{fs, path::Path};

use plotters::{
    prelude::{BitMapBackend, IntoDrawingArea, PathElement, Rectangle, Text},
    style::{
        BLACK, Color, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    Outcome,
    claims::{Bound, Claim},
    png,
    section::Section,
};

/// Debian's and Ubuntu's package fonts-dejavu-core.
const FONT: &str = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

const WIDTH: i32 = 1100;
const BAR: i32 = 22;
const TITLE: i32 = 44;
/// Where bars begin, and where those end that reach [`MOST`].
const BARS: (i32, i32) = (420, 900);
/// Bars are no longer than this many times their bound.
const MOST: f64 = 3.0;

const MET: RGBColor = RGBColor(46, 125, 50);
const MISSED: RGBColor = RGBColor(198, 40, 40);
const AIM: RGBColor = RGBColor(84, 110, 122);
const VOID: RGBColor = RGBColor(189, 189, 189);
const GREY: RGBColor = RGBColor(110, 110, 110);

/// Draws the sections' claims into a file.
pub fn draw(file: &Path, sections: &[Section]) -> Outcome<()> {
    let font = fs::read(FONT).map_err(|error| format!("{FONT}: {error}"))?;
    plotters::style::register_font("sans-serif", FontStyle::Normal, font.leak()).map_err(|_| "not a font")?;
    let rows: i32 = sections
        .iter()
        .map(|section| TITLE + BAR * section.claims.len() as i32)
        .sum();
    let size = (WIDTH as u32, (rows + 2 * TITLE) as u32);
    let mut pixels = vec![0; size.0 as usize * size.1 as usize * 3];
    paint(&mut pixels, size, sections).map_err(|error| format!("the chart: {error}"))?;
    Ok(fs::write(file, png::encode(&pixels, size)?)?)
}

fn paint(pixels: &mut [u8], size: (u32, u32), sections: &[Section]) -> Outcome<()> {
    let area = BitMapBackend::with_buffer(pixels, size).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let write = |text: &str, at: (i32, i32), side: HPos, size: i32, colour: &RGBColor| {
        let style = TextStyle::from(("sans-serif", size).into_font()).color(colour);
        let style = style.pos(Pos::new(side, VPos::Center));
        area.draw(&Text::new(text.to_owned(), at, style))
            .map_err(|error| failed(&error))
    };
    let black = RGBColor(BLACK.0, BLACK.1, BLACK.2);
    write(
        "listcache beside others: the line is the bound, right of it is better",
        (20, 26),
        HPos::Left,
        18,
        &black,
    )?;
    let mut y = TITLE;
    for section in sections {
        y += TITLE;
        write(section.title, (20, y - BAR / 2 - 4), HPos::Left, 16, &black)?;
        let top = y;
        for claim in &section.claims {
            let middle = y + BAR / 2;
            write(
                &claim.name.replace('`', ""),
                (BARS.0 - 10, middle),
                HPos::Right,
                13,
                &black,
            )?;
            let bar = Rectangle::new(
                [(BARS.0, y + 3), (x_of(claim.margin()), y + BAR - 3)],
                colour_of(claim).filled(),
            );
            area.draw(&bar).map_err(|error| failed(&error))?;
            let end = x_of(claim.margin()).max(x_of(1.0));
            write(&label(claim), (end + 8, middle), HPos::Left, 13, &GREY)?;
            y += BAR;
        }
        let bound = PathElement::new(
            vec![(x_of(1.0), top), (x_of(1.0), y)],
            ShapeStyle::from(&BLACK).stroke_width(2),
        );
        area.draw(&bound).map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))?;
    Ok(())
}

/// Where a bar ends that keeps its bound so well.
fn x_of(margin: f64) -> i32 {
    let part = margin.clamp(0.0, MOST) / MOST;
    BARS.0 + (f64::from(BARS.1 - BARS.0) * part) as i32
}

fn colour_of(claim: &Claim) -> &'static RGBColor {
    match (claim.void, claim.bound) {
        (Some(_), _) => &VOID,
        (None, Bound::Aim(_)) => &AIM,
        _ if claim.margin() >= 1.0 => &MET,
        _ => &MISSED,
    }
}

fn label(claim: &Claim) -> String {
    let more = if claim.margin() > MOST { "→ " } else { "" };
    let void = if claim.void.is_some() { ", void" } else { "" };
    format!("{more}{:.2} ({}{void})", claim.measured, claim.bound)
}
