//! A broker that wants TLS, a password and rights: certificates by openssl, users, and what each may do.
//!
//! Owns the folder `tls` of a cluster: the authority's certificate that clients are to trust, another authority's that they are not, and the
//! users' passwords in files as a configuration names them. Everybody on the plain port is a super user: it is the broker's own, the tests'
//! and this tool's.

use super::probe::{self, Right};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The user with the rights that `docs/runbook.md` lists under `kafka-authorization`.
pub const USER: &str = "tillwatch";

/// A user with no right at all.
pub const GUEST: &str = "guest";

/// What is no secret: these brokers live on the loopback of one machine.
const PASSWORDS: [(&str, &str); 2] = [(USER, "correct-horse-battery-staple"), (GUEST, "nothing-to-see-here")];

const TOPIC: u8 = 2;
const GROUP: u8 = 3;
const TRANSACTIONAL_ID: u8 = 5;
const READ: u8 = 3;
const WRITE: u8 = 4;
const CREATE: u8 = 5;
const DESCRIBE_CONFIGS: u8 = 10;

/// What [`USER`] may do: of what, the operation.
const RIGHTS: [(u8, u8); 6] = [
    (TOPIC, READ),
    (TOPIC, WRITE),
    (TOPIC, CREATE),
    (TOPIC, DESCRIBE_CONFIGS),
    (GROUP, READ),
    (TRANSACTIONAL_ID, WRITE),
];

/// What a client needs to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `host:port` of every broker, with commas between.
    pub bootstrap: String,
    /// The authority that signed the brokers' certificates.
    pub ca: PathBuf,
    /// An authority that has signed nothing.
    pub other_ca: PathBuf,
    /// The file with the password of [`USER`].
    pub password: PathBuf,
    /// The file with the password of [`GUEST`].
    pub guest_password: PathBuf,
}

impl Access {
    /// In the folder of a cluster.
    pub(super) fn of(dir: &Path, bootstrap: String) -> Self {
        let at = |name: &str| folder(dir).join(name);
        Self {
            bootstrap,
            ca: at("ca.pem"),
            other_ca: at("other-ca.pem"),
            password: at(USER),
            guest_password: at(GUEST),
        }
    }
}

/// Lines of `server.properties`.
pub(super) fn properties(dir: &Path) -> Vec<(&'static str, String)> {
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    let users: Vec<String> = PASSWORDS.iter().map(|(user, password)| format!("user_{user}=\"{password}\"")).collect();
    let plain = format!("org.apache.kafka.common.security.plain.PlainLoginModule required {};", users.join(" "));
    vec![
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", folder(dir).join("broker.keystore.pem").display().to_string()),
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned()),
        ("listener.name.sasl_ssl.plain.sasl.jaas.config", plain),
        ("listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config", scram.to_owned()),
        ("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", scram.to_owned()),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned()),
        ("super.users", "User:ANONYMOUS".to_owned()),
        ("allow.everyone.if.no.acl.found", "false".to_owned()),
    ]
}

/// Arguments of the formatting that make the users known.
pub(super) fn users() -> Vec<String> {
    let mechanisms = ["SCRAM-SHA-256", "SCRAM-SHA-512"];
    let of = |mechanism: &'static str| {
        PASSWORDS.iter().flat_map(move |(user, password)| {
            ["--add-scram".to_owned(), format!("{mechanism}=[name={user},password={password}]")]
        })
    };
    mechanisms.into_iter().flat_map(of).collect()
}

/// Makes certificates and the files of passwords.
pub(super) fn prepare(dir: &Path) -> Result<()> {
    let folder = folder(dir);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let put = |name: &str, text: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    for (user, password) in PASSWORDS {
        put(user, format!("{password}\n").as_bytes())?;
    }
    put("names", b"subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")?;
    for name in ["ca", "other-ca"] {
        openssl(&folder, &format!("req -x509 -days 30 -subj /CN={name} {} -keyout {name}.key -out {name}.pem", key()))?;
    }
    openssl(&folder, &format!("req -subj /CN=127.0.0.1 {} -keyout broker.key -out broker.csr", key()))?;
    let sign =
        "x509 -req -days 30 -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out broker.pem";
    openssl(&folder, sign)?;
    let parts = ["broker.key", "broker.pem"].map(|name| std::fs::read(folder.join(name)));
    let [key, certificate] = parts;
    put("broker.keystore.pem", &[key?, certificate?].concat())
}

/// Gives [`USER`] its rights.
pub(super) fn allow(port: u16) -> Result<()> {
    let rights = RIGHTS.map(|(kind, operation)| Right { user: USER, kind, operation });
    probe::allow(port, &rights).context("cannot give a user its rights")
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("tls")
}

/// A new key that nothing protects, as Java reads it.
fn key() -> &'static str {
    "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
}

fn openssl(folder: &Path, arguments: &str) -> Result<()> {
    let ended = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output();
    let ended = ended.context("cannot start openssl")?;
    if !ended.status.success() {
        bail!("`openssl {arguments}` failed: {}", String::from_utf8_lossy(&ended.stderr));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{GUEST, PASSWORDS, RIGHTS, USER, users};

    #[test]
    fn every_user_has_a_password_for_every_mechanism_and_the_guest_no_right() {
        assert_eq!(PASSWORDS.map(|(user, _)| user), [USER, GUEST]);
        assert_eq!(users().len(), 8);
        assert!(users().iter().any(|word| word.starts_with("SCRAM-SHA-512=[name=guest,password=")));
        assert_eq!(RIGHTS.len(), 6, "the runbook lists them");
    }
}
