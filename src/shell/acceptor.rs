//! A listening socket, and whether connections wait in its accept queue.

use std::io;

use crate::core::time::Millis;
use crate::limits;

/// A listener. The kernel reports a new connection only once (edge-triggered), so it is remembered here until the
/// queue is empty.
#[derive(Debug)]
pub struct Acceptor<L> {
    listener: L,
    may_have_more: bool,
    /// An accept has failed: not before then again.
    again: Option<Millis>,
    /// The log has a line about failing accepts already. The next one comes only after the queue was empty.
    is_failing: bool,
}

impl<L> Acceptor<L> {
    /// An acceptor whose queue may have connections already.
    pub fn new(listener: L) -> Acceptor<L> {
        Acceptor { listener, may_have_more: true, again: None, is_failing: false }
    }

    /// The kernel reports a new connection.
    pub fn on_ready(&mut self) {
        self.may_have_more = true;
    }

    /// Whether [`Acceptor::accept_ready`] has something to do at once.
    pub fn wants_turn(&self) -> bool {
        self.may_have_more && self.again.is_none()
    }

    /// When it has.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.again
    }

    /// Accepts at most `max` of the waiting connections. `whom` is their name in the log. Returns how many accepts
    /// failed.
    pub fn accept_ready<S>(
        &mut self,
        now: Millis,
        whom: &str,
        max: usize,
        accept: impl Fn(&L) -> io::Result<S>,
        mut take: impl FnMut(S),
    ) -> u64 {
        self.again.take_if(|again| *again <= now);
        let mut failed = 0;
        let mut gone_in_a_row = 0;
        for _ in 0..max {
            if !self.wants_turn() {
                break;
            }
            match accept(&self.listener) {
                Ok(socket) => {
                    gone_in_a_row = 0;
                    take(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.may_have_more = false;
                    self.is_failing = false;
                }
                // A client closed before its connection was accepted: the next one need not wait for that.
                Err(error) if is_of_one(&error) && gone_in_a_row < limits::ACCEPTS_GONE_MAX => {
                    failed += 1;
                    gone_in_a_row += 1;
                }
                // Whatever it is, to try again at once would make the loop spin.
                Err(error) => {
                    failed += 1;
                    if !std::mem::replace(&mut self.is_failing, true) {
                        log::warn!("cannot accept a connection: {error}; new {whom} wait until accepting works again");
                    }
                    self.again = Some(now + limits::ACCEPT_RETRY_MS);
                }
            }
        }
        failed
    }
}

/// Whether an accept failed because of the one connection that it would have returned.
fn is_of_one(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    type Answers = RefCell<Vec<io::Result<u32>>>;

    /// Runs the acceptor once. Returns the accepted connections, and how many accepts failed.
    fn accept_ready(acceptor: &mut Acceptor<Answers>, now: u64) -> (Vec<u32>, u64) {
        let mut admitted = Vec::new();
        let next = |answers: &Answers| answers.borrow_mut().pop().unwrap_or(Err(io::ErrorKind::WouldBlock.into()));
        let failed =
            acceptor.accept_ready(Millis(now), "guests", limits::ACCEPTS_PER_TURN, next, |guest| admitted.push(guest));
        (admitted, failed)
    }

    fn answers(of: impl IntoIterator<Item = io::Result<u32>>) -> Answers {
        let mut all: Vec<io::Result<u32>> = of.into_iter().collect();
        all.reverse();
        RefCell::new(all)
    }

    #[test]
    fn everybody_is_let_in_with_one_word_from_the_kernel_a_bounded_number_at_a_time() {
        let crowd = limits::ACCEPTS_PER_TURN as u32 + 10;
        let mut acceptor = Acceptor::new(answers((0..crowd).map(Ok)));
        assert_eq!(accept_ready(&mut acceptor, 0).0.len(), limits::ACCEPTS_PER_TURN);
        assert!(acceptor.wants_turn());
        assert_eq!(accept_ready(&mut acceptor, 0).0.len(), 10);
        assert!(!acceptor.wants_turn());
        *acceptor.listener.borrow_mut() = vec![Ok(7)];
        assert!(accept_ready(&mut acceptor, 0).0.is_empty(), "nobody has come as far as the kernel said");
        acceptor.on_ready();
        assert_eq!(accept_ready(&mut acceptor, 0).0, [7]);
    }

    #[test]
    fn who_comes_while_no_descriptor_is_left_waits_and_is_let_in_later() {
        let no_descriptor = || Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        let mut acceptor = Acceptor::new(answers([Ok(1), no_descriptor(), Ok(2)]));
        assert_eq!(accept_ready(&mut acceptor, 0), (vec![1], 1));
        let again = acceptor.next_deadline().unwrap();
        acceptor.on_ready();
        assert!(!acceptor.wants_turn());
        assert_eq!(accept_ready(&mut acceptor, again.0 - 1), (vec![], 0));
        assert_eq!(accept_ready(&mut acceptor, again.0), (vec![2], 0));
        assert_eq!(acceptor.next_deadline(), None);
    }

    #[test]
    fn one_who_is_gone_again_does_not_keep_the_next_one_out() {
        let mut acceptor = Acceptor::new(answers([Err(io::ErrorKind::ConnectionAborted.into()), Ok(2)]));
        assert_eq!(accept_ready(&mut acceptor, 0), (vec![2], 1));
    }
    #[test]
    fn an_error_of_whatever_kind_waits_so_that_the_loop_does_not_spin() {
        use rustix::io::Errno;
        let unlisted =
            [Errno::MFILE, Errno::NOMEM, Errno::PERM, Errno::PROTO, Errno::BADF, Errno::INVAL, Errno::TIMEDOUT];
        for errno in unlisted {
            let error = || Err(io::Error::from_raw_os_error(errno.raw_os_error()));
            let mut acceptor = Acceptor::new(answers([error(), error(), Ok(1)]));
            for now in [0, limits::ACCEPT_RETRY_MS] {
                assert_eq!(accept_ready(&mut acceptor, now), (vec![], 1), "{errno:?}");
                assert!(!acceptor.wants_turn());
                assert_eq!(acceptor.next_deadline(), Some(Millis(now + limits::ACCEPT_RETRY_MS)));
            }
            assert_eq!(accept_ready(&mut acceptor, 2 * limits::ACCEPT_RETRY_MS), (vec![1], 0));
        }
        // A connection that is gone is no reason to wait; only these errors are.
        let gone = || Err(io::ErrorKind::ConnectionAborted.into());
        let mut acceptor = Acceptor::new(answers((0..100).map(|_| gone())));
        assert_eq!(accept_ready(&mut acceptor, 0), (vec![], u64::from(limits::ACCEPTS_GONE_MAX) + 1));
        assert!(!acceptor.wants_turn());
    }

    #[test]
    fn what_fails_for_long_is_said_once_and_again_when_it_had_worked_meanwhile() {
        let error = || Err(io::ErrorKind::PermissionDenied.into());
        let mut acceptor = Acceptor::new(answers([error(), Ok(1), error()]));
        accept_ready(&mut acceptor, 0);
        assert!(acceptor.is_failing);
        assert_eq!(accept_ready(&mut acceptor, limits::ACCEPT_RETRY_MS), (vec![1], 1));
        assert!(acceptor.is_failing, "some get in, and others do not");
        accept_ready(&mut acceptor, 2 * limits::ACCEPT_RETRY_MS);
        assert!(!acceptor.is_failing, "nobody waits any more");
    }
}
