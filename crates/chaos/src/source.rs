//! Which node a connection comes from: the kernel knows which process holds the other end.

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

fn holds(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket))
}

/// Looks a connection up in the kernel's table, whose addresses are hexadecimal.
fn inode_of(table: &str, port: u16, to_port: u16) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let ends_with = |address: Option<&str>, port: u16| {
            address
                .and_then(|address| address.rsplit_once(':'))
                .is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port))
        };
        let is_it = ends_with(fields.next(), port) && ends_with(fields.next(), to_port);
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
    fn our_own_connection_is_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (from, to) = (stream.local_addr().unwrap().port(), listener.local_addr().unwrap().port());
        let pids = vec![(1, 1), (7, std::process::id())];
        assert_eq!(node_of(from, to, &pids), Some(7));
        assert_eq!(node_of(from, to, &vec![(1, 1)]), None);
    }
}
