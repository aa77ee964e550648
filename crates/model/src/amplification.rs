//! How strongly a UDP port could be used as a reflector, measured without planting anything.

/// IPv4 header without options (RFC 791) plus UDP header (RFC 768), in bytes.
const IPV4_UDP_HEADERS_BYTES: u64 = 28;
/// IPv6 header (RFC 8200) plus UDP header, in bytes.
const IPV6_UDP_HEADERS_BYTES: u64 = 48;

/// What one request brought back over UDP. A lower bound of what an attacker could reach, because
/// nothing is written to the server first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amplification {
    /// The command asked, such as `stats`.
    pub command: String,
    /// UDP payload of the one request datagram, frame included.
    pub request_bytes: u64,
    /// UDP payload of every reply datagram that came, duplicates included.
    pub reply_bytes: u64,
    /// Number of reply datagrams.
    pub datagrams: u64,
    /// Whether the reply was seen to its end (`END`); if not, the ratio is lower still.
    pub complete: bool,
    /// Whether the packets were IPv6, whose headers are larger.
    pub ipv6: bool,
}

impl Amplification {
    /// Payload bytes received for each payload byte sent: the bandwidth amplification factor of
    /// US-CERT TA14-017A.
    pub fn payload_ratio(&self) -> f64 {
        ratio(self.reply_bytes, self.request_bytes)
    }

    /// The same with the IP and UDP headers of every datagram counted, both ways.
    pub fn wire_ratio(&self) -> f64 {
        let headers = if self.ipv6 {
            IPV6_UDP_HEADERS_BYTES
        } else {
            IPV4_UDP_HEADERS_BYTES
        };
        ratio(
            self.reply_bytes + headers * self.datagrams,
            self.request_bytes + headers,
        )
    }
}

fn ratio(received: u64, sent: u64) -> f64 {
    if sent == 0 {
        0.0
    } else {
        received as f64 / sent as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_of_a_1_4_15_server_match_the_published_table() {
        let measured = Amplification {
            command: "stats".into(),
            request_bytes: 15,
            reply_bytes: 1_031,
            datagrams: 1,
            complete: true,
            ipv6: false,
        };
        assert_eq!(format!("{:.1}", measured.payload_ratio()), "68.7");
        assert_eq!(format!("{:.1}", measured.wire_ratio()), "24.6");
    }
}
