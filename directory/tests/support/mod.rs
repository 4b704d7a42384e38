//! A directory with the patent's table in a folder of its own.

#![allow(dead_code, reason = "each test program uses a part")]

pub mod api;
pub mod browser;
pub mod etcd;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Gateway A serves 03, gateway B serves 0469.
pub const TABLE: &str = "\
gateways:
  a: { sip: 127.0.0.10:5060 }
  b: { sip: 127.0.0.20:5060 }
prefixes:
  - prefix: '03'
    gateways: [{ name: a }]
  - prefix: '0469'
    gateways: [{ name: b, order: 10 }, { name: a, order: 20 }]
";

/// A token that permits everything.
pub const ADMIN: &str = "tl_admin";

/// A token by which gateway o may register.
pub const GATEWAY_O: &str = "tl_gateway_o";

/// Both, by what `sha256sum` makes of them.
pub const TOKENS: &str = "\
tokens:
  - name: admin
    sha256: b34bb4ba4dffcd7b277bb47c0711b684d87debbda47a7f074496372b89dbdd89
    scopes: [admin]
  - name: gateway-o
    sha256: 8a3532761493b7be5d565440c625fe8261ea1de9c213dac3241acf7f802ec549
    scopes: [register]
    gateway: o
";

/// The files of a directory.
pub struct Files {
    folder: TempDir,
}

impl Files {
    /// Configuration on free ports of 127.0.0.1, and a table.
    pub fn new(table: &str) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(
            files.configuration(),
            "listen: [127.0.0.1:0]\nhttp: 127.0.0.1:0\nresponse_rate: { per_second: 0 }\ntable: table.yaml\n",
        )
        .unwrap();
        files.write_table(table);
        files
    }

    /// The same with tokens.
    pub fn with_tokens(table: &str) -> Self {
        let files = Self::new(table);
        files.write_configuration_with("listen: [127.0.0.1:0]\nhttp: 127.0.0.1:0\n");
        files
    }

    /// Without a table, with a store in the same folder, and tokens.
    pub fn with_store() -> Self {
        let files = Self::new("");
        files.write_configuration(&format!(
            "listen: [127.0.0.1:0]\nhttp: 127.0.0.1:0\nresponse_rate: {{ per_second: 0 }}\n\
             store: store\n{TOKENS}"
        ));
        files
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it listens, and the table and tokens.
    pub fn write_configuration_with(&self, listens: &str) {
        self.write_configuration(&format!(
            "{listens}response_rate: {{ per_second: 0 }}\ntable: table.yaml\n{TOKENS}"
        ));
    }

    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("directory.yaml")
    }

    pub fn write_configuration(&self, text: &str) {
        std::fs::write(self.configuration(), text).unwrap();
    }

    pub fn write_table(&self, table: &str) {
        std::fs::write(self.folder.path().join("table.yaml"), table).unwrap();
    }
}
