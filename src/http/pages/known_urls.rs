//! The wishes of a page's URL. Each worker keeps it for frequent URLs: reading one costs as much as finding its page in L1.
//!
//! A URL is read by what is declared, so all is forgotten when the declaration is replaced. The listing that was chosen is kept
//! too, as long as it would be chosen again; and the envelope of the last page.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use actix_web::http::Uri;
use foldhash::fast::RandomState;

use super::envelope::{Envelope, Envelopes};
use crate::{
    engine::{DeclaredParameters, Engine, Lasts, PageMeta, Selection},
    http::{
        problem::Problem,
        request::{
            name::Name,
            query::{PageQuery, Sizes},
        },
    },
    listing::definition::Resolved,
};

/// URLs of each of the two ages that a worker knows.
const KNOWN_MAX: usize = 512;
/// Longer ones are read each time.
const KNOWN_BYTES_MAX: usize = 512;

/// The wishes of one URL.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// The listing's name.
    pub name: Name,
    /// The source of its items.
    pub resolved: Resolved,
    /// Which page.
    pub query: PageQuery,
    /// The last one that may be kept.
    selection: RefCell<Option<Rc<Selection>>>,
    /// The last one of its page.
    envelope: RefCell<Option<Arc<Envelope>>>,
}

impl Wanted {
    /// Reads the rest of a URL whose name is known. Errors of the query come from [`PageQuery::errors`], beside what the
    /// listing does not have.
    pub(crate) fn of(name: Name, uri: &Uri, engine: &Engine, sizes: Sizes) -> Self {
        let resolved = engine.declaration.resolve(&name);
        let declared = DeclaredParameters::of(&resolved);
        Self {
            query: PageQuery::read(uri.query().unwrap_or_default(), &declared, sizes),
            name,
            resolved,
            selection: RefCell::default(),
            envelope: RefCell::default(),
        }
    }

    /// The listing that was chosen before, as long as it would be chosen again.
    pub(crate) fn kept(&self, engine: &Engine) -> Option<Rc<Selection>> {
        let kept = self.selection.borrow().clone();
        kept.filter(|kept| engine.pages.selector.stands_by(kept))
    }

    /// The listing that it asks for; `None` where the choice would have to wait, or something is wrong.
    pub(crate) fn select_at_once(&self, engine: &Engine) -> Option<Rc<Selection>> {
        if let Some(kept) = self.kept(engine) {
            return Some(kept);
        }
        if !self.query.errors.is_empty() {
            return None;
        }
        let (resolved, selector) = (self.resolved.clone(), &engine.pages.selector);
        let selected = selector.select_at_once(resolved, &self.name, self.query.asked())?;
        let selection = Rc::new(selected.ok()?);
        self.selection
            .replace((selection.lasts != Lasts::Once).then(|| selection.clone()));
        Some(selection)
    }

    /// The listing that was chosen is not there any more.
    pub(crate) fn choose_anew(&self) {
        self.selection.replace(None);
    }

    /// The envelope of the page that was found.
    pub(crate) fn envelope(&self, selection: &Selection, meta: &PageMeta, written: &Envelopes) -> Arc<Envelope> {
        if meta.is_direct() {
            return written.of(selection, meta);
        }
        // One URL, one window: its pages differ by their generation alone, which no two listings share.
        let mut last = self.envelope.borrow_mut();
        match &*last {
            Some(envelope) if envelope.shape == meta.shape() => envelope.clone(),
            _ => last.insert(written.of(selection, meta)).clone(),
        }
    }
}

/// The URLs that a worker was asked for lately.
#[derive(Default)]
pub(crate) struct KnownUrls {
    /// By which declaration they were read.
    edition: u64,
    wanted: Lately<Rc<Wanted>>,
}

impl KnownUrls {
    /// The wishes of a URL.
    pub(crate) fn read(&mut self, uri: &Uri, engine: &Engine, sizes: Sizes) -> Result<Rc<Wanted>, Problem> {
        // Before anything is read by the declaration: if it is replaced meanwhile, what is read now is forgotten next time.
        let edition = engine.declaration.edition();
        if self.edition != edition {
            *self = Self {
                edition,
                ..Self::default()
            };
        }
        let url = uri.path_and_query().map_or("/", |url| url.as_str());
        if let Some(wanted) = self.wanted.get(url) {
            return Ok(wanted);
        }
        let wanted = Rc::new(Wanted::of(Name::of_path(uri.path())?, uri, engine, sizes));
        if url.len() <= KNOWN_BYTES_MAX {
            self.wanted.insert(url.into(), wanted.clone());
        }
        Ok(wanted)
    }
}

/// Values by text, in two ages: a value is forgotten when it is not asked for while [`KNOWN_MAX`] others are.
struct Lately<V> {
    young: HashMap<Box<str>, V, RandomState>,
    old: HashMap<Box<str>, V, RandomState>,
}

impl<V> Default for Lately<V> {
    fn default() -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
        }
    }
}

impl<V: Clone> Lately<V> {
    fn get(&mut self, text: &str) -> Option<V> {
        if let Some(value) = self.young.get(text) {
            return Some(value.clone());
        }
        let (text, value) = self.old.remove_entry(text)?;
        self.insert(text, value.clone());
        Some(value)
    }

    fn insert(&mut self, text: Box<str>, value: V) {
        if self.young.len() >= KNOWN_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let mut lately = Lately::default();
        lately.insert("asked for".into(), 0);
        lately.insert("not again".into(), 1);
        for number in 0..10 * KNOWN_MAX {
            lately.insert(number.to_string().into(), number);
            assert_eq!(lately.get("asked for"), Some(0));
            assert!(lately.young.len() + lately.old.len() <= 2 * KNOWN_MAX);
        }
        assert_eq!(lately.get("not again"), None);
        let last = 10 * KNOWN_MAX - 1;
        assert_eq!(lately.get(&last.to_string()), Some(last));
    }
}
