//! HTTP servers that this program is a client of: their addresses, and connections to them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The address of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    is_tls: bool,
}

impl Endpoint {
    /// Reads `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{text:?}: {error}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("{text:?} begins with neither http:// nor https://")),
        };
        let is_bare = uri.path() == "/" && uri.query().is_none();
        let host = uri.host().filter(|_| is_bare && !text.contains('@'));
        let host = host.ok_or_else(|| format!("{text:?} is not only a host and a port"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }), is_tls })
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Opens a connection. It ends when the sender is dropped, or the server closes.
    ///
    /// # Errors
    /// Why there is none; HTTPS needs authorities.
    pub(crate) async fn connect(
        &self,
        authorities: Option<&Authorities>,
    ) -> Result<http1::SendRequest<Full<Bytes>>, String> {
        let Self { host, port, is_tls } = self;
        let stream = TcpStream::connect((host.as_str(), *port)).await;
        let stream = stream.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        match authorities {
            Some(Authorities(config)) if *is_tls => {
                let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
                let connector = TlsConnector::from(Arc::clone(config));
                let stream =
                    connector.connect(name, stream).await.map_err(|error| error.to_string())?;
                converse(stream).await
            }
            None if *is_tls => Err("no authorities of certificates are configured".to_owned()),
            _ => converse(stream).await,
        }
    }
}

impl fmt::Display for Endpoint {
    /// Host and port, as in a Host header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Those whose signature on a certificate is believed.
#[derive(Clone, Debug)]
pub struct Authorities(Arc<ClientConfig>);

impl Authorities {
    /// Reads certificates, PEM.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
            let certificate = certificate.map_err(|error| failed(&error))?;
            // A system's collection may hold some of a kind that nobody reads.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err(failed(&"there is no certificate in it"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

async fn converse<S>(stream: S) -> Result<http1::SendRequest<Full<Bytes>>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_a_scheme_a_host_and_a_port() {
        let endpoint = |text| Endpoint::read(text).map(|own| (own.host, own.port, own.is_tls));
        assert_eq!(endpoint("http://127.0.0.1:9153"), Ok(("127.0.0.1".into(), 9153, false)));
        assert_eq!(endpoint("https://ns.example.net/"), Ok(("ns.example.net".into(), 443, true)));
        assert_eq!(endpoint("https://[::1]:9153"), Ok(("::1".into(), 9153, true)));
        for text in
            ["", "ns:1", "ftp://ns", "http://a@ns", "http://ns/path", "http://", "http://n s"]
        {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }
}
