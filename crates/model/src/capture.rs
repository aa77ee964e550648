//! Frames as they were on an interface: the raw proof of a finding.

use std::sync::Arc;
use std::time::SystemTime;

/// What stands before the IP header of a captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CaptureLayer {
    /// An Ethernet header.
    Ethernet,
    /// Nothing: tun, WireGuard, PPP.
    Bare,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedFrame {
    /// When it passed.
    pub timestamp: SystemTime,
    /// The interface's name.
    pub interface: Arc<str>,
    /// What it begins with.
    pub layer: CaptureLayer,
    /// Whether we sent it.
    pub outbound: bool,
    /// Its bytes, perhaps not all.
    pub bytes: Vec<u8>,
    /// How long it was, in bytes.
    pub length_bytes: u32,
}
