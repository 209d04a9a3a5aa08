//! Slow and hostile clients over raw connections: each gets an error or is disconnected within named limits, and others are
//! served.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use chartward::cli::{Config, Running, start};

use crate::shared::house;

fn server() -> (Running, String) {
    let config = Config { listen: "127.0.0.1:0".to_owned(), body_bytes_max: 1_000_000, ..Config::default() };
    let running = start(&config, &house(), true, None).unwrap();
    let address = running.base_url.strip_prefix("http://").unwrap().strip_suffix("/fhir").unwrap().to_owned();
    (running, address)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The first line of the answer; empty if the connection is closed without one.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut bytes = [0; 512];
    while !text.contains(&b'\n') {
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(read) => text.extend_from_slice(&bytes[..read]),
        }
    }
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned()
}

fn sent(address: &str, request: &[u8]) -> String {
    let mut stream = connect(address);
    // The server may close the connection before everything is sent.
    let _ = stream.write_all(request);
    answer(&mut stream)
}

/// Other clients are served quickly.
fn is_served(address: &str) {
    let since = Instant::now();
    let line = sent(address, b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(line, "HTTP/1.1 200 OK");
    assert!(since.elapsed() < Duration::from_secs(5));
}

fn post(body: &[u8], more: &str) -> Vec<u8> {
    let len = body.len();
    let head = format!(
        "POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\nContent-Length: {len}\r\n{more}\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[test]
fn heads_have_their_limits() {
    let (_running, address) = server();
    let head = |line: &str, headers: &str| {
        format!("GET {line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
    };
    let long = format!("X-Long: {}\r\n", "x".repeat(1_000_000));
    let many: String = (0..1_000).map(|number| format!("X-{number}: 1\r\n")).collect();
    for (request, expected) in [
        (head("/fhir/metadata", &long), "HTTP/1.1 431 Request Header Fields Too Large"),
        (head("/fhir/metadata", &many), "HTTP/1.1 431 Request Header Fields Too Large"),
        // The limit of the whole head is reached before that of the URI.
        (
            head(&format!("/fhir/Patient?name={}", "x".repeat(100_000)), ""),
            "HTTP/1.1 431 Request Header Fields Too Large",
        ),
        (b"nonsense\r\n\r\n".to_vec(), "HTTP/1.1 400 Bad Request"),
        (head("/fhir/metadata", "Content-Length: 1\r\nContent-Length: 2\r\n"), "HTTP/1.1 400 Bad Request"),
    ] {
        let line = sent(&address, &request);
        assert_eq!(line, expected);
        is_served(&address);
    }
}

#[test]
fn bodies_have_their_limits() {
    let (_running, address) = server();
    // A body that is declared too large is not read.
    let request = b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\nContent-Length: 1073741824\r\n\r\n{";
    assert_eq!(sent(&address, request), "HTTP/1.1 413 Payload Too Large");
    // A body of undeclared length is read up to the limit.
    let mut stream = connect(&address);
    stream
        .write_all(b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    let chunk = [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat();
    for _ in 0..40 {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    assert_eq!(answer(&mut stream), "HTTP/1.1 413 Payload Too Large");
    // A corrupt compressed body is refused, and so is an unsupported content coding.
    let packed = post(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "Content-Encoding: gzip\r\n");
    assert_eq!(sent(&address, &packed), "HTTP/1.1 400 Bad Request");
    let packed = post(&[0x28, 0xb5, 0x2f, 0xfd], "Content-Encoding: zstd\r\n");
    assert_eq!(sent(&address, &packed), "HTTP/1.1 415 Unsupported Media Type");
    // Nesting is refused as soon as it is too deep.
    let deep = [vec![b'['; 200_000], vec![b']'; 200_000]].concat();
    assert_eq!(sent(&address, &post(&deep, "")), "HTTP/1.1 400 Bad Request");
    let xml = format!("<Patient xmlns=\"http://hl7.org/fhir\">{}", "<extension>".repeat(50_000));
    let request = String::from_utf8(post(xml.as_bytes(), "")).unwrap().replace("fhir+json", "fhir+xml");
    assert_eq!(sent(&address, request.as_bytes()), "HTTP/1.1 400 Bad Request");
    let entities = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><Patient xmlns=\"http://hl7.org/fhir\"><id value=\"&c;\"/></Patient>";
    let request = String::from_utf8(post(entities.as_bytes(), "")).unwrap().replace("fhir+json", "fhir+xml");
    assert_eq!(sent(&address, request.as_bytes()), "HTTP/1.1 400 Bad Request");
    is_served(&address);
}

#[test]
fn slow_and_idle_clients_do_not_hold_up_others() {
    let (running, address) = server();
    // Heads that never end, bodies that never arrive, connections that send nothing, and unknown tokens.
    let mut kept = Vec::new();
    for number in 0..300 {
        let mut stream = connect(&address);
        match number % 3 {
            0 => stream.write_all(b"GET /fhir/metadata HTTP/1.1\r\nHost: ").unwrap(),
            1 => stream.write_all(&post(&[], "X: 1\r\n")[..60]).unwrap(),
            _ => {}
        }
        kept.push(stream);
    }
    let mut unread = connect(&address);
    for _ in 0..200 {
        unread.write_all(b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n").ok();
    }
    is_served(&address);
    for number in 0..2_000 {
        let token =
            if number % 2 == 0 { format!("t{number}") } else { format!("eyJhbGciOiJub25lIn0.e{number}.") };
        if number % 100 == 0 {
            kept.push(connect(&address));
        }
        let stream = kept.last_mut().unwrap();
        let request =
            format!("GET /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).ok();
    }
    is_served(&address);
    // Shutdown does not wait for requests that never finish.
    let since = Instant::now();
    let mut running = running;
    running.stop().unwrap();
    assert!(since.elapsed() < Duration::from_secs(60), "{:?}", since.elapsed());
}

/// The status and the whole body of an answer.
fn asked(running: &Running, path: &str, content_type: &str, body: &[u8]) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/{path}", running.base_url);
    let mut answer = agent.post(url).header("Content-Type", content_type).send(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn a_document_of_nothing_but_faults_costs_no_more_than_its_size() {
    let (running, _) = server();
    // Hundreds of thousands of faults, each of which would be reported with its position.
    let json = format!("{{\"resourceType\":\"Patient\",\"name\":[{}1]}}", "1,".repeat(200_000));
    let xml = format!("<Patient xmlns=\"http://hl7.org/fhir\">{}</Patient>", "<a/>".repeat(200_000));
    for (content_type, document) in [("application/fhir+json", json), ("application/fhir+xml", xml)] {
        let (status, said) = asked(&running, "Patient", content_type, document.as_bytes());
        assert!(matches!(status, 400 | 422), "{status}");
        assert!(said.len() < 500_000 && said.contains("further findings"), "{} bytes", said.len());
    }
    // A name as long as the document is not repeated in full.
    let long = format!("{{\"resourceType\":\"Patient\",\"{}\":1}}", "x".repeat(500_000));
    let (status, said) = asked(&running, "Patient", "application/fhir+json", long.as_bytes());
    assert!(status == 422 && said.len() < 10_000, "{status}, {} bytes", said.len());
}

#[test]
fn a_search_that_cannot_be_read_is_no_search_for_everything() {
    let (running, _) = server();
    let form = "application/x-www-form-urlencoded";
    let many = "name=F&".repeat(2_000);
    for (query, expected) in [
        (&b"\x1f\x8b\x08\xff\xfe"[..], 400),
        (b"fooo", 400),
        (b"fooo=", 400),
        (b"name=", 200),
        (b"name=F", 200),
        (many.as_bytes(), 400),
    ] {
        let (status, said) = asked(&running, "Patient/_search", form, query);
        assert_eq!(status, expected, "{said}");
    }
}

#[test]
fn http_2_is_spoken_by_who_begins_with_it() {
    use http_body_util::{BodyExt as _, Empty};
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let (_running, address) = server();
    let asked = async {
        let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        // Several requests on the one connection.
        for path in ["metadata", "Patient", "Patient/none"] {
            let uri = format!("http://{address}/fhir/{path}");
            let request = hyper::Request::get(uri).body(Empty::<bytes::Bytes>::new()).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.version(), hyper::Version::HTTP_2);
            assert_eq!(answer.status(), if path == "Patient/none" { 404 } else { 200 });
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(body.starts_with(b"{\"resourceType\""));
        }
    };
    tokio::runtime::Runtime::new().unwrap().block_on(asked);
}

/// How long it takes until the server closes the connection, and what it sent before.
fn closed(stream: &mut TcpStream) -> (Duration, String) {
    let (since, mut said) = (Instant::now(), Vec::new());
    // A connection reset counts as closed.
    let _ = stream.read_to_end(&mut said);
    (since.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn patience_with_slow_clients_has_an_end() {
    let config = Config {
        listen: "127.0.0.1:0".to_owned(),
        head_seconds_max: 1,
        body_pause_seconds_max: 1,
        unread_seconds_max: 2,
        ..Config::default()
    };
    let house = house();
    let running = start(&config, &house, true, None).unwrap();
    let address = running.base_url.strip_prefix("http://").unwrap().strip_suffix("/fhir").unwrap().to_owned();
    let soon = Duration::from_secs(15);
    // A client that sends nothing, and one that sends its head byte by byte without end.
    assert!(closed(&mut connect(&address)).0 < soon);
    let mut slow = connect(&address);
    let since = Instant::now();
    while slow.write_all(b"G").is_ok() && since.elapsed() < soon {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(since.elapsed() < soon);
    // A body that stops halfway.
    let mut stopped = connect(&address);
    stopped.write_all(&post(&[b'{'; 100], "")[..150]).unwrap();
    let (elapsed, said) = closed(&mut stopped);
    assert!(elapsed < soon && said.starts_with("HTTP/1.1 408"), "{elapsed:?} {said}");
    // An answer larger than the socket buffers of a client that does not read: the server gives up on it and closes the
    // connection.
    let large = format!(
        "{{\"resourceType\":\"Patient\",\"id\":\"large\",\"name\":[{{\"text\":\"{}\"}}]}}",
        "x".repeat(900_000)
    );
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/Patient/large", running.base_url);
    let put = agent.put(&url).header("Content-Type", "application/fhir+json").send(large).unwrap();
    assert_eq!(put.status().as_u16(), 201);
    let mut unread = connect(&address);
    let ask = b"GET /fhir/Patient/large HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(40);
    let since = Instant::now();
    unread.write_all(&ask).unwrap();
    while unread.write_all(b"GET /fhir/Patient/large HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok()
        && since.elapsed() < soon
    {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(since.elapsed() < soon, "who does not read keeps its connection");
    is_served(&address);
}
