//! The item cache and the query cache.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use tokio::time::Instant;

/// What a cache holds, encoded. None: there is no such item.
pub(crate) type Content = Option<Bytes>;

/// Bytes of an entry beyond its key and its content, about.
const OVERHEAD: usize = 128;

struct Entry {
    /// None if two writes were under way at a time, so that only DynamoDB knows which came last.
    content: Option<Content>,
    stored: Instant,
}

struct Entries {
    by_key: LruCache<Vec<u8>, Entry>,
    bytes: usize,
}

impl Entries {
    fn remove(&mut self, removed: Option<(Vec<u8>, Entry)>) -> bool {
        let Some((key, entry)) = removed else { return false };
        self.bytes -= weight(&key, &entry.content);
        true
    }
}

fn weight(key: &[u8], content: &Option<Content>) -> usize {
    OVERHEAD + key.len() + content.iter().flatten().map(Bytes::len).sum::<usize>()
}

/// Contents by key, until their time to live is over. Those that were used least recently give way to new ones.
pub(crate) struct Cache {
    /// None: they do not expire.
    ttl: Option<Duration>,
    /// Bytes.
    limit: usize,
    entries: Mutex<Entries>,
}

impl Cache {
    pub(crate) fn new(ttl: Option<Duration>, limit: usize) -> Self {
        Self { ttl, limit, entries: Mutex::new(Entries { by_key: LruCache::unbounded(), bytes: 0 }) }
    }

    /// What is stored under a key, unless it has expired.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Content> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.by_key.get(key)?;
        if self.ttl.is_some_and(|ttl| entry.stored.elapsed() > ttl) {
            let removed = entries.by_key.pop_entry(key);
            entries.remove(removed);
            return None;
        }
        entry.content.clone()
    }

    /// Stores what a read found that began at `since`, unless something was stored in the meantime, which may be newer.
    pub(crate) fn store_read(&self, key: Vec<u8>, content: Content, since: Instant) {
        if !self.is_changed(&key, since) {
            self.store(key, Some(content));
        }
    }

    /// Stores what a write has left that began at `since`. None: that is not known.
    pub(crate) fn store_written(&self, key: Vec<u8>, content: Option<Content>, since: Instant) {
        let content = if self.is_changed(&key, since) { None } else { content };
        self.store(key, content);
    }

    fn is_changed(&self, key: &[u8], since: Instant) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.by_key.peek(key).is_some_and(|entry| entry.stored >= since)
    }

    fn store(&self, key: Vec<u8>, content: Option<Content>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.bytes += weight(&key, &content);
        let replaced = entries.by_key.push(key, Entry { content, stored: Instant::now() });
        entries.remove(replaced);
        while entries.bytes > self.limit {
            let oldest = entries.by_key.pop_lru();
            if !entries.remove(oldest) {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(300);

    fn content(length: usize) -> Content {
        Some(Bytes::from(vec![b'x'; length]))
    }

    #[tokio::test(start_paused = true)]
    async fn a_content_is_there_until_its_time_to_live_is_over() {
        let cache = Cache::new(Some(TTL), 1_000);
        cache.store_read(b"item".to_vec(), content(10), Instant::now());
        cache.store_read(b"missing".to_vec(), None, Instant::now());
        tokio::time::advance(TTL).await;
        assert_eq!((cache.get(b"item"), cache.get(b"missing")), (Some(content(10)), Some(None)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!((cache.get(b"item"), cache.get(b"missing")), (None, None));
        // Expired entries take no memory.
        assert_eq!(cache.entries.lock().expect("no test panics with it").bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_time_to_live_a_content_stays() {
        let cache = Cache::new(None, 1_000);
        cache.store_read(b"item".to_vec(), content(10), Instant::now());
        tokio::time::advance(TTL * 1_000).await;
        assert_eq!(cache.get(b"item"), Some(content(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_used_least_recently_gives_way() {
        let cache = Cache::new(Some(TTL), 3 * (OVERHEAD + 101));
        for key in [b"a", b"b", b"c"] {
            cache.store_read(key.to_vec(), content(100), Instant::now());
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        cache.get(b"a");
        // The key that is replaced is counted once.
        cache.store_written(b"c".to_vec(), Some(content(100)), Instant::now());
        cache.store_read(b"d".to_vec(), content(100), Instant::now());
        let there = [b"a", b"b", b"c", b"d"].map(|key| cache.get(key).is_some());
        assert_eq!(there, [true, false, true, true]);
        cache.store_read(b"e".to_vec(), content(10_000), Instant::now());
        assert_eq!(cache.entries.lock().expect("no test panics with it").bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_a_write_does_not_replace_it() {
        let cache = Cache::new(Some(TTL), 1_000);
        let before = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        cache.store_written(b"item".to_vec(), Some(content(1)), Instant::now());
        cache.store_read(b"item".to_vec(), content(2), before);
        assert_eq!(cache.get(b"item"), Some(content(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_writes_at_a_time_neither_is_believed_to_be_the_last() {
        let cache = Cache::new(Some(TTL), 1_000);
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        cache.store_written(b"item".to_vec(), Some(content(1)), began);
        cache.store_written(b"item".to_vec(), Some(content(2)), began);
        assert_eq!(cache.get(b"item"), None);
        let later = Instant::now() + Duration::from_millis(1);
        tokio::time::advance(Duration::from_millis(2)).await;
        cache.store_read(b"item".to_vec(), content(2), later);
        assert_eq!(cache.get(b"item"), Some(content(2)));
    }
}
