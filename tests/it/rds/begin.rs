//! When a deletion request may begin: within five seconds of its intent, and never once it was withdrawn.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rds_retentiond::rds::{BEGINS_WITHIN, Client, Delay, DeletionAnswer, IntendedAt};
use rds_retentiond::retention::{Engine, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::delete;
use super::server::{Server, batch, batch_of, client, ok, status};

/// An address that lets nobody in until [`Door::open`]: its backlog is full, as if a firewall dropped packets.
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    crowd: Vec<std::net::TcpStream>,
}

impl Door {
    fn shut() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut crowd = Vec::new();
        while let Ok(one) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            crowd.push(one);
            assert!(crowd.len() < 100, "the backlog is never full");
        }
        Self {
            listener,
            address,
            crowd,
        }
    }

    async fn client(&self) -> Client {
        let server = Server {
            url: format!("http://{}", self.address),
            script: Server::new([]).await.script,
        };
        client(&server)
    }

    /// Lets everybody in who still waits, and says what each sent; answers each request.
    async fn open(self) -> Vec<String> {
        drop(self.crowd);
        let mut heard = Vec::new();
        while let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_secs(4), self.listener.accept()).await {
            let mut bytes = vec![0; 4096];
            let mut text = String::new();
            loop {
                let read = stream.read(&mut bytes).await.unwrap_or(0);
                text.push_str(&String::from_utf8_lossy(&bytes[..read]));
                if read == 0 {
                    break;
                }
                if text.ends_with("]}") || text.starts_with("DELETE ") && text.ends_with("\r\n\r\n") {
                    let body = r#"{"delete_results": [{"backup_id": "x", "error_code": "0"}]}"#;
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes()).await;
                    break;
                }
            }
            heard.push(text);
            if heard.last().is_some_and(|text| !text.is_empty()) {
                break;
            }
        }
        heard.retain(|text| !text.is_empty());
        heard
    }
}

#[tokio::test]
async fn without_a_connection_in_time_no_byte_is_sent() {
    let door = Door::shut();
    let permit = door.client().await.permit_deletion(None).await.unwrap();
    let begun = Instant::now();
    let answer = permit
        .delete(&batch(&["x"]), IntendedAt::now(), std::future::pending())
        .await;
    assert_eq!(answer.unwrap(), DeletionAnswer::Late { by: Delay::Connection });
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(door.open().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_stop_withdraws_a_request_that_waits_for_its_connection() {
    let door = Door::shut();
    let permit = door.client().await.permit_deletion(None).await.unwrap();
    let begun = Instant::now();
    let stop = tokio::time::sleep(Duration::from_millis(200));
    let answer = permit.delete(&batch(&["x"]), IntendedAt::now(), stop).await;
    assert_eq!(answer.unwrap(), DeletionAnswer::Late { by: Delay::Stop });
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(door.open().await, Vec::<String>::new());
}

/// The twin: the connection takes its time, and comes within five seconds.
#[tokio::test]
async fn a_connection_that_takes_a_second_is_in_time() {
    let door = Door::shut();
    let permit = door.client().await.permit_deletion(None).await.unwrap();
    let batch = batch(&["x"]);
    let deletion = permit.delete(&batch, IntendedAt::now(), std::future::pending());
    let (answer, heard) = tokio::join!(deletion, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        door.open().await
    });
    assert!(matches!(answer, Ok(DeletionAnswer::Results { .. })), "{answer:?}");
    assert!(heard[0].contains("content-length: 20"), "{heard:?}");
}

/// The deletion of one backup has no body that could be held back, so its head is.
#[tokio::test]
async fn a_single_deletion_without_a_connection_in_time_or_after_a_stop_sends_no_byte() {
    for stop_after in [Duration::from_millis(200), Duration::from_secs(3600)] {
        let door = Door::shut();
        let permit = door.client().await.permit_deletion(None).await.unwrap();
        let (batch, stop) = (batch_of(Engine::MySql, &["x"]), tokio::time::sleep(stop_after));
        let answer = permit.delete(&batch, IntendedAt::now(), stop).await;
        assert!(matches!(answer, Ok(DeletionAnswer::Late { .. })), "{answer:?}");
        assert_eq!(door.open().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_single_deletion_whose_connection_takes_a_second_is_in_time_and_has_no_body() {
    let door = Door::shut();
    let permit = door.client().await.permit_deletion(None).await.unwrap();
    let batch = batch_of(Engine::MariaDb, &["x"]);
    let deletion = permit.delete(&batch, IntendedAt::now(), std::future::pending());
    let (answer, heard) = tokio::join!(deletion, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        door.open().await
    });
    let Ok(DeletionAnswer::Results { outcomes, .. }) = &answer else {
        panic!("{answer:?}");
    };
    assert_eq!(outcomes[0].1, Outcome::Accepted);
    let sent = heard[0].to_ascii_lowercase();
    assert!(sent.starts_with("delete /v3/"), "{sent}");
    assert!(
        !sent.contains("content-length") && !sent.contains("transfer-encoding"),
        "{sent}"
    );
}

/// What a success says of a single deletion.
#[tokio::test]
async fn a_single_deletion_is_accepted_by_a_trivial_answer_alone() {
    let accepted = ["", " ", "{}", "null", r#"{"job_id": "1"}"#, r#"{"error_code": "0"}"#];
    let doubtful = [
        "<html>",
        "[]",
        "7",
        r#"{"error_code""#,
        r#"{"error_code": "DBS.200054"}"#,
        r#"{"error_code": {}}"#,
    ];
    for (body, is_accepted) in accepted
        .map(|body| (body, true))
        .into_iter()
        .chain(doubtful.map(|body| (body, false)))
    {
        let server = Server::new([ok(body)]).await;
        let answer = delete(&client(&server), &batch_of(Engine::MySql, &["x"]))
            .await
            .unwrap();
        let is = matches!(&answer, DeletionAnswer::Results { outcomes, .. } if outcomes[0].1 == Outcome::Accepted);
        assert_eq!(is, is_accepted, "{body}: {answer:?}");
        let is_unanswered = match &answer {
            DeletionAnswer::Unanswered { .. } => true,
            DeletionAnswer::Results { outcomes, .. } => matches!(outcomes[0].1, Outcome::Unanswered { .. }),
            _ => false,
        };
        assert_eq!(is_unanswered, !is_accepted, "{body}: {answer:?}");
    }
}

/// A request that has begun is waited for: a stop cannot call it back, and must not forget it.
#[tokio::test]
async fn a_stop_does_not_drop_a_request_that_has_begun() {
    let server = Server::gated([status(500, "{}")]).await;
    let permit = client(&server).permit_deletion(None).await.unwrap();
    let batch = batch(&["x"]);
    let stop = server.until_seen(1);
    let deletion = permit.delete(&batch, IntendedAt::now(), stop);
    let (answer, ()) = tokio::join!(deletion, async {
        server.until_seen(1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.script.gate.add_permits(1);
    });
    assert!(matches!(answer, Ok(DeletionAnswer::Unanswered { .. })), "{answer:?}");
}

/// The ledger may be slow: an fsync that stalls, a foreign lock.
#[tokio::test(start_paused = true)]
async fn an_intent_that_was_on_disk_too_late_is_not_sent() {
    let server = Server::new([]).await;
    let permit = client(&server).permit_deletion(None).await.unwrap();
    let intended = IntendedAt::now();
    tokio::time::advance(BEGINS_WITHIN).await;
    let answer = permit.delete(&batch(&["x"]), intended, std::future::pending()).await;
    assert_eq!(answer.unwrap(), DeletionAnswer::Late { by: Delay::Ledger });
    assert!(server.seen().is_empty());
}

/// When a server ends a connection that was used before, while a deletion is sent on it.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// Before a byte of it was read.
    Idle,
    /// After its head.
    Head,
    /// After all of it, without an answer.
    All,
}

/// Answers a first request, and ends that connection during the second; then answers all. Each request to delete that it heard.
async fn ending(listener: TcpListener, when: Ends) -> Vec<String> {
    let mut heard = Vec::new();
    let mut is_first = true;
    while let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_secs(3), listener.accept()).await {
        for request in 0.. {
            if is_first && request == 1 && matches!(when, Ends::Idle) {
                break;
            }
            let (mut text, mut bytes) = (String::new(), [0; 4096]);
            while !text.ends_with("]}") {
                let Ok(read @ 1..) = stream.read(&mut bytes).await else {
                    break;
                };
                text.push_str(&String::from_utf8_lossy(&bytes[..read]));
                if is_first && request == 1 && matches!(when, Ends::Head) {
                    break;
                }
            }
            if text.is_empty() {
                break;
            }
            heard.push(text);
            if is_first && request == 1 {
                break;
            }
            let body = r#"{"delete_results": [{"backup_id": "x", "error_code": "0"}]}"#;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        is_first = false;
    }
    heard
}

/// HTTP clients repeat what they believe was not read; of a deletion nobody may believe so.
#[tokio::test]
async fn a_deletion_leaves_once_however_its_connection_ends() {
    for when in [Ends::Idle, Ends::Head, Ends::All] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server {
            url: format!("http://{}", listener.local_addr().unwrap()),
            script: Server::new([]).await.script,
        };
        let client = client(&server);
        let sending = async {
            let mut answers = Vec::new();
            for _ in 0..3 {
                answers.push(delete(&client, &batch(&["x"])).await.unwrap());
            }
            drop(client);
            answers
        };
        let (answers, heard) = tokio::join!(sending, ending(listener, when));
        assert!(heard.len() <= 3, "{when:?}: {heard:#?}");
        // The twins: before and after it, each is answered.
        for place in [0, 2] {
            assert!(
                matches!(answers[place], DeletionAnswer::Results { .. }),
                "{when:?}: {answers:?}"
            );
        }
        // What was not read at all may go well on another connection.
        let is_unanswered = matches!(answers[1], DeletionAnswer::Unanswered { .. });
        assert!(is_unanswered || matches!(when, Ends::Idle), "{when:?}: {answers:?}");
    }
}
