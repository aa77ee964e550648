//! Tests of the whole room: laws on made-up bytes, and the recorded replies of real servers.

mod laws;
mod listings;
mod real_servers;
mod transcripts;
mod wall;

use crate::{AsciiAnomalies, AsciiDecoder, AsciiEvent, BinaryDecoder, BinaryEvent};

/// Decodes text that came in these pieces, fetching events after each piece.
fn decode_ascii<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<AsciiEvent>, AsciiAnomalies) {
    let mut decoder = AsciiDecoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        events.extend(std::iter::from_fn(|| decoder.next_event()));
    }
    (events, decoder.anomalies())
}

/// Decodes binary packets that came in these pieces; also gives the bytes left over.
fn decode_binary<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<BinaryEvent>, usize) {
    let mut decoder = BinaryDecoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        events.extend(std::iter::from_fn(|| decoder.next_event()));
    }
    (events, decoder.pending_bytes())
}
