//! Authentication, with the user's own credentials and only where it was demanded.
//!
//! In the text protocol authentication *is* a `set`: a server that did not demand it would store
//! user and password under a key that everybody can read. So both forms take a demand, which only a
//! server's reply can give, and which is good for one attempt. Wrong credentials are no demand: the
//! refusal of an attempt gives none, so nothing here can be used to guess.

use std::fmt;

use crate::request::append_binary_request;
use crate::{AsciiEvent, BinaryReply, opcode, status};

/// Limit for the user, and for the password, in bytes. RFC 4616 lets a server stop at 255; a
/// memcached with a password file of its own stops at 252 for both together.
pub const CREDENTIAL_BYTES_MAX: usize = 255;

/// The key of the `set` that carries the credentials. Servers pay no attention to it.
const ASCII_KEY: &str = "memsweep";
/// The one mechanism that is spoken (RFC 4616).
const SASL_MECHANISM: &str = "PLAIN";

/// A user and a password. They are shown nowhere, cannot be copied, and are overwritten when they
/// are dropped.
pub struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Credentials {
    /// Credentials as the user gave them; `None` if one of them is empty, longer than
    /// [`CREDENTIAL_BYTES_MAX`] or has control characters, which neither protocol can carry.
    pub fn new(user: impl Into<Vec<u8>>, password: impl Into<Vec<u8>>) -> Option<Credentials> {
        // Built first, so that what is refused is overwritten too.
        let credentials = Credentials {
            user: user.into(),
            password: password.into(),
        };
        let is_possible = [&credentials.user, &credentials.password]
            .into_iter()
            .all(|text| {
                (1..=CREDENTIAL_BYTES_MAX).contains(&text.len())
                    && !text.iter().any(u8::is_ascii_control)
            });
        is_possible.then_some(credentials)
    }

    /// The user, for messages.
    pub fn user(&self) -> &[u8] {
        &self.user
    }

    /// Whether the text protocol can carry them: it separates the two by a space, so neither may
    /// have one. With a space a server would look at a part of the password.
    pub fn are_ascii(&self) -> bool {
        !self.user.contains(&b' ') && !self.password.contains(&b' ')
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(..)")
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        self.user.fill(0);
        self.password.fill(0);
        // So that the compiler does not leave out what seems to have no effect.
        std::hint::black_box((&self.user, &self.password));
    }
}

/// A server's reply that demands authentication in the text protocol. Use it on the connection that
/// the reply came on, and before anything else is sent there.
#[derive(Debug)]
pub struct AsciiDemand(());

impl AsciiDemand {
    /// A demand, if this reply is exactly `CLIENT_ERROR unauthenticated`, as servers with `-Y`
    /// answer every command.
    pub fn from_reply(event: &AsciiEvent) -> Option<AsciiDemand> {
        let unauthenticated = AsciiEvent::ClientError("unauthenticated".into());
        (*event == unauthenticated).then_some(AsciiDemand(()))
    }
}

/// Authentication in the text protocol (`-Y`, 1.5.15 and newer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsciiAuthentication;

impl AsciiAuthentication {
    /// `set memsweep 0 0 LENGTH`, and `USER PASSWORD` as its data. See [`Credentials::are_ascii`].
    pub fn encode(demand: AsciiDemand, credentials: &Credentials) -> Vec<u8> {
        let AsciiDemand(()) = demand;
        let Credentials { user, password } = credentials;
        let data_bytes = user.len() + 1 + password.len();
        let header = format!("set {ASCII_KEY} 0 0 {data_bytes}\r\n");
        [header.as_bytes(), user, b" ", password, b"\r\n"].concat()
    }

    /// Whether this reply to it says that the credentials are right. A server that refuses them
    /// answers `CLIENT_ERROR authentication failure`.
    pub fn is_accepted(event: &AsciiEvent) -> bool {
        *event == AsciiEvent::Other("STORED".into())
    }
}

/// A server's reply that demands SASL authentication.
#[derive(Debug)]
pub struct SaslDemand(());

impl SaslDemand {
    /// A demand, if this reply has the status 0x20, or lists mechanisms of which PLAIN is one.
    ///
    /// Servers close the connection after a status 0x20. Their answer to SASL LIST, which only
    /// servers with `-S` give, leaves it open; so ask for that on the connection to be used.
    ///
    /// A status 0x20 that answers an attempt to authenticate is no demand: the credentials were
    /// wrong.
    pub fn from_reply(reply: &BinaryReply) -> Option<SaslDemand> {
        let is_demand = match (reply.opcode, reply.status) {
            // The attempt, and SASL STEP, which would continue it.
            (opcode::SASL_AUTH | 0x22, _) => false,
            (opcode::SASL_LIST, status::NO_ERROR) => reply
                .value
                .split(|byte| *byte == b' ')
                .any(|mechanism| mechanism == SASL_MECHANISM.as_bytes()),
            (_, status) => status == status::AUTH_ERROR,
        };
        is_demand.then_some(SaslDemand(()))
    }
}

/// SASL authentication by user and password (`-S`; RFC 4616, mechanism PLAIN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaslPlain;

impl SaslPlain {
    /// SASL AUTH with `PLAIN` as its key and the credentials as its value. `opaque` comes back in
    /// the reply.
    pub fn encode(demand: SaslDemand, credentials: &Credentials, opaque: u32) -> Vec<u8> {
        let SaslDemand(()) = demand;
        let message = [&b"\0"[..], &credentials.user, b"\0", &credentials.password].concat();
        let mut packet = Vec::new();
        let key = SASL_MECHANISM.as_bytes();
        append_binary_request(opcode::SASL_AUTH, key, &message, opaque, &mut packet);
        packet
    }

    /// Whether this reply to it says that the credentials are right. If not, close the connection:
    /// versions before 1.4.17 take the next command as authenticated (CVE-2013-7239).
    pub fn is_accepted(reply: &BinaryReply) -> bool {
        (reply.opcode, reply.status) == (opcode::SASL_AUTH, status::NO_ERROR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials::new("anna", "s3cret").expect("plain ones")
    }

    fn reply(opcode: u8, status: u16, value: &str) -> BinaryReply {
        BinaryReply {
            opcode,
            status,
            opaque: 0,
            key: Vec::new(),
            value: value.into(),
        }
    }

    #[test]
    fn the_text_form_needs_exactly_this_demand() {
        let demand = AsciiDemand::from_reply(&AsciiEvent::ClientError("unauthenticated".into()));
        let request = AsciiAuthentication::encode(demand.unwrap(), &credentials());
        assert_eq!(request, b"set memsweep 0 0 11\r\nanna s3cret\r\n");
        for event in [
            AsciiEvent::ClientError(String::new()),
            AsciiEvent::ClientError("Unauthenticated".into()),
            AsciiEvent::ClientError("unauthenticated ".into()),
            AsciiEvent::ClientError("authentication failure".into()),
            AsciiEvent::ServerError("unauthenticated".into()),
            AsciiEvent::Other("CLIENT_ERROR unauthenticated".into()),
            AsciiEvent::Error,
            AsciiEvent::End,
            AsciiEvent::MetaNoop,
            AsciiEvent::MetaEnd,
            AsciiEvent::Value { bytes: 1 },
            AsciiEvent::Version("unauthenticated".into()),
            AsciiEvent::Stat {
                name: "CLIENT_ERROR".into(),
                value: "unauthenticated".into(),
            },
        ] {
            assert!(AsciiDemand::from_reply(&event).is_none(), "{event:?}");
            assert!(!AsciiAuthentication::is_accepted(&event), "{event:?}");
        }
        assert!(AsciiAuthentication::is_accepted(&AsciiEvent::Other(
            "STORED".into()
        )));
    }

    #[test]
    fn the_sasl_form_needs_a_status_or_a_list() {
        let demanding = [
            reply(opcode::NOOP, 0x20, "Auth failure."),
            reply(opcode::SASL_LIST, 0, "PLAIN"),
            reply(opcode::SASL_LIST, 0, "SCRAM-SHA-1 PLAIN LOGIN"),
        ];
        for reply in &demanding {
            assert!(SaslDemand::from_reply(reply).is_some(), "{reply:?}");
            assert!(!SaslPlain::is_accepted(reply), "{reply:?}");
        }
        for reply in [
            reply(opcode::NOOP, 0, "PLAIN"),
            reply(opcode::SASL_LIST, 0, ""),
            reply(opcode::SASL_LIST, 0, "SCRAM-SHA-1"),
            reply(opcode::SASL_LIST, 0, "XPLAIN PLAINTEXT"),
            reply(opcode::SASL_LIST, 0x81, "PLAIN"),
            reply(opcode::SASL_AUTH, 0x20, "Auth failure."),
            reply(opcode::SASL_AUTH, 0x21, ""),
            reply(0x22, 0x20, "Auth failure."),
        ] {
            assert!(SaslDemand::from_reply(&reply).is_none(), "{reply:?}");
            assert!(!SaslPlain::is_accepted(&reply), "{reply:?}");
        }
        assert!(SaslPlain::is_accepted(&reply(
            opcode::SASL_AUTH,
            0,
            "Authenticated"
        )));
        let demand = SaslDemand::from_reply(&demanding[0]).unwrap();
        let mut expect = vec![0x80, 0x21, 0, 5, 0, 0, 0, 0, 0, 0, 0, 17, 1, 2, 3, 4];
        expect.extend([0; 8]);
        expect.extend(b"PLAIN\0anna\0s3cret");
        assert_eq!(
            SaslPlain::encode(demand, &credentials(), 0x0102_0304),
            expect
        );
    }

    #[test]
    fn credentials_are_what_both_protocols_carry() {
        let longest = "x".repeat(CREDENTIAL_BYTES_MAX);
        for text in ["a", "あ", "p@ss:word%", &longest[..]] {
            let credentials = Credentials::new(text, text).unwrap();
            assert!(credentials.are_ascii(), "{text}");
            assert_eq!(credentials.user(), text.as_bytes());
        }
        let too_long = "x".repeat(CREDENTIAL_BYTES_MAX + 1);
        for text in [
            "",
            "a\0b",
            "a\r\nflush_all\r\n",
            "a\n",
            "\u{7f}",
            &too_long[..],
        ] {
            assert!(Credentials::new(text, "good").is_none(), "{text:?}");
            assert!(Credentials::new("good", text).is_none(), "{text:?}");
        }
        assert!(!Credentials::new("a b", "c").unwrap().are_ascii());
        assert!(!Credentials::new("a", "b c").unwrap().are_ascii());
    }

    #[test]
    fn credentials_are_not_shown() {
        assert_eq!(format!("{:?}", credentials()), "Credentials(..)");
    }
}
