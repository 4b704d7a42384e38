//! The inputs of the fuzz targets, once more in the tests of the crates: what a target is seeded
//! with and what it has found. A file that the tests share, not a crate: nothing else wants it.

use std::path::Path;

/// Runs a target over its inputs. The name of an input that it does not stand is the last line of
/// what the test has printed.
pub fn replay(target: &str, run: impl Fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|folder| folder.join("fuzz/corpus").is_dir())
        .expect("the crate is in the repository");
    let folder = root.join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).expect("the target has a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        run(&std::fs::read(path).expect("an input"));
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}
