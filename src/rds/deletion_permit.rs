//! One deletion request: what it waits for comes before its intent, and then it begins within five seconds or never.
//!
//! `run::send` asks for a permit, records the intent, and sends with the permit (contract, 4.5). Nothing else of the client
//! can send a deletion. Not for what an answer means: that is `delete`.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use serde::Serialize;
use tokio::time::Instant;

use super::answer::{Delay, DeletionAnswer};
use super::client::Client;
use super::credentials::Fingerprint;
use super::delete;
use super::error::{CallPlace, Error};
use super::failure::TransportFailure;
use super::operation::Operation;
use super::request::{Admission, ApiRequest, Exchange};
use super::response::Response;
use crate::retention::plan::PlannedDeletion;
use crate::retention::{BackupId, Batch};

/// A request begins this long after its intent at the latest (contract, 4.5).
pub const BEGINS_WITHIN: Duration = Duration::from_secs(5);

/// When an intent was made. Both clocks count: the monotonic one stands still while the machine is suspended, and anybody
/// can set the other one.
#[derive(Clone, Copy, Debug)]
pub struct IntendedAt {
    wall: DateTime<Utc>,
    monotonic: Instant,
}

impl IntendedAt {
    /// To be read before anything is looked at that could forbid the request.
    pub fn now() -> Self {
        Self {
            wall: crate::clock::now(),
            monotonic: Instant::now(),
        }
    }

    /// By the wall clock.
    pub fn wall(&self) -> DateTime<Utc> {
        self.wall
    }

    fn deadline(&self) -> Instant {
        self.monotonic + crate::clock::protocol_time(BEGINS_WITHIN)
    }

    fn is_over(&self) -> bool {
        let passed = crate::clock::now() - self.wall;
        let most = TimeDelta::from_std(crate::clock::protocol_time(BEGINS_WITHIN)).unwrap_or(TimeDelta::zero());
        Instant::now() >= self.deadline() || passed.abs() >= most
    }
}

/// Whether a request begins. Decided once, by whichever comes first: the connection that asks for its bytes, or whoever
/// withdraws it.
#[derive(Clone, Debug)]
struct Gate {
    intended: IntendedAt,
    begun: Arc<OnceLock<bool>>,
}

impl Gate {
    fn begins(&self) -> bool {
        *self.begun.get_or_init(|| !self.intended.is_over())
    }

    /// Whether it has not begun: then it never will.
    fn withdraw(&self) -> bool {
        !*self.begun.get_or_init(|| false)
    }
}

/// A body that is there only if the request may still begin. The HTTP client asks for it once it has a connection, and
/// before it flushes the head: where this is an error, no byte of the request has left.
///
/// The deletion of one backup has no body. Then the HTTP client asks whether there is one at the same moment: if the request may no
/// longer begin, there is one, and it is an error.
struct GatedBody {
    gate: Gate,
    data: Option<Bytes>,
}

impl Body for GatedBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if !self.gate.begins() {
            return Poll::Ready(Some(Err("the request did not begin in time")));
        }
        Poll::Ready(self.data.take().map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.gate.begins()
    }

    /// Of a body that is an error the length is not known: one of length 0 is never asked for.
    fn size_hint(&self) -> SizeHint {
        let exact = |data: &Bytes| SizeHint::with_exact(data.len() as u64);
        self.data.as_ref().map_or_else(SizeHint::default, exact)
    }
}

/// The right to send one deletion request now: with a slot, the rate's turn, credentials, and the right to use them.
pub struct DeletionPermit {
    client: Client,
    ask: ApiRequest,
    admission: Admission,
    /// The key that answered 401 to the request that this one repeats.
    refused: Option<Fingerprint>,
}

impl Client {
    /// Waits for everything that one deletion request has to wait for. Can be dropped at any time: nothing was sent.
    /// `refused` is from [`DeletionAnswer::KeyRefused`], for a repeat.
    pub async fn permit_deletion(&self, refused: Option<Fingerprint>) -> Result<DeletionPermit, Error> {
        let ask = self.deletion().await?;
        let admission = self.exchange().admission(&ask.place).await?;
        Ok(DeletionPermit {
            client: self.clone(),
            ask,
            admission,
            refused,
        })
    }
}

impl DeletionPermit {
    /// Sends one batch, once. It does not begin later than five seconds after its intent, nor once `withdrawn` has ended.
    ///
    /// An error of class [`super::Class::NotAllowed`] is the API's answer, and nothing was deleted; any other means that the
    /// request did not begin.
    pub async fn delete(
        self,
        batch: &Batch,
        intended: IntendedAt,
        withdrawn: impl Future<Output = ()>,
    ) -> Result<DeletionAnswer, Error> {
        let ids: Vec<BackupId> = batch.ids().cloned().collect();
        if ids.is_empty() {
            return Ok(DeletionAnswer::Results {
                outcomes: Vec::new(),
                request_id: None,
            });
        }
        let ask = self.request(batch, &ids)?;
        if intended.is_over() {
            return Ok(DeletionAnswer::Late { by: Delay::Ledger });
        }
        let gate = Gate {
            intended,
            begun: Arc::default(),
        };
        let exchange = self.client.exchange();
        let reply = match send(exchange, &ask, &self.admission, &gate, withdrawn).await? {
            Ok(reply) => reply,
            Err(by) => return Ok(DeletionAnswer::Late { by }),
        };
        match reply {
            Ok(reply) => {
                let fingerprint = self.admission.fingerprint();
                if exchange.settle_key(&ask.place, self.admission, self.refused.as_ref(), &reply)? {
                    delete::answer(&ask.place, &ids, &reply)
                } else {
                    Ok(DeletionAnswer::KeyRefused { fingerprint })
                }
            }
            Err(failure) => lost(ask.place, failure, &gate),
        }
    }

    /// The call that deletes backups of their engine: never the other one, whatever the API would make of it.
    fn request(&self, batch: &Batch, backup_ids: &[BackupId]) -> Result<ApiRequest, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            backup_ids: &'a [BackupId],
        }
        let project = self.client.project();
        let wrong = |message: String, source| Error::Configuration {
            project: project.clone(),
            message,
            source,
        };
        if batch.project() != project {
            let message = format!("a batch of project {} has this project's permit", batch.project());
            return Err(wrong(message, None));
        }
        let mut ask = self.ask.clone();
        if batch.items().iter().all(PlannedDeletion::goes_in_a_batch) {
            let body = serde_json::to_vec(&Body { backup_ids });
            let unwritten = |source: serde_json::Error| {
                wrong("the batch cannot be written as JSON".to_owned(), Some(source.into()))
            };
            ask.body = Some(body.map_err(unwritten)?);
            return Ok(ask);
        }
        match batch.items() {
            [item] if item.candidate.instance.engine.is_known() && item.candidate.id.is_plain() => {
                ask.place.operation = Operation::Delete;
                // `batch-delete`.
                ask.segments.pop();
                ask.segments.push(item.candidate.id.to_string());
                Ok(ask)
            }
            items => Err(wrong(
                format!(
                    "{} backups that no single call deletes were to be sent in one",
                    items.len()
                ),
                None,
            )),
        }
    }
}

/// Sends it and reads what is answered; the inner `Err` where it did not begin.
async fn send(
    exchange: &Exchange,
    ask: &ApiRequest,
    admission: &Admission,
    gate: &Gate,
    withdrawn: impl Future<Output = ()>,
) -> Result<Result<Result<Response, TransportFailure>, Delay>, Error> {
    // Signed with the same bytes.
    let data = ask.body.clone().map(Bytes::from);
    let (request, generation) = exchange.request(ask, &admission.credentials)?;
    let request = request.body(reqwest::Body::wrap(GatedBody {
        gate: gate.clone(),
        data,
    }));
    let too_late = async {
        tokio::select! {
            () = withdrawn => Delay::Stop,
            () = tokio::time::sleep_until(gate.intended.deadline()) => Delay::Connection,
        }
    };
    let sending = exchange.attempt(ask, request, generation);
    tokio::pin!(sending);
    tokio::select! {
        biased;
        reply = &mut sending => Ok(Ok(reply)),
        by = too_late => Ok(if gate.withdraw() { Err(by) } else { Ok(sending.await) }),
    }
}

/// What it means that there was no answer.
fn lost(place: CallPlace, failure: TransportFailure, gate: &Gate) -> Result<DeletionAnswer, Error> {
    let has_not_begun = gate.withdraw();
    if has_not_begun && gate.intended.is_over() {
        return Ok(DeletionAnswer::Late { by: Delay::Connection });
    }
    let lost = Error::Unreachable {
        place,
        why: failure.why,
        attempts: 1,
        source: failure.source,
    };
    if has_not_begun {
        return Err(lost);
    }
    Ok(DeletionAnswer::Unanswered {
        why: lost.chain(),
        request_id: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(intended: IntendedAt) -> Gate {
        Gate {
            intended,
            begun: Arc::default(),
        }
    }

    #[test]
    fn whether_a_request_begins_is_decided_once() {
        let begun = gate(IntendedAt::now());
        assert!(
            begun.begins() && !begun.withdraw(),
            "what has begun cannot be withdrawn"
        );
        let withdrawn = gate(IntendedAt::now());
        assert!(
            withdrawn.withdraw() && !withdrawn.begins(),
            "what was withdrawn never begins"
        );
    }

    /// By the HTTP client itself, on a connection that it has: what may not begin sends no byte of its head, with a body or without.
    #[tokio::test]
    async fn a_connection_that_comes_too_late_carries_no_byte() {
        use tokio::io::AsyncReadExt;
        for (method, data) in [("POST", Some(Bytes::from_static(b"{}"))), ("DELETE", None)] {
            for begins in [false, true] {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = url::Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
                let http = crate::rds::transport::client(&url, Duration::from_secs(5), true).unwrap();
                let gate = gate(IntendedAt::now());
                assert!(begins || gate.withdraw());
                let body = GatedBody {
                    gate: gate.clone(),
                    data: data.clone(),
                };
                let request = http
                    .request(method.parse().unwrap(), url)
                    .body(reqwest::Body::wrap(body));
                let (sent, heard) = tokio::join!(request.send(), async {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut heard = [0; 4096];
                    let read = stream.read(&mut heard).await.unwrap_or(0);
                    String::from_utf8_lossy(&heard[..read]).into_owned()
                });
                assert!(sent.is_err(), "nobody answers");
                assert_eq!(heard.starts_with(method), begins, "{method}: {heard}");
                assert!(begins || heard.is_empty(), "{method}: {heard}");
            }
        }
    }

    /// A suspended machine stops one clock, and anybody can set the other.
    #[test]
    fn either_clock_ends_the_time_to_begin() {
        let now = IntendedAt::now();
        let monotonic = now.monotonic.checked_sub(BEGINS_WITHIN).expect("five seconds ago");
        let ago = IntendedAt { monotonic, ..now };
        assert!(!gate(ago).begins());
        for seconds in [-6, 6] {
            let wall = now.wall + TimeDelta::seconds(seconds);
            assert!(!gate(IntendedAt { wall, ..now }).begins(), "{seconds}");
        }
        assert!(gate(IntendedAt::now()).begins());
    }
}
