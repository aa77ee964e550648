//! `cargo xtask picture`: the picture of README, made from what `memsweep demo` really prints.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};

use crate::ground::Ground;

/// Where the picture lives.
const PICTURE: &str = "docs/demo.svg";
/// Lines shown: the table of what is open, and the first things to do.
const LINES_MAX: usize = 44;
const CHARACTER_WIDTH_PX: f64 = 7.8;
const LINE_HEIGHT_PX: f64 = 18.0;
const MARGIN_PX: f64 = 16.0;

/// Runs the demo and draws its first lines.
pub(crate) fn run(ground: &Ground) -> Result<()> {
    let output = ground
        .cargo(&["run", "--release", "--quiet", "--locked", "--", "demo"])
        .args(["--color", "always", "--lang", "en", "--quiet"])
        .output()
        .context("failed to run the demo")?;
    ensure!(
        output.status.success(),
        "the demo ended with {}",
        output.status
    );
    let text = String::from_utf8(output.stdout).context("the demo printed no UTF-8")?;
    let path = ground.path(PICTURE);
    std::fs::write(&path, draw(&text))
        .with_context(|| format!("failed to write {}", path.display()))
}

/// Draws text with ANSI styles as SVG.
fn draw(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| {
            !CALM
                .iter()
                .any(|word| plain(line).trim_start().starts_with(word))
        })
        .take(LINES_MAX)
        .collect();
    let columns = lines
        .iter()
        .map(|line| plain(line).chars().count())
        .max()
        .unwrap_or(0);
    let width = columns as f64 * CHARACTER_WIDTH_PX + 2.0 * MARGIN_PX;
    let height = lines.len() as f64 * LINE_HEIGHT_PX + 2.0 * MARGIN_PX;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1c1f26\"/>\n"
    );
    for (number, line) in lines.iter().enumerate() {
        let y = MARGIN_PX + (number as f64 + 0.75) * LINE_HEIGHT_PX;
        let _ = writeln!(
            svg,
            "<text x=\"{MARGIN_PX}\" y=\"{y:.1}\" fill=\"#d8dee9\" xml:space=\"preserve\">{}</text>",
            spans(line)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Rows of the table that are left out of the picture: nothing is wrong there.
const CALM: [&str; 3] = ["closed  ", "absent  ", "filtered  "];

/// One line as coloured spans.
fn spans(line: &str) -> String {
    let mut spans = String::new();
    for piece in line.split("\x1b[") {
        let (style, text) = match piece.split_once('m') {
            Some((codes, text)) if is_codes(codes) => (style(codes), text),
            _ => (String::new(), piece),
        };
        if !text.is_empty() {
            let _ = write!(spans, "<tspan{style}>{}</tspan>", escaped(text));
        }
    }
    spans
}

fn is_codes(codes: &str) -> bool {
    codes
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b';')
}

fn style(codes: &str) -> String {
    let mut style = String::new();
    for code in codes.split(';') {
        style.push_str(match code {
            "1" => " font-weight=\"bold\"",
            "2" => " fill=\"#7b8494\"",
            "31" => " fill=\"#ff6b6b\"",
            "32" => " fill=\"#8fd18f\"",
            "33" => " fill=\"#f0c674\"",
            "34" => " fill=\"#81a2ff\"",
            "35" => " fill=\"#d7a6ff\"",
            "36" => " fill=\"#7fd6e8\"",
            _ => "",
        });
    }
    style
}

/// The line without its styles.
fn plain(line: &str) -> String {
    line.split("\x1b[")
        .map(|piece| match piece.split_once('m') {
            Some((codes, text)) if is_codes(codes) => text,
            _ => piece,
        })
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_become_spans_and_text_stays_text() {
        let drawn = spans("\x1b[1;31m! exposed\x1b[0m  <10.0.0.1>");
        assert_eq!(
            drawn,
            "<tspan font-weight=\"bold\" fill=\"#ff6b6b\">! exposed</tspan>\
             <tspan>  &lt;10.0.0.1&gt;</tspan>"
        );
        assert_eq!(plain("\x1b[2mfaint\x1b[0m m"), "faint m");
    }
}
