//! Connections as the engine gets them: with TLS if that is built in (the feature `tls`), else plain.

use std::path::PathBuf;

use crate::core::state::mesh::DialFor;
use crate::core::time::Millis;
use crate::shell::socket::Stream;
use crate::wire::ServerId;

/// The files for TLS that the command line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// `--tls-cert`.
    pub certificate: PathBuf,
    /// `--tls-key`.
    pub key: PathBuf,
    /// `--peer-ca`.
    pub peer_ca: Option<PathBuf>,
    /// `--require-tls`.
    pub is_required: bool,
}

#[cfg(feature = "tls")]
pub use with_tls::{Security, Transport, stream_of};
#[cfg(not(feature = "tls"))]
pub use without_tls::{Security, Transport, stream_of};

#[cfg(feature = "tls")]
mod with_tls {
    use std::rc::Rc;

    use super::{DialFor, Millis, ServerId, Stream, TlsOptions};
    use crate::core::engine::secure::{Secure, Shared};
    use crate::limits::{CERTIFICATE_WARNING_MS, CERTIFICATE_WARNING_SECONDS};
    use crate::tls::{Description, Files, Tls};

    /// What the engine's connections are.
    pub type Transport = Secure<Stream, Tls>;

    /// The socket, for the poll.
    pub fn stream_of(transport: &mut Transport) -> &mut Stream {
        transport.inner_mut()
    }

    /// Makes connections of sockets.
    #[derive(Debug)]
    pub struct Security {
        shared: Rc<Shared<Tls>>,
        description: Option<Description>,
        /// When the certificate's end is looked at again.
        next_look: Option<Millis>,
    }

    impl Security {
        /// Reads the files of the command line, if there are any.
        ///
        /// # Errors
        /// One line: which file, and what is wrong with it.
        pub fn open(options: Option<&TlsOptions>, id: ServerId) -> Result<Security, String> {
            let (tls, description) = match options {
                None => (Tls::none(), None),
                Some(options) => {
                    let (tls, description) = Tls::open(Files {
                        certificate: options.certificate.clone(),
                        key: options.key.clone(),
                        peer_ca: options.peer_ca.clone(),
                        id,
                        is_required: options.is_required,
                    })?;
                    (tls, Some(description))
                }
            };
            let next_look = description.is_some().then_some(Millis(0));
            Ok(Security { shared: Shared::new(tls), description, next_look })
        }

        /// Reads the files again; without some, there is nothing to say.
        ///
        /// # Errors
        /// One line; what was read before stays.
        pub fn reload(&mut self, now: Millis) -> Result<Option<String>, String> {
            let Some(description) = self.shared.ciphers.reload()? else { return Ok(None) };
            self.description = Some(description);
            self.next_look = Some(now);
            Ok(self.describe())
        }

        /// The certificate in words.
        pub fn describe(&self) -> Option<String> {
            self.description.as_ref().map(ToString::to_string)
        }

        /// Warnings about files that are usable.
        pub fn warning(&self) -> Option<&str> {
            self.description.as_ref()?.warning.as_deref()
        }

        /// Seconds until the certificate's end.
        pub fn seconds_left(&self) -> Option<u64> {
            self.description.as_ref().map(Description::seconds_left)
        }

        /// When [`Security::on_turn`] has something to do.
        pub fn next_deadline(&self) -> Option<Millis> {
            self.next_look
        }

        /// Warns when the certificate ends soon, once a day.
        pub fn on_turn(&mut self, now: Millis) {
            if self.next_look.is_none_or(|next| next > now) {
                return;
            }
            self.next_look = Some(now + CERTIFICATE_WARNING_MS);
            match self.seconds_left() {
                Some(0) => {
                    log::warn!("the certificate has ended: TLS clients and servers turn away; renew it, then reload")
                }
                Some(left) if left < CERTIFICATE_WARNING_SECONDS => {
                    log::warn!("the certificate ends in {} days: renew it, then reload", left / 86_400);
                }
                _ => {}
            }
        }

        /// For a connection that has come.
        pub fn accepted(&self, stream: Stream) -> Transport {
            Secure::accepted(stream, &self.shared)
        }

        /// For an operator's or a scraper's.
        pub fn plain(&self, stream: Stream) -> Transport {
            Secure::plain(stream)
        }

        /// For one that we opened to another server.
        pub fn dialled(&self, stream: Stream, dial_for: DialFor) -> Transport {
            let id = if let DialFor::Server(id) = dial_for { Some(id) } else { None };
            match self.shared.ciphers.dial(id) {
                Some(cipher) => Secure::dialled(stream, &self.shared, cipher),
                None => Secure::plain(stream),
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
mod without_tls {
    use super::{DialFor, Millis, ServerId, Stream, TlsOptions};

    /// What the engine's connections are.
    pub type Transport = Stream;

    /// The socket, for the poll.
    pub fn stream_of(transport: &mut Transport) -> &mut Stream {
        transport
    }

    /// Nothing is done to sockets.
    #[derive(Debug)]
    pub struct Security;

    impl Security {
        /// There is nothing to read: the command line has refused such options.
        ///
        /// # Errors
        /// None.
        pub fn open(_: Option<&TlsOptions>, _: ServerId) -> Result<Security, String> {
            Ok(Security)
        }

        /// Nor again.
        ///
        /// # Errors
        /// None.
        pub fn reload(&mut self, _: Millis) -> Result<Option<String>, String> {
            Ok(None)
        }

        /// No certificate.
        pub fn describe(&self) -> Option<String> {
            None
        }

        /// No certificate.
        pub fn warning(&self) -> Option<&str> {
            None
        }

        /// No certificate.
        pub fn seconds_left(&self) -> Option<u64> {
            None
        }

        /// Never.
        pub fn next_deadline(&self) -> Option<Millis> {
            None
        }

        /// Nothing.
        pub fn on_turn(&mut self, _: Millis) {}

        /// As it is.
        pub fn accepted(&self, stream: Stream) -> Transport {
            stream
        }

        /// As it is.
        pub fn plain(&self, stream: Stream) -> Transport {
            stream
        }

        /// As it is.
        pub fn dialled(&self, stream: Stream, _: DialFor) -> Transport {
            stream
        }
    }
}
