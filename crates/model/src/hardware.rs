//! The address of a network card, as the neighbour protocols tell it.

use std::fmt;

/// An Ethernet address (IEEE 802, 48 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// The assignment that the first three bytes belong to (IEEE MA-L), as a number; `None` for
    /// addresses that were made up locally and belong to no vendor.
    pub fn assignment(self) -> Option<u32> {
        let [first, second, third, ..] = self.0;
        let is_local = first & 0b10 != 0;
        (!is_local).then(|| u32::from_be_bytes([0, first, second, third]))
    }
}

/// In capitals with colons, as nmap writes it: `52:54:00:12:34:56`.
impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(formatter, "{a:02X}:{b:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelled_as_nmap_does() {
        let card = MacAddress([0x00, 0x1b, 0x21, 0x0a, 0xff, 0x01]);
        assert_eq!(card.to_string(), "00:1B:21:0A:FF:01");
        assert_eq!(card.assignment(), Some(0x00_1b21));
        assert_eq!(MacAddress([0x52, 0x54, 0, 1, 2, 3]).assignment(), None);
    }
}
