//! The capture, read by a library that knows nothing of ours.

use std::sync::Arc;
use std::time::Duration;

use model::Language::English;
use model::{CaptureLayer, CapturedFrame};
use report::{Format, Style, writer};
use serde_json::{Value, json};

use crate::consumers::{self, accepted_by, python};
use crate::fixture;
use crate::options;

/// Every block that python-pcapng finds.
const PYTHON_PCAPNG: &str = "
import io, json, sys
from pcapng import FileScanner
from pcapng.blocks import EnhancedPacket, InterfaceDescription, SectionHeader
blocks = []
for block in FileScanner(io.BytesIO(sys.stdin.buffer.read())):
    options = {key: str(block.options[key]) for key in block.options}
    if isinstance(block, SectionHeader):
        blocks.append({'kind': 'section', 'options': options})
    elif isinstance(block, InterfaceDescription):
        blocks.append({'kind': 'interface', 'link': block.link_type, 'options': options})
    elif isinstance(block, EnhancedPacket):
        blocks.append({'kind': 'packet', 'interface': block.interface_id,
            'time': round(block.timestamp, 6), 'bytes': block.packet_data.hex(),
            'length': block.packet_len, 'options': options})
print(json.dumps(blocks))
";

fn frame(layer: CaptureLayer, interface: &str, outbound: bool, bytes: &[u8]) -> CapturedFrame {
    CapturedFrame {
        timestamp: fixture::now() + Duration::from_micros(7),
        interface: Arc::from(interface),
        layer,
        outbound,
        bytes: bytes.to_vec(),
        length_bytes: bytes.len() as u32 + 3,
    }
}

#[test]
fn python_pcapng_reads_every_block() {
    let frames = [
        frame(CaptureLayer::Ethernet, "eth0", true, &[1, 2, 3, 4, 5]),
        frame(CaptureLayer::Ethernet, "eth0", false, &[6; 60]),
        frame(CaptureLayer::Bare, "wg0", false, &[0x45]),
    ];
    let mut report = writer(Format::Pcapng, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    report.run(&fixture::run_record(), &mut out);
    for record in [fixture::exposed_tcp(), fixture::closed()] {
        report.capture(&record, &frames, &mut out);
        report.record(&record, &mut out);
    }
    report.summary(&fixture::small().summary, &mut out);
    let blocks: Value = serde_json::from_str(&accepted_by(python(PYTHON_PCAPNG), &out)).unwrap();
    let kinds: Vec<&str> = blocks
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["kind"].as_str().unwrap())
        .collect();
    // Nothing of the endpoint without findings.
    assert_eq!(
        kinds,
        [
            "section",
            "interface",
            "packet",
            "packet",
            "interface",
            "packet"
        ]
    );
    assert_eq!(blocks[0]["options"]["shb_userappl"], "memsweep 0.1.0");
    assert_eq!([&blocks[1]["link"], &blocks[4]["link"]], [1, 101]);
    assert_eq!(blocks[1]["options"]["if_name"], "eth0");
    let packet = &blocks[2];
    assert_eq!(packet["interface"], 0);
    assert_eq!(packet["bytes"], "0102030405");
    assert_eq!(packet["length"], 8);
    assert_eq!(packet["time"], json!(1_795_375_451.042_007));
    assert_eq!(
        packet["options"]["opt_comment"],
        "192.168.2.10:11211/tcp exposed: MS001 MS031"
    );
    assert_eq!(blocks[3]["options"].get("opt_comment"), None);
    assert_eq!(blocks[5]["interface"], 1);
}

#[test]
fn a_capture_is_read_whatever_the_endpoint_is_called() {
    let mut report = writer(Format::Pcapng, &options(Style::Scan, English, 100));
    let mut out = Vec::new();
    report.run(&fixture::run_record(), &mut out);
    let strings = consumers::strings();
    for (index, text) in strings.iter().enumerate() {
        let mut record = fixture::exposed_tcp();
        let path = format!("/run/{}{text}", "x".repeat(index * 40));
        record.endpoint.address = model::Address::Unix(Arc::new(path.into()));
        let bytes = text.as_bytes();
        report.capture(
            &record,
            &[frame(CaptureLayer::Bare, text, true, bytes)],
            &mut out,
        );
    }
    let blocks: Value = serde_json::from_str(&accepted_by(python(PYTHON_PCAPNG), &out)).unwrap();
    let of_kind = |kind: &str| {
        let blocks = blocks.as_array().unwrap().iter();
        blocks.filter(|block| block["kind"] == kind).count()
    };
    assert_eq!(of_kind("packet"), strings.len());
}
