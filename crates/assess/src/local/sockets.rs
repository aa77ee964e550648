//! The kernel's tables of sockets: `/proc/net/{tcp,tcp6,udp,udp6,unix}` (proc_pid_net(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Rows of one table; a machine with more connections is read up to here.
const ROWS_MAX: usize = 1_000_000;

/// What a socket is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowState {
    /// TCP: waits for connections. UDP: bound, and connected to nobody.
    Listening,
    /// Connected to somebody.
    Connected,
    /// Anything else.
    Other,
}

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// This side.
    pub local: SocketAddr,
    /// The other side; unspecified where there is none.
    pub remote: SocketAddr,
    /// What it is doing.
    pub state: RowState,
    /// The number that ties it to a process's file descriptor.
    pub inode: u64,
}

/// Reads a table of TCP or UDP, of either family. Rows that cannot be read are left out and
/// counted. Addresses are in the byte order of the machine, as the kernel prints them.
pub fn network_table(text: &str) -> (Vec<Row>, usize) {
    let lines: Vec<&str> = text.lines().skip(1).take(ROWS_MAX).collect();
    let rows: Vec<Row> = lines.iter().filter_map(|line| row(line)).collect();
    let unread = lines.iter().filter(|line| !line.trim().is_empty()).count() - rows.len();
    (rows, unread)
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_whitespace().take(10).collect();
    // include/net/tcp_states.h: 01 is ESTABLISHED, 0A is LISTEN; an unconnected UDP socket is 07.
    let state = match *fields.get(3)? {
        "0A" | "07" => RowState::Listening,
        "01" => RowState::Connected,
        _ => RowState::Other,
    };
    Some(Row {
        local: address(fields.get(1)?)?,
        remote: address(fields.get(2)?)?,
        state,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// `0100007F:2BCB`, or 32 digits for IPv6: words of 4 bytes, each as this machine stores it.
fn address(text: &str) -> Option<SocketAddr> {
    let (digits, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |begin: usize| {
        let word = u32::from_str_radix(digits.get(begin..begin + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let address = match digits.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for part in 0..4 {
                bytes[part * 4..part * 4 + 4].copy_from_slice(&word(part * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// Paths of the unix sockets that listen, with their inodes.
pub fn unix_table(text: &str) -> Vec<(u64, String)> {
    let lines = text.lines().skip(1).take(ROWS_MAX);
    lines
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            // Num RefCount Protocol Flags Type St Inode Path; __SO_ACCEPTCON is 00010000.
            let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
            let inode = fields.nth(2)?.parse().ok()?;
            let path = fields.next()?;
            (flags & 0x1_0000 != 0).then(|| (inode, path.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:2BCB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 123 1 0\n   \
        1: 0100007F:2BCB 0200000A:D431 01 00000000:00000000 00:00000000 00000000     0        0 124 1 0\n   \
        2: rubbish\n\n";

    #[cfg(target_endian = "little")]
    #[test]
    fn tables_are_read() {
        let (rows, unread) = network_table(TCP);
        assert_eq!(unread, 1);
        let found: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {} {:?} {}", row.local, row.remote, row.state, row.inode))
            .collect();
        assert_eq!(
            found,
            [
                "127.0.0.1:11211 0.0.0.0:0 Listening 123",
                "127.0.0.1:11211 10.0.0.2:54321 Connected 124"
            ]
        );
        assert_eq!(
            network_table("head\n 0: 0100007F:2BCB 0:0 0A 0 0 0 0\n"),
            (Vec::new(), 1)
        );
        let six = "head\n 0: 00000000000000000000000001000000:2BCB 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 9 1\n";
        let (rows, unread) = network_table(six);
        assert_eq!(
            (rows[0].local.to_string().as_str(), unread),
            ("[::1]:11211", 0)
        );
        assert_eq!(network_table(""), (Vec::new(), 0));
    }

    #[test]
    fn unix_sockets_that_listen() {
        let text = "Num RefCount Protocol Flags Type St Inode Path\n\
            0: 00000002 00000000 00010000 0001 01 77 /run/m.sock\n\
            0: 00000002 00000000 00000000 0001 01 78 /run/x.sock\n\
            0: 00000002 00000000 00010000 0001 01 79\n";
        assert_eq!(unix_table(text), [(77, "/run/m.sock".to_owned())]);
    }
}
