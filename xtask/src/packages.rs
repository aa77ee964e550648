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
    /// A program that may have come from elsewhere, so that the package is not wanted.
    unless: Option<&'static str>,
}

/// Everything that tests run besides our own binary.
const PACKAGES: [Package; 24] = [
    tool("chromium", "shows HTML reports"),
    tool("clang-14", "the compiler of the programs for the kernel"),
    tool(
        "ethtool",
        "the lab's cable takes bare frames only with GRO on",
    ),
    tool("fonts-noto-cjk", "Japanese in the pictures of reports"),
    tool("iproute2", "ip: links and addresses of the test namespaces"),
    tool("libxml2-utils", "xmllint: our nmap XML against nmap's DTD"),
    tool("llvm-14", "strips the programs for the kernel"),
    daemon(
        "memcached",
        "the real server that end-to-end tests ask",
        "memcached.service",
    ),
    tool("ndiff", "compares our nmap XML"),
    tool("nftables", "nft: packet filters inside the test namespaces"),
    tool(
        "nmap",
        "its reading of our nmap XML, and its view of the same servers",
    ),
    Package {
        unless: Some("node"),
        ..tool("nodejs", "runs what npm installs")
    },
    Package {
        unless: Some("npm"),
        ..tool("npm", "installs what reads our SARIF")
    },
    daemon(
        "nutcracker",
        "the proxy in front of a real server",
        "nutcracker.service",
    ),
    daemon(
        "postgresql",
        "the real PostgreSQL that inventories are kept in",
        "postgresql.service",
    ),
    tool(
        "procps",
        "ps and sysctl: nothing is left running, kernel limits of a namespace",
    ),
    daemon(
        "prometheus",
        "promtool: metrics and alert rules",
        "prometheus.service",
    ),
    tool("python3-libnmap", "reads our nmap XML"),
    tool("python3-nmap", "reads our nmap XML"),
    tool("python3-venv", "where the packages of PyPI live"),
    tool("sqlite3", "the shell that users read their inventory with"),
    tool("tshark", "reads the captures that we write"),
    tool(
        "util-linux",
        "unshare and nsenter: the namespaces themselves",
    ),
    tool("xsltproc", "nmap's own style sheet on our nmap XML"),
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
    let missing = missing(&dpkg_listing(ground)?, &|program| {
        is_on_path(ground, program)
    });
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
        unless: None,
    }
}

const fn daemon(name: &'static str, reason: &'static str, service: &'static str) -> Package {
    Package {
        name,
        reason,
        service: Some(service),
        unless: None,
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

fn is_on_path(ground: &Ground, program: &str) -> bool {
    let mut command = ground.command(program);
    command.arg("--version").stdout(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn missing(listing: &str, is_on_path: &dyn Fn(&str) -> bool) -> Vec<&'static Package> {
    let is_installed = |package: &Package| {
        package.unless.is_some_and(is_on_path)
            || listing
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
        let names: Vec<&str> = missing(listing, &|_| false)
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
        let similar = installed.replace("installed nmap\n", "installed nmap-common\n");
        check(&similar, &["nmap"]);
        let names: Vec<&str> = missing("", &|program| program == "npm")
            .iter()
            .map(|package| package.name)
            .collect();
        assert!(names.contains(&"nodejs") && !names.contains(&"npm"));
    }
}
