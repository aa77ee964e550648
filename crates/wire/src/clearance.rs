//! The leave to ask what harms some versions.
//!
//! A few questions are worth asking and yet not harmless everywhere. Each of them takes a
//! [`Clearance`], which is minted from what makes it harmless here: the channel, the version that
//! the server said, and the wish of the person who asks. No clearance can be copied or kept for a
//! second question.

use std::error::Error;
use std::fmt;

use crate::ServerVersion;

/// What carries the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A TCP connection in clear text.
    Tcp,
    /// A TLS connection.
    Tls,
    /// A connection to a unix socket.
    Unix,
    /// Datagrams.
    Udp,
}

/// Why the question is asked at all. Nothing that a program decides by itself (a retry, a default) is
/// a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// The user named this one server and chose a mode that needs the answer.
    AskedByUser,
    /// The user said, for this run, that open servers be asked for a few names of their keys
    /// (`--sample-keys`). Whom that meets is found out by the scan, so it wishes for nothing but
    /// [`Risky::CacheDump`]: the others cannot be bounded, or tell nothing about keys.
    FewKeyNames,
}

/// A question that harms some versions, or over some channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Risky {
    /// `lru_crawler metadump all`: lists every key.
    Metadump,
    /// `stats cachedump`: lists some keys of one slab class.
    CacheDump,
    /// `stats sizes`: counts items by their size.
    Sizes,
    /// `stats conns` over a unix socket. Over TCP it needs no clearance.
    ConnectionsOverUnix,
}

/// The leave to ask one question once. Consumed by the request that it is for.
#[derive(Debug)]
pub struct Clearance {
    risky: Risky,
}

impl Clearance {
    /// Gives leave if the question cannot harm a server of this version over this channel.
    ///
    /// `version` is what the server said on this channel, and `None` if it said nothing or what
    /// memcached does not say: then no question is cleared, because faults that are not known
    /// cannot be avoided.
    ///
    /// # Errors
    /// [`Denied`], with the reason in words for the user.
    pub fn mint(
        risky: Risky,
        channel: Channel,
        version: Option<&ServerVersion>,
        wish: Wish,
    ) -> Result<Clearance, Denied> {
        let denied = |reason| Err(Denied { risky, reason });
        let is_wished = match wish {
            Wish::AskedByUser => true,
            Wish::FewKeyNames => risky == Risky::CacheDump,
        };
        if !is_wished {
            return denied(Reason::Wish);
        }
        if !is_fit(risky, channel) {
            return denied(Reason::Channel);
        }
        let Some(&version) = version else {
            return denied(Reason::UnknownVersion);
        };
        match fault(risky, version) {
            Some(fault) => denied(Reason::Fault(version, fault)),
            None => Ok(Clearance { risky }),
        }
    }

    /// Whether this clearance is for that question. Only requests ask, and consume it.
    pub(crate) fn admits(self, risky: Risky) -> bool {
        self.risky == risky
    }
}

/// Why a question is not asked. Displays as one sentence without a final dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Denied {
    risky: Risky,
    reason: Reason,
}

impl Denied {
    /// The question that is not asked.
    pub fn risky(&self) -> Risky {
        self.risky
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reason {
    Wish,
    Channel,
    UnknownVersion,
    Fault(ServerVersion, Fault),
}

/// What is wrong with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    NoMetadump,
    MetadumpMayCrash,
    MetadumpCrashes,
    SizesStall,
    ConnectionsOverread,
}

/// Over UDP a metadump crashes 1.6.19 to 1.6.25 and gets no answer from any version. A cachedump
/// would be answered, but whoever lists keys wants all that the server gives, and datagrams get
/// lost.
fn is_fit(risky: Risky, channel: Channel) -> bool {
    match risky {
        Risky::Metadump | Risky::CacheDump => channel != Channel::Udp,
        Risky::Sizes => true,
        // Elsewhere this clearance would say something that nobody needs to be told.
        Risky::ConnectionsOverUnix => channel == Channel::Unix,
    }
}

/// The fault of this version that the question would meet.
fn fault(risky: Risky, version: ServerVersion) -> Option<Fault> {
    let patch = |minor, patch| ServerVersion::new(1, minor, patch);
    let is_between = |first, last| (first..=last).contains(&version);
    match risky {
        Risky::Metadump if version < patch(4, 31) => Some(Fault::NoMetadump),
        // A client that goes away is dereferenced after its end (memcached issues 229 and 234).
        Risky::Metadump if is_between(patch(4, 31), patch(4, 33)) => Some(Fault::MetadumpMayCrash),
        // a22be2bdb brought it, 4ff4e8169 mended it. Seen on 1.6.19, .21, .22 and .25.
        Risky::Metadump if is_between(patch(6, 19), patch(6, 25)) => Some(Fault::MetadumpCrashes),
        Risky::Sizes if version < patch(4, 27) => Some(Fault::SizesStall),
        // CVE-2019-15026; the code is that of 1.4.18, where `stats conns` came.
        Risky::ConnectionsOverUnix if is_between(patch(4, 18), patch(5, 16)) => {
            Some(Fault::ConnectionsOverread)
        }
        Risky::Metadump | Risky::CacheDump | Risky::Sizes | Risky::ConnectionsOverUnix => None,
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Wish => formatter.write_str(
                "who wishes for a few names of keys is given those, and nothing that cannot be bounded",
            ),
            Reason::Channel => formatter.write_str(channel_text(self.risky)),
            Reason::UnknownVersion => write!(
                formatter,
                "the server does not say which version of memcached it is, and {}",
                unknown_version_text(self.risky)
            ),
            Reason::Fault(version, fault) => {
                write!(formatter, "{version} {}", fault_text(fault))
            }
        }
    }
}

impl Error for Denied {}

fn channel_text(risky: Risky) -> &'static str {
    match risky {
        Risky::Metadump => {
            "a metadump is not asked for over UDP: memcached 1.6.19 to 1.6.25 crash on it there, \
             and no version answers"
        }
        Risky::CacheDump => {
            "keys are not listed over UDP, where parts of the list would get lost unseen"
        }
        Risky::Sizes => "sizes are not asked for over this channel",
        Risky::ConnectionsOverUnix => {
            "this is no unix socket: over TCP and TLS connections are listed on every version, and \
             over UDP on none"
        }
    }
}

fn unknown_version_text(risky: Risky) -> &'static str {
    match risky {
        Risky::Metadump => "some versions crash on a metadump",
        Risky::CacheDump => "only a memcached whose version is known is asked to list keys",
        Risky::Sizes => "some versions stop answering everybody while they count sizes",
        Risky::ConnectionsOverUnix => {
            "some versions read beyond their memory when they list connections of a unix socket"
        }
    }
}

fn fault_text(fault: Fault) -> &'static str {
    match fault {
        Fault::NoMetadump => "has no metadump; memcached 1.4.31 brought it",
        Fault::MetadumpMayCrash => "can crash on a metadump; memcached 1.4.34 mended it",
        Fault::MetadumpCrashes => "crashes on a metadump; memcached 1.6.26 mended it",
        Fault::SizesStall => {
            "stops answering everybody while it counts sizes; memcached 1.4.27 mended it"
        }
        Fault::ConnectionsOverread => {
            "reads beyond its memory when it lists connections of a unix socket (CVE-2019-15026); \
             memcached 1.5.17 mended it"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Channel::{Tcp, Tls, Udp, Unix};
    use super::Risky::{CacheDump, ConnectionsOverUnix, Metadump, Sizes};
    use super::*;

    const CHANNELS: [Channel; 4] = [Tcp, Tls, Unix, Udp];

    /// Every release: 1.2.0 to 1.2.20, and so on. More than there were, and none too few.
    fn releases() -> impl Iterator<Item = ServerVersion> {
        (2..=7).flat_map(|minor| (0..=60).map(move |patch| ServerVersion::new(1, minor, patch)))
    }

    fn mint(risky: Risky, channel: Channel, version: Option<ServerVersion>) -> Result<(), Denied> {
        Clearance::mint(risky, channel, version.as_ref(), Wish::AskedByUser).map(|clearance| {
            assert!(clearance.admits(risky));
        })
    }

    /// Expects leave over these channels for exactly the versions that the list says: pairs of the
    /// first and the last, both ends included.
    fn check(risky: Risky, channels: &[Channel], cleared: &[(&str, &str)]) {
        let parse = |text| ServerVersion::parse(text).expect("a version");
        for version in releases() {
            let is_cleared = cleared
                .iter()
                .any(|(first, last)| (parse(first)..=parse(last)).contains(&version));
            for channel in CHANNELS {
                let expect = is_cleared && channels.contains(&channel);
                let minted = mint(risky, channel, Some(version));
                assert_eq!(minted.is_ok(), expect, "{risky:?} {channel:?} {version}");
            }
        }
        for channel in CHANNELS {
            assert!(mint(risky, channel, None).is_err(), "{risky:?} {channel:?}");
        }
    }

    #[test]
    fn leave_is_given_for_versions_that_are_not_harmed() {
        check(
            Metadump,
            &[Tcp, Tls, Unix],
            &[("1.4.34", "1.6.18"), ("1.6.26", "1.7.60")],
        );
        check(CacheDump, &[Tcp, Tls, Unix], &[("1.2.0", "1.7.60")]);
        check(Sizes, &CHANNELS, &[("1.4.27", "1.7.60")]);
        check(
            ConnectionsOverUnix,
            &[Unix],
            &[("1.2.0", "1.4.17"), ("1.5.17", "1.7.60")],
        );
    }

    #[test]
    fn a_wish_for_a_few_names_clears_a_cachedump_alone() {
        let wish = |risky, channel, version: Option<ServerVersion>| {
            Clearance::mint(risky, channel, version.as_ref(), Wish::FewKeyNames)
        };
        for version in releases() {
            for channel in CHANNELS {
                for risky in [Metadump, Sizes, ConnectionsOverUnix] {
                    assert!(wish(risky, channel, Some(version)).is_err());
                }
                let minted = wish(CacheDump, channel, Some(version));
                assert_eq!(minted.is_ok(), channel != Udp, "{channel:?} {version}");
            }
        }
        for channel in CHANNELS {
            assert!(wish(CacheDump, channel, None).is_err(), "{channel:?}");
        }
        let version = Some(ServerVersion::new(1, 6, 45));
        assert_eq!(
            wish(Metadump, Tcp, version).unwrap_err().to_string(),
            "who wishes for a few names of keys is given those, and nothing that cannot be bounded"
        );
    }

    #[test]
    fn other_servers_are_not_asked() {
        for text in ["yrmcds version 1.1.9", "0.0.1", "nodecached-0.2.0", "2.0.0"] {
            assert_eq!(ServerVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_clearance_is_for_one_question() {
        let all = [Metadump, CacheDump, Sizes, ConnectionsOverUnix];
        for risky in all {
            for other in all {
                let version = ServerVersion::new(1, 6, 45);
                let minted = Clearance::mint(risky, Unix, Some(&version), Wish::AskedByUser);
                let clearance = minted.expect("1.6.45 has none of the faults");
                assert_eq!(clearance.admits(other), risky == other);
            }
        }
    }

    #[test]
    fn a_denial_says_why_in_one_sentence() {
        let say = |risky, channel, version: &str| {
            let denied = mint(risky, channel, ServerVersion::parse(version)).unwrap_err();
            assert_eq!(denied.risky(), risky);
            let sentence = denied.to_string();
            assert!(
                !sentence.ends_with('.') && !sentence.contains('\n'),
                "{sentence}"
            );
            assert!(!sentence.contains("  "), "{sentence}");
            sentence
        };
        assert_eq!(
            say(Metadump, Tcp, "1.6.22"),
            "1.6.22 crashes on a metadump; memcached 1.6.26 mended it"
        );
        assert_eq!(
            say(Metadump, Tcp, "1.4.32"),
            "1.4.32 can crash on a metadump; memcached 1.4.34 mended it"
        );
        assert_eq!(
            say(Metadump, Tls, "1.4.15"),
            "1.4.15 has no metadump; memcached 1.4.31 brought it"
        );
        assert_eq!(
            say(Metadump, Udp, "1.6.45"),
            "a metadump is not asked for over UDP: memcached 1.6.19 to 1.6.25 crash on it there, \
             and no version answers"
        );
        assert_eq!(
            say(Sizes, Udp, "1.4.26"),
            "1.4.26 stops answering everybody while it counts sizes; memcached 1.4.27 mended it"
        );
        assert_eq!(
            say(CacheDump, Tcp, "0.0.1"),
            "the server does not say which version of memcached it is, and only a memcached whose \
             version is known is asked to list keys"
        );
        for risky in [Metadump, CacheDump, Sizes, ConnectionsOverUnix] {
            for channel in CHANNELS {
                say(risky, channel, "");
            }
        }
        assert!(say(ConnectionsOverUnix, Unix, "1.5.16").contains("CVE-2019-15026"));
        assert!(say(ConnectionsOverUnix, Tcp, "1.6.45").contains("no unix socket"));
    }
}
