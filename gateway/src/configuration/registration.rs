//! Directories at which the gateway registers, so that they name it for its prefixes as long as it
//! takes calls.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use trunkline_directory::client::registrar::connection::{
    Authorities, Endpoint, RegistrationSettings,
};
use trunkline_directory::gateways::{Transport, check_authority, check_name};
use trunkline_directory::wire::{Coming, PrefixComing};
use trunkline_directory::written::prefix_digits;
use trunkline_program::{ConfigurationError, Source};

use super::{File, names};

/// Where and as what the gateway registers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// HTTP servers of directories: `https://ns1.example.net:9153`.
    pub at: Vec<String>,
    /// File with the token that permits it; a relative path starts at the folder of this file.
    pub token_file: PathBuf,
    /// File with the certificates (PEM) by which those of the directories are signed.
    #[serde(default)]
    pub authorities: Option<PathBuf>,
    /// Host and port at which others reach this gateway by SIP; without it the first address under
    /// `sip.udp`, or `sip.tcp` where there is none.
    #[serde(default)]
    pub sip: Option<String>,
    /// How long a directory waits for a word of this gateway before it names it no more, in seconds.
    #[serde(default = "default_lease_s")]
    pub lease_s: u32,
    /// Prefixes, each with the trunk group that serves it; none where any does.
    pub prefixes: Vec<PrefixComing>,
}

fn default_lease_s() -> u32 {
    6
}

/// As much as a directory takes.
const LEASE_MAX_S: u32 = 3600;

/// Checks what `directory.register` means. Circuits are not known before the spans are there.
pub(super) fn registration(
    file: &File,
    source: &Source,
) -> Result<Option<RegistrationSettings>, ConfigurationError> {
    let Some(register) = &file.directory.register else {
        return Ok(None);
    };
    let wrong = |key: &str, problem: String, remedy: &str| {
        source.error(&format!("directory.register.{key}"), problem, remedy)
    };
    check_name(&file.name)
        .map_err(|problem| source.error("name", problem, "directories know the gateway by it"))?;
    let mut directories = Vec::with_capacity(register.at.len());
    for (place, text) in register.at.iter().enumerate() {
        let remedy = "write https://host:port, or http://host:port inside a protected network";
        let key = format!("at.{place}");
        directories.push(Endpoint::read(text).map_err(|problem| wrong(&key, problem, remedy))?);
    }
    if directories.is_empty() {
        return Err(wrong("at", "is empty".to_owned(), "list the directories"));
    }
    let authorities = register.authorities.as_ref().map(|path| {
        Authorities::read(&beside(source, path))
            .map_err(|problem| wrong("authorities", problem, "name a file of PEM certificates"))
    });
    let authorities = authorities.transpose()?;
    if authorities.is_none() && directories.iter().any(Endpoint::is_tls) {
        let problem = "is not there, but there is an https directory".to_owned();
        return Err(wrong("authorities", problem, "name a file of PEM certificates"));
    }
    let path = beside(source, &register.token_file);
    let remedy = "write into it what trunkline-directory token has printed";
    let token = std::fs::read_to_string(&path)
        .map_err(|error| wrong("token_file", format!("{}: {error}", path.display()), remedy))?;
    let token = token.trim().to_owned();
    if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(wrong("token_file", format!("{} holds no token", path.display()), remedy));
    }
    if !(1..=LEASE_MAX_S).contains(&register.lease_s) {
        let problem = format!("{} is out of range", register.lease_s);
        return Err(wrong("lease_s", problem, "write a number from 1 to 3600"));
    }
    let (sip, transport) = match (&register.sip, file.sip.udp.first(), file.sip.tcp.first()) {
        (Some(own), udp, _) => (own.clone(), transport(udp.is_some())),
        (None, Some(udp), _) => (udp.to_string(), Transport::Udp),
        (None, None, Some(tcp)) => (tcp.to_string(), Transport::Tcp),
        // Refused before.
        (None, None, None) => (String::new(), Transport::Udp),
    };
    check_authority(&sip).map_err(|problem| {
        wrong("sip", problem, "write host or host:port, as in 192.0.2.10:5060")
    })?;
    check_prefixes(file, register, &wrong)?;
    Ok(Some(RegistrationSettings {
        directories,
        token,
        name: file.name.clone(),
        coming: Coming {
            sip,
            transport,
            lease_s: Some(register.lease_s),
            trunk_groups: Vec::new(),
            prefixes: register.prefixes.clone(),
        },
        authorities,
    }))
}

fn transport(has_udp: bool) -> Transport {
    if has_udp { Transport::Udp } else { Transport::Tcp }
}

fn check_prefixes(
    file: &File,
    register: &Register,
    wrong: &impl Fn(&str, String, &str) -> ConfigurationError,
) -> Result<(), ConfigurationError> {
    let mut known = Vec::with_capacity(register.prefixes.len());
    for (place, own) in register.prefixes.iter().enumerate() {
        let key = format!("prefixes.{place}.prefix");
        let digits = prefix_digits(&own.prefix, &file.country)
            .map_err(|(problem, remedy)| wrong(&key, problem, remedy))?;
        if known.contains(&digits) {
            return Err(wrong(&key, format!("+{digits} is there twice"), "name each prefix once"));
        }
        known.push(digits);
        let Some(group) = &own.trunk_group else {
            continue;
        };
        if !file.trunk_groups.iter().any(|other| other.name == *group) {
            let all = names(file.trunk_groups.iter().map(|group| &group.name));
            return Err(wrong(
                &format!("prefixes.{place}.trunk_group"),
                format!("there is no trunk group named {group:?}"),
                &format!("name one of: {all}"),
            ));
        }
    }
    Ok(())
}

pub(super) fn beside(source: &Source, path: &Path) -> PathBuf {
    source.path().parent().unwrap_or(Path::new("")).join(path)
}
