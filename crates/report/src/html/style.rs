//! The one style sheet, and the policy that allows it and nothing else.

/// The style sheet, as it stands in every document.
pub(super) const STYLE: &str = include_str!("style.css");

/// SHA-256 of [`STYLE`] in Base64, by which the policy names it (Content Security Policy Level 3,
/// section 8.4). A test compares the two, and says what belongs here after a change.
const STYLE_SHA256: &str = "tgk2XjuKq5UiXqbSAvuHutDl6Z6hMsGlKmJ6fOPimZM=";

/// What a browser may do with a document: show it, in its own style. No script, font, picture or
/// frame is loaded from anywhere, and nothing is sent.
pub(super) fn policy() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{STYLE_SHA256}'; base-uri 'none'; form-action 'none'"
    )
}
