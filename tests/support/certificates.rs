//! Certificates, made with openssl, and clients that speak TLS.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use cfp::tls::{Dialler, TlsStream, Trust};

use crate::support::{Client, PATIENCE};

/// A folder with certificates. Goes when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// With a certificate for localhost that signed itself.
    pub fn new() -> Folder {
        let folder = Folder::empty();
        folder.script("make-certificate.sh", &[]);
        folder
    }

    /// With a CA for servers, and certificates for these IDs.
    pub fn with_peers(ids: &[u32]) -> Folder {
        let folder = Folder::empty();
        for id in ids {
            folder.script("make-peer-ca.sh", &[&id.to_string(), "localhost", "127.0.0.1"]);
        }
        folder
    }

    /// With nothing.
    pub fn empty() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cfp-certificates-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Runs one of the project's scripts, with this folder as its first argument.
    pub fn script(&self, name: &str, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
        let output = Command::new(script).arg(&self.0).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs openssl in this folder.
    pub fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Writes a file of its own.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    /// A file's path.
    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// The server's options for the certificate with this name.
    pub fn options(&self, name: &str) -> Vec<String> {
        let (cert, key) = if name == "cert" { ("cert.pem".into(), "key.pem".into()) } else { names(name) };
        vec!["--tls-cert".into(), self.path(&cert), "--tls-key".into(), self.path(&key)]
    }

    /// The options of the server with this ID in a network with a CA.
    pub fn peer_options(&self, id: u32) -> Vec<String> {
        [self.options(&format!("cfp-{id}")), vec!["--peer-ca".into(), self.path("peer-ca.pem")]].concat()
    }
}

fn names(name: &str) -> (String, String) {
    (format!("{name}.pem"), format!("{name}.key"))
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `&str`s of the options.
pub fn slices(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

/// A client with TLS at this address, which trusts `ca`.
pub fn connect(address: SocketAddr, ca: &str) -> Client {
    connect_from(Ipv4Addr::LOCALHOST, address, ca)
}

/// Such a client, from this address of the machine.
pub fn connect_from(source: Ipv4Addr, address: SocketAddr, ca: &str) -> Client {
    let tcp = Client::connect_from(source, address).into_stream();
    bridge(shake_hands(tcp, &Trust::File(ca.into())).expect("the handshake succeeds"))
}

/// TLS over a connection.
pub fn shake_hands(tcp: TcpStream, trust: &Trust) -> std::io::Result<TlsStream> {
    TlsStream::connect(tcp, &Dialler::new(trust, "localhost").unwrap(), Instant::now() + PATIENCE)
}

/// The plain end of a TLS connection: what goes in here comes out encrypted there.
pub fn bridge(stream: TlsStream) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (inner, _) = listener.accept().unwrap();
    inner.set_nodelay(true).unwrap();
    stream.tcp().set_read_timeout(None).unwrap();
    let (stream, inner) = (Arc::new(stream), Arc::new(inner));
    let (to_server, from_client) = (Arc::clone(&stream), Arc::clone(&inner));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = (&*from_client).read(&mut buffer) {
            if count == 0 || (&*to_server).write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown_write();
    });
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = (&*stream).read(&mut buffer) {
            if count == 0 || (&*inner).write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = inner.shutdown(Shutdown::Both);
    });
    Client::new(plain)
}
