//! As much of HTTP/1.1 as three pages need: one request without a body, one answer, close.
//!
//! A library for this would weigh more than all of it, for a port that a scraper asks every few seconds. What is read is
//! bounded, and the caller bounds the time.

use std::future::{Future, poll_fn};
use std::io;

use klamm_net::{Outbound, Stream};

use crate::limits::METRICS_REQUEST_BYTES_MAX;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// The status code and its phrase.
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Reply {
    /// An answer for people.
    pub(super) fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    path: String,
    wants_body: bool,
}

/// Reads a request and sends what `reply` makes of its path. A peer that goes away without asking gets nothing.
///
/// # Errors
/// Those of the stream.
pub(super) async fn serve<F: Future<Output = Reply>>(
    stream: &mut Stream,
    reply: impl FnOnce(String) -> F,
) -> io::Result<()> {
    let head = read_head(stream).await?;
    if head.is_empty() {
        return Ok(());
    }
    match parse(&head) {
        Ok(Request { path, wants_body }) => send(stream, &reply(path).await, wants_body).await,
        Err(refusal) => send(stream, &refusal, true).await,
    }
}

/// Reads up to the empty line that ends a head, the bound, or the end.
async fn read_head(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut chunk = [0; 1024];
    while !is_whole(&head) && head.len() < METRICS_REQUEST_BYTES_MAX {
        match poll_fn(|cx| stream.poll_read(cx, &mut chunk)).await? {
            0 => break,
            count => head.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(head)
}

fn is_whole(head: &[u8]) -> bool {
    head.windows(4).any(|window| window == b"\r\n\r\n")
}

fn parse(head: &[u8]) -> Result<Request, Reply> {
    if !is_whole(head) && head.len() >= METRICS_REQUEST_BYTES_MAX {
        return Err(Reply::text("431 Request Header Fields Too Large", "the request is too large\n"));
    }
    let bad = || Reply::text("400 Bad Request", "this is no HTTP request\n");
    let line = head.split(|byte| *byte == b'\r').next().filter(|_| is_whole(head)).ok_or_else(bad)?;
    let words: Vec<&str> = std::str::from_utf8(line).map_err(|_| bad())?.split(' ').collect();
    let [method, target, version] = words[..] else { return Err(bad()) };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Err(bad());
    }
    if !["GET", "HEAD"].contains(&method) {
        return Err(Reply::text("405 Method Not Allowed", "only GET and HEAD are served\n"));
    }
    let path = target.split('?').next().unwrap_or_default().to_owned();
    Ok(Request { path, wants_body: method == "GET" })
}

async fn send(stream: &mut Stream, reply: &Reply, with_body: bool) -> io::Result<()> {
    let Reply { status, content_type, body } = reply;
    let length = body.len();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    let mut outbound = Outbound::default();
    outbound.push_bytes(head.as_bytes());
    if with_body {
        outbound.push_bytes(body.as_bytes());
    }
    poll_fn(|cx| outbound.poll_send(stream, cx)).await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What a peer gets that sends `parts` one by one and then nothing more.
    async fn exchange(parts: &[&[u8]]) -> String {
        let (near, mut far) = tokio::io::duplex(64);
        let mut stream = Stream::Other(Box::new(near));
        let serve = async move {
            serve(&mut stream, async |path| Reply::text("200 OK", format!("path {path}"))).await.unwrap();
        };
        let ask = async {
            let (mut reader, mut writer) = tokio::io::split(&mut far);
            let write = async {
                for part in parts {
                    // The server may have answered and gone before it saw everything.
                    let _ = writer.write_all(part).await;
                }
                let _ = writer.shutdown().await;
            };
            let mut answer = String::new();
            let (_, read) = tokio::join!(write, reader.read_to_string(&mut answer));
            read.unwrap();
            answer
        };
        tokio::join!(serve, ask).1
    }

    fn expected(status: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
    }

    #[tokio::test]
    async fn a_request_is_answered_however_it_is_cut() {
        let request = b"GET /metrics?name=x HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
        let whole = exchange(&[request]).await;
        assert_eq!(whole, expected("200 OK", "path /metrics"));
        for at in 1..request.len() {
            assert_eq!(exchange(&[&request[..at], &request[at..]]).await, whole, "cut at {at}");
        }
    }

    #[tokio::test]
    async fn head_gets_the_head_only() {
        let answer = exchange(&[b"HEAD /health HTTP/1.1\r\n\r\n"]).await;
        assert_eq!(answer, expected("200 OK", "path /health").trim_end_matches("path /health"));
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused() {
        let too_large = [&b"GET / HTTP/1.1\r\nX: "[..], &[b'x'; METRICS_REQUEST_BYTES_MAX]].concat();
        let cases: [(&[u8], &str); 8] = [
            (b"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405"),
            (b"GET /metrics\r\n\r\n", "HTTP/1.1 400"),
            (b"GET metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
            (b"GET /metrics SPDY/3\r\n\r\n", "HTTP/1.1 400"),
            (b"GET /\xff HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
            (b"GET /metrics HTTP/1.1\r\n", "HTTP/1.1 400"),
            (&[0, 0, 0, 18, 0, 18, 0, 3, 13, 10, 13, 10], "HTTP/1.1 400"),
            (&too_large, "HTTP/1.1 431"),
        ];
        for (request, status) in cases {
            let answer = exchange(&[request]).await;
            assert!(answer.starts_with(status), "{} got {answer}", request.escape_ascii());
        }
        assert_eq!(exchange(&[]).await, "");
    }
}
