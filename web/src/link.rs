//! The answer to a click: linked data for one number.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use trunkline_number::{LinkedData, NumberError};

use crate::Site;
use crate::catalogue::Offer;

/// The media type the telephone program is registered for. Firefox goes by it, Chromium by the
/// file name's `.vlf`: both are sent.
const MEDIA_TYPE: &str = "application/x-vlf";

/// Linked data for an offer, signed where the site has a key; `gateway` is its address where
/// the directory is to be left out.
pub(crate) fn linked_data(
    site: &Site,
    offer: &Offer,
    gateway: Option<&str>,
    now: SystemTime,
) -> Result<LinkedData, NumberError> {
    let now_unix_s = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let expires = now_unix_s + site.link_lifetime_s;
    let data = LinkedData::new(&site.application, &offer.written, gateway, Some(expires))?;
    Ok(match &site.signing_key {
        Some(key) => data.sign(key),
        None => data,
    })
}

/// The data as a file for the telephone program. Never cached: it expires.
pub(crate) fn response(offer: &Offer, data: &LinkedData) -> Response {
    let disposition = format!("attachment; filename=\"{}.vlf\"", offer.file_stem);
    let headers = [
        (CONTENT_TYPE, MEDIA_TYPE.to_owned()),
        (CONTENT_DISPOSITION, disposition),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, data.to_json()).into_response()
}
