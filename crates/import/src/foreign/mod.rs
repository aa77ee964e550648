//! What other tools saw, in our words.
//!
//! A file is [recognised](recognise) by its first bytes. An [`Importer`] is then fed the rest, in
//! pieces of any size, and gives an observation at a time: how the file is cut does not matter, and
//! what is kept in memory is no more than the one record that is not whole yet. Everything in such a
//! file is data of somebody else. Records about other things than memcached are counted and passed
//! over; a record about memcached that cannot be read is an error, so that nothing is lost unseen.

mod lines;
mod markup;
mod objects;
pub(crate) mod rows;
mod unpack;

mod json;
mod moments;
mod reply;
mod sink;

mod recognise;

mod binaryedge;
mod censys;
mod grepable;
mod masscan;
mod nmap;
mod shadowserver;
mod shodan;
mod zgrab;
mod zmap;

use std::fmt;

use json::Object;
use lines::Lines;
use markup::Markup;
use objects::Objects;
use rows::{Row, Rows};
use sink::{Ended, Sink};
use unpack::Unpacker;

use crate::ImportError;

pub use recognise::{Kind, RECOGNISE_BYTES, Recognised, recognise};
pub use sink::{Foreign, Tally};

/// Reads a file of another tool, in pieces.
pub struct Importer {
    unpacker: Option<Unpacker>,
    content: Content,
}

/// What is inside of the packing.
struct Content {
    kind: Kind,
    tally: Tally,
    reader: Reader,
}

/// How it is cut into records.
enum Reader {
    Lines(Lines),
    Objects(Objects),
    Zmap(Rows, Option<zmap::Columns>),
    Shadowserver(Rows, Option<shadowserver::Columns>),
    Markup(Markup, Box<nmap::Document>),
}

impl fmt::Debug for Importer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Importer")
            .field("kind", &self.content.kind)
            .field("tally", &self.content.tally)
            .finish_non_exhaustive()
    }
}

impl Importer {
    /// A reader of such a file; `None` for memsweep's own, which [`crate::read_line`] reads whole.
    pub fn new(recognised: Recognised) -> Option<Importer> {
        let reader = match recognised.kind {
            Kind::Memsweep => return None,
            Kind::NmapXml | Kind::MasscanXml => Reader::Markup(Markup::default(), Box::default()),
            Kind::NmapGrepable | Kind::MasscanGrepable | Kind::MasscanList => {
                Reader::Lines(Lines::default())
            }
            Kind::MasscanJson
            | Kind::ZmapJson
            | Kind::Zgrab
            | Kind::Shodan
            | Kind::Censys
            | Kind::BinaryEdge => Reader::Objects(Objects::default()),
            Kind::ZmapCsv => Reader::Zmap(Rows::new(), None),
            Kind::Shadowserver => Reader::Shadowserver(Rows::new(), None),
        };
        Some(Importer {
            unpacker: recognised.is_gzip.then(Unpacker::new),
            content: Content {
                kind: recognised.kind,
                tally: Tally::default(),
                reader,
            },
        })
    }

    /// Reads a piece of the file, and gives what is whole. After an error the importer is of no more
    /// use, and what it gave should be given up too.
    pub fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Foreign)) -> Result<(), ImportError> {
        let Importer { unpacker, content } = self;
        match unpacker {
            None => content.feed(bytes, each),
            Some(unpacker) => unpacker.feed(bytes, &mut |piece| content.feed(piece, each)),
        }
    }

    /// The file is at its end. What is left is read as far as it can be.
    pub fn finish(self, each: &mut dyn FnMut(Foreign)) -> Result<Tally, ImportError> {
        let Importer {
            unpacker,
            mut content,
        } = self;
        let packing = match unpacker {
            None => Ended::Whole,
            Some(unpacker) => unpacker.finish(&mut |piece| content.feed(piece, each))?,
        };
        let mut tally = content.finish(each)?;
        tally.is_torn |= packing == Ended::Torn;
        Ok(tally)
    }
}

impl Content {
    fn feed(&mut self, bytes: &[u8], each: &mut dyn FnMut(Foreign)) -> Result<(), ImportError> {
        // Nothing is not the end: readers may come by it, and so does the unpacker.
        if bytes.is_empty() {
            return Ok(());
        }
        self.tally.bytes += bytes.len() as u64;
        let kind = self.kind;
        let mut sink = Sink {
            source: kind.source(),
            tally: &mut self.tally,
            each,
        };
        match &mut self.reader {
            Reader::Lines(lines) => lines.feed(bytes, &mut |number, line| {
                read_line(kind, number, line, &mut sink)
            }),
            Reader::Objects(objects) => objects.feed(bytes, &mut |number, text| {
                read_object(kind, number, text, &mut sink)
            }),
            Reader::Zmap(rows, columns) => rows.feed(bytes, &mut |heading, row| {
                read_zmap(columns, heading, row, &mut sink)
            }),
            Reader::Shadowserver(rows, columns) => rows.feed(bytes, &mut |heading, row| {
                read_shadowserver(columns, heading, row, &mut sink)
            }),
            Reader::Markup(markup, document) => {
                markup.feed(bytes, &mut |token| document.token(token, &mut sink))
            }
        }
    }

    fn finish(mut self, each: &mut dyn FnMut(Foreign)) -> Result<Tally, ImportError> {
        let kind = self.kind;
        let mut sink = Sink {
            source: kind.source(),
            tally: &mut self.tally,
            each,
        };
        let ended = match self.reader {
            Reader::Lines(lines) => {
                lines.finish(&mut |number, line| read_line(kind, number, line, &mut sink))
            }
            Reader::Objects(objects) => objects.finish(),
            Reader::Zmap(rows, mut columns) => {
                rows.finish(&mut |heading, row| read_zmap(&mut columns, heading, row, &mut sink))?
            }
            Reader::Shadowserver(rows, mut columns) => rows.finish(&mut |heading, row| {
                read_shadowserver(&mut columns, heading, row, &mut sink)
            })?,
            Reader::Markup(markup, _) => markup.finish(),
        };
        self.tally.is_torn = ended == Ended::Torn;
        Ok(self.tally)
    }
}

fn read_line(kind: Kind, number: u64, line: &[u8], sink: &mut Sink<'_>) -> Result<(), ImportError> {
    match kind {
        Kind::MasscanList => masscan::list_line(number, line, sink),
        _ => grepable::line(number, line, sink),
    }
}

fn read_object(kind: Kind, line: u64, text: &[u8], sink: &mut Sink<'_>) -> Result<(), ImportError> {
    if kind == Kind::MasscanJson && masscan::FINISHED.contains(&text) {
        return Ok(());
    }
    let object = Object::parse(line, text)?;
    match kind {
        Kind::MasscanJson => masscan::object(&object, sink),
        Kind::ZmapJson => zmap::object(&object, sink),
        Kind::Zgrab => zgrab::object(&object, sink),
        Kind::Shodan => shodan::object(&object, sink),
        Kind::BinaryEdge => binaryedge::object(&object, sink),
        _ => censys::object(&object, sink),
    }
}

fn read_zmap(
    columns: &mut Option<zmap::Columns>,
    heading: &[String],
    row: Row<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let columns = match columns {
        Some(columns) => *columns,
        None => *columns.insert(zmap::Columns::of(heading)?),
    };
    zmap::row(columns, row, sink)
}

fn read_shadowserver(
    columns: &mut Option<shadowserver::Columns>,
    heading: &[String],
    row: Row<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), ImportError> {
    let columns = match columns {
        Some(columns) => &*columns,
        None => columns.insert(shadowserver::Columns::of(heading)?),
    };
    shadowserver::row(columns, row, sink)
}
