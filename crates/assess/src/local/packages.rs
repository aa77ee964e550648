//! Lists of installed packages: `/var/lib/dpkg/status` and `/lib/apk/db/installed`.

use super::machine::InstalledPackage;
use crate::package::Distribution;

/// Packages whose version is that of memcached.
fn is_ours(name: &str) -> bool {
    name == "memcached"
}

/// Debian's list: paragraphs of `Name: value` (deb822(5)).
pub fn dpkg_status(text: &str) -> Vec<InstalledPackage> {
    let paragraphs = text.split("\n\n");
    paragraphs
        .filter_map(|paragraph| {
            let value = |key: &str| {
                let lines = paragraph.lines();
                let mut values =
                    lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
                values.next().map(str::trim)
            };
            let name = value("Package").filter(|name| is_ours(name))?;
            let is_installed = value("Status").is_some_and(|status| status.ends_with(" installed"));
            let version = value("Version").filter(|_| is_installed)?;
            Some(package("dpkg", name, version))
        })
        .collect()
}

/// Alpine's list: paragraphs of `P:name` and `V:version`.
pub fn apk_installed(text: &str) -> Vec<InstalledPackage> {
    let paragraphs = text.split("\n\n");
    paragraphs
        .filter_map(|paragraph| {
            let value = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key));
            let name = value("P:").filter(|name| is_ours(name))?;
            Some(package("apk", name, value("V:")?))
        })
        .collect()
}

/// Whose machine it is, by `/etc/os-release`.
pub fn os_release(text: &str) -> Distribution {
    let (settings, _) = super::shell::assignments("/etc/os-release", text);
    let value = |name: &str| {
        let found = settings.iter().rev().find(|setting| setting.name == name);
        found
            .map(|setting| setting.value.as_str())
            .unwrap_or_default()
    };
    Distribution::of_os_release(value("ID"), value("VERSION_ID"))
}

fn package(manager: &'static str, name: &str, version: &str) -> InstalledPackage {
    InstalledPackage {
        manager,
        name: name.to_owned(),
        version: version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions() {
        let text = "PRETTY_NAME=\"Debian 12\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(os_release(text), Distribution::Debian(12));
        assert_eq!(
            os_release("ID=\"centos\"\nVERSION_ID=\"7\"\n"),
            Distribution::EnterpriseLinux(7)
        );
        assert_eq!(os_release(""), Distribution::Other);
    }
    use crate::UpstreamVersion;

    #[test]
    fn lists_are_read() {
        let status = "Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: memcached\n\
            Status: install ok installed\nDescription: x\n  Version: 9\nVersion: 1.6.18-1+deb12u1\n\n\
            Package: memcached\nStatus: deinstall ok config-files\nVersion: 2\n";
        assert_eq!(
            dpkg_status(status),
            [package("dpkg", "memcached", "1.6.18-1+deb12u1")]
        );
        let installed = "C:x\nP:memcached\nV:1.6.32-r0\n\nP:musl\nV:1\n";
        assert_eq!(
            apk_installed(installed),
            [package("apk", "memcached", "1.6.32-r0")]
        );
        assert_eq!(dpkg_status("\u{0}garbage"), []);
        for (version, upstream) in [
            ("1.6.18-1+deb12u1", Some(UpstreamVersion::new(1, 6, 18))),
            ("1:1.4.15-10.el7_3.1", Some(UpstreamVersion::new(1, 4, 15))),
            ("1.6.32-r0", Some(UpstreamVersion::new(1, 6, 32))),
            ("nine", None),
        ] {
            assert_eq!(
                package("x", "memcached", version).upstream(),
                upstream,
                "{version}"
            );
        }
    }
}
