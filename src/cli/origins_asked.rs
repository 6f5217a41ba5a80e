//! `check-config --origins`. Every query is run for one name, and each error names its definition.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::TryStreamExt;

use crate::{
    config::Config,
    engine::Chain,
    listing::{
        Definition, Field,
        definition::{Defined, Names},
    },
    origin::{Origin, OriginError, Origins, Read, ReadOrder, Unmet, names_in_file},
};

/// The findings: a line for each read that went well, and the errors.
#[derive(Default)]
pub(super) struct Asked {
    pub good: Vec<String>,
    pub errors: Vec<String>,
}

impl Asked {
    fn note(&mut self, place: &str, found: Result<String, String>) {
        match found {
            Ok(good) => self.good.push(format!("{place}: {good}")),
            Err(error) => self.errors.push(format!("{place}: {error}")),
        }
    }
}

/// Asks every origin for the items of one name of each definition, and one of each value of its variants.
pub(super) async fn ask(config: &Config) -> Result<Asked, OriginError> {
    let origins = Origins::open(&config.origins)?;
    let mut asked = Asked::default();
    for (at, definition) in config.definitions.defined.iter().enumerate() {
        let place = format!("listings[{at}] ({})", definition.pattern.as_str());
        let Some(origin) = origins.get(&definition.origin) else {
            continue;
        };
        match defined(definition, &*origin).await {
            Ok(Some(defined)) => ask_for(&place, &defined, &*origin, &mut asked).await,
            Ok(None) => asked.note(
                &place,
                Ok("`names` has none, so there is nothing to ask for".to_owned()),
            ),
            Err(error) => asked.note(&place, Err(format!("names: {}", Chain(&error)))),
        }
    }
    Ok(asked)
}

/// The first name that there is; without an enumeration one that need not exist. `None` where no names exist.
async fn defined(definition: &Arc<Definition>, origin: &dyn Origin) -> Result<Option<Defined>, OriginError> {
    let parameters = definition.pattern.parameters();
    let fields: Vec<Field> = parameters.map(|parameter| definition.field_of(parameter)).collect();
    let rows = match &definition.names {
        Some(Names::Query(query)) => origin.names(query, &fields).await?,
        Some(Names::File(path)) => names_in_file(path).await?,
        Some(Names::List(values)) => values.iter().map(|value| vec![value.to_string()]).collect(),
        // A number, for columns that know no texts.
        None => vec![vec!["1".to_owned(); fields.len()]],
    };
    // Rows that make no name are left out, as always.
    let found = rows.iter().find_map(|row| {
        let parameters = definition.pattern.matches(&definition.pattern.fill(row)?)?;
        Some(Defined {
            definition: definition.clone(),
            parameters,
        })
    });
    Ok(found)
}

async fn ask_for(place: &str, defined: &Defined, origin: &dyn Origin, asked: &mut Asked) {
    let definition = &defined.definition;
    let mut chosen: Vec<BTreeMap<&str, &str>> = vec![BTreeMap::new()];
    for variant in &definition.variants {
        let others = variant.values.iter().skip(1);
        chosen.extend(others.map(|value| BTreeMap::from([(&*variant.parameter, &**value)])));
    }
    for given in chosen {
        let choices: String = given
            .iter()
            .map(|(parameter, value)| format!("?{parameter}={value}"))
            .collect();
        let values = defined.parameters.iter().map(|(_, value)| &**value).collect::<Vec<_>>();
        let name = definition.pattern.fill(&values).unwrap_or_default();
        match read(defined, &given, origin).await {
            Ok(0) if definition.names.is_none() && !values.is_empty() => asked.note(
                place,
                Ok(format!(
                    "the queries run; {name} was made up, for no `names` says which there are"
                )),
            ),
            Ok(1) => asked.note(place, Ok(format!("{name}{choices} has 1 item"))),
            Ok(items) => asked.note(place, Ok(format!("{name}{choices} has {items} items"))),
            Err(complaints) => {
                for complaint in complaints {
                    asked.note(place, Err(format!("{name}{choices}: {complaint}")));
                }
                // The other values of a definition that does not fit would say the same.
                return;
            }
        }
    }
}

/// How many items there are, or what is wrong, a line each, once all has been read that the definition names.
async fn read(defined: &Defined, given: &BTreeMap<&str, &str>, origin: &dyn Origin) -> Result<u64, Vec<String>> {
    let definition = &defined.definition;
    let choices = definition.choices(given);
    let lines = |error: OriginError| vec![Chain(&error).to_string()];
    origin.version(defined, &choices).await.map_err(lines)?;
    if definition.next_change_query.is_some() {
        origin.next_changes(defined, &choices).await.map_err(lines)?;
    }
    let by = || definition.streams().flat_map(|stream| stream.by);
    let columns: BTreeSet<&Field> = by().map(|sort| &sort.column).collect();
    // With what is hidden, to see that it is there.
    let shown = Definition {
        hidden: Arc::default(),
        ..Definition::clone(definition)
    };
    let read = Read {
        defined: Defined {
            definition: Arc::new(shown),
            parameters: defined.parameters.clone(),
        },
        choices,
        order: ReadOrder::Any {
            columns: columns.into_iter().cloned().collect(),
        },
        only: None,
    };
    let mut items = origin.read(read).await.map_err(lines)?;
    let (mut unmet, mut count) = (Unmet::of(definition), 0);
    while let Some(batch) = items.try_next().await.map_err(lines)? {
        count += batch.len() as u64;
        batch.iter().for_each(|item| unmet.look_at(&item.item.json));
    }
    let mut complaints = match count {
        0 => Vec::new(),
        _ => unmet.complaints(),
    };
    let max = definition.policy.sort_in_memory_max;
    if count > max && by().any(|sort| sort.column.collate.is_some()) {
        complaints.push(format!(
            "it has {count} items, and `collate` sorts in the process, at most `sort_in_memory_max`: {max}"
        ));
    }
    match complaints.is_empty() {
        true => Ok(count),
        false => Err(complaints),
    }
}
