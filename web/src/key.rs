//! The site's signing key in its file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use trunkline_number::{NumberError, PublicKey, SigningKey};

/// Longest key file that is read, in octets; an Ed25519 key in PKCS#8 has 83.
const SIZE_MAX_OCTETS: u64 = 1024;

/// Why a key file cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the key file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds no Ed25519 key.
    #[error("the key file {}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NumberError,
    },
}

/// Writes a new Ed25519 key (PKCS#8, DER) to a file that does not exist yet, readable by its
/// owner only; the answer is the public key that telephones are to trust.
///
/// # Errors
/// The file exists or cannot be written; the system gives no randomness.
pub fn generate_key(path: &Path) -> Result<PublicKey, KeyError> {
    let wrong_key = |source| KeyError::Key { path: path.to_owned(), source };
    let document = SigningKey::generate_pkcs8().map_err(wrong_key)?;
    let public = SigningKey::from_pkcs8(&document).map_err(wrong_key)?.public_key();
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(&document).and_then(|()| file.sync_all()))
        .map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    Ok(public)
}

/// Reads a key file.
///
/// # Errors
/// The file cannot be read or holds no Ed25519 key.
pub fn read_key(path: &Path) -> Result<SigningKey, KeyError> {
    let wrong_file = |source| KeyError::File { path: path.to_owned(), source };
    if fs::metadata(path).map_err(wrong_file)?.len() > SIZE_MAX_OCTETS {
        return Err(wrong_file(io::Error::other("it is too large for a key")));
    }
    let document = fs::read(path).map_err(wrong_file)?;
    SigningKey::from_pkcs8(&document)
        .map_err(|source| KeyError::Key { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_is_the_owners_alone_and_never_overwrites_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.key");
        let public = generate_key(&path).unwrap();
        assert_eq!(read_key(&path).unwrap().public_key(), public);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(generate_key(&path), Err(KeyError::File { .. })));
        assert_eq!(read_key(&path).unwrap().public_key(), public);
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site.key");
        assert!(read_key(&path).unwrap_err().to_string().contains("site.key"));
        fs::write(&path, "-----BEGIN PRIVATE KEY-----").unwrap();
        assert!(matches!(read_key(&path), Err(KeyError::Key { .. })));
        fs::write(&path, vec![0; 5000]).unwrap();
        assert!(matches!(read_key(&path), Err(KeyError::File { .. })));
    }
}
