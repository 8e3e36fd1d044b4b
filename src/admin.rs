//! HTTP for operators: health and metrics. Only reads; a Host header that is not ours is refused, so that no web page can
//! read it through a name of its own (DNS rebinding).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State as Extracted};
use axum::http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing::get};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::observe::plain;
use crate::pipeline::ShadowReport;

/// Connections at a time; a monitoring system needs one or two.
const CONNECTIONS: usize = 64;
/// How long a client may take over the head of a request.
const HEAD_TIME: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(5) };
/// How long a connection may last in all.
const CONNECTION_TIME: Duration = Duration::from_secs(120);
/// How much of a request is read before it is refused, in octets.
const HEAD_SIZE: usize = 16 << 10;
/// How long accepting pauses when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the daemon does its work.
#[derive(Debug, Clone, Serialize)]
pub struct Readiness {
    pub ready: bool,
    pub checks: Vec<Check>,
}

/// One of the things that readiness hangs on.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub ok: bool,
    pub detail: String,
}

/// What a candidate policy decides otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct ShadowStatus {
    /// The configuration file that `[policy] shadow` names.
    pub file: Option<String>,
    /// Why there is no shadow of that file.
    pub faults: Vec<String>,
    pub counted: Option<ShadowReport>,
}

/// Where the listener gets what it shows.
pub struct State {
    pub readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    pub shadow: Box<dyn Fn() -> ShadowStatus + Send + Sync>,
    /// Gives the metrics in the OpenMetrics text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Names that a Host header may have besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// Serves for as long as the runtime runs.
pub async fn serve(listener: TcpListener, state: State) {
    let router = router(Arc::new(state));
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an admin connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_SIZE);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // A connection that breaks or lasts too long concerns its client alone.
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
            drop(permit);
        });
    }
}

fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/health/live", get(|| async { Json(serde_json::json!({ "live": true })) }))
        .route("/health/ready", get(ready))
        .route("/shadow", get(|Extracted(state): Extracted<Arc<State>>| async move { Json((state.shadow)()) }))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there are /health/live, /health/ready, /shadow and /metrics\n") })
        .layer(middleware::from_fn_with_state(Arc::clone(&state), guard))
        .with_state(state)
}

async fn ready(Extracted(state): Extracted<Arc<State>>) -> Response {
    let readiness = (state.readiness)();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics(Extracted(state): Extracted<Arc<State>>, headers: HeaderMap) -> Response {
    const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
    let text = (state.metrics)();
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    if accepts.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        ([(CONTENT_TYPE, OPEN)], text).into_response()
    } else {
        ([(CONTENT_TYPE, PLAIN)], plain(&text)).into_response()
    }
}

/// Refuses what is not a plain reading request to us, and marks every response as data.
async fn guard(Extracted(state): Extracted<Arc<State>>, request: Request, next: Next) -> Response {
    // Two Host headers name two hosts (RFC 9112, section 3.2).
    let mut hosts = request.headers().get_all(HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    let mut response = if !named.is_some_and(|host| is_ours(host, &state.hosts)) {
        let text = "this Host is not accepted; ask by address, or add the name to [admin] hosts\n";
        (StatusCode::MISDIRECTED_REQUEST, text).into_response()
    } else if request.method() != Method::GET && request.method() != Method::HEAD {
        (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")], "only GET and HEAD\n").into_response()
    } else {
        next.run(request).await
    };
    const SAFE: [(HeaderName, HeaderValue); 3] = [
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    ];
    response.headers_mut().extend(SAFE);
    response
}

/// Returns whether a Host header is an address, `localhost` or one of `hosts`, with or without a port.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => match rest.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None => return false,
        },
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    async fn started(ready: bool) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let check = Check { name: "ledger", ok: ready, detail: "told".to_owned() };
        let readiness = Readiness { ready, checks: vec![check] };
        let state = State {
            readiness: Box::new(move || readiness.clone()),
            shadow: Box::new(|| ShadowStatus { file: None, faults: Vec::new(), counted: None }),
            metrics: Box::new(|| "interdict_build 1\n".to_owned()),
            hosts: vec!["resolver.office.example".to_owned()],
        };
        tokio::spawn(serve(listener, state));
        address
    }

    async fn ask(address: std::net::SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn only_reading_by_a_name_of_ours_is_answered() {
        let address = started(true).await;
        for (head, status) in [
            ("GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:5380", "200"),
            ("GET /health/ready HTTP/1.1\r\nHost: [::1]:5380", "200"),
            ("HEAD /metrics HTTP/1.1\r\nHost: LOCALHOST", "200"),
            ("GET /metrics HTTP/1.1\r\nHost: resolver.office.example", "200"),
            ("GET /shadow HTTP/1.1\r\nHost: localhost", "200"),
            ("GET /shadow HTTP/1.1\r\nHost: evil.example", "421"),
            ("DELETE /shadow HTTP/1.1\r\nHost: localhost", "405"),
            ("GET /metrics HTTP/1.1\r\nHost: evil.example", "421"),
            ("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1.evil.example:5380", "421"),
            ("GET /metrics HTTP/1.1\r\nHost: [::1].evil.example", "421"),
            ("GET /metrics HTTP/1.1\r\nHost: localhost:evil.example", "421"),
            ("GET /metrics HTTP/1.1\r\nHost: 2130706433", "421"),
            ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example", "421"),
            ("GET /metrics HTTP/1.1\r\nX: y", "421"),
            ("POST /health/live HTTP/1.1\r\nHost: localhost", "405"),
            ("GET /nothing HTTP/1.1\r\nHost: localhost", "404"),
            ("GET /../../etc/passwd HTTP/1.1\r\nHost: localhost", "404"),
        ] {
            let answer = ask(address, head).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}\n{answer}");
            assert!(answer.contains("nosniff") && answer.contains("no-store"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_ready_says_what_is_missing() {
        let answer = ask(started(false).await, "GET /health/ready HTTP/1.1\r\nHost: localhost").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(
            answer.ends_with(r#"{"ready":false,"checks":[{"name":"ledger","ok":false,"detail":"told"}]}"#),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let address = started(true).await;
        let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "a".repeat(2 * HEAD_SIZE));
        assert!(ask(address, &long).await.starts_with("HTTP/1.1 431 "));
    }

    /// Slowloris: whoever holds connections without ever asking loses them, and nobody else waits for longer than that.
    #[tokio::test]
    async fn slow_clients_do_not_keep_others_out() {
        let address = started(true).await;
        let mut slow = Vec::new();
        for index in 0..2 * CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // Some say nothing, some begin and go no further, some ask once and stay.
            let begun: &[u8] = match index % 3 {
                0 => b"",
                1 => b"GET /metrics HTTP/1.1\r\nHost: local",
                _ => b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
            };
            stream.write_all(begun).await.unwrap();
            slow.push(stream);
        }
        let patience = 20 * HEAD_TIME;
        let asked = ask(address, "GET /health/live HTTP/1.1\r\nHost: localhost");
        let answer = tokio::time::timeout(patience, asked).await.expect("it is answered in time");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        for mut stream in slow {
            let closed = tokio::time::timeout(patience, async { stream.read_to_end(&mut Vec::new()).await });
            closed.await.expect("it is closed in time").ok();
        }
    }

    #[tokio::test]
    async fn metrics_come_in_the_format_that_is_asked_for() {
        let address = started(true).await;
        let open =
            ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text").await;
        assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open}");
        let plain = ask(address, "GET /metrics HTTP/1.1\r\nHost: localhost").await;
        assert!(plain.contains("content-type: text/plain; version=0.0.4"), "{plain}");
    }
}
