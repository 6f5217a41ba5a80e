//! The places of a socket's connections: `http.connections_max`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The places of one socket, of all its workers.
#[derive(Debug)]
pub(crate) struct ConnectionPlaces {
    taken: AtomicUsize,
    max: usize,
}

impl ConnectionPlaces {
    /// Without a connection.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            max,
        })
    }

    /// A place for a connection that was accepted.
    pub(crate) fn take(self: &Arc<Self>) -> ConnectionPlace {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        ConnectionPlace {
            is_beyond: before >= self.max,
            places: self.clone(),
        }
    }
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    /// Whether the limit was reached before it.
    pub is_beyond: bool,
    places: Arc<ConnectionPlaces>,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_beyond_the_limit_is_known_and_places_come_free() {
        let places = ConnectionPlaces::new(2);
        let (first, second, third) = (places.take(), places.take(), places.take());
        assert_eq!(
            [&first, &second, &third].map(|place| place.is_beyond),
            [false, false, true]
        );
        drop((first, third));
        assert!(!places.take().is_beyond);
        let _third = places.take();
        assert!(places.take().is_beyond);
    }
}
