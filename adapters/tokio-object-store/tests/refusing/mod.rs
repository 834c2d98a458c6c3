//! Servers that let nobody do what they ask for, or nobody write.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// Answers every request as S3 does who may not. Where there is a server behind it, it passes on
/// what only reads. Listens for as long as the process lives.
pub(crate) fn start(reads_from: Option<SocketAddr>) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("it listens");
            // Who hangs up has not wanted to know.
            thread::spawn(move || serve(stream, reads_from).ok());
        }
    });
    url
}

/// One request to a connection.
fn serve(mut client: TcpStream, reads_from: Option<SocketAddr>) -> io::Result<()> {
    let mut from = BufReader::new(client.try_clone()?);
    let (mut head, mut body_len) = (String::new(), 0);
    loop {
        let at = head.len();
        from.read_line(&mut head)?;
        let line = head[at..].trim_end().to_owned();
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            body_len = value.parse().expect("it is a length");
        }
        if line.eq_ignore_ascii_case("connection: keep-alive") {
            head.truncate(at);
        }
        if line.is_empty() {
            break;
        }
    }
    // It is read before it is refused, or the answer would be lost with the connection.
    io::copy(&mut from.take(body_len), &mut io::sink())?;
    let only_reads = head.starts_with("GET ") || head.starts_with("HEAD ");
    match reads_from.filter(|_| only_reads) {
        Some(server) => {
            let mut server = TcpStream::connect(server)?;
            let head = format!("{}\r\nConnection: close\r\n\r\n", head.trim_end());
            server.write_all(head.as_bytes())?;
            io::copy(&mut server, &mut client)?;
        }
        None => {
            let answer = format!(
                "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{DENIED}",
                DENIED.len()
            );
            client.write_all(answer.as_bytes())?;
        }
    }
    Ok(())
}
