//! The bars, as SVG.

use std::fmt::Write;

use super::comparison::{Comparison, Figures, Row};

const WIDTH: usize = 820;
const NAMES: usize = 150;
const BAR: usize = 9;
const GAP: usize = 8;
const LEGEND: usize = 44;
/// MOS at the left end of the bars, and at the right.
const SCALE: (f64, f64) = (1.0, 4.5);

/// A playout: its name, its colour and its figures of a trace.
type Playout = (&'static str, &'static str, fn(&Row) -> Option<Figures>);

const PLAYOUTS: [Playout; 4] = [
    ("ours", "#2b6cb0", |row| Some(row.ours)),
    ("SpeexDSP", "#dd8a3c", |row| row.speexdsp),
    ("NetEQ", "#6b9e5b", |row| row.neteq),
    ("best fixed delay", "#b0b0b0", |row| row.fixed),
];

/// Draws the conversational quality of each playout on each trace.
pub fn draw(comparison: &Comparison) -> String {
    let shown: Vec<&Playout> = PLAYOUTS
        .iter()
        .filter(|(_, _, figures)| comparison.rows.iter().any(|row| figures(row).is_some()))
        .collect();
    let height = LEGEND + comparison.rows.len() * (shown.len() * BAR + GAP) + 8;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Conversational quality</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"25\">MOS-CQ</text>\n"
    );
    for (n, (name, colour, _)) in shown.iter().enumerate() {
        let x = NAMES + n * 150;
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"16\" width=\"12\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"25\">{name}</text>",
            x + 18
        );
    }
    let mut y = LEGEND;
    for row in &comparison.rows {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            NAMES - 8,
            y + shown.len() * BAR / 2 + 4,
            row.name
        );
        for (_, colour, figures) in &shown {
            if let Some(figures) = figures(row) {
                draw_bar(figures.mos_cq, y, colour, &mut out);
            }
            y += BAR;
        }
        y += GAP;
    }
    out += "</svg>\n";
    out
}

fn draw_bar(mos_cq: f64, y: usize, colour: &str, out: &mut String) {
    let share = ((mos_cq - SCALE.0) / (SCALE.1 - SCALE.0)).clamp(0.0, 1.0);
    let length = share * (WIDTH - NAMES - 60) as f64;
    let _ = writeln!(
        out,
        "<rect x=\"{NAMES}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{colour}\"/>\
         <text x=\"{:.1}\" y=\"{}\" font-size=\"9\">{mos_cq:.2}</text>",
        BAR - 1,
        NAMES as f64 + length + 4.0,
        y + BAR - 2
    );
}
