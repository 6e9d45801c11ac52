//! What a hostile or clumsy client costs.

use super::rig::{BYTES, Rig, parse, read_answer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A header above 16 KiB is refused as such, also where it is the upload's metadata.
#[tokio::test]
async fn headers_are_bounded() {
    let rig = Rig::start().await;
    let long = "a".repeat(17 << 10);
    let answer = rig.tus("POST /files", &[("Upload-Metadata", &long)], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (431, "header-too-large"));
    let page = ("Origin", "https://page.example");
    let answer = rig.ask("GET /healthz", &[("X-Long", &long), page], b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (431, "*"));
}

/// A refused body is answered at once, and the connection ends after a bounded part of it,
/// whether its length is known or not.
#[tokio::test]
async fn refused_bodies_are_cut_off() {
    const BODY_BYTES: usize = 64 << 30;
    let rig = Rig::start().await;
    for framing in ["Content-Length: 68719476736", "Transfer-Encoding: chunked"] {
        for target in ["POST /nothing-here", "POST /files", "PATCH /files/x"] {
            let mut stream = rig.connect().await;
            let head = format!("{target} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("sent");
            let (mut read, mut write) = stream.split();
            let sending = async {
                let mut piece = b"10000\r\n".to_vec();
                piece.extend(vec![b'x'; 65_536]);
                piece.extend(b"\r\n");
                let mut sent = 0usize;
                while sent < BODY_BYTES && write.write_all(&piece).await.is_ok() {
                    sent += piece.len();
                }
                sent
            };
            let mut answer = [0u8; 12];
            let (sent, read) = tokio::join!(sending, read.read_exact(&mut answer));
            read.expect("an answer");
            assert!(answer.starts_with(b"HTTP/1.1 40"), "{answer:?}");
            assert!(sent < BODY_BYTES, "{target} {framing}: {sent} bytes were taken");
        }
    }
}

/// A small refused body costs the connection nothing: the next request goes over it.
#[tokio::test]
async fn small_refused_bodies_keep_the_connection() {
    let rig = Rig::start().await;
    let mut stream = rig.connect().await;
    let first = "POST /nothing-here HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello";
    let second = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(first.as_bytes()).await.expect("sent");
    stream.write_all(second.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("answers");
    let text = String::from_utf8(bytes).expect("text");
    assert!(text.starts_with("HTTP/1.1 404") && text.ends_with("ok\n"), "{text}");
}

/// What the HTTP library refuses by itself is refused in the form of all problems, and a
/// malformed request closes the connection.
#[tokio::test]
async fn malformed_requests() {
    let rig = Rig::start().await;
    let answer = rig.as_token(&rig.ann, "GET /api/videos?limit=x", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-request"));
    let answer = rig.as_token(&rig.ann, "DELETE /api/videos", &[], b"").await;
    assert_eq!((answer.status, answer.code().as_str()), (405, "method-not-allowed"));
    let mut stream = rig.connect().await;
    let smuggled = "POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\
                    Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    stream.write_all(smuggled.as_bytes()).await.expect("sent");
    assert_eq!(read_answer(&mut stream).await.status, 400);
}

/// The answer to a client that waits for permission to send comes before its body.
#[tokio::test]
async fn expectations_are_met() {
    let rig = Rig::start().await;
    let at = rig.create(5).await;
    let mut stream = rig.connect().await;
    let (kind, bytes) = BYTES;
    let head = format!(
        "PATCH {at} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\n{kind}: {bytes}\r\nUpload-Offset: 0\r\nConnection: close\r\n\
         Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        rig.ann
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut go_on = [0u8; 25];
    stream.read_exact(&mut go_on).await.expect("an interim answer");
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"));
    stream.write_all(b"hello").await.expect("sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("an answer");
    assert_eq!(parse(&rest).status, 204);
}
