//! The server as a client's socket sees it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use super::*;

fn start(options: Options) -> WireServer {
    WireServer::start(&options).expect("a port is free")
}

fn always(fault: Fault) -> WireServer {
    let faults = Faults::of(1).with(fault, 1.0).expect("it is a share");
    start(Options { faults, ..Options::default() })
}

/// What comes back for these bytes until the connection ends, and how it ends.
fn exchange(server: &WireServer, text: &[u8]) -> (String, io::Result<()>) {
    let mut socket = TcpStream::connect(server.address()).expect("it listens");
    socket.write_all(text).expect("it reads");
    socket.shutdown(Shutdown::Write).expect("it is open");
    let (mut answer, mut piece) = (Vec::new(), [0; 1000]);
    let end = loop {
        match socket.read(&mut piece) {
            Ok(0) => break Ok(()),
            Ok(count) => answer.extend_from_slice(&piece[..count]),
            Err(error) => break Err(error),
        }
    };
    (String::from_utf8_lossy(&answer).into_owned(), end)
}

/// The status of a single request's answer, and the whole of it.
fn ask(
    server: &WireServer,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let length = body.len();
    let text = format!(
        "{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\
         {headers}\r\n{body}"
    );
    let (answer, _) = exchange(server, text.as_bytes());
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), answer)
}

/// The value of a header of an answer.
fn header(answer: &str, name: &str) -> String {
    let mut headers = answer.lines().filter_map(|line| line.split_once(": "));
    let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_owned()).unwrap_or_else(|| panic!("no {name} in {answer}"))
}

#[test]
fn conditions_are_exact() {
    let server = start(Options::default());
    let put = |headers: &str, body: &str| ask(&server, "PUT", "/b/k", headers, body);
    assert_eq!(put("If-Match: \"x\"\r\n", "0").0, 404);
    let (status, first) = put("If-None-Match: *\r\n", "1");
    assert_eq!(status, 200);
    assert_eq!(put("If-None-Match: *\r\n", "2").0, 412);
    let tag = header(&first, "etag");
    let at = format!("If-Match: {tag}\r\n");
    assert_eq!(put(&at.replace('"', ""), "2").0, 412, "a tag has quotes");
    assert_eq!(put(&at, "2").0, 200);
    assert_eq!(put(&at, "3").0, 412, "that one is stale");
    assert_eq!(put("", "1").0, 200);
    let (status, read) = ask(&server, "GET", "/b/k", "", "");
    assert_eq!((status, header(&read, "etag")), (200, tag.clone()), "it is a hash of the contents");
    assert!(read.ends_with("\r\n\r\n1"), "{read}");
    let none = format!("If-None-Match: {tag}\r\n");
    assert_eq!(ask(&server, "GET", "/b/k", &none, "").0, 304);
    assert_eq!(ask(&server, "DELETE", "/b/k", "If-Match: \"x\"\r\n", "").0, 412);
    assert_eq!(ask(&server, "DELETE", "/b/k", &at, "").0, 204);
    assert_eq!(ask(&server, "GET", "/b/k", &none, "").0, 404);
    assert_eq!(ask(&server, "DELETE", "/b/k", "", "").0, 204, "what is gone is gone");
}

#[test]
fn what_would_have_to_be_ignored_is_refused() {
    let server = start(Options::default());
    let refused = |method, target, headers| {
        assert_eq!(ask(&server, method, target, headers, "").0, 501, "{method} {target} {headers}");
    };
    refused("PUT", "/b/k", "x-goog-if-generation-match: 0\r\n");
    refused("PUT", "/b/k", "If-None-Match: \"x\"\r\n");
    refused("PUT", "/b/k", "If-None-Match: *\r\nIf-Match: \"x\"\r\n");
    refused("PUT", "/b/k", "x-amz-copy-source: b/other\r\n");
    refused("PUT", "/b/k?partNumber=1&uploadId=x", "");
    refused("GET", "/b/k?versionId=1", "");
    refused("POST", "/b/k?uploads", "");
    refused("GET", "/b", "");
    refused("PATCH", "/b/k", "");
    refused("GET", "/", "");
    let gcs = start(Options::of(Profile::Gcs));
    assert_eq!(ask(&gcs, "PUT", "/b/k", "If-None-Match: *\r\n", "").0, 501);
    assert_eq!(server.counts().refused, 10);
    assert_eq!(server.counts().writes, 0);
}

#[test]
fn a_head_and_a_part_are_of_the_same_object() {
    let server = start(Options::default());
    ask(&server, "PUT", "/b/k%20%2B", "", "0123456789");
    let (status, head) = ask(&server, "HEAD", "/b/k%20+", "", "");
    assert_eq!((status, header(&head, "content-length").as_str()), (200, "10"));
    assert!(head.ends_with("\r\n\r\n"), "it has no body: {head}");
    let (status, part) = ask(&server, "GET", "/b/k%20+", "Range: bytes=2-4\r\n", "");
    assert_eq!((status, header(&part, "content-range").as_str()), (206, "bytes 2-4/10"));
    assert!(part.ends_with("\r\n\r\n234"), "{part}");
    assert_eq!(ask(&server, "GET", "/b/k%20+", "Range: bytes=10-\r\n", "").0, 416);
    let (status, missing) = ask(&server, "HEAD", "/b/none", "", "");
    assert_eq!(status, 404);
    assert!(missing.ends_with("\r\n\r\n"), "{missing}");
    let chunks = "3;chunk-signature=x\r\nabc\r\n0;chunk-signature=y\r\n\r\n";
    let streamed = "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\n";
    assert_eq!(ask(&server, "PUT", "/b/streamed", streamed, chunks).0, 200);
    assert!(ask(&server, "GET", "/b/streamed", "", "").1.ends_with("\r\n\r\nabc"));
}

#[test]
fn many_are_listed_and_deleted() {
    let server = start(Options::default());
    for key in ["p/1", "p/2&3", "q"] {
        ask(&server, "PUT", &format!("/b/{}", key.replace('&', "%26")), "", "x");
    }
    let list =
        |more: &str| ask(&server, "GET", &format!("/b?list-type=2&prefix=p/{more}"), "", "").1;
    let all = list("");
    assert!(all.contains("<Key>p/1</Key>") && all.contains("<Key>p/2&amp;3</Key>"), "{all}");
    assert!(all.contains("<KeyCount>2</KeyCount>"), "{all}");
    assert!(all.contains("<IsTruncated>false</IsTruncated>"), "{all}");
    let first = list("&max-keys=1");
    assert!(first.contains("<IsTruncated>true</IsTruncated>"), "{first}");
    let (_, token) = first.split_once("<NextContinuationToken>").expect("there is more");
    let (token, _) = token.split_once('<').expect("it ends");
    let second = list(&format!("&continuation-token={}", token.replace('%', "%25")));
    assert!(!second.contains("<Key>p/1<") && second.contains("<Key>p/2&amp;3<"), "{second}");
    assert!(list("&encoding-type=url").contains("<Key>p%2F2%263</Key>"));
    let named =
        "<Delete><Object><Key>p/2&amp;3</Key></Object><Object><Key>none</Key></Object></Delete>";
    let (status, deleted) = ask(&server, "POST", "/b?delete", "", named);
    assert_eq!((status, deleted.matches("<Deleted>").count()), (200, 2));
    assert!(list("").contains("<KeyCount>1</KeyCount>"));
}

#[test]
fn google_has_generations_and_takes_one_write_a_second() {
    let server = start(Options::of(Profile::Gcs));
    let put = |headers: &str, body: &str| ask(&server, "PUT", "/b/k", headers, body);
    let (status, first) = put("x-goog-if-generation-match: 0\r\n", "1");
    assert_eq!((status, header(&first, "x-goog-generation").as_str()), (200, "1"));
    let (status, hot) = put("x-goog-if-generation-match: 1\r\n", "2");
    assert_eq!((status, header(&hot, "retry-after").as_str()), (429, "1"));
    assert_eq!(server.counts().hot_keys, 1);

    let options = Options { write_interval: Duration::ZERO, ..Options::of(Profile::Gcs) };
    let server = start(options);
    let put = |headers: &str, body: &str| ask(&server, "PUT", "/b/k", headers, body);
    assert_eq!(put("x-goog-if-generation-match: 1\r\n", "1").0, 412);
    assert_eq!(put("x-goog-if-generation-match: x\r\n", "1").0, 400);
    assert_eq!(put("x-goog-if-generation-match: 0\r\n", "1").0, 200);
    assert_eq!(put("x-goog-if-generation-match: 0\r\n", "2").0, 412);
    assert_eq!(put("x-goog-if-generation-match: 1\r\n", "1").0, 200);
    assert_eq!(
        put("x-goog-if-generation-match: 1\r\n", "2").0,
        412,
        "equal bytes are a new version"
    );
}

#[test]
fn googles_own_interface_is_on_the_same_objects() {
    let options = Options { write_interval: Duration::ZERO, ..Options::of(Profile::Gcs) };
    let server = start(options);
    let begin = "/upload/storage/v1/b/b/o?uploadType=resumable&name=p%2Fk&ifGenerationMatch=0";
    let (status, begun) = ask(&server, "POST", begin, "", "{}");
    assert_eq!(status, 200);
    let session = header(&begun, "location").replace("http://h", "");
    let (status, more) = ask(&server, "PUT", &session, "Content-Range: bytes 0-1/*\r\n", "ab");
    assert_eq!((status, header(&more, "range").as_str()), (308, "bytes=0-1"));
    let (status, done) = ask(&server, "PUT", &session, "Content-Range: bytes 2-2/3\r\n", "c");
    assert_eq!(status, 200);
    assert!(done.contains("\"generation\":\"1\""), "{done}");
    assert_eq!(ask(&server, "GET", "/b/p/k", "", "").1.lines().last(), Some("abc"));
    assert_eq!(ask(&server, "PUT", &session, "Content-Range: bytes 2-2/3\r\n", "c").0, 404);

    let write = |more: &str| {
        let target = format!("/upload/storage/v1/b/b/o?uploadType=media&name=p%2Fk{more}");
        ask(&server, "POST", &target, "", "new")
    };
    let (status, refused) = write("&ifGenerationMatch=0");
    assert_eq!(status, 412);
    assert!(refused.contains("\"reason\":\"conditionNotMet\""), "{refused}");
    assert_eq!(write("&ifGenerationMatch=1").0, 200);
    let get = |more: &str| ask(&server, "GET", &format!("/storage/v1/b/b/o/p%2Fk{more}"), "", "");
    assert!(get("").1.contains("\"generation\":\"2\""));
    assert_eq!(get("?alt=media").1.lines().last(), Some("new"));
    assert_eq!(get("?alt=media&ifGenerationNotMatch=2").0, 304);
    let (_, listed) =
        ask(&server, "GET", "/storage/v1/b/b/o?prefix=p%2F&startOffset=p%2Fa", "", "");
    assert!(listed.contains("\"name\":\"p/k\""), "{listed}");
    assert_eq!(ask(&server, "DELETE", "/storage/v1/b/b/o/p%2Fk", "", "").0, 204);
    assert_eq!(get("").0, 404);
    assert_eq!(ask(&server, "POST", "/batch/storage/v1", "", "x").0, 501);
}

#[test]
fn answers_are_lost_after_the_write_was_applied() {
    for fault in Fault::LOST_ANSWERS {
        let server = always(fault);
        let calm = server.beside(Faults::default()).expect("a port is free");
        let put = b"PUT /b/k HTTP/1.1\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        let (answer, end) = if fault == Fault::Hang {
            let mut socket = TcpStream::connect(server.address()).expect("it listens");
            socket.write_all(put).expect("it reads");
            let patience = Duration::from_millis(300);
            socket.set_read_timeout(Some(patience)).expect("it is not zero");
            let waited = socket.read(&mut [0; 1]).map(|_| ());
            assert!(waited.is_err(), "it says nothing, and does not close");
            (String::new(), Ok(()))
        } else {
            exchange(&server, put)
        };
        match fault {
            Fault::LostReply | Fault::Hang => assert_eq!(answer, ""),
            Fault::TornReply => assert_eq!(answer, "HTTP/1.1 2"),
            Fault::Reset => {
                let end = end.as_ref().expect_err("it is reset");
                assert_eq!((answer.as_str(), end.kind()), ("", ErrorKind::ConnectionReset));
            }
            Fault::Error500 => assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}"),
            Fault::Error503 => assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}"),
            Fault::Error408 => assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}"),
            Fault::FalseConflict | Fault::Throttle | Fault::SlowBody | Fault::CutBody => {
                unreachable!("it loses no answer")
            }
        }
        assert_eq!(end.is_err(), fault == Fault::Reset, "{fault}");
        assert!(
            ask(&calm, "GET", "/b/k", "", "").1.ends_with("\r\n\r\nx"),
            "{fault}: it is applied"
        );
        assert_eq!(server.counts().faults, [(fault, 1)].into());
    }
}

#[test]
fn some_faults_leave_the_write_undone() {
    let put = |server: &WireServer, headers: &str| ask(server, "PUT", "/b/k", headers, "x");
    let server = always(Fault::FalseConflict);
    let (status, conflict) = put(&server, "If-None-Match: *\r\n");
    assert_eq!(status, 409);
    assert!(conflict.contains("<Code>ConditionalRequestConflict</Code>"), "{conflict}");
    assert_eq!(ask(&server, "GET", "/b/k", "", "").0, 404);
    assert_eq!(put(&server, "").0, 200, "without a condition there is no conflict");
    let server = always(Fault::Throttle);
    let (status, slow) = put(&server, "");
    assert_eq!((status, header(&slow, "retry-after").as_str()), (503, "1"));
    let calm = server.beside(Faults::default()).expect("a port is free");
    assert_eq!(ask(&calm, "GET", "/b/k", "", "").0, 404);
}

#[test]
fn bodies_are_slow_or_cut_and_writes_have_none() {
    for fault in [Fault::SlowBody, Fault::CutBody] {
        let server = always(fault);
        assert_eq!(ask(&server, "PUT", "/b/k", "", "0123456789").0, 200);
        assert_eq!(server.counts().faults, [].into());
        let start = Instant::now();
        let (status, read) = ask(&server, "GET", "/b/k", "", "");
        let is_slow = start.elapsed() >= Duration::from_millis(200);
        assert_eq!((status, header(&read, "content-length").as_str()), (200, "10"));
        let end = if fault == Fault::SlowBody { "\r\n\r\n0123456789" } else { "\r\n\r\n01234" };
        assert!(read.ends_with(end), "{read}");
        assert_eq!(is_slow, fault == Fault::SlowBody);
    }
}

#[test]
fn the_seed_and_the_number_of_a_request_decide() {
    let statuses = |seed| -> Vec<u16> {
        let faults = Faults::of(seed).with(Fault::Error500, 0.5).expect("it is a share");
        let server = start(Options { faults, ..Options::default() });
        (0..32).map(|_| ask(&server, "GET", "/b/k", "", "").0).collect()
    };
    assert_eq!(statuses(3), statuses(3));
    assert_ne!(statuses(3), statuses(4));
    assert!(statuses(3).contains(&404) && statuses(3).contains(&500));
}

#[test]
fn what_was_seen_is_told_and_not_counted() {
    let server = start(Options::default());
    for body in ["1", "1", "2"] {
        ask(&server, "PUT", "/b/k", "If-None-Match: *\r\n", body);
    }
    ask(&server, "GET", "/b/k", "", "");
    ask(&server, "BREW", "/b/k", "", "");
    let (status, told) = ask(&server, "GET", "/_counts", "", "");
    assert_eq!(status, 200);
    let told = told.lines().last().expect("it has a body");
    let told: serde_json::Value = serde_json::from_str(told).expect("it is JSON");
    assert_eq!(told["requests"], serde_json::json!({"PUT": 3, "GET": 1, "other": 1}));
    assert_eq!(told["operations"], serde_json::json!({"create": 3, "get": 1}));
    assert_eq!(told["writes"], 3);
    assert_eq!(told["repeated_writes"], 1);
    assert_eq!(told["refused"], 1);
    let shown = server.counts().to_string();
    assert!(shown.contains("writes           3, 1 of them again\n"), "{shown}");
}

#[test]
fn nonsense_is_refused_and_nothing_is_allocated_for_it() {
    let server = start(Options::default());
    let many = "A: b\r\n".repeat(300);
    let long = "x".repeat(70_000);
    let too_large: [&str; 2] = [
        "PUT /b/k HTTP/1.1\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n",
        "PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff0\r\n",
    ];
    let malformed = [
        "PUT /b/k HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned(),
        "PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        "GET /b/k HTTP/1.1\r\nno header\r\n\r\n".to_owned(),
        format!("GET /b/k HTTP/1.1\r\n{many}\r\n"),
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        "GET /b/%ff HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        "GET /b/k?x=%ff HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        format!("PUT /b/{} HTTP/1.1\r\nConnection: close\r\n\r\n", "k".repeat(1025)),
        "GET /b?list-type=2&max-keys=x HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        "POST /b?delete HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
    ];
    for text in &too_large {
        let (answer, _) = exchange(&server, text.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 413 "), "{text}: {answer}");
    }
    for text in &malformed {
        let (answer, _) = exchange(&server, text.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{text}: {answer}");
    }
    let nothing =
        ["\r\n\r\n", "GET\r\nConnection: close\r\n\r\n", " \r\nConnection: close\r\n\r\n"];
    for text in nothing {
        assert!(exchange(&server, text.as_bytes()).0.starts_with("HTTP/1.1 "), "{text:?}");
    }
    assert_eq!(ask(&server, "PUT", "/b/k", "", "still there").0, 200);
    assert_eq!(server.counts().writes, 1);
}
