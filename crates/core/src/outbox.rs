//! What waits to be written to one client.
//!
//! Producers append encoded bytes; whoever finds the outbox idle writes them to the socket itself, and
//! what the socket does not take stays here for the client's writer. The rule that keeps bytes in
//! order: only the holder of `writing` touches the socket, and what it could not write goes back in
//! front of everything that arrived meanwhile.
//!
//! The lock is a leaf and is never held across a system call.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::budget::Budget;
use crate::chunk::Chunk;

/// The socket side of a client, implemented by the server.
pub trait Wire: Send + Sync {
    /// Writes what the socket takes without blocking.
    ///
    /// # Errors
    /// `WouldBlock` when it takes nothing now; any other error ends the connection.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// The outbox holds bytes that the socket did not take: write them when it does. Called by the
    /// holder of `writing`, which passes that duty on with this call.
    fn spawn_writer(&self);

    /// The connection shall end; its reader notices and closes the socket.
    fn shut(&self);
}

/// How full an outbox is after an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Below three quarters of the limit.
    Fine,
    /// Above three quarters of the limit: producers should pause.
    High,
    /// Beyond the limit: the client is a slow consumer.
    Over,
}

/// The queue of one client. All methods may be called from any thread.
pub struct Outbox {
    queue: Mutex<Queue>,
    max_pending: usize,
    budget: Arc<Budget>,
}

/// Called once when the outbox has room again, without a lock held.
pub type Waiter = Box<dyn FnOnce() + Send>;

/// Names a waiter, to forget it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

#[derive(Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are written already.
    head: usize,
    pending: usize,
    writing: bool,
    closed: bool,
    waiters: Vec<(Ticket, Waiter)>,
    next_ticket: u64,
    when_empty: Option<Waiter>,
}

/// Small appends are joined up to this size, so that a thousand acknowledgements are one slice.
const JOIN: usize = 32 * 1024;
/// When this much waits, more waits in memory that goes back to the system afterwards.
const MUCH: usize = 128 * 1024;
/// Slices handed to one vectored write.
pub const MAX_SLICES: usize = 64;

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").field("max_pending", &self.max_pending).finish_non_exhaustive()
    }
}

impl Outbox {
    /// An empty outbox that tolerates `max_pending` bytes and counts them against `budget`.
    pub fn new(max_pending: usize, budget: Arc<Budget>) -> Self {
        Outbox { queue: Mutex::default(), max_pending, budget }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while the lock is held, and a queue of bytes has no broken state.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait.
    pub fn pending(&self) -> usize {
        self.lock().pending
    }

    /// The limit given at creation.
    pub fn max_pending(&self) -> usize {
        self.max_pending
    }

    /// True when more than half of the limit waits: a stream's consumers should pause.
    pub fn is_half_full(&self) -> bool {
        self.pending() > self.max_pending / 2
    }

    /// True when more than three quarters of the limit wait: producers should pause.
    pub fn is_high(&self) -> bool {
        self.pressure(&self.lock()) != Pressure::Fine
    }

    /// Calls `waiter` once less than a quarter of the limit waits, or when the outbox closes; at once
    /// if that is so now. The ticket is for [`Outbox::forget`]; a waiter that was called has none.
    pub fn when_low(&self, waiter: Waiter) -> Option<Ticket> {
        let mut queue = self.lock();
        if queue.closed || queue.pending <= self.max_pending / 4 {
            drop(queue);
            waiter();
            return None;
        }
        let ticket = Ticket(queue.next_ticket);
        queue.next_ticket += 1;
        queue.waiters.push((ticket, waiter));
        Some(ticket)
    }

    /// Takes a waiter back that waits no longer: a target that stays half full for hours must not
    /// collect those of every producer that gave up.
    pub fn forget(&self, ticket: Ticket) {
        self.lock().waiters.retain(|(known, _)| *known != ticket);
    }

    /// Calls `waiter` once nothing waits; at once if that is so now. Only the last one given counts.
    pub fn when_empty(&self, waiter: Waiter) {
        let mut queue = self.lock();
        if queue.pending == 0 {
            drop(queue);
            waiter();
        } else {
            queue.when_empty = Some(waiter);
        }
    }

    /// Nothing is taken any more; what waits is kept for the last flush.
    pub fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let waiters = std::mem::take(&mut queue.waiters);
        drop(queue);
        waiters.into_iter().for_each(|(_, waiter)| waiter());
    }

    /// Forgets what waits and takes nothing any more.
    pub fn clear(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.chunks = VecDeque::new();
        self.budget.give_back(std::mem::take(&mut queue.pending));
        queue.head = 0;
        let waiters = std::mem::take(&mut queue.waiters);
        let empty = queue.when_empty.take();
        drop(queue);
        waiters.into_iter().map(|(_, waiter)| waiter).chain(empty).for_each(|waiter| waiter());
    }

    /// Ends a round of writing: wakes those who wait for room.
    fn wake<'a>(&'a self, mut queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        let empty = if queue.pending == 0 { queue.when_empty.take() } else { None };
        let low = queue.pending <= self.max_pending / 4;
        if empty.is_none() && (queue.waiters.is_empty() || !low) {
            return queue;
        }
        let waiters = if low { std::mem::take(&mut queue.waiters) } else { Vec::new() };
        drop(queue);
        waiters.into_iter().map(|(_, waiter)| waiter).chain(empty).for_each(|waiter| waiter());
        self.lock()
    }

    /// Appends without writing. `buffer` is left empty, often with its capacity.
    pub fn append(&self, buffer: &mut Vec<u8>) -> Pressure {
        let mut queue = self.lock();
        queue.push(buffer, &self.budget);
        self.pressure(&queue)
    }

    /// Appends and writes as much as the socket takes, unless somebody else is writing, who then will.
    /// `buffer` is left empty, also after an error.
    ///
    /// # Errors
    /// What the socket reported.
    pub fn append_and_write(&self, buffer: &mut Vec<u8>, wire: &dyn Wire) -> io::Result<Pressure> {
        let mut queue = self.lock();
        if queue.closed {
            buffer.clear();
            return Ok(Pressure::Fine);
        }
        if queue.writing || !queue.chunks.is_empty() || buffer.is_empty() {
            queue.push(buffer, &self.budget);
            let pressure = self.pressure(&queue);
            return self.write_queue(queue, wire).map(|()| pressure);
        }
        queue.writing = true;
        drop(queue);
        let outcome = wire.try_write(&[IoSlice::new(buffer)]);
        let mut queue = self.lock();
        queue.writing = false;
        let written = match taken(outcome) {
            Ok(written) => written,
            Err(error) => {
                buffer.clear();
                return Err(error);
            }
        };
        if written < buffer.len() {
            queue.put_first(buffer, written, &self.budget);
        } else {
            buffer.clear();
        }
        let pressure = self.pressure(&queue);
        self.write_queue(queue, wire).map(|()| pressure)
    }

    /// Writes what waits, as far as the socket takes it, unless somebody else is writing.
    ///
    /// # Errors
    /// What the socket reported.
    pub fn write(&self, wire: &dyn Wire) -> io::Result<()> {
        self.write_queue(self.lock(), wire)
    }

    fn write_queue<'a>(
        &'a self,
        mut queue: MutexGuard<'a, Queue>,
        wire: &dyn Wire,
    ) -> io::Result<()> {
        // A few rounds by the producer itself; then the writer's turn, so that a producer never
        // becomes another client's writer for long.
        for _ in 0..4 {
            if queue.writing || queue.chunks.is_empty() {
                return Ok(());
            }
            let (chunks, head) = queue.take();
            drop(queue);
            let outcome = wire.try_write(&slices(&chunks, head));
            queue = self.lock();
            let blocked = matches!(&outcome, Err(error) if error.kind() == ErrorKind::WouldBlock);
            match taken(outcome) {
                Ok(written) => {
                    queue.give_back(chunks, head, written, &self.budget);
                    queue = self.wake(queue);
                }
                Err(error) => {
                    queue.writing = false;
                    return Err(error);
                }
            }
            if blocked {
                break;
            }
        }
        if !queue.writing && !queue.chunks.is_empty() {
            queue.writing = true;
            drop(queue);
            wire.spawn_writer();
        }
        Ok(())
    }

    /// For the writer, which holds `writing`: the next chunks to write and how much of the first one is
    /// written; `None` ends the duty.
    pub fn writer_take(&self) -> Option<(VecDeque<Chunk>, usize)> {
        let mut queue = self.lock();
        if queue.chunks.is_empty() {
            queue.writing = false;
            return None;
        }
        Some(queue.take())
    }

    /// For the writer: what it took, and how many bytes of it were written. It keeps the duty.
    pub fn writer_give_back(&self, chunks: VecDeque<Chunk>, head: usize, written: usize) {
        let mut queue = self.lock();
        queue.give_back(chunks, head, written, &self.budget);
        queue.writing = true;
        drop(self.wake(queue));
    }

    /// The allowance that this outbox shares with others.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    fn pressure(&self, queue: &Queue) -> Pressure {
        if queue.pending > self.max_pending {
            Pressure::Over
        } else if queue.pending > self.max_pending / 4 * 3 {
            Pressure::High
        } else {
            Pressure::Fine
        }
    }
}

/// The slices of `chunks` from `head` on, at most [`MAX_SLICES`].
pub fn slices(chunks: &VecDeque<Chunk>, head: usize) -> smallvec::SmallVec<[IoSlice<'_>; 8]> {
    chunks
        .iter()
        .take(MAX_SLICES)
        .enumerate()
        .map(|(index, chunk)| IoSlice::new(if index == 0 { &chunk[head..] } else { chunk }))
        .collect()
}

fn taken(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        Ok(written) => Ok(written),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let pending = self.lock().pending;
        self.budget.give_back(pending);
    }
}

impl Queue {
    fn push(&mut self, buffer: &mut Vec<u8>, budget: &Budget) {
        if self.closed || buffer.is_empty() {
            buffer.clear();
            return;
        }
        self.pending += buffer.len();
        budget.take(buffer.len());
        let joined = self.chunks.back_mut().map_or(0, |last| last.fill(buffer, JOIN));
        if joined == buffer.len() {
            buffer.clear();
        } else if self.pending > MUCH {
            self.spread(&buffer[joined..]);
            buffer.clear();
        } else if joined > 0 || buffer.capacity() > buffer.len() * 2 {
            // Memory is accounted by length: do not let a large buffer wait with a few bytes in it.
            self.chunks.push_back(buffer[joined..].to_vec().into());
            buffer.clear();
        } else {
            self.chunks.push_back(std::mem::take(buffer).into());
        }
    }

    /// Takes what the socket left of `buffer`, in front of what came meanwhile.
    fn put_first(&mut self, buffer: &mut Vec<u8>, written: usize, budget: &Budget) {
        let left = buffer.len() - written;
        self.pending += left;
        budget.take(left);
        if left <= MUCH {
            self.chunks.push_front(std::mem::take(buffer).into());
            self.head = written;
            return;
        }
        let after = std::mem::take(&mut self.chunks);
        self.spread(&buffer[written..]);
        self.chunks.extend(after);
        buffer.clear();
    }

    /// Appends to memory that goes back to the system.
    fn spread(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(mut segment) = Chunk::segment() else {
                self.chunks.push_back(bytes.to_vec().into());
                return;
            };
            let count = segment.fill(bytes, 0);
            self.chunks.push_back(segment);
            bytes = &bytes[count..];
        }
    }

    fn take(&mut self) -> (VecDeque<Chunk>, usize) {
        self.writing = true;
        (std::mem::take(&mut self.chunks), std::mem::take(&mut self.head))
    }

    fn give_back(
        &mut self,
        mut chunks: VecDeque<Chunk>,
        head: usize,
        written: usize,
        budget: &Budget,
    ) {
        self.writing = false;
        // A cleared outbox has given everything back already.
        let counted = written.min(self.pending);
        self.pending -= counted;
        budget.give_back(counted);
        let mut skip = head + written;
        while let Some(first) = chunks.front() {
            if skip < first.len() {
                break;
            }
            skip -= first.len();
            chunks.pop_front();
        }
        if self.closed && self.pending == 0 {
            return;
        }
        self.head = if chunks.is_empty() { 0 } else { skip };
        chunks.append(&mut self.chunks);
        self.chunks = chunks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Takes `room` bytes, then would block.
    #[derive(Default)]
    struct Socket {
        taken: Mutex<Vec<u8>>,
        room: AtomicUsize,
        writers: AtomicUsize,
    }

    impl Wire for Socket {
        fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut taken = self.taken.lock().unwrap();
            let mut count = 0;
            for byte in slices.iter().flat_map(|slice| slice.iter()) {
                if self.room.load(Ordering::Relaxed) == 0 {
                    break;
                }
                self.room.fetch_sub(1, Ordering::Relaxed);
                taken.push(*byte);
                count += 1;
            }
            if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
        }

        fn spawn_writer(&self) {
            self.writers.fetch_add(1, Ordering::Relaxed);
        }

        fn shut(&self) {}
    }

    #[test]
    fn an_idle_outbox_writes_straight_to_the_socket() {
        let (outbox, socket) = (Outbox::new(100, Arc::new(Budget::new(1000))), Socket::default());
        socket.room.store(100, Ordering::Relaxed);
        let mut buffer = b"hello".to_vec();
        assert_eq!(outbox.append_and_write(&mut buffer, &socket).unwrap(), Pressure::Fine);
        assert_eq!(*socket.taken.lock().unwrap(), b"hello");
        assert_eq!(outbox.pending(), 0);
        assert_eq!(socket.writers.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_the_socket_leaves_is_kept_in_order_for_the_writer() {
        let (outbox, socket) = (Outbox::new(100, Arc::new(Budget::new(1000))), Socket::default());
        socket.room.store(3, Ordering::Relaxed);
        outbox.append_and_write(&mut b"hello".to_vec(), &socket).unwrap();
        assert_eq!(socket.writers.load(Ordering::Relaxed), 1);
        outbox.append_and_write(&mut b" world".to_vec(), &socket).unwrap();
        assert_eq!((outbox.pending(), socket.writers.load(Ordering::Relaxed)), (8, 1));
        while let Some((chunks, head)) = outbox.writer_take() {
            socket.room.store(2, Ordering::Relaxed);
            let written = socket.try_write(&slices(&chunks, head)).unwrap();
            outbox.writer_give_back(chunks, head, written);
        }
        assert_eq!(*socket.taken.lock().unwrap(), b"hello world");
        assert_eq!(outbox.pending(), 0);
        socket.room.store(9, Ordering::Relaxed);
        outbox.append_and_write(&mut b"!".to_vec(), &socket).unwrap();
        assert_eq!(*socket.taken.lock().unwrap(), b"hello world!");
    }

    #[test]
    fn what_waits_in_segments_leaves_in_order_and_whole() {
        let (outbox, socket) =
            (Outbox::new(1 << 30, Arc::new(Budget::new(1 << 30))), Socket::default());
        let mut expected = Vec::new();
        for round in 0..150_usize {
            // From a few bytes to more than a segment holds.
            let mut buffer = vec![round as u8; round * round * 3 + 1];
            expected.extend_from_slice(&buffer);
            socket.room.store(round * 7, Ordering::Relaxed);
            outbox.append_and_write(&mut buffer, &socket).unwrap();
            assert!(buffer.is_empty());
        }
        let taken = socket.taken.lock().unwrap().len();
        assert_eq!(outbox.pending(), expected.len() - taken);
        while let Some((chunks, head)) = outbox.writer_take() {
            socket.room.store(300_000, Ordering::Relaxed);
            let written = socket.try_write(&slices(&chunks, head)).unwrap();
            outbox.writer_give_back(chunks, head, written);
        }
        assert!(*socket.taken.lock().unwrap() == expected, "bytes out of order");
        assert_eq!((outbox.pending(), outbox.budget().used()), (0, 0));
    }

    #[test]
    fn pressure_follows_what_waits() {
        let (outbox, socket) = (Outbox::new(8, Arc::new(Budget::new(6))), Socket::default());
        for (add, expected) in [(4, Pressure::Fine), (3, Pressure::High), (2, Pressure::Over)] {
            let pressure = outbox.append_and_write(&mut vec![b'x'; add], &socket).unwrap();
            assert_eq!(pressure, expected, "after {add} more");
        }
        assert!(outbox.budget().is_exceeded());
        outbox.clear();
        assert_eq!(outbox.budget().used(), 0);
        assert_eq!(outbox.append(&mut vec![0; 99]), Pressure::Fine);
    }

    #[test]
    fn a_waiter_is_called_once_unless_it_is_forgotten() {
        let outbox = Outbox::new(8, Arc::new(Budget::new(99)));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let waiter = |name: &'static str| -> Waiter {
            let calls = calls.clone();
            Box::new(move || calls.lock().unwrap().push(name))
        };
        assert_eq!(outbox.when_low(waiter("at once")), None);
        outbox.append(&mut vec![b'x'; 8]);
        let given_up = outbox.when_low(waiter("given up")).unwrap();
        outbox.when_low(waiter("patient")).unwrap();
        outbox.when_empty(waiter("empty"));
        outbox.forget(given_up);
        assert_eq!(*calls.lock().unwrap(), ["at once"]);
        outbox.clear();
        assert_eq!(*calls.lock().unwrap(), ["at once", "patient", "empty"]);
    }
}
