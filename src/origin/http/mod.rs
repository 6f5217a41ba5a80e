//! JSON APIs as origins.
//!
//! A definition's `query` is a request; how its answers are read (pages, pointers, headers) is the origin's, for an API
//! has one way of paging. Names come from requests too. As with files, items are sorted in the process.
//!
//! A read is whole or fails: see [`pages`] for how that is found out, [`wholeness`] for what is.

mod answer;
mod attempts;
mod client;
mod link;
mod lookup;
mod pages;
mod refusal;
mod session;
mod validator;
mod values;
mod wholeness;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use xxhash_rust::xxh3::xxh3_64;

use self::{
    client::ApiClient,
    pages::{Each, Element, Pages},
    validator::Validator,
    values::{BoundValue, Values},
};
use super::{
    ITEM_BYTES_MAX, Items, Origin, OriginError, OriginItem, Read, ReadOrder, Reading,
    batches::in_batches,
    finishing::finished,
    members::{Member, members_of, names_of},
    names_bound::NamesBound,
    ordering::in_order,
    selection::{Candidate, Selection},
};
use crate::{
    config::{HttpOriginConfig, RequestTemplate},
    listing::{
        DataVersion, Definition, Field, Item, ItemId,
        item_json::{check_readable, parse_item},
    },
};

/// Ids that one request names: they must fit into a URL.
const IDS_AT_ONCE: usize = 50;

/// A JSON API.
#[derive(Clone, Debug)]
pub struct HttpOrigin {
    /// Tells its API, and how its answers are read, from others.
    identity: u64,
    config: Arc<HttpOriginConfig>,
    client: ApiClient,
    timeout: Duration,
    /// In any read: a family whose items lack what others have is no mistake.
    had: Arc<Mutex<HashSet<Had>>>,
}

impl HttpOrigin {
    /// An API. Nothing is asked of it yet.
    pub fn open(config: &HttpOriginConfig, timeout: Duration) -> Result<Self, OriginError> {
        Ok(Self {
            identity: xxh3_64(format!("{config:?}").as_bytes()),
            client: ApiClient::new(config)?,
            config: Arc::new(config.clone()),
            timeout,
            had: Arc::default(),
        })
    }

    /// Ends a read of a request: an error where no item had what is wanted, now or before.
    fn judge(&self, request: &str, selection: &Selection) -> Result<(), OriginError> {
        let of_request = |field: &Field| Had {
            request: request.into(),
            field: field.clone(),
        };
        let mut had = self.had.lock();
        had.extend(selection.had().map(of_request));
        selection.judge(|field| had.contains(&of_request(field)))
    }

    /// All elements of all answers, within the time-out.
    async fn whole<T: Element>(
        &self,
        request: &RequestTemplate,
        values: Values,
        each: &Each<T>,
        unless: Option<&Validator>,
    ) -> Result<Option<(Vec<T>, Option<Validator>)>, OriginError> {
        let deadline = Instant::now() + self.timeout;
        let pages = Pages {
            client: &self.client,
            config: &self.config,
            request,
            values,
            deadline,
        };
        timeout_at(deadline, pages.whole(each, unless))
            .await
            .unwrap_or(Err(OriginError::TimedOut))
    }

    /// Elements of some items, by requests that name one or some of them.
    async fn some<T: Element>(
        &self,
        request: &RequestTemplate,
        values: Values,
        ids: &[ItemId],
        each: &Each<T>,
    ) -> Result<Vec<T>, OriginError> {
        let mut found = Vec::new();
        let at_once = if request.holds("ids") { IDS_AT_ONCE } else { 1 };
        for ids in ids.chunks(at_once) {
            let mut values = values.clone();
            match ids {
                [id] if at_once == 1 => values.set("id", BoundValue::Text(id.as_str().into())),
                ids => values.set("ids", BoundValue::Ids(ids.into())),
            }
            let read = self.whole(request, values, each, None).await?;
            found.extend(read.into_iter().flat_map(|(elements, _)| elements));
        }
        Ok(found)
    }

    /// Distinct rows of texts, in bytewise order; elements with a null among them are left out.
    async fn distinct(
        &self,
        request: &str,
        values: Values,
        fields: Vec<Field>,
    ) -> Result<Vec<Vec<String>>, OriginError> {
        let selection = Arc::new(Selection::of_fields(fields, std::iter::empty()));
        let of_rows = selection.clone();
        let each: Each<Row> = Arc::new(move |position, json| row(position, json, &of_rows));
        let read = self.whole(&parse(request)?, values, &each, None).await?;
        self.judge(request, &selection)?;
        let (rows, _) = read.unwrap_or_default();
        let rows: BTreeSet<Vec<String>> = rows.into_iter().filter_map(|row| row.0).collect();
        let mut bound = NamesBound::default();
        rows.iter().try_for_each(|row| bound.take(row))?;
        Ok(rows.into_iter().collect())
    }
}

#[async_trait]
impl Origin for HttpOrigin {
    async fn read(&self, read: Read) -> Result<Items, OriginError> {
        match self.read_unless(read, None).await? {
            Reading::Items { items, .. } => Ok(items),
            // It was not asked.
            Reading::Unchanged => Err(OriginError::Unavailable("the API answered 304 to nothing".into())),
        }
    }

    async fn read_unless(&self, read: Read, known: Option<&DataVersion>) -> Result<Reading, OriginError> {
        let known = known.and_then(|version| Validator::from_version(version, self.identity));
        let definition = &read.defined.definition;
        let query = definition.query.as_deref().unwrap_or_default();
        let properties = definition.properties(&read.choices);
        let request = match &read.only {
            None => query,
            Some(_) => definition.item_query.as_deref().unwrap_or_default(),
        };
        let request = parse(request)?.with_properties(|name| properties.iter().any(|(full, _)| **full == *name));
        let selection = Arc::new(Selection::of_read(&read, std::iter::empty()));
        let chosen = read.choices.iter().chain(&properties);
        let values = Values::of_texts(read.defined.parameters.iter().chain(chosen));
        let columns = selection.columns.to_vec();
        let (id, of_items) = (definition.id.clone(), selection.clone());
        let each: Each<SeenItem> = Arc::new(move |position, json| see(position, json, &id, &of_items));
        let (seen, validator) = match &read.only {
            None => match self.whole(&request, values, &each, known.as_ref()).await? {
                Some(read) => read,
                None => return Ok(Reading::Unchanged),
            },
            Some(ids) => (self.some(&request, values, ids, &each).await?, None),
        };
        self.judge(query, &selection)?;
        let items: Vec<OriginItem> = seen.into_iter().filter_map(|seen| seen.item).collect();
        let items = match &read.order {
            ReadOrder::Any { .. } => items,
            // Off the runtime's own threads: there may be many.
            ReadOrder::By(by) => {
                let by = by.clone();
                tokio::task::spawn_blocking(move || in_order(items, &columns, &by).collect())
                    .await
                    .map_err(|died| OriginError::Unavailable(Box::new(died)))?
            }
        };
        Ok(Reading::Items {
            items: finished(in_batches(items), &read)?,
            version: validator.and_then(|validator| validator.version(self.identity)),
        })
    }

    fn reads_rows(&self, definition: &Definition) -> bool {
        definition.item_query.is_some()
    }

    async fn names(&self, query: &str, fields: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        self.distinct(query, Values::default(), fields.to_vec()).await
    }
}

/// The configuration has checked it; a definition may also come from elsewhere.
fn parse(request: &str) -> Result<RequestTemplate, OriginError> {
    RequestTemplate::parse(request).map_err(|error| OriginError::Misdeclared(error.to_string()))
}

/// A field that an item had, in an answer to a request.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Had {
    request: Box<str>,
    field: Field,
}

/// An item of an answer. Those that do not belong to the family count too when it is asked whether all were seen.
struct SeenItem {
    id: ItemId,
    item: Option<OriginItem>,
}

impl Element for SeenItem {
    fn id(&self) -> Option<&ItemId> {
        Some(&self.id)
    }
}

struct Row(Option<Vec<String>>);

impl Element for Row {
    fn id(&self) -> Option<&ItemId> {
        None
    }
}

fn bad_item(position: u64) -> impl Fn(String) -> OriginError {
    move |reason| OriginError::BadItem { position, reason }
}

fn see(position: u64, json: &str, id: &Field, selection: &Selection) -> Result<SeenItem, OriginError> {
    if json.len() > ITEM_BYTES_MAX {
        return Err(bad_item(position)(format!("an item may have {ITEM_BYTES_MAX} bytes")));
    }
    let parsed = parse_item(json.as_bytes(), id).map_err(|error| bad_item(position)(error.to_string()))?;
    let members = members_of(json.as_bytes(), &selection.wanted).map_err(bad_item(position))?;
    let id = parsed.id.clone();
    let item = selection.select(
        position,
        &mut ApiItem {
            members,
            item: parsed,
            json,
        },
    )?;
    Ok(SeenItem { id, item })
}

struct ApiItem<'j> {
    members: Vec<Member>,
    item: Item,
    json: &'j str,
}

impl Candidate for ApiItem<'_> {
    fn members(&self) -> &[Member] {
        &self.members
    }

    fn item(&mut self) -> Result<Item, String> {
        Ok(self.item.clone())
    }

    fn names(&self, max: usize) -> Vec<String> {
        names_of(self.json.as_bytes(), max)
    }
}

/// An element that names are read from.
struct NamedElement<'j> {
    members: Vec<Member>,
    json: &'j str,
}

impl Candidate for NamedElement<'_> {
    fn members(&self) -> &[Member] {
        &self.members
    }

    fn item(&mut self) -> Result<Item, String> {
        Err("names are no items".to_owned())
    }

    fn names(&self, max: usize) -> Vec<String> {
        names_of(self.json.as_bytes(), max)
    }
}

/// The texts of an element: of its members, or of itself where one text is wanted and it is no object.
fn row(position: u64, json: &str, selection: &Selection) -> Result<Row, OriginError> {
    check_readable(json.as_bytes()).map_err(|error| bad_item(position)(error.to_string()))?;
    let is_itself = selection.wanted.fields.len() == 1 && !json.starts_with(['{', '[']);
    let members = if is_itself {
        Member::of_json(json)
            .map(|member| vec![member])
            .map_err(|error| error.to_string())
    } else {
        members_of(json.as_bytes(), &selection.wanted)
    };
    let members = members.map_err(bad_item(position))?;
    selection.texts(position, &NamedElement { members, json }).map(Row)
}
