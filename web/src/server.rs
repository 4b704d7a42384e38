//! The addresses of the site and what each sends.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::rejection::{FormRejection, PathRejection, QueryRejection};
use axum::extract::{Form, Path, Query, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;
use trunkline_number::Refusal;

use crate::calls::{NotPermitted, Permission};
use crate::catalogue::Lookup;
use crate::connection::BoundedListener;
use crate::metrics::Metrics;
use crate::page::{self, Trouble};
use crate::{Language, Site, link};

/// Longer than any address of ours, in octets.
const URI_MAX_OCTETS: usize = 1024;
/// What ending waits for responses under way.
const END_WAIT: Duration = Duration::from_secs(2);

struct Shared {
    site: Arc<Site>,
    metrics: Metrics,
    /// What pages may load, and whom their script may talk to.
    content_policy: HeaderValue,
}

type SharedState = State<Arc<Shared>>;

/// The routes of a site.
pub fn router(site: Arc<Site>) -> Router {
    let content_policy = content_policy(&site);
    let shared = Arc::new(Shared { site, metrics: Metrics::new(), content_policy });
    Router::new()
        .route("/", get(home))
        .route("/ja", get(home_ja))
        .route("/en", get(home_en))
        .route("/call", get(call_by_query))
        .route("/call/{file}", get(call))
        .route("/direct/{file}", get(direct))
        .route("/call-token", post(call_token))
        .route("/call.js", get(script))
        .route("/style.css", get(style))
        .route("/icon.svg", get(icon))
        .route("/metrics", get(metrics))
        .fallback(unknown_page)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

/// Serves a site until `end` is ready, then lets responses under way finish.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (ended, mut has_ended) = tokio::sync::watch::channel(false);
    let serving = axum::serve(BoundedListener::new(listener), router(site)).with_graceful_shutdown(
        async move {
            end.await;
            ended.send_replace(true);
        },
    );
    tokio::select! {
        served = serving => served,
        () = async move {
            // Only a sent value counts: the sender is dropped when serving itself has ended.
            if has_ended.wait_for(|&ended| ended).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(END_WAIT).await;
        } => Ok(()),
    }
}

/// What every response has in common: a bound on the address, the headers, the count.
async fn guard(State(shared): SharedState, request: Request, next: Next) -> Response {
    let mut response = if request.uri().to_string().len() > URI_MAX_OCTETS {
        let language = language_of(&shared, request.headers());
        page::trouble(&shared.site, language, StatusCode::URI_TOO_LONG, &Trouble::TooLong)
    } else {
        next.run(request).await
    };
    const HEADERS: [(HeaderName, HeaderValue); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("microphone=(self), camera=(), geolocation=()"),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    response.headers_mut().extend(HEADERS);
    let content_policy = shared.content_policy.clone();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, content_policy);
    shared.metrics.response(response.status());
    response
}

async fn home(state: SharedState, method: Method, headers: HeaderMap) -> Response {
    let language = language_of(&state, &headers);
    let mut response = home_in(state, &method, language);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    response
}

async fn home_ja(state: SharedState, method: Method) -> Response {
    home_in(state, &method, Language::Ja)
}

async fn home_en(state: SharedState, method: Method) -> Response {
    home_in(state, &method, Language::En)
}

fn home_in(State(shared): SharedState, method: &Method, language: Language) -> Response {
    // Steps 402 and 403 of the patent's Fig. 4.
    tracing::info!(target: "ladder", step = 402_u32, language = language.tag(), "page asked");
    let response = page::home(&shared.site, language);
    if method == Method::GET {
        shared.metrics.page(language);
        tracing::info!(target: "ladder", step = 403_u32, language = language.tag(), "page sent");
    }
    response
}

/// Whether linked data names the gateway.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    /// No: the telephone program asks the directory (embodiment 1).
    Directory,
    /// Yes: it calls the gateway at once (embodiment 2).
    Gateway,
}

impl Route {
    /// `?gateway`, with or without a value.
    fn of(wish: Option<&str>) -> Route {
        if wish.is_some() { Route::Gateway } else { Route::Directory }
    }
}

#[derive(Deserialize)]
struct CallQuery {
    n: Option<String>,
    gateway: Option<String>,
}

async fn call(
    State(shared): SharedState,
    method: Method,
    headers: HeaderMap,
    file: Result<Path<String>, PathRejection>,
    query: Result<Query<CallQuery>, QueryRejection>,
) -> Response {
    let route = query.map_or(Route::Directory, |Query(query)| Route::of(query.gateway.as_deref()));
    let file = file.ok().map(|Path(file)| file);
    answer_file(&shared, &method, &headers, file.as_deref(), route)
}

async fn direct(
    State(shared): SharedState,
    method: Method,
    headers: HeaderMap,
    file: Result<Path<String>, PathRejection>,
) -> Response {
    let file = file.ok().map(|Path(file)| file);
    answer_file(&shared, &method, &headers, file.as_deref(), Route::Gateway)
}

/// `/call?n=NUMBER`: the same data under an address without a file name.
async fn call_by_query(
    State(shared): SharedState,
    method: Method,
    headers: HeaderMap,
    query: Result<Query<CallQuery>, QueryRejection>,
) -> Response {
    let language = language_of(&shared, &headers);
    match query {
        Ok(Query(CallQuery { n: Some(number), gateway })) => {
            // In a query "+" is a space, and people write ?n=+81… all the same.
            let number = match number.strip_prefix(' ') {
                Some(rest) => format!("+{rest}"),
                None => number,
            };
            answer(&shared, &method, language, &number, Route::of(gateway.as_deref()))
        }
        Ok(Query(CallQuery { n: None, .. })) => not_granted(&shared, language, Trouble::NoNumber),
        Err(_) => not_granted(&shared, language, Trouble::BrokenAddress),
    }
}

fn answer_file(
    shared: &Shared,
    method: &Method,
    headers: &HeaderMap,
    file: Option<&str>,
    route: Route,
) -> Response {
    let language = language_of(shared, headers);
    match file.map(|file| file.strip_suffix(".vlf")) {
        Some(Some(number)) => answer(shared, method, language, number, route),
        Some(None) => not_granted(shared, language, Trouble::UnknownPage),
        None => not_granted(shared, language, Trouble::BrokenAddress),
    }
}

/// The linked data of a number, or a page that says why not.
fn answer(
    shared: &Shared,
    method: &Method,
    language: Language,
    number: &str,
    route: Route,
) -> Response {
    let offer = match shared.site.catalogue.look_up(number) {
        Lookup::Offered(offer) => offer,
        Lookup::Unknown(number) => {
            return not_granted(shared, language, Trouble::UnknownNumber(number));
        }
        Lookup::Refused(refusal) => {
            return not_granted(shared, language, Trouble::Refused(refusal));
        }
        Lookup::Unreadable(error) => {
            return not_granted(shared, language, Trouble::Unreadable(error));
        }
    };
    let gateway = match (route, offer.gateway.as_deref()) {
        (Route::Directory, _) => None,
        (Route::Gateway, Some(gateway)) => Some(gateway),
        (Route::Gateway, None) => {
            return not_granted(shared, language, Trouble::NoGateway(offer.number));
        }
    };
    match link::linked_data(&shared.site, &offer, gateway, SystemTime::now()) {
        Ok(data) => {
            if method == Method::GET {
                shared.metrics.linked_data(gateway.is_some());
                // Step 405 of the patent's Fig. 4.
                tracing::info!(
                    target: "ladder",
                    step = 405_u32,
                    number = %offer.number,
                    gateway = gateway.unwrap_or("asked of the directory"),
                    "linked data sent"
                );
            }
            link::response(&offer, &data)
        }
        Err(error) => not_granted(shared, language, Trouble::Unreadable(error)),
    }
}

fn not_granted(shared: &Shared, language: Language, trouble: Trouble) -> Response {
    let (status, reason) = match &trouble {
        Trouble::Refused(Refusal::Emergency { .. }) => (StatusCode::FORBIDDEN, "emergency"),
        Trouble::Refused(Refusal::Premium { .. }) => (StatusCode::FORBIDDEN, "premium"),
        Trouble::Refused(_) => (StatusCode::FORBIDDEN, "policy"),
        Trouble::UnknownNumber(_) => (StatusCode::NOT_FOUND, "unknown_number"),
        Trouble::NoGateway(_) => (StatusCode::NOT_FOUND, "no_gateway"),
        Trouble::UnknownPage => (StatusCode::NOT_FOUND, "no_link"),
        Trouble::Unreadable(_)
        | Trouble::BrokenAddress
        | Trouble::NoNumber
        | Trouble::TooLong
        | Trouble::WrongMethod => (StatusCode::BAD_REQUEST, "unreadable"),
    };
    shared.metrics.refused(reason);
    page::trouble(&shared.site, language, status, &trouble)
}

async fn unknown_page(State(shared): SharedState, headers: HeaderMap) -> Response {
    let language = language_of(&shared, &headers);
    page::trouble(&shared.site, language, StatusCode::NOT_FOUND, &Trouble::UnknownPage)
}

async fn wrong_method(State(shared): SharedState, headers: HeaderMap) -> Response {
    let language = language_of(&shared, &headers);
    let status = StatusCode::METHOD_NOT_ALLOWED;
    page::trouble(&shared.site, language, status, &Trouble::WrongMethod)
}

async fn style() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (headers, include_str!("../pages/style.css")).into_response()
}

/// The script that makes links of numbers calls from within the page, for pages of other sites, too.
async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=300"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    (headers, include_str!("../pages/call.js")).into_response()
}

#[derive(Deserialize)]
struct TokenRequest {
    number: String,
}

/// A token for one call of a number, and the gateways to show it to.
async fn call_token(
    State(shared): SharedState,
    headers: HeaderMap,
    request: Result<Form<TokenRequest>, FormRejection>,
) -> Response {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let permission = permission(&shared, origin, request.ok().map(|Form(request)| request)).await;
    let mut response = match permission {
        Ok(permission) => {
            shared.metrics.call_token();
            Json(permission).into_response()
        }
        Err((status, reason)) => {
            shared.metrics.refused(reason);
            (status, Json(serde_json::json!({ "reason": reason }))).into_response()
        }
    };
    let answer = response.headers_mut();
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.insert(header::VARY, HeaderValue::from_static("Origin"));
    let is_known = |origin: &&str| shared.site.calls.as_ref().is_some_and(|c| c.knows(origin));
    if let Some(Ok(origin)) = origin.filter(is_known).map(HeaderValue::from_str) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

async fn permission(
    shared: &Shared,
    origin: Option<&str>,
    request: Option<TokenRequest>,
) -> Result<Permission, NotPermitted> {
    let site = &shared.site;
    let (Some(calls), Some(key)) = (&site.calls, &site.signing_key) else {
        return Err((StatusCode::NOT_FOUND, "refused"));
    };
    // Browsers send it with every POST.
    let origin = origin.filter(|origin| calls.knows(origin));
    let origin = origin.ok_or((StatusCode::FORBIDDEN, "refused"))?;
    let request = request.ok_or((StatusCode::BAD_REQUEST, "failed"))?;
    let offer = match site.catalogue.look_up(&request.number) {
        Lookup::Offered(offer) => offer,
        Lookup::Unknown(_) => return Err((StatusCode::NOT_FOUND, "refused")),
        Lookup::Refused(_) => return Err((StatusCode::FORBIDDEN, "refused")),
        Lookup::Unreadable(_) => return Err((StatusCode::BAD_REQUEST, "failed")),
    };
    let permission = calls.permit(&offer, origin, key, SystemTime::now()).await?;
    tracing::info!(number = %offer.number, %origin, "a page may call");
    Ok(permission)
}

/// Pages load what is ours, and their script talks to us and to the gateways.
fn content_policy(site: &Site) -> HeaderValue {
    let gateways: String = site
        .calls
        .iter()
        .flat_map(|calls| calls.addresses())
        .map(|address| format!(" {address}"))
        .collect();
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; \
         connect-src 'self'{gateways}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Addresses were checked to be plain ASCII.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

async fn icon() -> Response {
    let headers =
        [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "max-age=86400")];
    (headers, include_str!("../pages/icon.svg")).into_response()
}

async fn metrics(State(shared): SharedState) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (headers, shared.metrics.text()).into_response()
}

fn language_of(shared: &Shared, headers: &HeaderMap) -> Language {
    let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    Language::preferred(wanted.unwrap_or_default(), shared.site.company.default_language)
}
