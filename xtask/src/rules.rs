//! `cargo xtask rules`: docs/rules and docs/grades.md, made anew from the rules themselves.

use anyhow::{Context, Result, ensure};

use crate::ground::Ground;

/// The test that compares the documents with the rules, and writes them when it is told to.
const TEST: &str = "rules::documents_are_what_the_rules_make_of_them";

/// Writes the documents.
pub(crate) fn run(ground: &Ground) -> Result<()> {
    let status = ground
        .cargo(&["test", "--quiet", "--locked", "--package", "report"])
        .args(["--test", "report", "--", "--exact", TEST])
        .env("UPDATE_EXPECT", "1")
        .status()
        .context("failed to run the test that writes the documents")?;
    ensure!(status.success(), "the documents were not written: {status}");
    Ok(())
}
