//! "Who has this address?" as frames: ARP (RFC 826) for IPv4, neighbour solicitations (RFC 4861
//! section 4.3) for IPv6, and what the answers say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::MacAddress;

/// EtherType of ARP (RFC 826).
pub(super) const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6 (RFC 2464 section 3).
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Ethernet frames without their checksum have no less.
const FRAME_BYTES_MIN: usize = 60;
const ETHERNET_BYTES: usize = 14;
const IPV6_HEADER_BYTES: usize = 40;
const NEXT_HEADER_ICMPV6: u8 = 58;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE_LINK_LAYER_ADDRESS: u8 = 1;
const OPTION_TARGET_LINK_LAYER_ADDRESS: u8 = 2;
/// What crossed a router has less (RFC 4861 section 7.1.2).
const HOP_LIMIT_ON_LINK: u8 = 255;

/// The frame that asks the link for `target`, from our card and our address.
///
/// `None` if the two addresses are of different families.
pub(super) fn question(hardware: MacAddress, source: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => Some(arp_request(hardware, source, target)),
        (IpAddr::V6(source), IpAddr::V6(target)) => Some(solicitation(hardware, source, target)),
        _ => None,
    }
}

/// Who answers, and with which card, if the frame is such an answer.
pub(super) fn answer(frame: &[u8]) -> Option<(IpAddr, MacAddress)> {
    let ethertype = u16::from_be_bytes(*frame.get(12..)?.first_chunk()?);
    let body = frame.get(ETHERNET_BYTES..)?;
    let (address, hardware) = match ethertype {
        ETHERTYPE_ARP => {
            let (ip, hardware) = arp_reply(body)?;
            (IpAddr::V4(ip), hardware)
        }
        ETHERTYPE_IPV6 => {
            let sender = MacAddress(*frame.get(6..)?.first_chunk()?);
            let (ip, hardware) = advertisement(body)?;
            (IpAddr::V6(ip), hardware.unwrap_or(sender))
        }
        _ => return None,
    };
    // Nobody's card, or everybody's: no single host could be reached by it.
    let is_unicast = hardware.0[0] & 1 == 0 && hardware.0 != [0; 6];
    is_unicast.then_some((address, hardware))
}

fn arp_request(hardware: MacAddress, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_BYTES_MIN);
    frame.extend([0xff; 6]);
    frame.extend(hardware.0);
    frame.extend(ETHERTYPE_ARP.to_be_bytes());
    // Ethernet, IPv4, addresses of 6 and 4 bytes, a request.
    frame.extend([0, 1, 0x08, 0, 6, 4, 0, 1]);
    frame.extend(hardware.0);
    frame.extend(source.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(FRAME_BYTES_MIN, 0);
    frame
}

fn arp_reply(body: &[u8]) -> Option<(Ipv4Addr, MacAddress)> {
    let rest = body.strip_prefix(&[0, 1, 0x08, 0, 6, 4, 0, 2])?;
    let hardware = MacAddress(*rest.first_chunk()?);
    let address = Ipv4Addr::from(*rest.get(6..)?.first_chunk::<4>()?);
    Some((address, hardware))
}

fn solicitation(hardware: MacAddress, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let [.., x, y, z] = target.octets();
    // The solicited-node address (RFC 4291 section 2.7.1) and its card (RFC 2464 section 7).
    let mut group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).octets();
    group[13..].copy_from_slice(&[x, y, z]);
    let mut message = vec![NEIGHBOR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([OPTION_SOURCE_LINK_LAYER_ADDRESS, 1]);
    message.extend(hardware.0);
    let checksum = checksum(source, group.into(), &message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());

    let mut frame = vec![0x33, 0x33, 0xff, x, y, z];
    frame.extend(hardware.0);
    frame.extend(ETHERTYPE_IPV6.to_be_bytes());
    frame.extend([0x60, 0, 0, 0]);
    // 32 bytes, whatever the addresses.
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([NEXT_HEADER_ICMPV6, HOP_LIMIT_ON_LINK]);
    frame.extend(source.octets());
    frame.extend(group);
    frame.extend(message);
    frame
}

/// The address that is told of, and the card if it is named.
fn advertisement(body: &[u8]) -> Option<(Ipv6Addr, Option<MacAddress>)> {
    let (header, rest) = body.split_at_checked(IPV6_HEADER_BYTES)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let message = rest.get(..length)?;
    if header[6] != NEXT_HEADER_ICMPV6 || header[7] != HOP_LIMIT_ON_LINK {
        return None;
    }
    if !message.starts_with(&[NEIGHBOR_ADVERTISEMENT, 0]) {
        return None;
    }
    let source = Ipv6Addr::from(*header[8..].first_chunk::<16>()?);
    let destination = Ipv6Addr::from(*header[24..].first_chunk::<16>()?);
    if checksum(source, destination, message) != 0 {
        return None;
    }
    let target = Ipv6Addr::from(*message.get(8..)?.first_chunk::<16>()?);
    let mut options = message.get(24..)?;
    // Each option says its length in units of eight bytes; one of length 0 makes the message void
    // (RFC 4861 sections 4.6 and 7.1.2).
    while let [kind, units, ..] = *options
        && units > 0
    {
        let (option, behind) = options.split_at_checked(usize::from(units) * 8)?;
        if kind == OPTION_TARGET_LINK_LAYER_ADDRESS && units == 1 {
            return Some((target, Some(MacAddress(*option[2..].first_chunk()?))));
        }
        options = behind;
    }
    if !options.is_empty() {
        return None;
    }
    Some((target, None))
}

/// The checksum of an ICMPv6 message (RFC 4443 section 2.3); of a message that holds its checksum
/// already: 0 if it is right.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let mut sum = u32::from(NEXT_HEADER_ICMPV6) + message.len() as u32;
    for part in [&source.octets()[..], &destination.octets()[..], message] {
        for pair in part.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // Folded: at most 16 bits are left.
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);
    const THEIRS: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn questions_are_spelled_as_the_standards_say() {
        let arp = question(OURS, ip("192.168.2.1"), ip("192.168.2.9")).expect("one family");
        assert_eq!(
            hex(&arp),
            format!(
                "ffffffffffff0200000000010806\
                 0001080006040001020000000001c0a80201000000000000c0a80209{}",
                "00".repeat(18)
            )
        );
        let solicitation = question(OURS, ip("fe80::1"), ip("fd00::12:3456")).expect("one family");
        // The checksum was computed by hand from RFC 4443's rule.
        assert_eq!(
            hex(&solicitation[..54]),
            "3333ff1234560200000000018\
             6dd6000000000203aff\
             fe800000000000000000000000000001ff0200000000000000000001ff123456"
                .replace(char::is_whitespace, "")
        );
        assert_eq!(
            hex(&solicitation[58..]),
            "00000000fd000000000000000000000000123456\
             0101020000000001"
        );
        assert_eq!(question(OURS, ip("fe80::1"), ip("10.0.0.1")), None);
    }

    fn arp_answer(operation: u8, hardware: [u8; 6]) -> Vec<u8> {
        let mut frame = Vec::from(OURS.0);
        frame.extend(hardware);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
        frame.extend(hardware);
        frame.extend([192, 168, 2, 9]);
        frame.extend(OURS.0);
        frame.extend([192, 168, 2, 1]);
        frame
    }

    /// A neighbour advertisement with these options, right in everything unless `edit` breaks it.
    fn advertisement(options: &[u8], edit: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let (source, destination): (Ipv6Addr, Ipv6Addr) =
            ("fd00::9".parse().unwrap(), "fe80::1".parse().unwrap());
        let mut message = vec![NEIGHBOR_ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
        message.extend(source.octets());
        message.extend(options);
        let checksum = checksum(source, destination, &message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        let mut frame = Vec::from(OURS.0);
        frame.extend(THEIRS);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, message.len() as u8, 58, 255]);
        frame.extend(source.octets());
        frame.extend(destination.octets());
        frame.extend(message);
        edit(&mut frame);
        frame
    }

    #[test]
    fn answers_are_read_and_nothing_else_is() {
        let named = [2, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x99];
        let behind_another = [&[14, 1, 0, 0, 0, 0, 0, 0][..], &named].concat();
        let same = |_: &mut Vec<u8>| ();
        let cases = [
            (arp_answer(2, THEIRS), "192.168.2.9 52:54:00:12:34:56"),
            (arp_answer(1, THEIRS), ""),
            (arp_answer(2, [0xff; 6]), ""),
            (arp_answer(2, [0; 6]), ""),
            (advertisement(&named, same), "fd00::9 52:54:00:12:34:99"),
            (
                advertisement(&behind_another, same),
                "fd00::9 52:54:00:12:34:99",
            ),
            // Without the option, the frame's sender is who answers.
            (advertisement(&[], same), "fd00::9 52:54:00:12:34:56"),
            (advertisement(&[1, 0, 0, 0, 0, 0, 0, 0], same), ""),
            (advertisement(&[1, 2, 0, 0, 0, 0, 0, 0], same), ""),
            (advertisement(&named, |frame| frame[21] = 64), ""),
            (advertisement(&named, |frame| frame[56] ^= 1), ""),
            (advertisement(&named, |frame| frame[54] = 135), ""),
            (advertisement(&named, |frame| frame[20] = 17), ""),
        ];
        for (frame, expect) in cases {
            let shown = answer(&frame).map(|(ip, hardware)| format!("{ip} {hardware}"));
            assert_eq!(shown.unwrap_or_default(), expect, "{}", hex(&frame));
        }
    }

    #[test]
    fn cut_frames_are_no_answers() {
        let options = [2, 1, 0x52, 0x54, 0, 0x12, 0x34, 0x99];
        let frames = [arp_answer(2, THEIRS), advertisement(&options, |_| ())];
        let needed = [14 + 8 + 10, 14 + 40 + 32];
        for (frame, needed) in frames.iter().zip(needed) {
            for length in 0..needed {
                assert_eq!(answer(&frame[..length]), None, "{length}");
            }
        }
    }
}
