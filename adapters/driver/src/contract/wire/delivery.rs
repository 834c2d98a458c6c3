//! How an answer gets to its client, or does not.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use super::super::http::{Connection, Message};
use super::fault::Fault;

/// In how many pieces a slow body comes.
const PIECES: usize = 20;

/// How long it rests before each of them.
const REST: Duration = Duration::from_millis(25);

/// Sends an answer, or does what the fault says in its place; says whether another request may follow.
pub(super) fn deliver(
    connection: &mut Connection,
    request: &Message,
    answer: &Message,
    fault: Option<Fault>,
) -> io::Result<bool> {
    match fault {
        None
        | Some(
            Fault::Error500
            | Fault::Error503
            | Fault::Error408
            | Fault::FalseConflict
            | Fault::Throttle,
        ) => connection.respond(request, answer),
        Some(Fault::LostReply) => Ok(false),
        Some(Fault::TornReply) => {
            let status_line = answer.start.as_bytes();
            connection.socket().write_all(&status_line[..status_line.len().min(10)])?;
            Ok(false)
        }
        Some(Fault::Reset) => {
            // What is closed so is reset, whatever is still to be sent.
            socket2::SockRef::from(&*connection.socket()).set_linger(Some(Duration::ZERO))?;
            Ok(false)
        }
        Some(Fault::Hang) => {
            connection.wait_for_end();
            Ok(false)
        }
        Some(Fault::SlowBody) => {
            let stays = !request.wants_close();
            let bytes = answer.to_bytes(if stays { "keep-alive" } else { "close" });
            let (head, body) = bytes.split_at(bytes.len() - answer.body.len());
            connection.socket().write_all(head)?;
            for piece in body.chunks(body.len().div_ceil(PIECES).max(1)) {
                thread::sleep(REST);
                connection.socket().write_all(piece)?;
            }
            Ok(stays)
        }
        Some(Fault::CutBody) => {
            let bytes = answer.to_bytes("close");
            let cut = bytes.len() - answer.body.len().div_ceil(2);
            connection.socket().write_all(&bytes[..cut])?;
            Ok(false)
        }
    }
}
