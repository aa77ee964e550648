//! Files of other tools: what is read of them, and what no file of anybody can do.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod files;
mod hostile;
mod laws;

use std::path::Path;

use assess::Host;
use import::{Foreign, ImportError, Importer, Kind, Recognised, Tally, recognise};
use model::{Judgement, Transport};

/// A file of `fixtures/imports`.
fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/imports");
    std::fs::read(Path::new(folder).join(name)).unwrap()
}

/// Reads a file that is fed in pieces of this size.
fn import(
    recognised: Recognised,
    bytes: &[u8],
    piece_bytes: usize,
) -> Result<(Vec<Foreign>, Tally), ImportError> {
    let mut importer = Importer::new(recognised).unwrap();
    let mut seen = Vec::new();
    for piece in bytes.chunks(piece_bytes.max(1)) {
        importer.feed(piece, &mut |foreign| seen.push(foreign))?;
    }
    let tally = importer.finish(&mut |foreign| seen.push(foreign))?;
    Ok((seen, tally))
}

fn import_as(kind: Kind, bytes: &[u8]) -> Result<(Vec<Foreign>, Tally), ImportError> {
    let recognised = Recognised {
        kind,
        is_gzip: false,
    };
    import(recognised, bytes, usize::MAX)
}

fn import_fixture(name: &str) -> (Vec<Foreign>, Tally) {
    let bytes = fixture(name);
    let recognised = recognise(&bytes).unwrap_or_else(|| panic!("{name} is not recognised"));
    import(recognised, &bytes, usize::MAX).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Judged by itself, as what was seen from here would be.
fn judgement(foreign: &Foreign) -> Judgement {
    let (tcp, udp) = match foreign.endpoint.transport {
        Transport::Tcp | Transport::Unix => (Some(&foreign.evidence), None),
        Transport::Udp => (None, Some(&foreign.evidence)),
    };
    let host = Host {
        address: &foreign.endpoint.address,
        port: foreign.endpoint.port,
        tcp,
        udp,
    };
    assess::judge(&host, foreign.endpoint.transport)
}
