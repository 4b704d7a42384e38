//! What is answered when something cannot be done: a status, a word for programs, a sentence for
//! people.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fleet::FleetError;
use crate::provisioning::ProvisioningError;
use crate::provisioning::table_csv::Mistake;
use crate::store::StoreError;

/// Why something is not done.
#[derive(Debug)]
pub(crate) struct Fault {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    code: &'static str,
    error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<Mistake>,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, code: &'static str, error: impl Into<String>) -> Self {
        Self { status, body: Body { code, error: error.into(), mistakes: Vec::new() } }
    }

    /// What was sent cannot be used.
    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", error)
    }

    /// There is no such thing.
    pub(crate) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }

    /// As things are it cannot be done.
    pub(crate) fn conflict(code: &'static str, error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, error)
    }

    /// With the lines of a file that are wrong.
    pub(crate) fn with_mistakes(mut self, mistakes: Vec<Mistake>) -> Self {
        self.body.mistakes = mistakes;
        self
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let value = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl From<FleetError> for Fault {
    fn from(error: FleetError) -> Self {
        let text = error.to_string();
        match error {
            FleetError::Unknown { .. } => Self::not_found(text),
            FleetError::NoLease { .. } => Self::conflict("no_lease", text),
            FleetError::NameTaken { .. } | FleetError::Provisioned { .. } => {
                Self::conflict("name_taken", text)
            }
            FleetError::TooMany { .. } | FleetError::PrefixFull { .. } => {
                Self::conflict("no_room", text)
            }
            FleetError::Bad(_) => Self::bad(text),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Moved => Self::conflict("moved", text),
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, "not_stored", text),
        }
    }
}

impl From<ProvisioningError> for Fault {
    fn from(error: ProvisioningError) -> Self {
        let text = error.to_string();
        match error {
            ProvisioningError::NoStore => Self::conflict("no_store", text),
            ProvisioningError::Store(error) => error.into(),
            ProvisioningError::Entries(_) => Self::bad(text),
            ProvisioningError::NoVersion { .. } => Self::not_found(text),
            ProvisioningError::Moved { .. } => Self::conflict("moved", text),
        }
    }
}

/// A JSON body whose mistakes are answered as all others.
pub(crate) struct Written<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Written<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, state: &S) -> Result<Self, Fault> {
        let read = Json::<T>::from_request(request, state).await;
        read.map(|Json(value)| Self(value)).map_err(|rejection: JsonRejection| {
            Fault::new(rejection.status(), "bad_request", rejection.body_text())
        })
    }
}

/// Parameters behind the question mark whose mistakes are answered as all others.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Fault> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        read.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            Fault::new(rejection.status(), "bad_request", rejection.body_text())
        })
    }
}
