//! `etcd:`: where the nodes of a directory share their stores.

use std::path::PathBuf;

use serde::Deserialize;
use trunkline_program::{ConfigurationError, Source};

use super::{Configuration, beside};
use crate::endpoint::{Authorities, Endpoint};
use crate::etcd::EtcdSettings;
use crate::gateways::check_name;
use crate::replica::ReplicaSettings;

/// Where nodes share their stores.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdEntry {
    /// etcd's members: `https://192.0.2.10:2379`.
    pub endpoints: Vec<String>,
    /// This node's name, which no other has.
    pub node: String,
    /// Where other nodes reach this one's HTTP, for big tables: `https://ns1.example.net:9153`.
    pub advertise: String,
    /// What all keys begin with.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// Certificates that sign those of etcd and of the other nodes, PEM; needed with https.
    #[serde(default)]
    pub authorities: Option<PathBuf>,
    /// As whom etcd is asked, where it wants that.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with that user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

fn default_prefix() -> String {
    "trunkline".to_owned()
}

impl Configuration {
    /// How the store is shared, if it is.
    pub(crate) fn replica(
        &self,
        source: &Source,
    ) -> Result<Option<ReplicaSettings>, ConfigurationError> {
        let Some(entry) = &self.etcd else {
            return Ok(None);
        };
        let wrong = |key: &str, problem: String, remedy: &str| {
            source.error(&format!("etcd.{key}"), problem, remedy)
        };
        if self.store.is_none() {
            let remedy = "write store: and a folder of this node for its copy";
            return Err(source.error("etcd", "there is no store that could be shared", remedy));
        }
        if self.http.is_none() {
            let remedy = "write http: and an address that the other nodes reach";
            let problem = "the other nodes fetch big tables over HTTP, and it is not configured";
            return Err(source.error("etcd", problem, remedy));
        }
        if entry.endpoints.is_empty() {
            let remedy = "name the members, such as [http://192.0.2.10:2379]";
            return Err(wrong("endpoints", "names no member of etcd".to_owned(), remedy));
        }
        let address = |key: &str, text: &str| {
            let remedy = "write http:// or https://, a host and a port";
            Endpoint::read(text).map_err(|problem| wrong(key, problem, remedy))
        };
        let endpoints = entry
            .endpoints
            .iter()
            .enumerate()
            .map(|(place, text)| address(&format!("endpoints.{place}"), text))
            .collect::<Result<Vec<_>, _>>()?;
        let advertised = address("advertise", &entry.advertise)?;
        check_name(&entry.node).map_err(|problem| {
            wrong("node", problem, "use letters, digits and hyphens, another name for each node")
        })?;
        if entry.prefix.trim_matches('/').is_empty() {
            let remedy = "leave it out, or choose a word for this directory";
            return Err(wrong("prefix", "is empty".to_owned(), remedy));
        }
        let authorities = entry.authorities.as_ref().map(|path| {
            Authorities::read(&beside(source, path))
                .map_err(|problem| wrong("authorities", problem, "name a file of PEM certificates"))
        });
        let authorities = authorities.transpose()?;
        if authorities.is_none() && (endpoints.iter().any(Endpoint::is_tls) || advertised.is_tls())
        {
            let problem = "is needed where etcd or a node is reached by https".to_owned();
            return Err(wrong("authorities", problem, "name the file of who signs them"));
        }
        let user = match (&entry.user, &entry.password_file) {
            (Some(user), Some(path)) => {
                let password = std::fs::read_to_string(beside(source, path)).map_err(|error| {
                    let remedy = "name a file that this program may read";
                    wrong("password_file", format!("{}: {error}", path.display()), remedy)
                })?;
                Some((user.clone(), password.trim_end().to_owned()))
            }
            (None, None) => None,
            _ => {
                let problem = "user and password_file belong together".to_owned();
                return Err(wrong("user", problem, "write both or neither"));
            }
        };
        Ok(Some(ReplicaSettings {
            etcd: EtcdSettings { endpoints, authorities, user },
            prefix: entry.prefix.clone(),
            node: entry.node.clone(),
            advertise: entry.advertise.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_could_not_share_is_refused_with_its_key() {
        let etcd = |rest: &str| {
            format!(
                "store: s\nhttp: 127.0.0.1:0\netcd:\n  node: n1\n  advertise: http://n1:1\n{rest}"
            )
        };
        let read = |text: &str| Configuration::parse(text).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(read(&etcd("  endpoints: [http://127.0.0.1:2379]\n")), Ok(()));
        for (text, start) in [
            (etcd("  endpoints: []\n"), "directory.yaml:6: etcd.endpoints:"),
            (etcd("  endpoints: [127.0.0.1]\n"), "directory.yaml:6: etcd.endpoints.0:"),
            (etcd("  endpoints: [https://e:1]\n"), "directory.yaml"),
            (etcd("  endpoints: [http://e:1]\n  user: u\n"), "directory.yaml:7: etcd.user:"),
            (etcd("  endpoints: [http://e:1]\n  prefix: /\n"), "directory.yaml:7: etcd.prefix:"),
            (etcd("  endpoints: [http://e:1]\n").replace("store: s", "table: t"), "directory.yaml"),
            (etcd("  endpoints: [http://e:1]\n").replace("n1\n  a", "n 1\n  a"), "directory.yaml"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(start), "{error}");
            assert!(error.contains("etcd") && error.contains("remedy: "), "{error}");
        }
    }
}
