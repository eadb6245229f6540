//! A connection that sends whatever it is told to.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// Answers are small; a longer one is none.
const ANSWER_BYTES_MAX: u32 = 64 << 20;

/// What came after a frame was sent.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Frame(Vec<u8>),
    Closed,
    /// Nothing in the time that was given.
    Silence,
}

pub(super) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// It leaves without a farewell, so that no port is kept waiting for one.
    pub(super) fn open(address: &str, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        set_socket_linger(&stream, Some(Duration::ZERO))?;
        Ok(Self { stream })
    }

    /// A frame with its size before it.
    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.send_raw(&with_size(frame))
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Nothing more is sent; answers can still come.
    pub(super) fn end(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    pub(super) fn receive(&mut self) -> Answer {
        self.try_receive().unwrap_or_else(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Answer::Silence,
            _ => Answer::Closed,
        })
    }

    fn try_receive(&mut self) -> io::Result<Answer> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = u32::from_be_bytes(size);
        if size > ANSWER_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidData, format!("an answer of {size} bytes")));
        }
        let mut frame = vec![0; size as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(Answer::Frame(frame))
    }

    pub(super) fn exchange(&mut self, frame: &[u8]) -> Answer {
        match self.send(frame) {
            Ok(()) => self.receive(),
            Err(_) => Answer::Closed,
        }
    }
}

pub(super) fn with_size(frame: &[u8]) -> Vec<u8> {
    let size = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    [&size.to_be_bytes(), frame].concat()
}
