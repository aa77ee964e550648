//! Networks as maps of their addresses, sixteen in a row. A sign in each cell says what the colour
//! says, and a title names the address.

use super::Document;
use super::markup::Markup;
use crate::digest::{Cells, Mark, Network};
use crate::words::grouped;

/// Width and height of a cell, and the room for the numbers beside and above, in pixels.
const CELL: u64 = 20;
const LEFT: u64 = 34;
const TOP: u64 = 16;
/// Cells in a row.
const COLUMNS: u64 = 16;

impl Document<'_> {
    pub(super) fn maps(&mut self) {
        let digest = self.digest;
        let (networks, left_out) = digest.subnets.shown();
        if networks.is_empty() {
            return;
        }
        self.section("addresses", "Map of addresses", "アドレスマップ");
        let words = digest.pick(
            "Each square is an address, sixteen in a row; the sign tells what the worst of its \
             endpoints is. An empty square gave no record.",
            "1 マスが 1 アドレスで、1 行に 16 個並びます。記号は、そのアドレスで最も深刻な\
             エンドポイントの判定です。空のマスには記録がありません。",
        );
        self.markup.element("p", &[], words);
        self.legend();
        self.markup.raw("<div class=\"maps\">\n");
        for (index, (network, cells)) in networks.iter().enumerate() {
            self.map(*network, cells, index);
        }
        self.markup.raw("</div>\n");
        if left_out > 0 {
            let count = grouped(left_out);
            let words = digest.pick(
                "Networks not shown here: ",
                "ここに示していないネットワーク：",
            );
            self.markup.element("p", &[], &format!("{words}{count}"));
        }
        self.end_of_section();
    }

    fn legend(&mut self) {
        self.markup.raw("<ul class=\"legend\">\n");
        for mark in Mark::ALL {
            let (en, ja) = mark.meaning();
            let meaning = self.digest.pick(en, ja);
            self.markup.open("li", &[]);
            self.markup.element(
                "span",
                &[("class", "mark"), ("data-mark", class(mark))],
                mark.sign(),
            );
            self.markup.raw(" ");
            self.markup.text(meaning);
            self.markup.close("li");
        }
        self.markup.raw("</ul>\n");
    }

    fn map(&mut self, network: Network, cells: &Cells, index: usize) {
        let digest = self.digest;
        let name = network.to_string();
        let counted = Mark::ALL.into_iter().filter_map(|mark| {
            let (en, ja) = mark.meaning();
            let count = cells.count(mark);
            (count > 0).then(|| format!("{}: {}", digest.pick(en, ja), grouped(count)))
        });
        let description = counted.collect::<Vec<_>>().join("; ");
        let squares: Vec<(u64, u64, Mark)> = match network {
            Network::V4(_) => cells
                .iter()
                .map(|(place, mark)| (place, place, mark))
                .collect(),
            // Most of a /64 is empty: what is there stands side by side.
            Network::V6(_) => (0..)
                .zip(cells.iter())
                .map(|(square, (place, mark))| (square, place, mark))
                .collect(),
        };
        let rows = match network {
            Network::V4(_) => COLUMNS,
            Network::V6(_) => (squares.len() as u64).div_ceil(COLUMNS),
        };
        self.markup.raw("<figure class=\"map\">");
        let (id, about) = (format!("m{index}"), format!("d{index}"));
        let markup = &mut self.markup;
        open_svg(
            markup,
            (LEFT + COLUMNS * CELL + 1, TOP + rows * CELL + 1),
            [&id, &about],
        );
        markup.element("title", &[("id", &id)], &name);
        markup.element("desc", &[("id", &about)], &description);
        if matches!(network, Network::V4(_)) {
            numbers(markup);
        }
        markup.empty("path", &[("class", "grid"), ("d", &grid(rows))]);
        for (square, place, mark) in squares {
            let (en, ja) = mark.meaning();
            let title = format!("{}: {}", network.address(place), digest.pick(en, ja));
            cell(markup, square, mark, &title);
        }
        markup.close("svg");
        markup.open("figcaption", &[]);
        markup.element("strong", &[], &name);
        markup.raw(" ");
        markup.text(&description);
        if cells.left_out() > 0 {
            let words = digest.pick("; not shown: ", "；表示外：");
            markup.text(&format!("{words}{}", grouped(cells.left_out())));
        }
        markup.close("figcaption");
        markup.close("figure");
    }
}

/// Opens a picture of this size, with the ids of its title and its description.
pub(super) fn open_svg(markup: &mut Markup, (width, height): (u64, u64), ids: [&str; 2]) {
    let view = format!("0 0 {width} {height}");
    let labels = ids.join(" ");
    markup.open(
        "svg",
        &[
            ("viewBox", &view),
            ("role", "img"),
            ("aria-labelledby", &labels),
        ],
    );
}

/// The last octets: of the first address of each row, and what each column adds.
fn numbers(markup: &mut Markup) {
    for index in 0..COLUMNS {
        let x = (LEFT + index * CELL + CELL / 2).to_string();
        let y = (TOP + index * CELL + 14).to_string();
        let (left, top) = ((LEFT - 5).to_string(), (TOP - 5).to_string());
        let column: &[(&'static str, &str)] = &[("class", "axis middle"), ("x", &x), ("y", &top)];
        markup.element("text", column, &index.to_string());
        let row: &[(&'static str, &str)] = &[("class", "axis end"), ("x", &left), ("y", &y)];
        markup.element("text", row, &format!(".{}", index * COLUMNS));
    }
}

/// The lines between the cells.
fn grid(rows: u64) -> String {
    let (width, height) = (COLUMNS * CELL, rows * CELL);
    let across = (0..=rows).map(|row| format!("M{LEFT} {}h{width}", TOP + row * CELL));
    let down = (0..=COLUMNS).map(|column| format!("M{} {TOP}v{height}", LEFT + column * CELL));
    across.chain(down).collect()
}

fn cell(markup: &mut Markup, square: u64, mark: Mark, title: &str) {
    let (x, y) = (
        LEFT + square % COLUMNS * CELL,
        TOP + square / COLUMNS * CELL,
    );
    let (left, top) = ((x + 1).to_string(), (y + 1).to_string());
    let side = (CELL - 2).to_string();
    markup.open("g", &[("data-mark", class(mark))]);
    markup.element("title", &[], title);
    markup.empty(
        "rect",
        &[
            ("x", &left),
            ("y", &top),
            ("width", &side),
            ("height", &side),
        ],
    );
    let (middle, base) = ((x + CELL / 2).to_string(), (y + 15).to_string());
    markup.element("text", &[("x", &middle), ("y", &base)], mark.sign());
    markup.close("g");
}

/// The word for a mark in the style sheet.
fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Alarm => "alarm",
        Mark::Exposed => "exposed",
        Mark::Unfinished => "unfinished",
        Mark::Protected => "protected",
        Mark::Decoy => "decoy",
        Mark::Other => "other",
        Mark::Shut => "shut",
    }
}
