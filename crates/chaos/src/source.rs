//! What the kernel knows of connections: which process holds the other end, and whether anybody listens.
//!
//! It is asked for one socket at a time (sock_diag of netlink). Its table of all of them takes as long to read as there are
//! connections on the machine, dead ones included; where every new connection has to wait for that, peers lose patience, dial
//! again, and the table only grows.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// Nodes and the ids of their processes.
pub(crate) type Pids = Vec<(u16, u32)>;

/// The node whose process has opened the loopback connection from this port; `None` if none of them has.
pub(crate) fn node_of(port: u16, to_port: u16, pids: &Pids) -> Option<u16> {
    let (near, far) = ((Ipv4Addr::LOCALHOST, port), (Ipv4Addr::LOCALHOST, to_port));
    let socket = find(near, far).ok()??;
    let name = format!("socket:[{}]", socket.inode);
    pids.iter().find(|(_, pid)| holds(*pid, &name)).map(|(node, _)| *node)
}

fn holds(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == socket))
}

/// Whether a process listens at this port of the loopback interface, be it stopped or not.
pub(crate) fn is_listening(port: u16) -> io::Result<bool> {
    let nobody = (Ipv4Addr::UNSPECIFIED, 0);
    let found = find((Ipv4Addr::LOCALHOST, port), nobody)?;
    Ok(found.is_some_and(|socket| socket.state == TCP_LISTEN))
}

/// A socket of this machine.
struct Socket {
    state: u8,
    inode: u32,
}

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;
/// In `idiag_states` and `idiag_cookie`: whichever.
const ANY: [u8; 4] = [0xff; 4];
/// Of `struct nlmsghdr`, and behind it of `struct inet_diag_req_v2`.
const HEADER_BYTES: u32 = 16;
const REQUEST_BYTES: u32 = HEADER_BYTES + 56;
const ANSWER_BYTES_MAX: usize = 1024;
/// Where in an answer the header's type stands, and where in a `struct inet_diag_msg` behind it what is wanted.
const TYPE_AT: usize = 4;
const STATE_AT: usize = 17;
const INODE_AT: usize = 84;

/// The socket between these two ends, the first of which is its own.
fn find(near: (Ipv4Addr, u16), far: (Ipv4Addr, u16)) -> io::Result<Option<Socket>> {
    let kernel = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    send(&kernel, &request(near, far), SendFlags::empty())?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let (length, _) = recv(&kernel, &mut answer, RecvFlags::empty())?;
    read(&answer[..length]).ok_or_else(|| io::Error::other("sock_diag gave an answer that is cut short"))
}

fn request(near: (Ipv4Addr, u16), far: (Ipv4Addr, u16)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(REQUEST_BYTES as usize);
    bytes.extend(REQUEST_BYTES.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([AF_INET, IPPROTO_TCP, 0, 0]);
    bytes.extend(ANY);
    bytes.extend(near.1.to_be_bytes());
    bytes.extend(far.1.to_be_bytes());
    for (address, _) in [near, far] {
        bytes.extend(address.octets());
        bytes.extend([0; 12]);
    }
    bytes.extend([0; 4]);
    bytes.extend([ANY, ANY].concat());
    bytes
}

/// `None` if it is cut short, `Some(None)` if there is no such socket.
fn read(answer: &[u8]) -> Option<Option<Socket>> {
    let kind = u16::from_ne_bytes(*answer.get(TYPE_AT..)?.first_chunk()?);
    if kind == NLMSG_ERROR {
        return Some(None);
    }
    let inode = u32::from_ne_bytes(*answer.get(INODE_AT..)?.first_chunk()?);
    Some(Some(Socket { state: *answer.get(STATE_AT)?, inode }))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_listener_is_seen_and_its_connections_are_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(is_listening(port).unwrap());
        assert!(!is_listening(stream.local_addr().unwrap().port()).unwrap());
        drop(listener);
        assert!(!is_listening(port).unwrap());
    }

    #[test]
    fn our_own_connection_is_ours() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (from, to) = (stream.local_addr().unwrap().port(), listener.local_addr().unwrap().port());
        let pids = vec![(1, 1), (7, std::process::id())];
        assert_eq!(node_of(from, to, &pids), Some(7));
        assert_eq!(node_of(from, to, &vec![(1, 1)]), None);
        assert_eq!(node_of(from, to + 1, &pids), None);
    }

    #[test]
    fn a_connection_that_was_given_up_is_nobodys() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (from, to) = (stream.local_addr().unwrap().port(), listener.local_addr().unwrap().port());
        drop(stream);
        assert_eq!(node_of(from, to, &vec![(7, std::process::id())]), None);
    }

    #[test]
    fn an_answer_that_is_cut_short_is_none() {
        assert!(read(&[]).is_none());
        assert!(read(&[0; INODE_AT]).is_none());
        assert!(read(&[0; INODE_AT + 4]).is_some_and(|socket| socket.is_some()));
    }
}
