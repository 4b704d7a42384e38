//! Requests over HTTP, whose answers must be as the OpenAPI description says.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trunkline_directory::http::OPENAPI;

/// Somebody with a token.
#[derive(Clone)]
pub struct Api {
    pub address: SocketAddr,
    pub token: Option<String>,
}

impl Api {
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None).await
    }

    pub async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask("PUT", path, Some(body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask("POST", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.ask("DELETE", path, None).await
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| ("application/json", body.to_string()));
        let (status, text) = self.send(method, path, body).await;
        let value = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        check(method, path, status, &value);
        (status, value)
    }

    /// Without a look at the description.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, String)>,
    ) -> (u16, String) {
        self.try_send(method, path, body).await.expect("the directory does not answer")
    }

    /// None when the directory is gone.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if let Some(token) = &self.token {
            request += &format!("Authorization: Bearer {token}\r\n");
        }
        if let Some((kind, body)) = &body {
            request += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        if let Some((_, body)) = body {
            request += &body;
        }
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).await.ok()?;
        let text = String::from_utf8(octets).unwrap();
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        Some((status, if is_chunked { unchunked(rest) } else { rest.to_owned() }))
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut text = String::new();
    while let Some((length, behind)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        text += &behind[..length];
        rest = &behind[length + 2..];
    }
    text
}

pub fn description() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn check(method: &str, path: &str, status: u16, body: &Value) {
    let description = description();
    let path = path.split('?').next().unwrap();
    let paths = description["paths"].as_object().unwrap();
    // What stands there by name goes before what has a gap.
    let template = paths
        .keys()
        .filter(|template| fits(template, path))
        .min_by_key(|template| template.matches('{').count());
    let template = template.unwrap_or_else(|| panic!("{path} is not described"));
    let responses = &paths[template][method.to_ascii_lowercase()]["responses"];
    assert!(responses.is_object(), "{method} {template} is not described");
    let own = &responses[status.to_string()];
    let response = if own.is_null() { &responses["default"] } else { own };
    let response = resolve(&description, response);
    assert!(response.is_object(), "{method} {template}: {status} is not described: {body}");
    let schema = &response["content"]["application/json"]["schema"];
    if schema.is_null() {
        let is_text = response["content"].is_object();
        assert!(is_text || body.is_null(), "{method} {template} {status}: {body}");
        return;
    }
    if let Err(problem) = conforms(&description, schema, body) {
        panic!("{method} {template} {status}: {problem}\n{body}");
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(own, part)| own.starts_with('{') || own == part)
}

fn resolve<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(place) => description.pointer(place.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// As much of JSON Schema as the description uses.
fn conforms(description: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolve(description, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = |schema: &&Value| conforms(description, schema, value).is_ok();
        return match choices.iter().find(fits) {
            Some(_) => Ok(()),
            None => Err(format!("{value} is none of {schema}")),
        };
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{value} is none of {words:?}"));
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    let right = match &schema["type"] {
        Value::String(kind) => is(kind),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    if !right {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            object.get(name).ok_or_else(|| format!("{name} is missing in {value}"))?;
        }
        for (name, value) in object {
            let schema = &schema["properties"][name];
            if !schema.is_null() {
                conforms(description, schema, value).map_err(|why| format!("{name}: {why}"))?;
            }
        }
    }
    for value in value.as_array().into_iter().flatten() {
        if !schema["items"].is_null() {
            conforms(description, &schema["items"], value)?;
        }
    }
    Ok(())
}
