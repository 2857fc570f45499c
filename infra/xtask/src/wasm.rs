//! A compiler for `wasm32-wasip2`.
//!
//! Owns the choice: the active toolchain where its target is installed, else `rustup target add`, else Debian's compiler, which
//! builds the standard library from Debian's source package. Says which, and what to do where none can be had.

use crate::process::{output, quietly, say};
use crate::system::{apt_install, has_apt};
use crate::workspace::env;
use anyhow::{Result, anyhow, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The target that components are built for.
pub const TARGET: &str = "wasm32-wasip2";

/// Without a network rustup fails within seconds; with a very slow one it is given up after this.
const RUSTUP_TIME_MAX: Duration = Duration::from_mins(3);

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "wasi-libc"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
const DEBIAN_LIBC: &str = "/usr/lib/wasm32-wasi";

/// Which compiler to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// The first that works, in the order of the other two.
    Auto,
    /// The active toolchain; its target is added by rustup where it is not there yet.
    Rustup,
    /// Debian's packages `rustc-web`, `rust-web-src` and `wasi-libc`.
    Debian,
}

/// A compiler that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    /// The active one has the target installed.
    Active,
    /// Debian's, with the standard library built along.
    Debian,
}

impl Toolchain {
    /// Finds a compiler for the target, installing one where it must.
    ///
    /// # Errors
    /// Where none can be had: what was tried and what to do.
    pub fn provision(choice: Choice, logs: &Path) -> Result<Self> {
        let (rustup, debian) = (choice != Choice::Debian, choice != Choice::Rustup);
        if rustup && active_has_target() {
            return Ok(Self::Active);
        }
        if debian && debian_is_there() {
            return Ok(Self::Debian);
        }
        let mut tried = Vec::new();
        if rustup {
            match add_by_rustup(logs) {
                Ok(()) => return Ok(Self::Active),
                Err(error) => tried.push(format!("rustup target add {TARGET}: {error:#}")),
            }
        }
        if debian {
            match add_by_apt(logs) {
                Ok(()) => return Ok(Self::Debian),
                Err(error) => tried.push(format!("Debian's packages: {error:#}")),
            }
        }
        bail!(
            "no compiler for {TARGET}. Install one and run this again: `rustup target add {TARGET}` where rustup's server can be \
             reached, or on Debian `apt-get install {}`.\nTried:\n- {}",
            DEBIAN_PACKAGES.join(" "),
            tried.join("\n- ")
        )
    }

    /// What the user is told.
    #[must_use]
    pub fn describe(self) -> String {
        let compiler = match self {
            Self::Active => rustc(),
            Self::Debian => PathBuf::from(DEBIAN_RUSTC),
        };
        let version = output(Command::new(compiler).arg("--version")).unwrap_or_default();
        match self {
            Self::Active => format!("the active toolchain ({version})"),
            Self::Debian => format!("Debian's compiler, standard library built along ({version})"),
        }
    }

    /// The target directory's own folder for this compiler: a build for the host must not wait for this one's lock, and cargo gives a
    /// `cdylib` the same file name whichever compiler made it.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Active => "wasm",
            Self::Debian => "wasm-debian",
        }
    }

    /// A cargo command with everything set for this compiler, up to the subcommand's own arguments.
    ///
    /// # Errors
    /// Where the linker that Debian's compiler borrows is not there.
    pub fn cargo(self, subcommand: &str) -> Result<Command> {
        let mut command = Command::new(env("CARGO").unwrap_or_else(|| "cargo".to_owned()));
        command.arg(subcommand);
        if self == Self::Debian {
            let path = [env("PATH").unwrap_or_default(), linkers()?.display().to_string()].join(":");
            command.args(["-Zbuild-std=std,panic_abort"]);
            command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").env("PATH", path);
            command.env("RUSTFLAGS", format!("-L native={DEBIAN_LIBC}")).env_remove("CARGO_ENCODED_RUSTFLAGS");
        }
        command.args(["--target", TARGET]);
        Ok(command)
    }
}

fn rustc() -> PathBuf {
    env("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from)
}

fn active_has_target() -> bool {
    let folder = output(Command::new(rustc()).args(["--print", "target-libdir", "--target", TARGET]));
    let Some(entries) = folder.and_then(|folder| std::fs::read_dir(folder).ok()) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

fn add_by_rustup(logs: &Path) -> Result<()> {
    say(&format!("the active toolchain has no {TARGET}: asking rustup for it"));
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]).env("RUSTUP_MAX_RETRIES", "1");
    quietly(&format!("rustup target add {TARGET}"), &mut command, &logs.join("rustup.log"), RUSTUP_TIME_MAX)?;
    if active_has_target() {
        return Ok(());
    }
    bail!("rustup has added it, but not to the compiler in use ({})", rustc().display())
}

fn debian_is_there() -> bool {
    [DEBIAN_RUSTC, DEBIAN_STD, DEBIAN_LIBC].iter().all(|path| Path::new(path).exists()) && linkers().is_ok()
}

fn add_by_apt(logs: &Path) -> Result<()> {
    if !has_apt() {
        bail!("no apt-get here that this user may run");
    }
    apt_install(&DEBIAN_PACKAGES, logs)?;
    linkers()?;
    if debian_is_there() {
        return Ok(());
    }
    bail!("{} installed, but {DEBIAN_STD} or {DEBIAN_LIBC} is not there", DEBIAN_PACKAGES.join(" "))
}

/// The folder with `rust-lld` and `wasm-component-ld`, which Debian does not package: those of the active toolchain.
fn linkers() -> Result<PathBuf> {
    let sysroot = output(Command::new(rustc()).args(["--print", "sysroot"]));
    let version = output(Command::new(rustc()).arg("-vV"));
    let host = version.as_deref().and_then(|text| text.lines().find_map(|line| line.strip_prefix("host: ")));
    let (Some(sysroot), Some(host)) = (&sysroot, host) else { bail!("`{}` cannot be run", rustc().display()) };
    let folder = Path::new(sysroot).join("lib/rustlib").join(host).join("bin");
    if folder.join("wasm-component-ld").exists() && folder.join("rust-lld").exists() {
        return Ok(folder);
    }
    Err(anyhow!("no wasm-component-ld and rust-lld in {}: a toolchain of rustup has them", folder.display()))
}
