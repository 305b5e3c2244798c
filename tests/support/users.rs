//! Users files, with hashes from a PBKDF2 that is not the server's own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Few iterations, so that tests in debug builds are quick.
pub const ITERATIONS: u32 = 1000;

/// A users file that is removed when dropped.
pub struct UsersFile {
    path: PathBuf,
}

impl UsersFile {
    /// A file with a line for each nickname and password.
    pub fn new(users: &[(&str, &str)]) -> UsersFile {
        let file = UsersFile::of_text("");
        file.write(users);
        file
    }

    /// A file with this text.
    pub fn of_text(text: &str) -> UsersFile {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cfp-users-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = UsersFile { path: std::env::temp_dir().join(name) };
        file.write_text(text);
        file
    }

    /// Replaces all users.
    pub fn write(&self, users: &[(&str, &str)]) {
        self.write_text(&users.iter().map(|(nickname, password)| line(nickname, password)).collect::<String>());
    }

    /// Replaces the text.
    pub fn write_text(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
        // As an operator should keep it: else the server warns.
        std::fs::set_permissions(&self.path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// For `--users`.
    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

impl Drop for UsersFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new(&self.path));
    }
}

/// A line of a users file.
pub fn line(nickname: &str, password: &str) -> String {
    let salt = b"0123456789abcdef";
    let hash: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<sha2::Sha256, 32>(password.as_bytes(), salt, ITERATIONS);
    format!("{nickname}:$pbkdf2-sha256$i={ITERATIONS},l=32${}${}\n", base64(salt), base64(&hash))
}

/// Base64 without padding.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let word = [0, 1, 2].map(|i| u32::from(chunk.get(i).copied().unwrap_or(0)));
            let word = word[0] << 16 | word[1] << 8 | word[2];
            (0..=chunk.len()).map(move |i| char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63]))
        })
        .collect()
}
