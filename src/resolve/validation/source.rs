//! Where the library takes what it proves answers by: the answer itself, what is kept, and upstreams.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::{self, Stream};
use hickory_net::NetError;
use hickory_net::proto::op::{self, DnsRequest, DnsResponse};
use hickory_net::proto::rr::RecordType as Type;
use hickory_net::proto::serialize::binary::BinEncodable as _;
use hickory_net::runtime::{RuntimeProvider, Time, TokioRuntimeProvider, TokioTime};
use hickory_net::xfer::DnsHandle;

use super::super::upstream::Group;
use super::super::{Asking, Resolved, Resolver};
use crate::clock;
use crate::message::{Name, RecordType};
use crate::query::{Query, Question};

/// How many octets of answers are kept that prove others.
const MOST_KEPT: usize = 4 << 20;
/// How long one is kept at most.
const LONGEST: Duration = Duration::from_secs(3600);

tokio::task_local! {
    /// What is proven in this task, and the answer that is to be proven.
    static PROVING: (DnsResponse, Arc<Sought>);
}

/// What one proof may ask, and what came of it.
pub(super) struct Sought {
    pub(super) resolver: Resolver,
    /// Whose question is to be proven; others are asked as it was.
    pub(super) query: Query,
    pub(super) group: Group,
    pub(super) generation: u32,
    pub(super) asking: Asking,
    /// Seconds since 1970 by the clock that policy goes by.
    pub(super) now: i64,
    /// How many questions may still be asked.
    pub(super) left: AtomicUsize,
    /// Whether what was asked for before may be taken, and whether it was.
    pub(super) takes_kept: bool,
    pub(super) took_kept: AtomicBool,
    /// Whether something could not be had.
    pub(super) failed: AtomicBool,
}

/// Answers the library's questions. Clones share what is kept.
#[derive(Clone, Default)]
pub(super) struct Source {
    kept: Arc<Mutex<Kept>>,
}

/// Answers of before, by their questions.
#[derive(Default)]
struct Kept {
    answers: HashMap<(Name, RecordType), (Instant, Arc<Resolved>)>,
    octets: usize,
}

impl Kept {
    fn get(&self, question: &Question, now: Instant) -> Option<Arc<Resolved>> {
        let (until, found) = self.answers.get(&(question.name.clone(), question.record_type))?;
        (now < *until).then(|| Arc::clone(found))
    }

    fn put(&mut self, question: &Question, found: &Arc<Resolved>, now: Instant) {
        let Resolved::Found { message, body, .. } = &**found else { return };
        let lifetime = Duration::from_secs(body.lifetime.into()).min(LONGEST);
        if lifetime.is_zero() {
            return;
        }
        // With the message taken apart, and its place in the table.
        let weight = |message: &[u8]| 2 * message.len() + 512;
        if self.octets + weight(message) > MOST_KEPT {
            // What is asked for again comes again.
            *self = Self::default();
        }
        self.octets += weight(message);
        let key = (question.name.clone(), question.record_type);
        if let Some((_, before)) = self.answers.insert(key, (now + lifetime, Arc::clone(found)))
            && let Resolved::Found { message, .. } = &*before
        {
            self.octets -= weight(message);
        }
    }
}

impl Source {
    /// Runs a proof of `answer`.
    pub(super) async fn with<F: Future>(&self, answer: DnsResponse, sought: Arc<Sought>, proof: F) -> F::Output {
        PROVING.scope((answer, sought), proof).await
    }

    async fn answer(self, query: op::Query) -> Result<DnsResponse, NetError> {
        let proving = PROVING.try_with(|(answer, sought)| {
            let is_asked = answer.queries.first() == Some(&query);
            (is_asked.then(|| answer.clone()), Arc::clone(sought))
        });
        let (answer, sought) = proving.map_err(|_| NetError::from("nothing is to be proven here"))?;
        match answer {
            Some(answer) => Ok(answer),
            None => self.further(&query, &sought).await.inspect_err(|_| sought.failed.store(true, Ordering::Relaxed)),
        }
    }

    /// Asks for what an answer is proven by.
    async fn further(&self, query: &op::Query, sought: &Sought) -> Result<DnsResponse, NetError> {
        let wire = query.name.to_lowercase().to_bytes()?;
        let name = Name::from_wire(&wire).map_err(|_| NetError::from("a name that cannot be asked for"))?;
        let question =
            Question { name, record_type: RecordType(query.query_type.into()), ..sought.query.question.clone() };
        let now = clock::monotonic();
        let kept = sought.takes_kept.then(|| self.locked(|kept| kept.get(&question, now))).flatten();
        let found = match kept {
            Some(found) => {
                sought.took_kept.store(true, Ordering::Relaxed);
                found
            }
            None => {
                let spent = |left: usize| left.checked_sub(1);
                if sought.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spent).is_err() {
                    return Err(NetError::from("it takes too many questions"));
                }
                let asked = Query { question: question.clone(), ..sought.query.clone() };
                let found = sought.resolver.joined(&asked, (&sought.group, sought.generation), &sought.asking).await;
                self.locked(|kept| kept.put(&question, &found, now));
                found
            }
        };
        match &*found {
            Resolved::Found { message, .. } if is_of_child(query, message) => {
                // The library would ask for the same on and on, one depth further each time.
                Err(NetError::from("the answer to a question for DS is that of the zone itself"))
            }
            Resolved::Found { message, .. } => Ok(DnsResponse::from_buffer(message.clone())?),
            Resolved::Failed(_) => Err(NetError::from("no upstream answered")),
        }
    }

    fn locked<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        with(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns whether a zone itself was asked for the DS records that only the zone above it has (RFC 4035, section 3.1.4.1).
fn is_of_child(query: &op::Query, message: &[u8]) -> bool {
    let Ok(message) = op::Message::from_vec(message) else { return false };
    let is_own = || message.authorities.iter().any(|of| of.record_type() == Type::SOA && of.name == query.name);
    query.query_type == Type::DS && message.answers.is_empty() && !query.name.is_root() && is_own()
}

impl DnsHandle for Source {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = Paced;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let query = request.queries.first().cloned();
        let source = self.clone();
        Box::pin(stream::once(async move {
            match query {
                Some(query) => source.answer(query).await,
                None => Err(NetError::from("no question")),
            }
        }))
    }
}

/// Tells the library the time of the proof. It is given no sockets.
#[derive(Clone)]
pub(super) struct Paced;

#[async_trait]
impl Time for Paced {
    async fn delay_for(duration: Duration) {
        TokioTime::delay_for(duration).await;
    }

    async fn timeout<F: 'static + Future + Send>(duration: Duration, future: F) -> Result<F::Output, io::Error> {
        TokioTime::timeout(duration, future).await
    }

    fn current_time() -> u64 {
        // Outside a proof it is no time at which anything would be valid.
        PROVING.try_with(|(_, sought)| u64::try_from(sought.now).unwrap_or_default()).unwrap_or_default()
    }
}

type Opened<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for Paced {
    type Handle = <TokioRuntimeProvider as RuntimeProvider>::Handle;
    type Timer = Self;
    type Udp = <TokioRuntimeProvider as RuntimeProvider>::Udp;
    type Tcp = <TokioRuntimeProvider as RuntimeProvider>::Tcp;

    fn create_handle(&self) -> Self::Handle {
        TokioRuntimeProvider::new().create_handle()
    }

    fn connect_tcp(&self, _: SocketAddr, _: Option<SocketAddr>, _: Option<Duration>) -> Opened<Self::Tcp> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn bind_udp(&self, _: SocketAddr, _: SocketAddr) -> Opened<Self::Udp> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("octets", &self.locked(|kept| kept.octets)).finish()
    }
}
