//! The bars, as SVG.

use std::fmt::Write;

use super::figures::Row;
use super::measure::Point;

const WIDTH: usize = 860;
const NAMES: usize = 190;
/// Room for the figure behind the longest bar.
const FIGURES: usize = 210;
const ROW: usize = 24;
const HEADING: usize = 46;
const LEGEND: usize = 40;

/// Draws the cost of each relay under each load: process and arrival, on one scale.
pub fn draw(points: &[(Point, Vec<Row>)]) -> String {
    let rows = points.iter().flat_map(|(_, rows)| rows);
    let costs = rows.filter_map(|row| row.outcome.as_ref().ok()).map(|row| row.cost_us.median);
    let longest = costs.fold(1.0, f64::max);
    let scale = (WIDTH - NAMES - FIGURES) as f64 / longest;
    let count: usize = points.iter().map(|(_, rows)| rows.len()).sum();
    let height = LEGEND + points.len() * HEADING + count * ROW + 16;

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Cost a relayed packet</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <rect x=\"{NAMES}\" y=\"16\" width=\"12\" height=\"12\" fill=\"#2b6cb0\"/>\
         <text x=\"{}\" y=\"27\">process, µs a packet</text>\n\
         <rect x=\"{}\" y=\"16\" width=\"12\" height=\"12\" fill=\"#dd8a3c\"/>\
         <text x=\"{}\" y=\"27\">arriving packets in the kernel</text>\n",
        NAMES + 18,
        NAMES + 180,
        NAMES + 198
    );
    let mut y = LEGEND;
    for (point, rows) in points {
        let Point { calls, rate } = point;
        let _ = writeln!(
            out,
            "<text x=\"16\" y=\"{}\" font-weight=\"bold\">{calls} calls, {rate} packets a second \
             each way</text>",
            y + 30
        );
        y += HEADING;
        for row in rows {
            draw_row(row, y, scale, &mut out);
            y += ROW;
        }
    }
    out += "</svg>\n";
    out
}

fn draw_row(row: &Row, y: usize, scale: f64, out: &mut String) {
    let text_y = y + 14;
    let _ = write!(
        out,
        "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{}</text>",
        NAMES - 8,
        row.peer.name()
    );
    let _ = match &row.outcome {
        Err(_) => {
            writeln!(out, "<text x=\"{NAMES}\" y=\"{text_y}\" fill=\"#777\">not measured</text>")
        }
        Ok(figures) => {
            // Noise can make a small difference negative; a bar cannot be.
            let process = (figures.process_us.median * scale).max(0.0);
            let arriving = (figures.arriving_us.median * scale).max(0.0);
            let start = NAMES as f64 + process;
            let ratio = figures.ratio.map_or_else(String::new, |ratio| format!(", {ratio:.2} ×"));
            let lost = if figures.lost > 0 { ", with loss" } else { "" };
            writeln!(
                out,
                "<rect x=\"{NAMES}\" y=\"{y}\" width=\"{process:.1}\" height=\"18\" \
                 fill=\"#2b6cb0\"/><rect x=\"{start:.1}\" y=\"{y}\" width=\"{arriving:.1}\" \
                 height=\"18\" fill=\"#dd8a3c\"/><text x=\"{:.1}\" y=\"{text_y}\">{:.2} µs{ratio}{lost}\
                 </text>",
                start + arriving + 8.0,
                figures.cost_us.median
            )
        }
    };
}

#[cfg(test)]
mod tests {
    use super::super::figures;
    use super::super::figures::tests::measured;
    use super::*;

    #[test]
    fn every_relay_has_a_bar_or_says_that_it_has_none() {
        let svg = draw(&figures::rows(&measured()));
        assert!(svg.contains(">12.00 µs, 1.00 ×</text>"), "{svg}");
        assert!(svg.contains(">6.00 µs, 0.50 ×</text>"), "{svg}");
        assert_eq!(svg.matches("not measured").count(), 1);
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        // The longest bar, 10 + 2 µs, ends where the figures begin.
        let end = (WIDTH - FIGURES) as f64;
        assert!(svg.contains(&format!("<text x=\"{:.1}\"", end + 8.0)), "{svg}");
    }

    #[test]
    fn a_picture_of_nothing_is_still_a_picture() {
        assert!(draw(&[]).starts_with("<svg"));
    }
}
