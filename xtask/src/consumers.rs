//! Programs that read what we write, from PyPI and npm: tests hand them our reports and see whether
//! they understand.
//!
//! They are installed once for a user, in a cache folder that `testkit::consumers` knows too, and
//! anew when a list here changes. Nothing of them gets into the product.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::ground::{self, Ground};

/// From PyPI, each with what it is for.
const PYTHON: [(&str, &str); 11] = [
    (
        "ansible-core==2.19.14",
        "reads our inventories; PyYAML comes with it",
    ),
    ("check-jsonschema==0.39.0", "JSON against its schemas"),
    (
        "maxminddb==3.2.0",
        "made-up databases of networks are read back",
    ),
    (
        "mmdb_writer==0.2.7",
        "makes databases of networks for tests",
    ),
    ("ocsf-json-schema==1.2.0", "the schemas of OCSF events"),
    ("pyarrow==26.0.1", "reads our Parquet files"),
    ("pymisp==2.5.34.4", "reads our MISP events"),
    ("python-libnmap==0.7.3", "reads our nmap XML"),
    ("python-pcapng==2.1.1", "reads our captures"),
    ("sarif-tools==3.0.5", "reads our SARIF"),
    ("stix2-validator==3.3.2", "checks our STIX bundles"),
];

/// From npm, each with what it is for.
const NODE: [(&str, &str); 2] = [
    (
        "@microsoft/jest-sarif@1.0.0-beta.0",
        "ships the schema of SARIF 2.1.0",
    ),
    (
        "@microsoft/sarif-multitool@5.7.0",
        "validates SARIF by its own rules",
    ),
];

/// Installs what is missing.
pub(crate) fn install_missing(ground: &Ground) -> Result<()> {
    let folder = testkit::consumers::folder().context("failed to find a home for the cache")?;
    let python: Vec<&str> = PYTHON.iter().map(|(name, _)| *name).collect();
    install(ground, &folder.join("python"), &python, |ground, folder| {
        ground::run(ground.command("python3").args(["-m", "venv"]).arg(folder))?;
        let pip = folder.join("bin/pip");
        ground::run(
            ground
                .command(pip)
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(&python),
        )
    })?;
    let node: Vec<&str> = NODE.iter().map(|(name, _)| *name).collect();
    install(ground, &folder.join("node"), &node, |ground, folder| {
        // None of these packages needs a script of its own to be run.
        ground::run(
            ground
                .command("npm")
                .args([
                    "install",
                    "--silent",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                ])
                .arg("--prefix")
                .arg(folder)
                .args(&node),
        )
    })
}

/// Makes a folder anew unless it holds exactly this list; a broken attempt leaves no mark and is
/// repeated the next time.
fn install(
    ground: &Ground,
    folder: &Path,
    list: &[&str],
    fill: impl Fn(&Ground, &PathBuf) -> Result<()>,
) -> Result<()> {
    let mark = folder.join("list.txt");
    let wanted = list.join("\n");
    if fs::read_to_string(&mark).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let folder = folder.to_owned();
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("failed to empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    eprintln!("    {}", list.join(" "));
    fill(ground, &folder)?;
    fs::write(&mark, wanted).with_context(|| format!("failed to write {}", mark.display()))
}
