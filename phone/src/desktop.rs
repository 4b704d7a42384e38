//! Makes the phone the helper application of a desktop: for `.vlf` files, for their MIME type and
//! for `tel:` links. Files of freedesktop.org's specifications, for one user, without root.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The MIME type of linked data.
pub const MIME_TYPE: &str = "application/x-vlf";

const DESKTOP_FILE: &str = "trunkline-phone.desktop";
const MIME_FILE: &str = "trunkline-vlf.xml";

/// What the phone opens: linked data, and the schemes that name a number.
const OPENS: [&str; 3] = [MIME_TYPE, "x-scheme-handler/tel", "x-scheme-handler/callto"];

/// Why the phone could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum DesktopError {
    /// Neither XDG_DATA_HOME nor HOME says where this user's files are.
    #[error("neither XDG_DATA_HOME nor HOME is set: log in as the user whose desktop it is")]
    NoHome,
    /// A file could not be written.
    #[error("{path}: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: io::Error,
    },
    /// A desktop tool is missing.
    #[error("{tool} is missing: install the Debian package {package}")]
    ToolMissing {
        /// The program.
        tool: &'static str,
        /// The package that has it.
        package: &'static str,
    },
    /// A desktop tool failed.
    #[error("{tool} failed: {message}")]
    ToolFailed {
        /// The program.
        tool: &'static str,
        /// What it said.
        message: String,
    },
}

/// Registers `executable` for this user. `arguments` are put between it and what is opened.
pub fn register(executable: &Path, arguments: &[String]) -> Result<Vec<PathBuf>, DesktopError> {
    let data = data_home()?;
    let mime = data.join("mime/packages").join(MIME_FILE);
    write(&mime, &mime_package())?;
    let desktop = data.join("applications").join(DESKTOP_FILE);
    write(&desktop, &desktop_entry(executable, arguments))?;
    run("update-mime-database", "shared-mime-info", [data.join("mime").as_os_str()])?;
    let applications = data.join("applications");
    run("update-desktop-database", "desktop-file-utils", [applications.as_os_str()])?;
    let mut default = vec!["default".as_ref(), DESKTOP_FILE.as_ref()];
    default.extend(OPENS.iter().map(|kind| std::ffi::OsStr::new(*kind)));
    run("xdg-mime", "xdg-utils", default)?;
    Ok(vec![mime, desktop])
}

/// The MIME type with its glob and the first octets by which a file without a name is known.
fn mime_package() -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info">
  <mime-type type="{MIME_TYPE}">
    <comment>Telephone number to call</comment>
    <comment xml:lang="ja">電話番号データ</comment>
    <glob pattern="*.vlf"/>
    <magic priority="60">
      <match type="string" offset="0:64" value="&quot;application&quot;"/>
    </magic>
  </mime-type>
</mime-info>
"#
    )
}

/// The application. `%u` is the path of a file and the URI of a link, so that one line serves
/// both; `--` keeps what a page wrote from being read as an option.
fn desktop_entry(executable: &Path, arguments: &[String]) -> String {
    let mut exec = quoted(&executable.to_string_lossy());
    for argument in arguments {
        exec.push(' ');
        exec.push_str(&quoted(argument));
    }
    format!(
        "[Desktop Entry]\n\
         Type=Application\n\
         Name=Trunkline Phone\n\
         Name[ja]=Trunkline 電話\n\
         Comment=Call a telephone number of a web page\n\
         Comment[ja]=ホームページの電話番号に電話をかける\n\
         Exec={exec} open -- %u\n\
         Terminal=false\n\
         Categories=Network;Telephony;\n\
         MimeType={};\n",
        OPENS.join(";")
    )
}

/// An argument of an Exec key: quoted, with the escapes that the Desktop Entry Specification
/// asks for, and with `%` doubled since it begins a field code.
fn quoted(argument: &str) -> String {
    let mut text = String::from("\"");
    for character in argument.chars() {
        match character {
            // Once for the quoting rule, once more for the string value of a key.
            '"' | '`' | '$' => {
                text.push_str("\\\\");
                text.push(character);
            }
            '\\' => text.push_str("\\\\\\\\"),
            '%' => text.push_str("%%"),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

fn data_home() -> Result<PathBuf, DesktopError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .ok_or(DesktopError::NoHome)
}

fn write(path: &Path, text: &str) -> Result<(), DesktopError> {
    let failed = |error| DesktopError::Write { path: path.to_owned(), error };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}

fn run<'a>(
    tool: &'static str,
    package: &'static str,
    arguments: impl IntoIterator<Item = &'a std::ffi::OsStr>,
) -> Result<(), DesktopError> {
    let output = Command::new(tool).args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(DesktopError::ToolFailed {
            tool,
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(DesktopError::ToolMissing { tool, package })
        }
        Err(error) => Err(DesktopError::ToolFailed { tool, message: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_opens_files_and_links_and_takes_no_options_from_a_page() {
        let entry = desktop_entry(Path::new("/opt/trunk line/phone"), &["--yes".to_owned()]);
        assert!(entry.contains("Exec=\"/opt/trunk line/phone\" \"--yes\" open -- %u\n"), "{entry}");
        assert!(entry.contains("MimeType=application/x-vlf;x-scheme-handler/tel;"), "{entry}");
    }

    #[test]
    fn special_characters_of_a_path_are_escaped() {
        assert_eq!(quoted("a$b"), "\"a\\\\$b\"");
        assert_eq!(quoted("50%"), "\"50%%\"");
    }
}
