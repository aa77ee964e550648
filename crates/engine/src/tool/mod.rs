//! Looking into one server that its administrator named: tables, keys, and a dump on request.
//!
//! Unlike the interviews of a scan, these dialogues may demand something of the server: a listing,
//! values, a log-in. So each rests on what the user asked for by name, on the version that was read,
//! and on what the connection's last reply demanded (see `wire`'s clearances and demands). What
//! cannot be had is an error in one line, never half a table.

mod dump;
mod keys;
mod session;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sockets::{LinkError, Security};
use targets::Permitted;
use wire::{Channel, Credentials};

pub use dump::{DumpOptions, DumpTally, dump};
pub use keys::{KeyTally, ListOptions, list_keys};
pub use session::{Session, Table};

/// One server, and how it is to be spoken to.
pub struct Server {
    /// Where it is; in scope, or this could not exist.
    pub target: Permitted,
    /// Over which channel.
    pub channel: Channel,
    /// Plain, or TLS with these options.
    pub security: Security,
    /// The administrator's own user and password, if given.
    pub credentials: Option<Credentials>,
    /// Send credentials in clear text over a network too.
    pub allow_cleartext: bool,
    /// The longest wait for any answer.
    pub timeout: Duration,
    /// Once set, every wait ends soon, with [`ToolError::Stopped`].
    pub stopped: Arc<AtomicBool>,
}

/// Why a question was not answered; one line for a person.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The connection could not be had or held.
    #[error("{0}")]
    Link(LinkError),
    /// A server that resets plain text may want TLS.
    #[error("the server closed the connection at the first word; if it speaks TLS, add --tls")]
    PerhapsTls,
    /// The server demands a log-in and none was given.
    #[error("the server demands {0}; give --user and --password-file")]
    CredentialsWanted(&'static str),
    /// The server does not accept the log-in.
    #[error("the server does not accept this user and password")]
    CredentialsRefused,
    /// The text protocol separates user and password by a space.
    #[error("the user or the password holds a space, which the log-in of -Y cannot carry")]
    SpaceInCredentials,
    /// The log-in would travel in clear text.
    #[error(
        "the password would travel in clear text; use --tls with a certificate that verifies, or \
         --allow-cleartext"
    )]
    Cleartext,
    /// A password is not given to a server whose certificate was not checked.
    #[error("no password is sent over --insecure; name the certificate's issuer with --ca")]
    InsecureCredentials,
    /// What was asked harms this version.
    #[error("not asked: {0}")]
    Denied(String),
    /// The server said no.
    #[error("{question}: the server says {said:?}")]
    Refused {
        /// The command.
        question: &'static str,
        /// Its words.
        said: String,
    },
    /// The reply broke off.
    #[error("{question}: the reply broke off after {rows} lines: {why}")]
    Truncated {
        /// The command.
        question: &'static str,
        /// Lines that had come.
        rows: usize,
        /// Why it broke off.
        why: LinkError,
    },
    /// The values broke off.
    #[error("the values broke off after {written} keys: {why}")]
    BrokenOff {
        /// Keys that had come whole.
        written: u64,
        /// Why it broke off.
        why: LinkError,
    },
    /// A value came that was not asked for, so nothing here is what it seems.
    #[error("get: the server sends the value of {0:?}, which was not asked for")]
    NotAsked(String),
    /// The reply never ends.
    #[error("{question}: {rows} lines and no end; no memcached has so many")]
    Endless {
        /// The command.
        question: &'static str,
        /// Lines that had come.
        rows: usize,
    },
    /// What answers is not memcached.
    #[error("not memcached: it says {0:?}")]
    NotMemcached(String),
    /// The channel that the user chose has no such question.
    #[error("{0} is not to be had over UDP")]
    NotOverUdp(&'static str),
    /// The server speaks the binary protocol alone, which has no such question.
    #[error(
        "{0} is not to be had: this server speaks the binary protocol alone, which has no command for it"
    )]
    NotInBinary(&'static str),
    /// The user stopped it.
    #[error("stopped")]
    Stopped,
    /// Reading or writing our own files failed.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl From<LinkError> for ToolError {
    fn from(why: LinkError) -> ToolError {
        match why {
            LinkError::Stopped => ToolError::Stopped,
            why => ToolError::Link(why),
        }
    }
}

impl ToolError {
    /// The reply to a question ended after so many lines.
    fn truncated(question: &'static str, rows: usize, why: LinkError) -> ToolError {
        match why {
            LinkError::Stopped => ToolError::Stopped,
            why => ToolError::Truncated {
                question,
                rows,
                why,
            },
        }
    }

    /// Whether the user's words are at fault (exit code 2) and not the server or the network.
    pub fn is_usage(&self) -> bool {
        match self {
            ToolError::CredentialsWanted(_)
            | ToolError::CredentialsRefused
            | ToolError::SpaceInCredentials
            | ToolError::Cleartext
            | ToolError::InsecureCredentials
            | ToolError::NotOverUdp(_)
            | ToolError::Link(LinkError::Tls(_)) => true,
            ToolError::Link(_)
            | ToolError::NotInBinary(_)
            | ToolError::PerhapsTls
            | ToolError::Denied(_)
            | ToolError::Refused { .. }
            | ToolError::Truncated { .. }
            | ToolError::BrokenOff { .. }
            | ToolError::NotAsked(_)
            | ToolError::Endless { .. }
            | ToolError::NotMemcached(_)
            | ToolError::Stopped
            | ToolError::File(_) => false,
        }
    }
}
