//! A directory with the patent's table in a folder of its own.

#![allow(dead_code, reason = "each test program uses a part")]

use std::path::PathBuf;

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
