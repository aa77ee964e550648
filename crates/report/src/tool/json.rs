//! Views as one JSON object: the server's own names, numbers as numbers, and no key for what the
//! server did not say. Always in English.

use model::StatsTable;
use serde_json::{Value, json};

use super::View;
use super::classes::{Class, Classes};
use super::connections::{Socket, peers, sockets, states};
use super::sizes::Sizes;
use crate::escape::escape_json;
use crate::values::{Object, items, set, set_some, set_statistic};

/// What the totals of `display` take from `stats`.
const TOTALS: [&str; 7] = [
    "curr_items",
    "bytes",
    "limit_maxbytes",
    "get_hits",
    "get_misses",
    "evictions",
    "reclaimed",
];

/// A view as one object over several lines.
pub(super) fn view(target: &str, view: &View<'_>) -> Vec<u8> {
    let mut object = Object::new();
    set(&mut object, "target", target);
    set(&mut object, "mode", view.mode());
    match view {
        View::Display {
            items,
            slabs,
            stats,
        } => display(&mut object, items, slabs, *stats),
        View::Stats(table) => set(&mut object, "stats", typed(table.iter())),
        View::Settings(table) => set(&mut object, "settings", typed(table.iter())),
        View::Items(table) => set(&mut object, "classes", items(table)),
        View::Slabs(table) => by_class(&mut object, table),
        View::Sizes(table) => histogram(&mut object, table),
        View::Conns { connections, full } => conns(&mut object, connections, *full),
    }
    let text = escape_json(&format!("{:#}", Value::Object(object)));
    format!("{text}\n").into_bytes()
}

/// An object on one line, its end included.
pub(super) fn line(object: Object) -> Vec<u8> {
    let text = escape_json(&Value::Object(object).to_string());
    format!("{text}\n").into_bytes()
}

/// Rows under their names, each as what it is; of equal names the first counts.
fn typed<'a>(rows: impl Iterator<Item = (&'a str, &'a str)>) -> Object {
    let mut object = Object::new();
    for (name, value) in rows {
        set_statistic(&mut object, name, value);
    }
    object
}

fn display(
    object: &mut Object,
    items: &StatsTable,
    slabs: &StatsTable,
    stats: Option<&StatsTable>,
) {
    let classes = Classes::of(Some(items), Some(slabs));
    let rows = classes.by_number.iter().map(|(number, class)| {
        let mut row = Object::new();
        set(&mut row, "class", *number);
        for (name, value) in class.slabs.iter().chain(&class.items) {
            set_statistic(&mut row, name, value);
        }
        derived(&mut row, class);
        Value::Object(row)
    });
    set(object, "classes", rows.collect::<Vec<Value>>());
    let mut totals = typed(classes.alone.iter().copied());
    if let Some(stats) = stats {
        for name in TOTALS {
            if let Some(value) = stats.text(name) {
                set_statistic(&mut totals, name, value);
            }
        }
    }
    set(object, "totals", totals);
}

/// What follows from a class's rows.
fn derived(row: &mut Object, class: &Class<'_>) {
    set_some(row, "memory_bytes", class.memory_bytes());
    let wasted = class
        .used_bytes()
        .zip(class.requested_bytes())
        .and_then(|(used, requested)| used.checked_sub(requested));
    set_some(row, "wasted_bytes", wasted);
    let full = class
        .slab_integer("used_chunks")
        .zip(class.slab_integer("total_chunks"))
        .map(|(used, total)| used == total);
    set_some(row, "full", full);
}

fn by_class(object: &mut Object, slabs: &StatsTable) {
    let classes = Classes::of(None, Some(slabs));
    let rows = classes.by_number.iter().map(|(number, class)| {
        let row = typed(class.slabs.iter().copied());
        (number.to_string(), Value::Object(row))
    });
    set(object, "classes", rows.collect::<Object>());
    set(object, "totals", typed(classes.alone.iter().copied()));
}

fn histogram(object: &mut Object, table: &StatsTable) {
    let sizes = Sizes::of(table);
    let rows = sizes
        .items_by_size
        .iter()
        .map(|(size_bytes, items)| json!({ "size_bytes": size_bytes, "items": items }));
    set(object, "sizes", rows.collect::<Vec<Value>>());
    for (name, value) in sizes.words {
        set_statistic(object, name, value);
    }
}

fn conns(object: &mut Object, table: &StatsTable, full: bool) {
    let sockets = sockets(table);
    let doors = sockets.iter().filter(|socket| socket.is_listening());
    let doors = doors.filter_map(|socket| socket.address.map(Value::from));
    set(object, "listening", doors.collect::<Vec<Value>>());
    let states = states(&sockets)
        .into_iter()
        .map(|(state, count)| (state.to_owned(), Value::from(count)));
    set(object, "states", states.collect::<Object>());
    let mut kinds = Object::new();
    for (kind, share) in peers(&sockets) {
        let mut row = Object::new();
        set(&mut row, "connections", share.connections);
        if !share.addresses.is_empty() {
            set(&mut row, "addresses", share.addresses.len());
        }
        set_some(&mut row, "idle_s_max", share.idle_s_max);
        set(&mut kinds, kind, row);
    }
    set(object, "peers", kinds);
    if full {
        let rows = sockets.iter().filter(|socket| !socket.is_listening());
        set(
            object,
            "connections",
            rows.map(connection).collect::<Vec<Value>>(),
        );
    }
}

fn connection(socket: &Socket<'_>) -> Value {
    let mut row = Object::new();
    set_statistic(&mut row, "descriptor", socket.descriptor);
    set_some(&mut row, "addr", socket.address);
    set_some(&mut row, "state", socket.state);
    set_some(&mut row, "idle_s", socket.idle_s);
    Value::Object(row)
}
