//! What the kernel knows of connections: which process holds the other end, and whether anybody listens.

use std::fs;

/// Nodes and the ids of their processes.
pub(crate) type Pids = Vec<(u16, u32)>;

/// Connections of all sockets; some runtimes speak IPv4 through sockets for IPv6.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The node whose process has opened the loopback connection from this port; `None` if none of them has.
pub(crate) fn node_of(port: u16, to_port: u16, pids: &Pids) -> Option<u16> {
    let socket = TABLES.iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        Some(format!("socket:[{}]", inode_of(&table, port, to_port)?))
    })?;
    pids.iter().find(|(_, pid)| holds(*pid, &socket)).map(|(node, _)| *node)
}

/// Whether a process listens at this port of the loopback interface, be it stopped or not.
pub(crate) fn is_listening(port: u16) -> bool {
    TABLES.iter().filter_map(|table| fs::read_to_string(table).ok()).any(|table| has_listener(&table, port))
}

/// The state of a socket that accepts connections, as the kernel's table has it.
const LISTENS: &str = "0A";

fn has_listener(table: &str, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_local = fields.next().is_some_and(|address| port_of(address) == Some(port));
        is_local && fields.nth(1) == Some(LISTENS)
    })
}

fn port_of(address: &str) -> Option<u16> {
    let (_, hex) = address.rsplit_once(':')?;
    u16::from_str_radix(hex, 16).ok()
}

fn holds(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket))
}

/// Looks a connection up in the kernel's table, whose addresses are hexadecimal.
fn inode_of(table: &str, port: u16, to_port: u16) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_it = [port, to_port].iter().all(|port| fields.next().and_then(port_of) == Some(*port));
        is_it.then(|| fields.nth(6)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_line_of_the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:4E20 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 20 4 30 10 -1\n";
        assert_eq!(inode_of(table, 20_000, 40_000), Some("4711"));
        assert_eq!(inode_of(table, 40_000, 20_000), None);
    }

    #[test]
    fn a_listener_is_seen_and_its_connections_are_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(is_listening(port));
        assert!(!is_listening(stream.local_addr().unwrap().port()));
        drop(listener);
        assert!(!is_listening(port));
    }

    #[test]
    fn our_own_connection_is_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (from, to) = (stream.local_addr().unwrap().port(), listener.local_addr().unwrap().port());
        let pids = vec![(1, 1), (7, std::process::id())];
        assert_eq!(node_of(from, to, &pids), Some(7));
        assert_eq!(node_of(from, to, &vec![(1, 1)]), None);
    }
}
