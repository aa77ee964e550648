//! The system packages that tests need, installed by apt if they are missing. No service is
//! started: the tests start their own servers, in namespaces of their own.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::ground::{self, Ground};

/// A Debian package.
struct Package {
    name: &'static str,
    /// What the tests use it for.
    reason: &'static str,
    /// The service that comes with it and is not wanted.
    service: Option<&'static str>,
}

/// Everything that tests run besides our own binary.
const PACKAGES: [Package; 11] = [
    tool("clang-14", "the compiler of the programs for the kernel"),
    tool(
        "ethtool",
        "the lab's cable takes bare frames only with GRO on",
    ),
    tool("iproute2", "ip: links and addresses of the test namespaces"),
    tool("llvm-14", "strips the programs for the kernel"),
    daemon(
        "memcached",
        "the real server that end-to-end tests ask",
        "memcached.service",
    ),
    tool("nftables", "nft: packet filters inside the test namespaces"),
    tool(
        "nmap",
        "its reading of our nmap XML, and its view of the same servers",
    ),
    daemon(
        "nutcracker",
        "the proxy in front of a real server",
        "nutcracker.service",
    ),
    tool(
        "procps",
        "ps and sysctl: nothing is left running, kernel limits of a namespace",
    ),
    tool("tshark", "reads the captures that we write"),
    tool(
        "util-linux",
        "unshare and nsenter: the namespaces themselves",
    ),
];

/// What keeps a package's scripts from starting its service. With SYSTEMD_OFFLINE systemctl
/// ignores `start` (systemd's docs/ENVIRONMENT.md); with runlevel 1 invoke-rc.d of a machine
/// without systemd finds no start link. Unlike a /usr/sbin/policy-rc.d of ours, neither leaves a
/// file behind if we are interrupted, nor replaces one that the machine already has.
const START_NOTHING: [&str; 3] = ["SYSTEMD_OFFLINE=1", "RUNLEVEL=1", "PREVLEVEL=N"];

/// How long to wait for another apt to finish, such as unattended-upgrades on a fresh machine.
const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=120";

/// Installs what is missing and nothing else.
pub(crate) fn install_missing(ground: &Ground) -> Result<()> {
    let missing = missing(&dpkg_listing(ground)?);
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        eprintln!("    {}: {}", package.name, package.reason);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    apt(ground, &["update"])
        .and_then(|()| {
            apt(
                ground,
                &[&["install", "--yes", "--no-install-recommends"], &names[..]].concat(),
            )
        })
        .with_context(|| {
            format!(
                "failed to install packages; install them yourself (`apt-get install {}`) and \
                 use --no-install",
                names.join(" ")
            )
        })?;
    disable_services(ground, &missing)
}

const fn tool(name: &'static str, reason: &'static str) -> Package {
    Package {
        name,
        reason,
        service: None,
    }
}

const fn daemon(name: &'static str, reason: &'static str, service: &'static str) -> Package {
    Package {
        name,
        reason,
        service: Some(service),
    }
}

/// Status and name of each of our packages that dpkg has heard of.
fn dpkg_listing(ground: &Ground) -> Result<String> {
    let output = ground
        .command("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .args(PACKAGES.iter().map(|package| package.name))
        .output()
        .context("failed to start dpkg-query; this step knows Debian only (see --no-install)")?;
    // Exit status 1 says no more than that some package is unknown, which is what we ask.
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn missing(listing: &str) -> Vec<&'static Package> {
    let is_installed = |package: &Package| {
        listing
            .lines()
            .any(|line| line.split_once(' ') == Some(("installed", package.name)))
    };
    PACKAGES
        .iter()
        .filter(|package| !is_installed(package))
        .collect()
}

fn apt(ground: &Ground, arguments: &[&str]) -> Result<()> {
    // `env` after sudo, because sudo drops our environment.
    let mut command = as_root(ground, "env")?;
    command
        .args(START_NOTHING)
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
    command.args(["-o", LOCK_TIMEOUT]).args(arguments);
    ground::run(&mut command)
}

/// What we just installed must not start at the next boot either. Services that were there before
/// are their owner's.
fn disable_services(ground: &Ground, installed: &[&Package]) -> Result<()> {
    let services: Vec<&str> = installed
        .iter()
        .filter_map(|package| package.service)
        .collect();
    let systemd_runs = std::path::Path::new("/run/systemd/system").exists();
    if services.is_empty() || !systemd_runs {
        return Ok(());
    }
    ground::run(
        as_root(ground, "systemctl")?
            .args(["--quiet", "disable"])
            .args(services),
    )
}

fn as_root(ground: &Ground, program: &str) -> Result<Command> {
    let user = ground::output(ground.command("id").arg("-u"))?;
    if user.trim() == "0" {
        return Ok(ground.command(program));
    }
    let mut command = ground.command("sudo");
    let may_sudo = command.args(["--non-interactive", "true"]).status();
    if !may_sudo.is_ok_and(|status| status.success()) {
        bail!("apt needs root or sudo without a password");
    }
    let mut command = ground.command("sudo");
    command.args(["--non-interactive", program]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listing: &str, expect: &[&str]) {
        let names: Vec<&str> = missing(listing)
            .iter()
            .map(|package| package.name)
            .collect();
        assert_eq!(names, expect, "{listing}");
    }

    #[test]
    fn only_what_is_missing_is_installed() {
        let all: Vec<&str> = PACKAGES.iter().map(|package| package.name).collect();
        check("", &all);
        let installed: String = all
            .iter()
            .map(|name| format!("installed {name}\n"))
            .collect();
        check(&installed, &[]);
        let removed = installed.replace("installed nmap", "config-files nmap");
        check(&removed, &["nmap"]);
        check(&installed.replace("nmap", "nmap-common"), &["nmap"]);
    }
}
