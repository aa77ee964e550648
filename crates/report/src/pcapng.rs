//! The frames behind the findings, as a pcapng file (draft-ietf-opsawg-pcapng): one section, an
//! interface block before an interface's first frame, and for each frame an enhanced packet block.
//!
//! The first frame of an endpoint carries a comment with its verdict and its findings, so that a
//! reader of the capture need not look them up. Multi-byte fields are little-endian, as the byte
//! order magic says.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use model::{CaptureLayer, CapturedFrame, Record, RunRecord, Summary};

use crate::Report;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// `opt_comment`.
const COMMENT: u16 = 1;
/// `shb_userappl`: the program that wrote the file.
const USER_APPLICATION: u16 = 4;
/// `if_name`.
const INTERFACE_NAME: u16 = 2;
/// `if_tsresol`: a negative power of ten.
const TIMESTAMP_RESOLUTION: u16 = 9;
/// Timestamps are in nanoseconds.
const NANOSECONDS: u8 = 9;
/// `epb_flags`: bits 0 and 1 are the direction.
const PACKET_FLAGS: u16 = 2;
const INBOUND: u32 = 0b01;
const OUTBOUND: u32 = 0b10;
/// LINKTYPE_ETHERNET and LINKTYPE_RAW of the registry at tcpdump.org.
const LINK_ETHERNET: u16 = 1;
const LINK_RAW: u16 = 101;
/// Comments are cut here; the format allows 65,535 bytes.
const COMMENT_BYTES_MAX: usize = 2_000;

/// Writes what was captured of endpoints with findings.
#[derive(Debug, Default)]
pub(crate) struct PcapngReport {
    interfaces: HashMap<(Arc<str>, CaptureLayer), u32>,
}

impl Report for PcapngReport {
    fn run(&mut self, run: &RunRecord, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0; the length of the section is not known yet.
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        body.extend(u64::MAX.to_le_bytes());
        let program = format!("memsweep {}", run.tool_version);
        put_option(&mut body, USER_APPLICATION, program.as_bytes());
        put_option(
            &mut body,
            COMMENT,
            cut(&format!("run {}", run.run)).as_bytes(),
        );
        put_end(&mut body);
        put_block(out, SECTION_HEADER, &body);
    }

    fn record(&mut self, _record: &Record, _out: &mut Vec<u8>) {}

    fn capture(&mut self, record: &Record, frames: &[CapturedFrame], out: &mut Vec<u8>) {
        if record.judgement.findings.is_empty() {
            return;
        }
        let mut comment = Some(comment_of(record));
        for frame in frames {
            let interface = self.interface(frame, out);
            put_frame(out, interface, frame, comment.take().as_deref());
        }
    }

    fn summary(&mut self, _summary: &Summary, _out: &mut Vec<u8>) {}
}

impl PcapngReport {
    /// The number of the frame's interface, which is described before its first frame.
    fn interface(&mut self, frame: &CapturedFrame, out: &mut Vec<u8>) -> u32 {
        let key = (Arc::clone(&frame.interface), frame.layer);
        let next = self.interfaces.len() as u32;
        if let Some(known) = self.interfaces.get(&key) {
            return *known;
        }
        let link = match frame.layer {
            CaptureLayer::Ethernet => LINK_ETHERNET,
            CaptureLayer::Bare => LINK_RAW,
        };
        let mut body = Vec::new();
        body.extend(link.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // Frames are not cut by a length of their own.
        body.extend(0_u32.to_le_bytes());
        put_option(&mut body, INTERFACE_NAME, frame.interface.as_bytes());
        put_option(&mut body, TIMESTAMP_RESOLUTION, &[NANOSECONDS]);
        put_end(&mut body);
        put_block(out, INTERFACE_DESCRIPTION, &body);
        self.interfaces.insert(key, next);
        next
    }
}

/// `10.0.0.5:11211/tcp exposed: MS001 MS003`.
fn comment_of(record: &Record) -> String {
    let codes: Vec<&str> = record
        .judgement
        .findings
        .iter()
        .map(|finding| finding.code)
        .collect();
    let comment = format!(
        "{} {}: {}",
        record.endpoint,
        record.judgement.verdict.as_str(),
        codes.join(" ")
    );
    cut(&comment).to_owned()
}

fn put_frame(out: &mut Vec<u8>, interface: u32, frame: &CapturedFrame, comment: Option<&str>) {
    let since_epoch = frame
        .timestamp
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let nanoseconds = since_epoch.as_nanos() as u64;
    let mut body = Vec::with_capacity(frame.bytes.len() + 64);
    body.extend(interface.to_le_bytes());
    body.extend(((nanoseconds >> 32) as u32).to_le_bytes());
    body.extend((nanoseconds as u32).to_le_bytes());
    body.extend((frame.bytes.len() as u32).to_le_bytes());
    body.extend(frame.length_bytes.to_le_bytes());
    body.extend(&frame.bytes);
    pad(&mut body);
    if let Some(comment) = comment {
        put_option(&mut body, COMMENT, comment.as_bytes());
    }
    let direction = if frame.outbound { OUTBOUND } else { INBOUND };
    put_option(&mut body, PACKET_FLAGS, &direction.to_le_bytes());
    put_end(&mut body);
    put_block(out, ENHANCED_PACKET, &body);
}

/// Type, length, body, length again; the length counts all of it.
fn put_block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let length = (body.len() + 12) as u32;
    out.extend(kind.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(body);
    out.extend(length.to_le_bytes());
}

fn put_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn put_end(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

/// Everything stands on multiples of four bytes.
fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// The text up to a character's end within the limit.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(COMMENT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
