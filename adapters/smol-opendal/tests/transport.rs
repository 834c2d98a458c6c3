//! The HTTP client against small servers on this machine.
#![cfg(feature = "http")]

mod server;

use std::time::{Duration, Instant};

use buffer_smol::{HttpOptions, http_context};
use http::{Method, Request};
use opendal::{Buffer, Error, HttpTransporter};
use server::{Reply, Server};

fn client(options: &HttpOptions) -> HttpTransporter {
    http_context(options).expect("the options are sound").http_transport().clone()
}

fn request(method: Method, url: &str, body: &'static str) -> Request<Buffer> {
    let request = Request::builder().method(method).uri(url);
    request.body(Buffer::from(body)).expect("it is well formed")
}

/// Sends a request, and waits for the whole answer: its status and its contents.
fn send(client: &HttpTransporter, request: Request<Buffer>) -> Result<(u16, Vec<u8>), Error> {
    let answer = smol::block_on(client.send(request))?;
    Ok((answer.status().as_u16(), answer.into_body().to_vec()))
}

fn options(change: impl FnOnce(&mut HttpOptions)) -> HttpOptions {
    let mut options = HttpOptions::default();
    change(&mut options);
    options
}

#[test]
fn a_connection_is_kept_and_used_again() {
    let server = Server::start("127.0.0.1:0", |_| Reply::ok("hello"));
    let client = client(&HttpOptions::default());
    for number in 0..10 {
        let (method, body) =
            if number % 2 == 0 { (Method::GET, "") } else { (Method::PUT, "contents") };
        let answer = send(&client, request(method, &server.url("/x"), body));
        assert_eq!(answer.expect("it is answered"), (200, b"hello".to_vec()));
    }
    assert_eq!((server.connections(), server.requests().len()), (1, 10));
    assert_eq!(server.requests()[1].body, b"contents");
}

#[test]
fn requests_at_once_have_a_connection_each() {
    let server = Server::start("127.0.0.1:0", |_| {
        std::thread::sleep(Duration::from_millis(100));
        Reply::ok("")
    });
    let client = client(&HttpOptions::default());
    let url = server.url("/x");
    smol::block_on(async {
        let sent = (0..4).map(|_| client.send(request(Method::GET, &url, "")));
        for answer in futures_util::future::join_all(sent).await {
            assert_eq!(answer.expect("it is answered").status(), 200);
        }
    });
    assert_eq!((server.connections(), server.requests().len()), (4, 4));
}

/// Goal: a write whose connection closes without an answer is not sent again, as curl would
/// do on a connection that was kept: it may have been applied.
#[test]
fn a_write_without_an_answer_is_sent_once_and_called_lost() {
    let server = Server::start("127.0.0.1:0", |request| {
        if request.method == "PUT" { Reply::Close } else { Reply::ok("") }
    });
    let client = client(&HttpOptions::default());
    for _ in 0..5 {
        send(&client, request(Method::GET, &server.url("/x"), "")).expect("it is answered");
        let lost = send(&client, request(Method::PUT, &server.url("/x"), "contents"));
        assert!(lost.expect_err("it was not answered").is_temporary());
    }
    let puts = server.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 5);
}

/// Goal: a connection that the server closed a while ago costs nobody a failure.
#[test]
fn a_kept_connection_that_was_closed_is_noticed() {
    let server = Server::start("127.0.0.1:0", |_| Reply::ok_and_close("hello"));
    let client = client(&HttpOptions::default());
    for _ in 0..3 {
        let answer = send(&client, request(Method::PUT, &server.url("/x"), "contents"));
        assert_eq!(answer.expect("it is answered").0, 200);
        // curl looks at the connections that it keeps once a second.
        std::thread::sleep(Duration::from_millis(1200));
    }
    assert_eq!((server.connections(), server.requests().len()), (3, 3));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::start("127.0.0.1:0", |_| Reply::Never);
    let client = client(&options(|options| options.idle_timeout = Duration::from_secs(1)));
    let begun = Instant::now();
    let lost = send(&client, request(Method::PUT, &server.url("/x"), "contents"));
    assert!(lost.expect_err("it is not answered").is_temporary());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(server.requests().len(), 1);
}

/// Goal: a body that stops in the middle is a failure, not a short body.
#[test]
fn a_body_that_stops_is_given_up_and_a_torn_one_is_no_answer() {
    let stopped = Server::start("127.0.0.1:0", |_| Reply::Torn { length: 100, then_close: false });
    let impatient = client(&options(|options| options.idle_timeout = Duration::from_secs(1)));
    let lost = send(&impatient, request(Method::GET, &stopped.url("/x"), ""));
    assert!(lost.expect_err("it does not end").is_temporary());
    let torn = Server::start("127.0.0.1:0", |_| Reply::Torn { length: 100, then_close: true });
    let lost = send(&impatient, request(Method::GET, &torn.url("/x"), ""));
    assert!(lost.expect_err("it is torn").is_temporary());
}

#[test]
fn a_port_that_nobody_listens_at_and_a_host_that_is_none_are_failures() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("it is bound");
    drop(port);
    let client = client(&HttpOptions::default());
    for url in [format!("http://{address}/x"), "http://no-such-host.invalid/x".to_owned()] {
        let lost = send(&client, request(Method::GET, &url, ""));
        assert!(lost.expect_err("nobody is there").is_temporary(), "{url}");
    }
}

#[test]
fn redirects_are_followed_with_the_body_and_without_secrets_for_others() {
    let other = Server::start("127.0.0.1:0", |_| Reply::ok("there"));
    let to = other.url("/there");
    let server = Server::start("127.0.0.1:0", move |request| match request.path.as_str() {
        "/here" => Reply::redirect(307, "/second"),
        "/second" => Reply::redirect(308, &to),
        path => Reply::redirect(302, path),
    });
    let client = client(&HttpOptions::default());
    let mut put = request(Method::PUT, &server.url("/here"), "contents");
    put.headers_mut().insert("authorization", "secret".parse().expect("ASCII"));
    put.headers_mut().insert("if-none-match", "*".parse().expect("ASCII"));
    assert_eq!(send(&client, put).expect("it is answered"), (200, b"there".to_vec()));
    let (here, there) = (server.requests(), other.requests());
    assert_eq!((here.len(), there.len()), (2, 1));
    assert!(here.iter().all(|request| request.header("authorization") == Some("secret")));
    assert_eq!(there[0].header("authorization"), None);
    assert_eq!(there[0].header("if-none-match"), Some("*"));
    assert_eq!((there[0].method.as_str(), there[0].body.as_slice()), ("PUT", &b"contents"[..]));
    let endless = send(&client, request(Method::GET, &server.url("/loop"), ""));
    assert!(endless.expect_err("it goes round").to_string().contains("redirects"));
}

#[test]
fn ipv6_is_spoken() {
    let server = Server::start("[::1]:0", |_| Reply::ok("six"));
    assert!(server.url("/x").starts_with("http://[::1]:"), "{}", server.url("/x"));
    let answer =
        send(&client(&HttpOptions::default()), request(Method::GET, &server.url("/x"), ""));
    assert_eq!(answer.expect("it is answered"), (200, b"six".to_vec()));
}

#[test]
fn bodies_go_and_come_in_pieces() {
    let large = vec![7_u8; 3 << 20];
    let reply = large.clone();
    let server =
        Server::start("127.0.0.1:0", move |_| Reply::Ok { body: reply.clone(), close: false });
    let client = client(&HttpOptions::default());
    let pieces: Vec<bytes::Bytes> =
        large.chunks(100_000).map(bytes::Bytes::copy_from_slice).collect();
    let put = Request::put(server.url("/x")).body(Buffer::from(pieces)).expect("it is well formed");
    let (count, came) = smol::block_on(async {
        let mut answer = client.fetch(put).await.expect("it is answered");
        let mut pieces = Vec::new();
        answer.body_mut().for_each_piece(|piece| pieces.push(piece)).await;
        (pieces.len(), pieces.concat())
    });
    assert!(count > 10, "{count} pieces");
    assert!(came == large && server.requests()[0].body == large);
}

#[test]
fn a_certificate_is_trusted_if_its_authority_is_given_and_not_by_default() {
    let (server, authority) = Server::start_tls();
    let url = server.url("/x");
    assert!(url.starts_with("https://localhost:"), "{url}");
    let refused = send(&client(&HttpOptions::default()), request(Method::GET, &url, ""));
    let refused = refused.expect_err("nobody knows it").to_string();
    assert!(refused.contains("certificate"), "{refused}");
    assert!(server.requests().is_empty(), "nothing was sent");
    let trusting = client(&options(|options| options.authorities = Some(authority)));
    let answer = send(&trusting, request(Method::PUT, &url, "contents"));
    assert_eq!(answer.expect("it is trusted"), (200, b"hello".to_vec()));
    assert_eq!(server.requests()[0].body, b"contents");
    let elsewhere = url.replace("localhost", "127.0.0.1");
    let refused = send(&trusting, request(Method::GET, &elsewhere, ""));
    assert!(refused.expect_err("it is for another name").to_string().contains("certificate"));
}

/// The pieces of a body as the client hands them out.
trait Pieces {
    async fn for_each_piece(&mut self, take: impl FnMut(Vec<u8>));
}

impl Pieces for opendal::HttpBody {
    async fn for_each_piece(&mut self, mut take: impl FnMut(Vec<u8>)) {
        use opendal::raw::oio::ReadStream;
        loop {
            let piece = self.read().await.expect("it comes whole");
            if piece.is_empty() {
                return;
            }
            take(piece.to_vec());
        }
    }
}
